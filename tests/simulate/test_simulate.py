"""The simulation as a command: the same history from the same seed, a violation that explains itself."""

import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
import structlog

from github_app.jobs.service import Answer, Service
from github_app.model import JobEvent, Witness
from github_app.simulate.deployment import WEBHOOK_SECRET
from github_app.simulate.outcome import FAULTS
from github_app.simulate.plan import Plan, make_plan
from github_app.simulate.report import around
from github_app.simulate.run import simulate
from github_app.simulate.sandboxes import SandboxesInProcess
from github_app.simulate.shrink import shrink


def command(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run `modal-runner simulate`."""
    return subprocess.run(  # noqa: S603
        [sys.executable, "-m", "github_app", "simulate", *arguments],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@pytest.mark.parametrize("seed", ["30", "89"])
def test_one_seed_has_one_history_in_every_process(seed: str, tmp_path: Path) -> None:
    histories = []
    for hashing in ("0", "1"):
        file = tmp_path / f"history-{hashing}"
        ran = command("--seeds", seed, "--trace", str(file), PYTHONHASHSEED=hashing)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        histories.append(file.read_bytes())

    assert len(histories[0].splitlines()) > 100
    assert histories[0] == histories[1]
    # Nor does what ran before in the same process play a part.
    simulate(make_plan(1, 5, 2, FAULTS))
    assert simulate(make_plan(int(seed), 40, 2, FAULTS)).trace == histories[0].decode().splitlines()


def test_many_seeds_with_every_fault_hold() -> None:
    # Two thirds of the jobs of `make simulate`: the whole of the tests has fifteen minutes.
    ran = command("--seeds", "1..60", "--jobs", "24", "--json")
    report = json.loads(ran.stdout)

    assert report["violations"] == [], ran.stderr
    assert ran.returncode == 0
    assert (report["seeds"], report["seeds_run"]) == ([1, 60], 60)
    assert set(report["start_delay_s"]) == {"p50", "p99", "worst"}
    assert report["virtual_hours"] > 5
    # What is drawn also happens.
    assert len(report["faults"]) > 15


@pytest.mark.parametrize(
    "arguments", [["--seeds", "2..1"], ["--seeds", "x"], ["--faults", "flood"], ["--replay", "no"]]
)
def test_bad_input_is_told_in_a_sentence(arguments: list[str]) -> None:
    ran = command(*arguments)

    assert ran.returncode == 2
    assert arguments[0] in ran.stderr
    assert "Traceback" not in ran.stderr


async def _sees_nothing(*_: object) -> Witness:
    return Witness.IDLE


def test_a_fault_in_the_product_is_found_and_made_small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Were the witness not asked, a runner would be ended at work where GitHub's busy flag lags."""
    monkeypatch.setattr(SandboxesInProcess, "witness", _sees_nothing)
    broken = next(
        outcome
        for outcome in (simulate(make_plan(seed, 20, 2, FAULTS)) for seed in range(17, 60))
        if outcome.violations
    )
    invariant = broken.violations[0].invariant
    small = shrink(broken.plan, invariant, most_tries=15)
    file = tmp_path / "plan.json"
    file.write_bytes(msgspec.json.encode(small))
    again = simulate(msgspec.json.decode(file.read_bytes(), type=Plan))

    assert invariant in {"terminated-at-work", "deregistered-at-work"}
    assert len(small.faults) < len(broken.plan.faults)
    assert again.violations[0].invariant == invariant
    assert around(again)
    # It is the fault's, and not the plan's.
    monkeypatch.undo()
    assert simulate(small).violations == []


def test_a_secret_in_a_part_of_the_log_that_no_line_shows_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    handle = Service.handle

    async def handle_aloud(self: Service, body: bytes, event: JobEvent) -> Answer:
        structlog.get_logger("any").info("received", unshown=WEBHOOK_SECRET)
        return await handle(self, body, event)

    monkeypatch.setattr(Service, "handle", handle_aloud)
    plan = make_plan(1, 3, 2, frozenset())

    assert [each.invariant for each in simulate(plan).violations] == ["secret"]
    monkeypatch.undo()
    assert simulate(plan).violations == []

"""The soak, in short; `make soak` is the long one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from github_app.soak.faults import ALL, GitHubFaults
from github_app.soak.pace import scale_for
from github_app.soak.plan import make_plan

_KEYS = [
    "jobs", "completed", "cancelled", "lost", "killed_while_running", "duplicate_runners", "cap_violations",
    "leaked_sandboxes", "leaked_runners", "leaked_slots", "sandboxes_started", "github_calls",
    "github_calls_per_job", "secondary_limit_hits", "p50_start_ms", "p99_start_ms", "sweeps", "redelivered",
    "elapsed_s", "terminated_at_work", "deregistered_at_work",
]  # fmt: skip


def _soak(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603
        [sys.executable, "-m", "github_app", "soak", *arguments],
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )


def test_every_fault_two_containers_and_kill_9_lose_and_kill_nothing(tmp_path: Path) -> None:
    done = _soak(tmp_path, "--jobs", "40", "--seed", "5", "--containers", "2", "--json")
    report = json.loads(done.stdout)

    assert list(report) == _KEYS
    assert done.returncode == 0, ({name: each for name, each in report.items() if each}, done.stderr)
    assert report["completed"] + report["cancelled"] == report["jobs"] == 40
    assert not list(tmp_path.iterdir())


def test_an_unknown_fault_is_named_with_those_that_there_are(tmp_path: Path) -> None:
    done = _soak(tmp_path, "--faults", "gremlins")

    assert done.returncode == 2
    assert "gremlins" in done.stderr
    assert "webhook-lost" in done.stderr


@pytest.mark.parametrize(("process_s", "scale"), [(0.005, 20.0), (0.0375, 20.0), (0.1, 7.5), (3.0, 2.0)])
def test_time_runs_slower_where_processes_do(process_s: float, scale: float) -> None:
    assert scale_for(process_s) == pytest.approx(scale)


@pytest.mark.parametrize("seed", [1, 2])
def test_equal_seeds_give_equal_plans_and_equal_faults(seed: int) -> None:
    plans = [make_plan(60, seed, cancel=True, kill=True) for _ in range(2)]
    faults = [GitHubFaults(ALL, seed, 20.0) for _ in range(2)]
    conducts = [[each.conduct() for _ in range(300)] for each in faults]

    assert plans[0] == plans[1]
    assert conducts[0] == conducts[1]
    assert set(conducts[0]) > {None}


def test_another_seed_gives_another_plan() -> None:
    assert make_plan(60, 1, cancel=True, kill=True) != make_plan(60, 2, cancel=True, kill=True)

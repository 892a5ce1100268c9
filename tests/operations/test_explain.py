"""`modal-runner explain` and `modal-runner config`, as a person or a program uses them."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from github_app.cli.main import app
from github_app.errors import ConfigError, InputError

EXAMPLE = Path(__file__).parents[2] / "docs" / "modal-runner.example.toml"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MODAL_RUNNER_CONFIG", raising=False)


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def test_a_job_that_runs_is_explained_to_a_program() -> None:
    done = _run("explain", '["self-hosted", "modal", "gpu:h100:2", "cpu:8"]', "--json")
    told = json.loads(done.stdout)

    assert done.exit_code == 0
    assert list(told) == ["decision", "reason", "route", "profile", "sandbox", "price_usd_per_minute"]
    assert list(told["sandbox"]) == [
        *("gpu", "cpu", "memory_mib", "timeout_s", "region", "image", "network", "volumes", "docker", "runtime")
    ]
    assert told["decision"] == "run"
    assert told["sandbox"]["gpu"] == {"type": "H100", "count": 2}
    assert told["sandbox"]["cpu"] == 8
    assert told["sandbox"]["network"] == {"mode": "open", "domains": [], "cidrs": []}
    # Two H100 at $0.001097 a second, four cores and two GiB.
    assert told["price_usd_per_minute"] == pytest.approx(
        60 * (2 * 0.001097 + 4 * 0.00003942 + 2 * 0.00000667), abs=1e-6
    )


@pytest.mark.parametrize(
    ("runs_on", "decision"),
    [("ubuntu-latest", "ignore"), ('["modal", "gpu:h1000"]', "refuse"), ("modal/disk=1", "refuse")],
)
def test_a_job_that_does_not_run_is_explained_with_the_reason(runs_on: str, decision: str) -> None:
    done = _run("explain", runs_on, "--json")
    told = json.loads(done.stdout)

    assert done.exit_code == 1
    assert told["decision"] == decision
    assert told["reason"]
    assert told["sandbox"] is told["price_usd_per_minute"] is None


def test_the_file_of_this_directory_decides(tmp_path: Path) -> None:
    (tmp_path / "modal-runner.toml").write_text(EXAMPLE.read_text())
    done = _run("explain", "modal", "--repo", "octo-org/train-x", "--branch", "main", "--json")
    told = json.loads(done.stdout)

    assert (told["route"], told["profile"]) == ("training", "train")
    assert told["sandbox"]["volumes"] == {"/data": "datasets"}


def test_a_person_reads_words(tmp_path: Path) -> None:
    done = _run("explain", "modal/gpu=t4")

    assert "T4" in done.stdout
    assert "a minute" in done.stdout


@pytest.mark.parametrize("runs_on", ['["modal"', '{"a": 1}', "", "modal, gpu:h100", "[self-hosted, modal]"])
def test_what_is_no_list_of_labels_is_told(runs_on: str) -> None:
    assert isinstance(_run("explain", runs_on).exception, InputError)


def test_labels_that_mean_nothing_here_are_named() -> None:
    assert "as they are: team-a, zone:blue" in _run("explain", '["modal", "team-a", "zone:blue", "gpu:t4"]').stdout


def test_config_check_says_ok_and_warns() -> None:
    done = _run("config", "check", str(EXAMPLE))

    assert done.exit_code == 0
    assert done.stdout.endswith("ok\n")


def test_config_check_tells_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("[defaults]\nmemory = 'x'\n")
    error = _run("config", "check", "bad.toml").exception

    assert isinstance(error, ConfigError)
    assert "bad.toml:2" in error.problems[0]
    assert isinstance(_run("config", "check", "none.toml").exception, InputError)


def test_config_show_masks_every_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "modal-runner.toml").write_text(
        '[defaults.env]\nTOKEN = "ca\\u006eary-in-file"\nP = "1"\n[profiles.p]\ngpu = "h100"\n'
    )
    monkeypatch.setenv("WEBHOOK_SECRET", "canary-webhook")
    monkeypatch.setenv("GITHUB_PRIVATE_KEY", "canary-key")
    monkeypatch.setenv("SANDBOX_EXTRA_ENV", "A=canary-extra")
    monkeypatch.setenv("MAX_CONCURRENT", "7")
    done = _run("config", "show")

    assert done.exit_code == 0
    assert "canary" not in done.stdout
    assert "MAX_CONCURRENT=7" in done.stdout
    assert "SWEEP_INTERVAL_SECONDS=60" in done.stdout
    assert "H100" in done.stdout

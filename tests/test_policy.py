"""Who may use the runners, decided at intake and again in the sandbox by the hook: both by one table."""

import json
import subprocess
from importlib.resources import files
from pathlib import Path

import pytest

from github_app.policy import FORK_REFUSED, Policy

CASES = [
    # allowed, repository, private, admitted
    ((), "octo/any", True, True),
    ((), "octo/any", False, False),
    (("octo/app",), "octo/app", True, True),
    (("octo/app",), "Octo/App", False, True),
    (("Octo/*",), "octo/app", True, True),
    (("octo/*",), "octo/app", False, False),
    (("octo/*", "octo/app"), "octo/app", False, True),
    (("octo/app",), "octo/application", True, False),
    (("octo/app?",), "octo/apps", True, True),
    (("other/*",), "octo/app", True, False),
    (("octo/[ab]*",), "octo/beta", True, True),
    (("octo/[ab]*",), "octo/gamma", True, False),
]


@pytest.mark.parametrize(("allowed", "repository", "private", "admitted"), CASES)
def test_a_repository_is_admitted_at_intake(
    allowed: tuple[str, ...], repository: str, private: bool, admitted: bool
) -> None:
    refusal = Policy(allowed).refusal(repository, private=private)

    assert (refusal is None) is admitted
    assert admitted or "ALLOWED_REPOS" in (refusal or "")


@pytest.mark.parametrize("layout", [None, 2])
@pytest.mark.parametrize(("allowed", "repository", "private", "admitted"), CASES)
def test_the_hook_in_the_sandbox_decides_the_same_with_the_same_words(
    allowed: tuple[str, ...], repository: str, private: bool, admitted: bool, layout: int | None, tmp_path: Path
) -> None:
    patterns = " ".join(Policy(allowed).patterns)
    given = {"GITHUB_REPOSITORY": repository, "MODAL_RUNNER_ALLOWED_REPOS": patterns}
    done = _hook(tmp_path, json.dumps({"repository": {"private": private}}, indent=layout), **given)

    assert (done.returncode == 0) is admitted, done
    assert admitted or done.stdout.strip() == Policy(allowed).refusal(repository, private=private)
    assert (tmp_path / ".job-started").exists()


def _hook(tmp_path: Path, event: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the job-started hook as the runner does (bash, stopping at any error), for a job of octo/app."""
    payload = tmp_path / "event.json"
    payload.write_text(event)
    hook = files("github_app.sandboxes").joinpath("job-started.sh").read_text()
    given = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(tmp_path),
        "GITHUB_REPOSITORY": "Octo/App",
        "GITHUB_EVENT_PATH": str(payload),
        "GITHUB_ENV": str(tmp_path / "env"),
        "MODAL_RUNNER_ALLOWED_REPOS": "*/*",
        **environment,
    }
    return subprocess.run(  # noqa: S603
        ["/bin/bash", "--noprofile", "--norc", "-eu", "-o", "pipefail", "-c", hook],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=given,
    )


def _pull_request(head: str | None) -> str:
    user = {"login": "someone", "type": "User"}
    repository = head and {"id": 1, "name": head.partition("/")[2], "full_name": head, "private": True}
    base = {"label": "main", "repo": {"full_name": "octo/app", "private": True}}
    payload = {
        "pull_request": {"title": '"head":{', "head": {"label": "x", "user": user, "repo": repository}, "base": base},
        "repository": {"full_name": "octo/app", "private": True},
    }
    return json.dumps(payload)


@pytest.mark.parametrize(
    ("head", "forks", "admitted"),
    [
        ("octo/app", "", True),
        ("Octo/App", "", True),
        ("stranger/app", "", False),
        ("stranger/app", "octo/app", True),
        ("stranger/app", "octo/other", False),
        (None, "", False),
        (None, "octo/*", True),
    ],
)
def test_the_hook_lets_the_code_of_a_fork_run_only_where_a_route_says_so(
    tmp_path: Path, head: str | None, forks: str, admitted: bool
) -> None:
    done = _hook(tmp_path, _pull_request(head), GITHUB_EVENT_NAME="pull_request", MODAL_RUNNER_FORKS=forks)

    assert (done.returncode == 0) is admitted, done
    assert admitted or done.stdout.strip() == FORK_REFUSED


MADE_FOR = {
    "MODAL_RUNNER_MADE_FOR": "octo/other octo/a*",
    "MODAL_RUNNER_BRANCH": "main",
    "MODAL_RUNNER_WORKFLOW": "nightly *",
    "MODAL_RUNNER_EVENTS": "push schedule",
    "MODAL_RUNNER_OWN_ENV": "HF_TOKEN DATA_KEY",
}
JOB = {
    "GITHUB_REPOSITORY": "Octo/App",
    "GITHUB_REF_NAME": "main",
    "GITHUB_WORKFLOW": "Nightly run",
    "GITHUB_EVENT_NAME": "push",
}


def test_a_job_for_which_the_sandbox_was_made_keeps_what_it_was_given(tmp_path: Path) -> None:
    (tmp_path / "volume").mkdir()
    (tmp_path / ".cache-volume").symlink_to(tmp_path / "volume")
    done = _hook(tmp_path, "{}", **MADE_FOR, **JOB, MODAL_RUNNER_MACHINE="2 vCPU")

    assert done.returncode == 0
    assert not (tmp_path / "env").exists()
    assert (tmp_path / ".cache-volume").is_symlink()
    assert "2 vCPU" in done.stdout


@pytest.mark.parametrize(
    "changed",
    [
        {"GITHUB_REPOSITORY": "octo/foreign"},
        {"GITHUB_REF_NAME": "dev"},
        {"GITHUB_HEAD_REF": "feature", "GITHUB_REF_NAME": "main"},
        {"GITHUB_WORKFLOW": "ci"},
        {"GITHUB_EVENT_NAME": "workflow_dispatch"},
    ],
)
def test_a_job_for_which_the_sandbox_was_not_made_runs_without_what_it_was_given(
    tmp_path: Path, changed: dict[str, str]
) -> None:
    (tmp_path / "volume").mkdir()
    (tmp_path / ".cache-volume").symlink_to(tmp_path / "volume")
    done = _hook(tmp_path, "{}", **{**MADE_FOR, **JOB, **changed})

    assert done.returncode == 0, done
    assert (tmp_path / "env").read_text().splitlines() == ["HF_TOKEN=", "DATA_KEY="]
    assert not (tmp_path / ".cache-volume").is_symlink()
    assert "withheld" in done.stdout


def test_the_start_script_knows_which_variables_a_modal_secret_has_brought(tmp_path: Path) -> None:
    (tmp_path / "run.sh").write_text('#!/bin/sh\nprintf %s "$MODAL_RUNNER_OWN_ENV"\n')
    (tmp_path / "run.sh").chmod(0o755)
    start = files("github_app.sandboxes").joinpath("start.sh").read_text()
    done = subprocess.run(  # noqa: S603
        ["/bin/sh", "-euc", start],
        capture_output=True,
        text=True,
        check=False,
        env={
            "PATH": "/usr/bin:/bin",
            "RUNNER_HOME": str(tmp_path),
            "MODAL_SANDBOX_ID": "sb-1",
            "MODAL_RUNNER_SECRETS": "yes",
            "MODAL_RUNNER_OWN_ENV": "MODE",
            "MODAL_RUNNER_COMMON_ENV": "DEBUG",
            "MODE": "train",
            "DEBUG": "1",
            "MODAL_TOKEN_SECRET": "canary",
            "KEY": "-----BEGIN\nQWERTY=zz\n-----END",
        },
    )

    assert done.returncode == 0, done
    assert sorted(set(done.stdout.split())) == ["KEY", "MODAL_TOKEN_SECRET", "MODE"]

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
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"repository": {"private": private}}, indent=layout))
    hook = files("github_app.sandboxes").joinpath("job-started.sh").read_text()
    done = subprocess.run(  # noqa: S603
        ["/bin/sh", "-eu", "-c", hook],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={
            "PATH": "/usr/bin:/bin",
            "HOME": str(tmp_path),
            "GITHUB_REPOSITORY": repository,
            "GITHUB_EVENT_PATH": str(event),
            "MODAL_RUNNER_ALLOWED_REPOS": " ".join(Policy(allowed).patterns),
        },
    )

    assert (done.returncode == 0) is admitted, done
    assert admitted or done.stdout.strip() == Policy(allowed).refusal(repository, private=private)
    assert (tmp_path / ".job-started").exists()


def _hook(tmp_path: Path, event: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the job-started hook as the runner does, for a job of octo/app."""
    payload = tmp_path / "event.json"
    payload.write_text(json.dumps(event))
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
        ["/bin/sh", "-eu", "-c", hook], capture_output=True, text=True, check=False, cwd=tmp_path, env=given
    )


def _pull_request(head: str) -> object:
    user = {"login": "someone", "type": "User"}
    repository = {"id": 1, "name": head.partition("/")[2], "full_name": head, "private": True}
    base = {"label": "main", "repo": {"full_name": "octo/app", "private": True}}
    return {
        "pull_request": {"title": '"head":{', "head": {"label": "x", "user": user, "repo": repository}, "base": base},
        "repository": {"full_name": "octo/app", "private": True},
    }


@pytest.mark.parametrize(
    ("head", "forks", "admitted"),
    [("octo/app", "no", True), ("Octo/App", "no", True), ("stranger/app", "no", False), ("stranger/app", "yes", True)],
)
def test_the_hook_lets_the_code_of_a_fork_run_only_where_a_route_says_so(
    tmp_path: Path, head: str, forks: str, admitted: bool
) -> None:
    done = _hook(tmp_path, _pull_request(head), GITHUB_EVENT_NAME="pull_request", MODAL_RUNNER_FORKS=forks)

    assert (done.returncode == 0) is admitted, done
    assert admitted or done.stdout.strip() == FORK_REFUSED


def test_a_job_for_which_the_sandbox_was_not_made_runs_without_what_it_was_given(tmp_path: Path) -> None:
    given = {"MODAL_RUNNER_MADE_FOR": "octo/other octo/train-*", "MODAL_RUNNER_OWN_ENV": "HF_TOKEN PIP_CACHE_DIR"}
    done = _hook(tmp_path, {}, **given)

    assert done.returncode == 0
    assert (tmp_path / "env").read_text().splitlines() == ["HF_TOKEN=", "PIP_CACHE_DIR="]
    assert "withheld" in done.stdout


def test_a_job_for_which_the_sandbox_was_made_keeps_what_it_was_given(tmp_path: Path) -> None:
    given = {"MODAL_RUNNER_MADE_FOR": "octo/*", "MODAL_RUNNER_OWN_ENV": "HF_TOKEN", "MODAL_RUNNER_MACHINE": "2 vCPU"}
    done = _hook(tmp_path, {}, **given)

    assert not (tmp_path / "env").exists()
    assert "2 vCPU" in done.stdout

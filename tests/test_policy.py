"""Who may use the runners, decided at intake and again in the sandbox by the hook: both by one table."""

import json
import subprocess
from importlib.resources import files
from pathlib import Path

import pytest

from github_app.policy import Policy

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

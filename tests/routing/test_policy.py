"""Who may use the runners, decided at intake and again in the sandbox by the hook: both by one table."""

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from github_app.model import MadeFor, SandboxSpec, Shape
from github_app.routing.admission import hook_rules
from github_app.routing.globs import as_regex, matches
from github_app.routing.policy import FORK_REFUSED, Policy
from github_app.routing.profiles import Route
from github_app.routing.rules import Rules
from github_app.sandboxes.scripts import ADMISSION, JOB_STARTED, START
from github_app.simulator.image import stand_in_image
from tests.worlds.records import SHAPE

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


def _rules(
    allowed: tuple[str, ...] = (),
    *,
    routes: tuple[Route, ...] = (),
    shape: Shape = SHAPE,
    made_in: str = "octo/elsewhere",
    labels: tuple[str, ...] = ("modal",),
    can_withhold: bool = True,
) -> str:
    """What a sandbox is told that was made for a job of `made_in`."""
    spec = SandboxSpec("modal-1-1", shape, {}, SecretStr("x"), made_in, private=True, labels=labels)
    return hook_rules(spec, Rules(policy=Policy(allowed), routes=routes), can_withhold=can_withhold)


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The PATH of a machine with what the runner's image has."""
    return stand_in_image().unpack(tmp_path_factory.mktemp("image"))["PATH"]


Hook = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def hook(tmp_path: Path, programs: str) -> Hook:
    """Run the job-started hook as the runner does (`bash -e`), for a job of octo/app."""

    def run(
        event: str, rules: str | None = None, shell: str = "/bin/bash", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        payload, script = tmp_path / "event.json", tmp_path / "job-started.sh"
        payload.write_text(event)
        script.write_text(JOB_STARTED)
        given = {
            "PATH": programs,
            "HOME": str(tmp_path),
            "GITHUB_REPOSITORY": "Octo/App",
            "GITHUB_EVENT_NAME": "push",
            "GITHUB_EVENT_PATH": str(payload),
            "GITHUB_ENV": str(tmp_path / "env"),
            "MODAL_RUNNER_RULES": rules or _rules(),
            "GITHUB_REF_TYPE": "branch",
            "GITHUB_REF": f"refs/heads/{environment.get('GITHUB_REF_NAME', '')}",
            **environment,
        }
        (tmp_path / "env").write_text("")
        command = [shell, *(["-e"] if shell.endswith("bash") else []), str(script)]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=given)  # noqa: S603

    return run


PRIVATE = json.dumps({"repository": {"private": True}})


@pytest.mark.parametrize("layout", [None, 2])
@pytest.mark.parametrize(("allowed", "repository", "private", "admitted"), CASES)
def test_the_hook_in_the_sandbox_decides_the_same_with_the_same_words(
    hook: Hook, allowed: tuple[str, ...], repository: str, private: bool, admitted: bool, layout: int | None
) -> None:
    event = json.dumps({"repository": {"private": private}}, indent=layout)
    done = hook(event, _rules(allowed), GITHUB_REPOSITORY=repository)

    assert (done.returncode == 0) is admitted, done
    assert admitted or done.stdout.strip() == Policy(allowed).refusal(repository, private=private)


@pytest.mark.parametrize(
    ("event", "admitted"),
    [
        # Only repository.private counts, whatever else in the payload is called so.
        ({"client_payload": {"private": False}, "repository": {"private": True}}, True),
        ({"deployment": {"payload": {"repository": {"private": False}}}, "repository": {"private": True}}, True),
        ({"client_payload": {"repository": {"private": True}}, "repository": {"private": False}}, False),
        # What is not known refuses.
        ({}, False),
        ({"repository": {}}, False),
        ({"repository": {"private": "yes"}}, False),
        ({"repository": None}, False),
        ({"repository": "octo/app"}, False),
        ([], False),
        (None, False),
    ],
)
def test_the_hook_reads_whether_a_repository_is_public_by_its_place_in_the_event(
    hook: Hook, event: object, admitted: bool
) -> None:
    done = hook(json.dumps(event))

    assert (done.returncode == 0) is admitted, done
    assert admitted or "public" in done.stdout


def test_an_event_that_tells_nothing_of_its_repository_is_admitted_where_github_told_before(hook: Hook) -> None:
    """Events of a schedule are said to lack it."""
    own = hook("{}", _rules(made_in="octo/app"), GITHUB_EVENT_NAME="schedule")
    named = hook("{}", _rules(("octo/app",)), GITHUB_EVENT_NAME="schedule")
    another = hook("{}", _rules(), GITHUB_EVENT_NAME="schedule")

    assert (own.returncode, named.returncode, another.returncode) == (0, 0, 1)
    assert "does not say whether the repository Octo/App is public" in another.stdout


@pytest.mark.parametrize("event", ["", "{", "no json"])
def test_an_event_that_cannot_be_read_is_refused(hook: Hook, event: str) -> None:
    done = hook(event, _rules(("octo/app",)))

    assert done.returncode == 1
    assert "not admitted" in done.stdout


def test_an_image_without_jq_admits_nobody_and_says_what_to_add(hook: Hook, tmp_path: Path) -> None:
    lacking = tmp_path / "lacking"
    lacking.mkdir()
    for name in ("touch", "rm", "mkdir", "sleep"):
        (lacking / name).symlink_to(shutil.which(name) or "")
    (tmp_path / ".given").write_text(GIVEN)
    done = hook(PRIVATE, PATH=str(lacking), MODAL_RUNNER_OWN_ENV="HF_TOKEN")

    assert done.returncode == 1
    assert 'apt = ["jq"]' in done.stdout
    assert not (tmp_path / ".given").exists()


def _pull_request(head: str | None, branch: str = "x") -> str:
    user = {"login": "someone", "type": "User"}
    repository = head and {"id": 1, "name": head.partition("/")[2], "full_name": head, "private": True}
    base = {"label": "main", "repo": {"full_name": "octo/app", "private": True}}
    head_of = {"label": f"someone:{branch}", "ref": branch, "user": user, "repo": repository}
    payload = {
        "pull_request": {"title": '"head":{', "head": head_of, "base": base},
        "repository": {"full_name": "octo/app", "private": True},
        # The last thing of that name, as in an event of a fork's own.
        "organization": {"head": {"repo": {"full_name": "octo/app"}}},
    }
    return json.dumps(payload)


@pytest.mark.parametrize(
    ("head", "forks", "admitted"),
    [
        ("octo/app", (), True),
        ("Octo/App", (), True),
        ("stranger/app", (), False),
        ("stranger/app", ("octo/app",), True),
        ("stranger/app", ("octo/other",), False),
        (None, (), False),
        (None, ("octo/*",), True),
    ],
)
@pytest.mark.parametrize("event_name", ["pull_request", "pull_request_target", "workflow_run"])
def test_the_hook_lets_the_code_of_a_fork_run_only_where_a_route_says_so(
    hook: Hook, head: str | None, forks: tuple[str, ...], admitted: bool, event_name: str
) -> None:
    run = {"repository": {"private": True}, "workflow_run": {"head_repository": head and {"full_name": head}}}
    event = json.dumps(run) if event_name == "workflow_run" else _pull_request(head)
    rules = _rules(shape=msgspec.structs.replace(SHAPE, forks=forks))
    done = hook(event, rules, GITHUB_EVENT_NAME=event_name)

    assert (done.returncode == 0) is admitted, done
    assert admitted or done.stdout.strip() == FORK_REFUSED


def test_a_branch_named_base_is_none_of_a_forks(hook: Hook) -> None:
    assert hook(_pull_request("octo/app", "base"), GITHUB_EVENT_NAME="pull_request").returncode == 0


ROUTES = (
    Route(name="nightly", repositories=("octo/app",), workflow="nightly *", profile="big"),
    Route(name="no-gpus", repositories=("octo/a*",), labels=("gpu:*",), refuse="No GPUs for {repository}."),
    Route(name="no-gpus-for-bots", labels=("gpu:*",), branch="bots/*", refuse="No GPUs for bots."),
    Route(name="bots", org="octo", branch="dependabot/*", events=("push",), refuse="Not for bots."),
    Route(name="gpus", labels=("gpu:*",), profile="gpu"),
    Route(name="only-gpus", repositories=("octo/train",), refuse="GPUs alone for {repository}."),
)
GPU_LABELS = ("modal", "gpu:t4")


@pytest.mark.parametrize(
    ("job", "labels", "made_in", "sentence"),
    [
        ({}, ("modal",), "octo/x", None),
        ({"GITHUB_REF_NAME": "dependabot/npm"}, ("modal",), "octo/x", "Not for bots."),
        ({"GITHUB_REF_NAME": "dependabot/npm", "GITHUB_EVENT_NAME": "schedule"}, ("modal",), "octo/x", None),
        ({"GITHUB_HEAD_REF": "dependabot/x", "GITHUB_REF_NAME": "1/merge"}, ("modal",), "octo/x", "Not for bots."),
        # A runner with a GPU may have been taken for it.
        ({}, GPU_LABELS, "octo/x", "No GPUs for Octo/App."),
        # The first route that fits decides, as outside.
        ({"GITHUB_WORKFLOW": "Nightly run"}, GPU_LABELS, "octo/x", None),
        # A job of a repository that may have GPUs alone, on the GPU runner of another: it may not have asked for one.
        ({"GITHUB_REPOSITORY": "octo/train"}, GPU_LABELS, "octo/x", "GPUs alone for octo/train."),
        # On a runner of its own repository's the job was admitted with these labels.
        ({"GITHUB_REPOSITORY": "octo/train"}, GPU_LABELS, "octo/train", None),
        ({"GITHUB_REPOSITORY": "octo/train"}, ("modal",), "octo/train", "GPUs alone for octo/train."),
        # Also there it is taken to ask for what the runner was made for.
        ({}, GPU_LABELS, "octo/app", "No GPUs for Octo/App."),
        ({"GITHUB_WORKFLOW": "Nightly run"}, GPU_LABELS, "octo/app", None),
        (
            {"GITHUB_REPOSITORY": "octo/train", "GITHUB_REF_NAME": "bots/x"},
            GPU_LABELS,
            "octo/train",
            "No GPUs for bots.",
        ),
        ({"GITHUB_REPOSITORY": "octo/train", "GITHUB_REF_NAME": "bots/x"}, GPU_LABELS, "octo/x", "No GPUs for bots."),
    ],
)
def test_a_route_that_refuses_does_so_in_the_sandbox_too(
    hook: Hook, job: dict[str, str], labels: tuple[str, ...], made_in: str, sentence: str | None
) -> None:
    done = hook(PRIVATE, _rules(routes=ROUTES, labels=labels, made_in=made_in), **job)

    assert (done.returncode == 0) is (sentence is None), done
    assert sentence is None or done.stdout.strip() == sentence


def test_a_foreign_job_whose_variables_cannot_be_withheld_is_refused(hook: Hook, tmp_path: Path) -> None:
    proxy = {"MODAL_RUNNER_OWN_ENV": "HTTPS_PROXY", "HTTPS_PROXY": "http://u:p@proxy"}
    for environment in ({"GITHUB_ENV": str(tmp_path / "no" / "such")}, {"GITHUB_ENV": ""}):
        done = hook(PRIVATE, _rules(shape=MADE_FOR), **proxy, **environment)
        assert done.returncode == 1
        assert "cannot be withheld" in done.stdout


@pytest.mark.parametrize("shell", ["/bin/bash", "/bin/sh", "/bin/dash"])
@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({}, 0),
        ({"GITHUB_ENV": ""}, 1),
        ({"GITHUB_ENV": "/nonexistent/env"}, 1),
        ({"GITHUB_EVENT_PATH": ""}, 1),
        ({"MODAL_RUNNER_RULES": "{"}, 1),
        ({"MODAL_RUNNER_RULES": ""}, 1),
    ],
)
def test_whatever_shell_runs_the_hook_what_fails_refuses(
    hook: Hook, tmp_path: Path, shell: str, changed: dict[str, str], code: int
) -> None:
    (tmp_path / ".given").write_text(GIVEN)
    done = hook(PRIVATE, _rules(shape=MADE_FOR), shell=shell, **{**OWN, **JOB, **changed})

    assert done.returncode == code, done
    assert not (tmp_path / ".given").exists()


MADE_FOR = msgspec.structs.replace(
    SHAPE, made_for=MadeFor(("octo/other", "octo/a*"), "main", "nightly *", ("push", "schedule"))
)
OWN = {"MODAL_RUNNER_OWN_ENV": "HF_TOKEN DATA_KEY", "MODAL_RUNNER_SECRET_ENV": "HF_TOKEN"}
# As start.sh leaves it.
GIVEN = (
    "HF_TOKEN<<end-1234-abcd-5678\nhf-secret-100%\nend-1234-abcd-5678\nDATA_KEY<<end-12345678-b\n7\nend-12345678-b\n"
)
JOB = {"GITHUB_REF_NAME": "main", "GITHUB_WORKFLOW": "Nightly run"}


def test_a_job_for_which_the_sandbox_was_made_keeps_what_it_was_given(hook: Hook, tmp_path: Path) -> None:
    (tmp_path / "volume").mkdir()
    (tmp_path / ".cache-volume").symlink_to(tmp_path / "volume")
    (tmp_path / ".given").write_text(GIVEN)
    done = hook(PRIVATE, _rules(shape=MADE_FOR), **OWN, **JOB, MODAL_RUNNER_MACHINE="2 vCPU")

    assert done.returncode == 0
    assert (tmp_path / "env").read_text() == GIVEN
    assert "::add-mask::hf-secret-100%25" in done.stdout.splitlines()
    assert "::add-mask::7" not in done.stdout
    assert not (tmp_path / ".given").exists()
    assert (tmp_path / ".cache-volume").is_symlink()
    assert "2 vCPU" in done.stdout
    assert (tmp_path / ".job-started").exists()


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
    hook: Hook, tmp_path: Path, changed: dict[str, str]
) -> None:
    (tmp_path / "volume").mkdir()
    (tmp_path / ".cache-volume").symlink_to(tmp_path / "volume")
    (tmp_path / ".given").write_text(GIVEN)
    done = hook(PRIVATE, _rules(shape=MADE_FOR), **{**OWN, **JOB, **changed}, MODAL_RUNNER_MOUNTS="/data")

    assert done.returncode == 0, done
    assert (tmp_path / "env").read_text() == ""
    assert "hf-secret" not in done.stdout
    assert not (tmp_path / ".given").exists()
    assert "this job could reach them: /data" in done.stdout
    assert not (tmp_path / ".cache-volume").is_symlink()
    assert "withheld" in done.stdout


@pytest.mark.parametrize(
    ("changed", "is_own"),
    [
        ({}, True),
        ({"GITHUB_REF_TYPE": "tag", "GITHUB_REF": "refs/tags/main"}, False),
        ({"GITHUB_REF_TYPE": ""}, False),
        ({"GITHUB_REF_NAME": "MAIN", "GITHUB_REF": "refs/heads/MAIN"}, False),
        ({"GITHUB_REF": "refs/pull/1/merge"}, False),
        ({"GITHUB_REF": ""}, False),
    ],
)
def test_only_a_branch_is_the_branch_that_secrets_hang_on(hook: Hook, changed: dict[str, str], is_own: bool) -> None:
    done = hook(PRIVATE, _rules(shape=MADE_FOR), **{**OWN, **JOB, **changed})

    assert ("withheld" in done.stdout) is not is_own


DEPLOY = "Octo/App/.github/workflows/deploy.yml@refs/heads/main"


@pytest.mark.parametrize(
    ("changed", "is_own"),
    [
        ({"GITHUB_WORKFLOW_REF": DEPLOY}, True),
        ({"GITHUB_WORKFLOW_REF": DEPLOY.replace("deploy", "mine"), "GITHUB_WORKFLOW": "deploy.yml"}, False),
        ({"GITHUB_WORKFLOW_REF": DEPLOY.replace("workflows/", "workflows/../workflows/")}, False),
        ({"GITHUB_WORKFLOW": ".github/workflows/deploy.yml"}, False),
        ({"GITHUB_WORKFLOW_REF": DEPLOY.replace("deploy.yml", "deploy.yml@evil.yml")}, False),
        ({"GITHUB_WORKFLOW_REF": DEPLOY.replace("deploy.yml", "Deploy.yml")}, False),
    ],
)
def test_a_workflows_file_counts_and_not_what_its_author_calls_it(
    hook: Hook, changed: dict[str, str], is_own: bool
) -> None:
    shape = msgspec.structs.replace(SHAPE, made_for=MadeFor(("octo/app",), workflow="deploy.yml"))
    done = hook(PRIVATE, _rules(shape=shape), **{**OWN, **changed})

    assert ("withheld" in done.stdout) is not is_own


@pytest.mark.parametrize(
    ("job", "of_default", "of_others"),
    [
        ({"GITHUB_REF_NAME": "main"}, True, False),
        ({"GITHUB_REF_NAME": "release/1"}, True, False),
        ({"GITHUB_REF_NAME": "feature"}, False, True),
        ({"GITHUB_REF_NAME": "MAIN"}, False, True),
        ({"GITHUB_REF_NAME": "1/merge", "GITHUB_REF": "refs/pull/1/merge", "GITHUB_HEAD_REF": "main"}, False, True),
        ({"GITHUB_REF_NAME": "main", "GITHUB_HEAD_REF": "feature"}, False, True),
        ({"GITHUB_REF_NAME": "main", "GITHUB_REF_TYPE": "tag", "GITHUB_REF": "refs/tags/main"}, False, True),
    ],
)
def test_the_cache_of_the_default_branch_and_that_of_the_others_are_kept_apart(
    hook: Hook, tmp_path: Path, job: dict[str, str], of_default: bool, of_others: bool
) -> None:
    branches = ("main", "release/*")
    for made_for, is_own in (
        (MadeFor(("octo/app",), only_branches=branches), of_default),
        (MadeFor(("octo/app",), not_branches=branches), of_others),
    ):
        (tmp_path / ".given").write_text(GIVEN)
        link = tmp_path / ".cache-volume"
        if link.is_dir() and not link.is_symlink():
            shutil.rmtree(link)
        link.unlink(missing_ok=True)
        link.symlink_to(tmp_path)
        done = hook(PRIVATE, _rules(shape=msgspec.structs.replace(SHAPE, made_for=made_for)), **OWN, **job)

        # It may be the wrong cache for it, and is its own repository's job all the same.
        assert done.returncode == 0
        assert link.is_symlink() is is_own
        assert ("runs without its cache" in done.stdout) is not is_own
        assert (tmp_path / "env").read_text() == GIVEN


def test_a_foreign_job_is_refused_where_nobody_knows_which_variables_are_secret(hook: Hook) -> None:
    rules = _rules(shape=MADE_FOR, can_withhold=False)

    assert hook(PRIVATE, rules, **JOB).returncode == 0
    assert hook(PRIVATE, rules, **{**JOB, "GITHUB_REF_NAME": "dev"}).returncode == 1


def test_the_rules_can_stand_in_the_hook() -> None:
    """They stand between single quotes."""
    assert "'" not in ADMISSION


@given(st.text("ab*?[]!-./\\^$ÄäB", max_size=8), st.text("abAB./-!]^Ää\n", max_size=6))
def test_a_glob_and_its_regular_expression_match_the_same(glob: str, text: str) -> None:
    # Python writes the end of a text as \\Z.
    written = as_regex(glob).removesuffix(r"\z") + r"\Z"
    try:
        found = bool(re.search(written, text, re.IGNORECASE))
    except re.error:
        # A range that is the wrong way round matches nothing, as in fnmatch.
        found = False

    assert found == matches(text, glob)


def _start(folder: Path, programs: str, **environment: str) -> str:
    """Run the start script with a runner that prints its environment."""
    (folder / "run.sh").write_text("#!/bin/sh\nexec env\n")
    (folder / "run.sh").chmod(0o755)
    given = {"PATH": programs, "RUNNER_HOME": str(folder), "MODAL_SANDBOX_ID": "sb-1", **environment}
    done = subprocess.run(  # noqa: S603
        ["/bin/sh", "-euc", START], capture_output=True, text=True, check=False, env=given
    )

    assert done.returncode == 0, done
    return done.stdout


def test_a_job_sees_as_many_cpus_as_it_may_use(tmp_path: Path, programs: str) -> None:
    modals = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    seen = _start(tmp_path, programs, **modals, MODAL_RUNNER_THREADS="16").splitlines()

    assert {"OMP_NUM_THREADS=16", "OPENBLAS_NUM_THREADS=16", "MKL_NUM_THREADS=16"} <= set(seen)


def test_threads_that_the_administrator_sets_stay(tmp_path: Path, programs: str) -> None:
    given = {"OMP_NUM_THREADS": "3", "MODAL_RUNNER_OWN_ENV": "TOKEN OMP_NUM_THREADS", "MODAL_RUNNER_THREADS": "16"}
    seen = _start(tmp_path, programs, **given).splitlines()

    assert {"OMP_NUM_THREADS=3", "MKL_NUM_THREADS=16"} <= set(seen)


def test_the_runner_is_the_user_runner_where_sudo_works(tmp_path: Path, programs: str) -> None:
    seen = _start(tmp_path, programs)

    assert "USER=runner" in seen
    assert "RUNNER_ALLOW_RUNASROOT" not in seen
    assert f"PATH={tmp_path}/.local/bin:" in seen
    assert "ImageOS=" in seen


def test_the_runner_is_root_where_sudo_is_known_not_to_work_and_says_so_first(tmp_path: Path, programs: str) -> None:
    seen = _start(tmp_path, programs, MODAL_RUNNER_SUDO="no")

    assert seen.startswith("sudo does not work in this sandbox")
    assert "RUNNER_ALLOW_RUNASROOT=1" in seen
    assert "MODAL_RUNNER_AS_ROOT=sudo does not work" in seen


_LISTENER = """
import pathlib, signal, sys
pathlib.Path("/proc/self/comm").write_text("Runner.Listener")
signal.signal(signal.SIGINT, lambda *_: sys.exit(42))
pathlib.Path("listening").touch()
signal.pause()
"""


async def _with_docker(folder: Path, programs: str, how: str) -> asyncio.subprocess.Process:
    """The start script of a docker job's sandbox, whose listener waits."""
    (folder / "bin").mkdir()
    for name, text in (("docker", "exit 0"), ("dockerd", f'echo "$@" > {folder}/dockerd; exec sleep 60')):
        (folder / "bin" / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / "bin" / name).chmod(0o755)
    (folder / "listener.py").write_text(_LISTENER)
    (folder / "run.sh").write_text(f'#!/bin/sh\n"{sys.executable}" listener.py\n')
    (folder / "run.sh").chmod(0o755)
    environment = {"PATH": f"{folder}/bin:{programs}", "RUNNER_HOME": str(folder), "MODAL_RUNNER_DOCKER": how}
    process = await asyncio.create_subprocess_exec(
        *("/bin/sh", "-euc", START), env=environment, start_new_session=True, stdout=asyncio.subprocess.DEVNULL
    )
    while not (folder / "listening").exists():
        await asyncio.sleep(0.02)
    return process


async def test_in_a_virtual_machine_its_own_listener_is_told_to_end_by_its_number(
    tmp_path: Path, programs: str
) -> None:
    """There a signal to a process group is taken and not delivered."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    other = await asyncio.create_subprocess_exec(sys.executable, "-c", _LISTENER, cwd=elsewhere)
    while not (elsewhere / "listening").exists():
        await asyncio.sleep(0.02)
    process = await _with_docker(tmp_path, programs, "vm")
    try:
        process.terminate()
        async with asyncio.timeout(10):
            code = await process.wait()
        lives_on = other.returncode is None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            other.kill()
        ended = await other.wait()

    assert code == 42
    assert lives_on
    assert ended == -signal.SIGKILL


async def test_a_docker_daemon_that_ends_is_told_at_once_with_its_last_words(tmp_path: Path, programs: str) -> None:
    (tmp_path / "bin").mkdir()
    for name, text in (("docker", "exit 1"), ("dockerd", "echo no overlay here; exit 1")):
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    environment = {"PATH": f"{tmp_path}/bin:{programs}", "RUNNER_HOME": str(tmp_path), "MODAL_RUNNER_DOCKER": "vm"}
    process = await asyncio.create_subprocess_exec(
        *("/bin/sh", "-euc", START), env=environment, stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(30):
        printed, _ = await process.communicate()

    assert process.returncode == 1
    assert b"dockerd has ended: no overlay here" in printed
    # Beside the runner, and not where the jobs of other sandboxes of a machine would find it.
    assert (tmp_path / "dockerd.log").read_text() == "no overlay here\n"


async def test_with_a_gpu_docker_keeps_its_images_where_gvisor_can(tmp_path: Path, programs: str) -> None:
    process = await _with_docker(tmp_path, programs, "gvisor")
    os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
    given = (tmp_path / "dockerd").read_text()

    assert f"--config-file {tmp_path}/daemon.json --iptables=false" in given
    settings = json.loads((tmp_path / "daemon.json").read_text())
    assert settings["features"]["containerd-snapshotter"] is False

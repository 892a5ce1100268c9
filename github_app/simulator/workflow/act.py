"""Run one job for real, with act on this machine and no Docker.

Standard library only: the stand-in runner imports this inside every sandbox.
"""

import asyncio
import json
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from github_app.simulator.workflow.joblog import SAME_COMMIT, JobLog
from github_app.simulator.workflow.rewriting import GITHUB_ALONE
from github_app.simulator.workflow.shells import Shells
from github_app.simulator.workflow.values import to_text

# The one label of a standalone file, and the variable that says where its last job writes the outcome.
LABEL = "simulated-runner"
OUTCOME_VARIABLE = "MODAL_RUNNER_OUTCOME"

# On its first SIGINT act ends the step that runs and goes on with those whose `if` still holds (always(),
# cancelled()), as GitHub does; on its second it ends these too. GitHub leaves them five minutes; a demo cannot.
CANCEL_GRACE_SECONDS = 5.0
# After act's end its pipe is closed at once, or held by what a step left behind.
_SILENCE_SECONDS = 2.0

# What act reads for its `github` context, from the values given by `--env`.
_GITHUB_VARIABLES = (
    *("GITHUB_REPOSITORY", "GITHUB_REPOSITORY_OWNER", "GITHUB_REF", "GITHUB_REF_NAME", "GITHUB_REF_TYPE"),
    *("GITHUB_BASE_REF", "GITHUB_HEAD_REF", "GITHUB_RUN_ID", "GITHUB_RUN_NUMBER", "GITHUB_RUN_ATTEMPT"),
    *("GITHUB_SERVER_URL", "GITHUB_API_URL", "GITHUB_GRAPHQL_URL"),
)


@dataclass(frozen=True)
class JobOutcome:
    """How the job ended, and its outputs."""

    conclusion: Literal["success", "failure", "cancelled"]
    outputs: Mapping[str, str]


def environment_of(github: Mapping[str, Any]) -> dict[str, str]:
    """The `GITHUB_*` variables that give a job this `github` context."""
    alone = (f"GITHUB_{name.upper()}" for name in GITHUB_ALONE)
    given = (*_GITHUB_VARIABLES, "GITHUB_SHA", "GITHUB_ACTOR", *alone)
    names = {name: name.removeprefix("GITHUB_").lower() for name in given}
    return {name: to_text(github[key]) for name, key in names.items() if github.get(key) not in (None, "")}


async def run_job(
    yaml_text: str,
    *,
    job_id: str,
    workdir: Path,
    event: Mapping[str, Any],
    env: Mapping[str, str],
    log: Callable[[str], None],
    secrets: Mapping[str, str] = MappingProxyType({}),
    variables: Mapping[str, str] = MappingProxyType({}),
) -> JobOutcome:
    """Run a standalone file's job on the tree in `workdir`; `env` is all that its steps inherit.

    `secrets` and `variables` are what the contexts `secrets` and `vars` hold.

    The job starts in an empty workspace; `actions/checkout` copies `workdir` there. Everything that act writes
    lies below `HOME` and is gone afterwards.
    """
    with tempfile.TemporaryDirectory(prefix=".act-", dir=env.get("HOME"), ignore_cleanup_errors=True) as folder:
        scratch = Path(folder)
        await asyncio.to_thread(_prepare, scratch, yaml_text, event, secrets, variables)
        shells = Shells(scratch / "shells")
        env = {**env, "PATH": await asyncio.to_thread(shells.prepare, yaml_text, env.get("PATH", os.defpath))}
        document = json.loads(yaml_text)
        in_container = "container" in document["jobs"][job_id]
        job_log = JobLog(job_id, log, shells.take, _directories(document, job_id), docker=in_container)
        await _run_act(
            _command(scratch, workdir, env), scratch, _environment(scratch, env, docker=in_container), job_log
        )
        job_log.explain()
        return _outcome(scratch / "outcome.json", failed=job_log.broken)


def _directories(document: Mapping[str, Any], job_id: str) -> dict[str, str]:
    """Where each step works, as it is written; act calls a step without an id by its number."""
    job = document["jobs"][job_id]
    usual = {**document.get("defaults", {}).get("run", {}), **job.get("defaults", {}).get("run", {})}
    return {
        str(step.get("id", number)): str({**usual, **step}["working-directory"])
        for number, step in enumerate(job["steps"])
        if "working-directory" in {**usual, **step}
    }


def _prepare(
    scratch: Path,
    yaml_text: str,
    event: Mapping[str, Any],
    secrets: Mapping[str, str],
    variables: Mapping[str, str],
) -> None:
    (scratch / "workflow.yml").write_text(yaml_text, encoding="utf-8")
    (scratch / "event.json").write_text(json.dumps(event), encoding="utf-8")
    # By this ending act reads YAML, of which JSON is a part: a value may hold anything.
    (scratch / "secrets.yml").touch(0o600)
    (scratch / "secrets.yml").write_text(json.dumps(dict(secrets)), encoding="utf-8")
    (scratch / "variables.yml").write_text(json.dumps(dict(variables)), encoding="utf-8")
    (scratch / "empty").mkdir()


def _command(scratch: Path, workdir: Path, env: Mapping[str, str]) -> list[str]:
    options = {
        "--workflows": str(scratch / "workflow.yml"),
        "--eventpath": str(scratch / "event.json"),
        "--directory": str(workdir.resolve()),
        "--platform": f"{LABEL}=-self-hosted",
        "--action-cache-path": str(scratch / "cache"),
        # The checked-out tree is whole, also where its .gitignore names files of it.
        "--use-gitignore": "false",
        "--secret-file": str(scratch / "secrets.yml"),
        "--var-file": str(scratch / "variables.yml"),
        # act would read these files from the tree, and so leak them into the job.
        **dict.fromkeys(("--env-file", "--input-file"), "/dev/null"),
    }
    if SAME_COMMIT[0] in (scratch / "workflow.yml").read_text(encoding="utf-8"):
        options["--local-repository"] = f"{'@'.join(SAME_COMMIT)}={workdir.resolve()}"
    if actor := env.get("GITHUB_ACTOR"):
        options["--actor"] = actor
    flags = ["--detect-event", "--json", "--no-cache-server", "--rm"]
    # The sha alone has a name of act's own.
    given = [f"--env={name}={env[name]}" for name in _GITHUB_VARIABLES if name in env]
    given += [f"--env=SHA_REF={env['GITHUB_SHA']}"] if "GITHUB_SHA" in env else []
    given.append(f"--env=DOCKER_HOST={env.get('DOCKER_HOST', '')}")
    return [str(Path(sys.executable).with_name("act")), *flags, *(f"{k}={v}" for k, v in options.items()), *given]


def _environment(scratch: Path, env: Mapping[str, str], *, docker: bool) -> dict[str, str]:
    # No Docker, whatever runs on this machine, but for a job's own container; the steps see the DOCKER_HOST that they
    # were given.
    no_docker = {} if docker else {"DOCKER_HOST": f"unix://{scratch}/no-docker.sock"}
    return {
        "HOME": str(scratch / "empty"),
        # act gives steps a terminal, where git would stop in a pager and wait for a key.
        "GIT_PAGER": "cat",
        "PAGER": "cat",
        **env,
        **no_docker,
        OUTCOME_VARIABLE: str(scratch / "outcome.json"),
    }


async def _run_act(command: list[str], scratch: Path, environment: Mapping[str, str], job_log: JobLog) -> None:
    # The working directory is an empty one: act reads options from an .actrc found there.
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=scratch / "empty",
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None  # noqa: S101 - it was asked for above
    reading = asyncio.create_task(_read(process.stdout, job_log))
    try:
        await process.wait()
    finally:
        if process.returncode is None:
            await _end(process)
        await _read_on(reading, job_log)


async def _read_on(reading: asyncio.Task[None], job_log: JobLog) -> None:
    """Read what is still to come; a process that a step left behind may hold the pipe open for ever, in silence."""
    taken = -1
    while taken < job_log.taken and not reading.done():
        taken = job_log.taken
        await asyncio.wait({reading}, timeout=_SILENCE_SECONDS)
    reading.cancel()


async def _end(process: asyncio.subprocess.Process) -> None:
    """End act and, by its own means, the steps: each runs in a session of its own, out of reach of ours."""
    for stop in (signal.SIGINT, signal.SIGINT, signal.SIGKILL):
        with suppress(ProcessLookupError):
            process.send_signal(stop)
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), CANCEL_GRACE_SECONDS)
            return


async def _read(stream: asyncio.StreamReader, job_log: JobLog) -> None:
    async for line in _lines(stream):
        job_log.take(line.decode(errors="replace"))


async def _lines(stream: asyncio.StreamReader) -> AsyncIterator[bytes]:
    # Not readline(): a step may print a line of any length.
    rest = b""
    while chunk := await stream.read(65536):
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line
    if rest:
        yield rest


def _outcome(report: Path, *, failed: bool) -> JobOutcome:
    try:
        written = json.loads(report.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return JobOutcome("failure", {})
    # act writes null for no outputs.
    outputs = {name: str(value) for name, value in (written["outputs"] or {}).items()}
    succeeded = written["result"] == "success" and not failed
    return JobOutcome("success" if succeeded else "failure", outputs)

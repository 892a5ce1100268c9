"""One job inside the stand-in runner: the hook, the files, act, and the log on its way to GitHub."""

import asyncio
import io
import os
import signal
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, Protocol

from github_app.simulator import hooks
from github_app.simulator.workflow.act import environment_of, run_job
from github_app.simulator.workflow.rewriting import DUMMY_TOKEN
from github_app.simulator.workflow.standalone import after_failure

_REPORT_EVERY_S = 0.3
_OWN_VARIABLES = ("ACTIONS_RUNNER_", "RUNNER_MANUALLY_TRAP_SIG", "RUNNER_ALLOW_RUNASROOT")

Conclusion = Literal["success", "failure", "cancelled"]


class Service(Protocol):
    """The simulated GitHub, as the runner sees it."""

    def post(self, path: str, body: object) -> Any:
        """Send JSON."""

    def get(self, path: str) -> bytes:
        """Fetch."""


async def run(service: Service, job: dict[str, Any]) -> tuple[Conclusion, dict[str, str]]:
    """Run the job and return its conclusion and outputs; a cancellation or SIGTERM ends it as cancelled."""
    lines: list[str] = []
    work = asyncio.create_task(_steps(service, job, lines))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, _cancel, work)
    reporting = asyncio.create_task(_report(service, lines, work))
    try:
        async with asyncio.timeout(job["timeout_minutes"] * 60):
            return await work
    except TimeoutError:
        lines.append(f"The job has exceeded the maximum execution time of {job['timeout_minutes']:g} minutes.")
        return "cancelled", {}
    except asyncio.CancelledError:
        lines.append("The operation was canceled.")
        return "cancelled", {}
    finally:
        await reporting
        await asyncio.to_thread(service.post, "progress", {"lines": lines[:]})


async def _steps(service: Service, job: dict[str, Any], lines: list[str]) -> tuple[Conclusion, dict[str, str]]:
    environment = {**_environment(), **environment_of(job["github"])}
    workflow = job["workflow"]
    log = _MaskedLog(lines, (DUMMY_TOKEN, *job["secrets"].values()))
    if not await _hook(job["github"], environment, log):
        workflow = after_failure(workflow, job["act_job"])
    tree = Path("_work").absolute()
    await asyncio.to_thread(_unpack, service, tree)
    outcome = await run_job(
        workflow,
        job_id=job["act_job"],
        workdir=tree,
        event=job["github"]["event"],
        env=environment,
        log=log.append,
        secrets=job["secrets"],
        variables=job["variables"],
    )
    return outcome.conclusion, dict(outcome.outputs)


class _MaskedLog:
    """The job's log, in which secrets do not show, nor what was asked for by `::add-mask::`."""

    def __init__(self, lines: list[str], secrets: Iterable[str]) -> None:
        self._lines = lines
        # Of a secret of several lines each is one.
        self._masked = [line for secret in secrets for line in secret.splitlines() if line.strip()]

    def append(self, line: str) -> None:
        """Take a line that was printed."""
        if (value := hooks.masks(line)) is not None:
            self._masked.append(value)
            return
        for each in self._masked:
            line = line.replace(each, "***")
        self._lines.append(line)


async def _hook(github: dict[str, Any], environment: dict[str, str], log: _MaskedLog) -> bool:
    """Run the job-started hook, whose output shows in the job's log at once, and whose variables the steps have.

    The runner prints these before each step; here once is enough.
    """
    script = os.environ.get(hooks.STARTED)
    if script is None:
        return True
    folder = Path.cwd()
    hook = await asyncio.create_subprocess_exec(
        *hooks.command(script),
        env={**environment, **hooks.environment(github, folder)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert hook.stdout is not None  # noqa: S101 - it was asked for above
    async for line in hook.stdout:
        log.append(line.decode(errors="replace").rstrip("\n"))
    code = await hook.wait()
    given = hooks.written(folder)
    for name, value in given.items():
        for each in value.split("\n"):
            log.append(f"env: {name}: {each}")
    environment.update(given)
    return code == 0


def _unpack(service: Service, tree: Path) -> None:
    tree.mkdir(parents=True, exist_ok=True)
    with tarfile.open(fileobj=io.BytesIO(service.get("files"))) as archive:
        archive.extractall(tree, filter="data")


async def _report(service: Service, lines: list[str], work: asyncio.Task[Any]) -> None:
    """Send the log as it grows, and learn from each answer whether the job was cancelled."""
    while not work.done():
        await asyncio.wait({work}, timeout=_REPORT_EVERY_S)
        sent = len(lines)
        answer = await asyncio.to_thread(service.post, "progress", {"lines": lines[:sent]})
        del lines[:sent]
        if answer["cancel"]:
            _cancel(work)


def _cancel(work: asyncio.Task[Any]) -> None:
    """Cancel once: a second time would cut off the ending of act, and leave its steps running."""
    if not work.cancelling():
        work.cancel()


def _environment() -> dict[str, str]:
    """What the steps inherit: the sandbox's environment without the runner's own variables."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_OWN_VARIABLES)}

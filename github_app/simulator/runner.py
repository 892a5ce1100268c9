"""The stand-in for `run.sh` of actions/runner, in the simulated image.

Takes its JIT config from the environment or from the files that it consists of, comes online, takes one job, runs its
steps with act, reports, and ends.
It speaks HTTP to the simulated GitHub that its JIT config names, and to nobody else. As in actions/runner, the
listener is one process (`Runner.Listener`) and the job runs in another (`Runner.Worker`).
"""

import base64
import http.client
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from github_app.simulator import hooks

JIT_CONFIG = "ACTIONS_RUNNER_INPUT_JITCONFIG"
_REQUEST_TIMEOUT_S = 30.0
_HEARTBEAT_S = 1.0
_STOPS = {signal.SIGINT, signal.SIGTERM}
# Conducts that end the runner before a job, and its exit code: 7 is for a version that GitHub refuses.
_EXITS = {"exit-0": 0, "exit-7": 7}
# A Worker's exit code says how its job went (actions/runner, TaskResultUtil.cs).
_CODES = {"success": 100, "failure": 102, "cancelled": 103}
_RESULTS = {100: "Succeeded", 102: "Failed", 103: "Canceled"}


class Gone(Exception):  # noqa: N818 - what GitHub says of the runner
    """GitHub does not know this runner any more."""


class Service:
    """The simulated GitHub, as this runner sees it."""

    def __init__(self, jit_config: str) -> None:
        if jit_config:
            for name, text in _decoded(jit_config).items():
                Path(name).write_bytes(base64.b64decode(text))
        files = {name: json.loads(Path(name).read_bytes()) for name in (".runner", ".credentials_rsaparams")}
        settings = files[".runner"]
        self.name = settings["agentName"]
        self.conduct = settings.get("conduct")
        self._host = settings["serverUrl"].removeprefix("http://")
        self._path = f"/_runner/{settings['agentId']}"
        self._headers = {
            "Authorization": f"Bearer {files['.credentials_rsaparams']['d']}",
            "Content-Type": "application/json",
        }

    def post(self, path: str, body: object) -> Any:
        """Send JSON and return the JSON of the answer."""
        return json.loads(self._request("POST", path, json.dumps(body).encode()) or b"null")

    def get(self, path: str) -> bytes:
        """Fetch; empty when there is nothing."""
        return self._request("GET", path, None)

    def _request(self, method: str, path: str, body: bytes | None) -> bytes:
        connection = http.client.HTTPConnection(self._host, timeout=_REQUEST_TIMEOUT_S)
        try:
            connection.request(method, f"{self._path}/{path}", body, self._headers)
            answer = connection.getresponse()
            content: bytes = answer.read()
        finally:
            connection.close()
        if answer.status == 404:
            raise Gone
        if answer.status >= 400:
            raise OSError(f"{method} {path}: {answer.status} {answer.reason}")
        return content


def _decoded(jit_config: str) -> dict[str, str]:
    content: dict[str, str] = json.loads(base64.b64decode(jit_config))
    return content


def main() -> int:
    """Run one job; 0 whatever became of it, as run.sh answers."""
    # Taken out of the environment, so that no step of the job inherits it.
    jit_config = os.environ.pop(JIT_CONFIG, "")
    try:
        service = Service(jit_config)
    except (AttributeError, KeyError, OSError, TypeError, ValueError):
        _say(f"{JIT_CONFIG} is missing or is not a JIT config.")
        return 1
    _name_process("Runner.Listener")
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if service.conduct == "never-online":
        signal.pause()
    try:
        service.post("session", {})
        _say(f"{service.name}: connected to GitHub; listening for jobs")
        if service.conduct in _EXITS:
            return _EXITS[service.conduct]
        job = _wait_for_job(service)
        _say(f"Running job: {job['name']}")
        _run_in_worker(service, job)
    except Gone:
        _say("The runner no longer exists on the server.")
        if service.conduct == "ghost":
            signal.pause()
    except (OSError, http.client.HTTPException) as error:
        _say(f"No connection to GitHub: {error}")
    return 0


def _wait_for_job(service: Service) -> dict[str, Any]:
    while True:
        if content := service.get("job"):
            job: dict[str, Any] = json.loads(content)
            return job


def _run_in_worker(service: Service, job: dict[str, Any]) -> None:
    # Held back until it can be passed on.
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)
    worker = os.fork()
    if worker == 0:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPS)
        _name_process("Runner.Worker")
        os._exit(_work(service, job))
    # A runner that is told to end passes that on, and its job is reported as cancelled.
    for stop in _STOPS:
        signal.signal(stop, lambda *_: os.kill(worker, signal.SIGTERM))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPS)
    _, status = os.waitpid(worker, 0)
    exit_code = os.waitstatus_to_exitcode(status)
    if exit_code not in _RESULTS:
        # A worker that was told to end before it could take that in dies of it.
        service.post("finish", {"conclusion": "cancelled" if exit_code == -signal.SIGTERM else "failure"})
    result = _RESULTS.get(exit_code, "Failed")
    _trace(f"finish job request for job {job['job_id']} with result: {result}")
    _say(f"Job {job['name']} completed with result: {result}")
    if service.conduct == "outlives":
        # What a job has left behind looks like its Worker.
        _name_process("Runner.Worker")
        signal.pause()


def _work(service: Service, job: dict[str, Any]) -> int:
    try:
        service.post("progress", {"lines": []})
        conclusion, outputs = _pass_time(service, job) if "seconds" in job else _run_steps(service, job)
        lines, succeeded = hooks.run_completed()
        if lines:
            service.post("progress", {"lines": lines})
        if not succeeded and conclusion == "success":
            conclusion = "failure"
        service.post("finish", {"conclusion": conclusion, "outputs": outputs})
    except BaseException as error:  # the last frame of a forked process
        _say(f"The job could not be run: {type(error).__name__}: {error}")
        return 1
    return _CODES[conclusion]


def _run_steps(service: Service, job: dict[str, Any]) -> tuple[str, dict[str, str]]:
    # Only the process that runs steps pays for these imports.
    import asyncio

    from github_app.simulator.job import run

    return asyncio.run(run(service, job))


def _pass_time(service: Service, job: dict[str, Any]) -> tuple[str, dict[str, str]]:
    """Do nothing for so long, unless the hook or a cancellation ends the job: what a soak's jobs do."""
    end = time.monotonic() + job["seconds"]
    if script := os.environ.get(hooks.STARTED):
        command = hooks.command(script)
        told = hooks.environment(job["github"], Path.cwd())
        if os.spawnve(os.P_WAIT, command[0], command, {**os.environ, **told}) != 0:  # noqa: S606
            return "failure", {}
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, _HEARTBEAT_S))
        if service.post("progress", {"lines": []})["cancel"]:
            return "cancelled", {}
    return "failure" if service.conduct == "fails" else "success", {}


def _name_process(name: str) -> None:
    """Take the process name that actions/runner has, by which a witness tells a job from an idle runner."""
    Path("/proc/self/comm").write_text(name)


def _trace(text: str) -> None:
    """Write to the listener's own log, as actions/runner has it."""
    Path("_diag").mkdir(exist_ok=True)
    at = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime())
    with Path(f"_diag/Runner_{at[:10]}-utc.log").open("a", encoding="utf-8") as log:
        log.write(f"[{at} INFO JobDispatcher] {text}\n")


def _say(text: str) -> None:
    print(time.strftime("%Y-%m-%d %H:%M:%SZ:", time.gmtime()), text, flush=True)  # noqa: T201 - the runner's console


if __name__ == "__main__":
    sys.exit(main())

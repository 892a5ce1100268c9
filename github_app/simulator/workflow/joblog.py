"""act's JSON lines, read for one job: what its log shows, and why it failed. Standard library only."""

import json
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

# The repository and the ref by which a standalone file names the actions of its own commit.
SAME_COMMIT = ("this/commit", "pushed")

_HEADING = re.compile(r"⭐ Run (?P<stage>\w+) (?P<name>.*)", re.DOTALL)
_CLONE = re.compile(r"git clone 'https?://[^/]+/(?P<action>[^']+)' # ref=(?P<ref>\S+)")
_EXIT = re.compile(r"exit status (\d+)")
_NO_ACTION = re.compile(r"failed to read 'action\.yml' from action '(?P<action>[^']*)'")
# The shells that act starts are there; what is not is the working directory, which it names in no error.
_NO_DIRECTORY = re.compile(r"fork/exec \S+: no such file or directory")
# How act marks its own lines: what it sets for a command (an output, a mask), and what it asks of Docker.
_SETTING = "⚙"
_DOCKER = "🐳"


class JobLog:
    """Takes act's lines; passes on those of one job as a person should see them."""

    def __init__(
        self,
        job_id: str,
        log: Callable[[str], None],
        printed: Callable[[str], str | None] = str,
        directories: Mapping[str, str] = MappingProxyType({}),
        *,
        docker: bool = False,
    ) -> None:
        """`printed`: what is shown of a line that a step of any job printed; None: nothing.

        `directories`: the `working-directory` of each step that has one, by its id. `docker`: the job has it.
        """
        self._docker = docker
        self._job_id = job_id
        self._log = log
        self._directories = directories
        self._printed = printed
        self.taken = 0
        self._fetching: str | None = None
        self._docker_step: str | None = None
        self._last_error = ""
        self._result: str | None = None
        # act goes on after an expression that it cannot evaluate, with nothing in its place. GitHub fails the job.
        self.broken = False

    def take(self, line: str) -> None:
        """One line of act's output."""
        self.taken += 1
        try:
            record = json.loads(line)
        except ValueError:
            record = None
        if not isinstance(record, dict):
            # act's own last word is not JSON.
            self._last_error = line.removeprefix("Error: ").strip() or self._last_error
        elif record.get("raw_output"):
            shown = self._printed(str(record.get("msg", "")).rstrip("\r\n"))
            if shown is not None and record.get("jobID") == self._job_id:
                self._log(shown)
        elif record.get("jobID") == self._job_id:
            self._take_record(record, str(record.get("msg", "")))

    def explain(self) -> None:
        """After the last line: say in a sentence what a failed job was missing."""
        if self._result == "success":
            return
        if self._fetching:
            self._log(
                f"Error: The action {self._fetching} could not be fetched ({self._last_error}). Give this machine "
                "network access, or use a `run:` step or an action of this repository (`uses: ./path`)."
            )
        if self._docker_step:
            self._log(
                f"Error: The step {self._docker_step!r} needs Docker, which the simulated runner does not have. "
                "Use a `run:` step or an action that is not a container."
            )
        if self._result is None:
            self._log(f"Error: act could not run the job: {self._last_error or 'it ended early'}")

    def _take_record(self, record: dict[str, Any], message: str) -> None:
        self._result = record.get("jobResult", self._result)
        if heading := _HEADING.match(message):
            self._head(heading, record)
        elif clone := _CLONE.search(message):
            self._fetching = f"{clone['action']}@{clone['ref']}"
        elif _DOCKER in message and not self._docker:
            self._docker_step = str(record.get("step"))
        elif "command" in record:
            self._command(message)
        elif record.get("level") == "error" and "stage" in record:
            self._error(record, message)

    def _head(self, heading: re.Match[str], record: dict[str, Any]) -> None:
        if "stage" not in record:  # "Set up job" and "Complete job" are act's own.
            return
        self._fetching = None
        first_line = heading["name"].partition("\n")[0]
        if first_line.startswith(f"{SAME_COMMIT[0]}/"):
            first_line = f"${first_line.removeprefix(SAME_COMMIT[0]).removesuffix('@' + SAME_COMMIT[1])}"
        self._log(f"{'Run' if heading['stage'] == 'Main' else heading['stage']} {first_line}")

    def _command(self, message: str) -> None:
        # The message, not the record's `raw`: act masks secrets in the message alone.
        if _SETTING not in message and "::" in message:
            self._log(message[message.index("::") :].rstrip())

    def _error(self, record: dict[str, Any], message: str) -> None:
        if "error" in record:  # act's complaints about a tree without git
            return
        if exited := _EXIT.fullmatch(message):
            self._log(f"Error: Process completed with exit code {exited[1]}.")
        elif message.startswith("this step has been cancelled"):
            self._log("Error: The operation was canceled.")
        elif self._fetching or self._docker_step:
            self._last_error = message  # explain() says it in a sentence.
        elif missing := _NO_ACTION.match(message.strip(" ❌")):
            self._log(
                f"Error: The action {missing['action']} is not there: the workspace has no action.yml, action.yaml or "
                f"Dockerfile in {missing['action']}. Has actions/checkout run before it?"
            )
        elif _NO_DIRECTORY.fullmatch(message):
            directory = self._directories.get(str(record["stepID"][0]), "")
            self._log(f"Error: The working directory {directory} is not there.".replace("  ", " "))
        else:
            for line in message.strip(" ❌").splitlines():
                self._log(f"Error: {line}")
        if message.startswith("Unable to interpolate expression"):
            self.broken = True

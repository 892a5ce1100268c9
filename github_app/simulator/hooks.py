"""The hooks of actions/runner, as it runs them: `bash -e FILE`, a child of the Worker, with the job's variables.

Standard library only: the stand-in runner imports this inside every sandbox. Source: actions/runner, JobExtension.cs
and ScriptHandlerHelpers.cs.
"""

import json
import os
import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

STARTED = "ACTIONS_RUNNER_HOOK_JOB_STARTED"
COMPLETED = "ACTIONS_RUNNER_HOOK_JOB_COMPLETED"

# What a hook is told of its job, from the `github` context.
_TOLD = (
    *("repository", "repository_owner", "ref", "ref_name", "ref_type", "head_ref", "base_ref", "sha", "actor"),
    *("run_id", "run_number", "run_attempt", "event_name", "workflow", "workflow_ref"),
)


def command(script: str) -> list[str]:
    """The command that runs a hook."""
    return [shutil.which("bash") or "/bin/bash", "-e", script]


def environment(github: Mapping[str, Any], folder: Path) -> dict[str, str]:
    """The variables of a hook beside the runner's own; what it writes into GITHUB_ENV is read by `written`."""
    payload, variables = folder / "event.json", folder / "hook.env"
    payload.write_text(json.dumps(github["event"]), encoding="utf-8")
    variables.write_text("")
    told = {f"GITHUB_{name.upper()}": str(github[name]) for name in _TOLD if github.get(name) not in (None, "")}
    return {**told, "GITHUB_EVENT_PATH": str(payload), "GITHUB_ENV": str(variables)}


def written(folder: Path) -> dict[str, str]:
    """The variables that a hook has set for the steps: NAME=VALUE, or NAME<<END, lines, END."""
    found = {}
    lines = iter((folder / "hook.env").read_text(encoding="utf-8").split("\n"))
    for line in lines:
        name, is_block, end = line.partition("<<")
        if is_block and "=" not in name:
            found[name] = "\n".join(iter(partial(next, lines), end))
        elif "=" in line:
            name, _, value = line.partition("=")
            found[name] = value
    return found


def masks(line: str) -> str | None:
    """The value that a line has the runner mask in all that follows; None for any other line."""
    before, is_mask, value = line.partition("::add-mask::")
    if before.strip() or not is_mask:
        return None
    return value.replace("%0D", "\r").replace("%0A", "\n").replace("%25", "%")


def run_completed() -> tuple[list[str], bool]:
    """Run the hook after a job's last step; what it prints, and whether it succeeded."""
    script = os.environ.get(COMPLETED)
    if script is None:
        return [], True
    # Only the process that runs a job pays for this import.
    import subprocess

    done = subprocess.run(command(script), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)  # noqa: S603
    return done.stdout.decode(errors="replace").splitlines(), done.returncode == 0

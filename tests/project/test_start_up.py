"""A command imports what it uses: what needs no network needs no SDK either."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.worlds.control_plane import running, until

# Modules that are loaded when the command ends; the SDKs of Modal and GitHub alone are a thousand.
_MOST = {"--version": 250, "--help": 400, "explain modal": 500, "config check": 500, "config --help": 620}
_SDKS = {"modal", "githubkit", "grpclib", "httpx", "uvicorn", "starlette", "structlog", "ruamel.yaml"}
_COUNT = """
import runpy, sys
sys.argv = ["modal-runner", *sys.argv[1:]]
try:
    runpy.run_module("github_app", run_name="__main__")
except SystemExit as end:
    code = end.code
sys.stderr.write("\\n" + " ".join(sorted(sys.modules)))
sys.exit(code)
"""


@pytest.mark.parametrize("command", _MOST)
def test_a_command_that_asks_nobody_imports_no_sdk(command: str, tmp_path: Path) -> None:
    done = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-c", _COUNT, *command.split()], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    loaded = done.stderr.splitlines()[-1].split()

    assert done.returncode == 0, done.stderr
    assert _SDKS & {*loaded} == set()
    assert len(loaded) < _MOST[command], len(loaded)


# What is loaded beside the three SDKs when `serve` ends, after how many full collections.
_SERVE = """
import sys
import modal, githubkit, starlette.applications
needed = {*sys.modules}
import gc, runpy
full = []
gc.callbacks.append(lambda phase, info: phase == "start" and info["generation"] == 2 and full.append(phase))
sys.argv = ["modal-runner", "serve"]
try:
    runpy.run_module("github_app", run_name="__main__")
except SystemExit:
    pass
print(len(full), gc.isenabled(), *sorted({*sys.modules} - needed))
"""
# What stands beside the three SDKs: our own, uvicorn, structlog, pydantic-settings, typer, msgspec, prometheus-client.
_MOST_OF_SERVE = 350
_NOT_TO_SERVE = ("github_app.simulator", "github_app.operations", "githubkit_schemas.v", "trio", "yaml")


def test_serve_imports_little_beside_the_sdks_and_collects_nothing_meanwhile(tmp_path: Path) -> None:
    """A start is what it costs to import; it ends here for want of settings."""
    done = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-c", _SERVE], cwd=tmp_path, env={}, capture_output=True, text=True, check=True
    )
    collections, collects_again, *loaded = done.stdout.split()

    assert "WEBHOOK_SECRET: missing" in done.stderr
    assert (collections, collects_again) == ("0", "True")
    assert [name for name in loaded if name.startswith(_NOT_TO_SERVE)] == []
    assert len(loaded) < _MOST_OF_SERVE, len(loaded)


async def test_the_first_sandbox_is_asked_for_without_the_models_of_githubs_answers(tmp_path: Path) -> None:
    """githubkit's methods import pydantic models by the dozen, of which nothing is read."""
    settings = {"SWEEP_INTERVAL_SECONDS": "0", "PYTHONPROFILEIMPORTTIME": "1"}
    async with running(tmp_path, settings=settings) as plane:
        await plane.deliver(plane.queued("self-hosted", "modal"))
        await until(plane.modal.sandboxes)
        lines = plane.log.read_text().splitlines()
    imported = {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")}

    assert {"modal", "githubkit", "httpcore"} <= imported
    assert [name for name in imported if name.startswith("githubkit_schemas.v")] == []

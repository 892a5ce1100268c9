"""A command imports what it uses: what needs no network needs no SDK either."""

import subprocess
import sys
from pathlib import Path

import pytest

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

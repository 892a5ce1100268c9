"""The command line: `modal-runner COMMAND`."""

from github_app.cli.main import main

__all__ = ["main"]

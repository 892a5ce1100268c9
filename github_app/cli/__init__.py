"""The command line: `modal-runner COMMAND`, a file for each.

It may touch the terminal and everything below; whatever is more than arguments and output lies there.
"""

from github_app.cli.main import main

__all__ = ["main"]

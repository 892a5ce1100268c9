"""The command line: `modal-runner COMMAND`, a file for each.

It may touch the terminal and everything below; whatever is more than arguments and output lies there.
"""

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line; Ctrl-C ends it with a word, also while it is still being imported."""
    try:
        from github_app.cli.main import main as run

        run()
    except KeyboardInterrupt:
        print("modal-runner: stopped", file=sys.stderr)  # noqa: T201
        sys.exit(130)

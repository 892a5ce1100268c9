"""Sandboxes that are kept after a job that has failed, for somebody to look into (the label `debug:30m`). Pure."""

from collections.abc import Sequence

from github_app.model import RunnerRecord
from github_app.routing.labels import asks_to_debug


def debug_until(runner: RunnerRecord, labels: Sequence[str], conclusion: str | None, now: float) -> float | None:
    """Until when the sandbox of a runner is kept whose job, with these labels, has just ended; None: not at all.

    GitHub may have given the runner to a job that asks for less.
    """
    if not runner.shape.debug_s or conclusion != "failure" or not asks_to_debug(labels):
        return None
    return now + runner.shape.debug_s

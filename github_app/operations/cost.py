"""What jobs have cost, summed. Pure. An estimate: the least that their machines cost by Modal's list prices."""

import time
from collections.abc import Callable, Iterable

import msgspec

from github_app.operations.jobs import JobLine

KEYS: dict[str, Callable[[JobLine], str]] = {
    "repo": lambda line: line.repository,
    "workflow": lambda line: f"{line.repository} {line.workflow or '(unnamed)'}",
    "shape": lambda line: line.machine or "(not known)",
    "day": lambda line: time.strftime("%Y-%m-%d", time.gmtime(line.queued_at or 0.0)),
}


class Sum(msgspec.Struct, frozen=True):
    """One line. The fields are what `modal-runner cost --json` prints for each; `minutes` are those that jobs ran."""

    key: str
    jobs: int
    failures: int
    minutes: float
    usd: float


class Cost(msgspec.Struct, frozen=True):
    """The whole. `unpriced` jobs are in no sum: on what they ran is not known."""

    by: str
    since: float
    sums: list[Sum]
    usd: float
    unpriced: int
    estimate: bool = True


def summed(lines: Iterable[JobLine], by: str, since: float) -> Cost:
    """Sum jobs by one of `KEYS`, the dearest first; days in their order."""
    lines = [line for line in lines if line.started_at is not None]
    priced = [line for line in lines if line.usd is not None]
    groups: dict[str, list[JobLine]] = {}
    for line in priced:
        groups.setdefault(KEYS[by](line), []).append(line)
    sums = [
        Sum(
            key=key,
            jobs=len(each),
            failures=sum(line.conclusion == "failure" for line in each),
            minutes=round(sum(line.ran_s or 0.0 for line in each) / 60, 2),
            usd=round(sum(line.usd or 0.0 for line in each), 4),
        )
        for key, each in groups.items()
    ]
    sums.sort(key=lambda one: one.key if by == "day" else (-one.usd, one.key))
    return Cost(by, since, sums, round(sum(one.usd for one in sums), 4), len(lines) - len(priced))

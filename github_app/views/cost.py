"""What jobs have cost, summed. Pure. An estimate: the least that their machines cost by Modal's list prices."""

import time
from collections.abc import Callable, Iterable, Mapping

import msgspec

from github_app.jobs.accounts import FAILURES
from github_app.store.notes import DaySums, SumRow
from github_app.views.jobs import JobLine

# By what is summed, of a job or of a day's row, and the day of it.
KEYS: dict[str, Callable[[JobLine | SumRow, str], str]] = {
    "repo": lambda each, _: each.repository,
    "workflow": lambda each, _: f"{each.repository} {each.workflow or '(unnamed)'}",
    "shape": lambda each, _: each.machine or "(not known)",
    "day": lambda _, day: day,
}


class Sum(msgspec.Struct, frozen=True):
    """One line. The fields are what `modal-runner cost --json` prints for each; `minutes` are those that jobs ran.

    `github_usd` is what the jobs would have cost on GitHub's own runners, as far as it has machines for them;
    `compared_usd` is what these same jobs have cost here.
    """

    key: str
    jobs: int
    failures: int
    minutes: float
    usd: float
    github_usd: float | None
    compared_usd: float


class Cost(msgspec.Struct, frozen=True):
    """The whole. `unpriced` jobs are in no sum: on what they ran is not known."""

    by: str
    since: float
    sums: list[Sum]
    usd: float
    unpriced: int
    estimate: bool = True
    github_usd: float | None = None
    compared_usd: float = 0.0


def _day(at: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(at))


def summed_days(days: Mapping[str, DaySums], by: str, since: float) -> Cost:
    """Sum whole days, from that of `since` on."""
    first = _day(since)
    groups: dict[str, list[SumRow]] = {}
    for day, sums in days.items():
        for row in sums.rows if day >= first else ():
            groups.setdefault(KEYS[by](row, day), []).append(row)
    sums_of = [
        Sum(
            key=key,
            jobs=sum(row.jobs for row in rows),
            failures=sum(row.failures for row in rows),
            minutes=round(sum(row.seconds for row in rows) / 60, 2),
            usd=round(sum(row.usd for row in rows), 4),
            github_usd=_sum(row.github_usd for row in rows),
            compared_usd=_compared(rows),
        )
        for key, rows in groups.items()
    ]
    return _cost(by, since, sums_of, unpriced=0)


def summed(lines: Iterable[JobLine], by: str, since: float) -> Cost:
    """Sum jobs by one of `KEYS`, the dearest first; days in their order."""
    # What was cancelled in the queue had no runner, and cost nothing.
    ran = [line for line in lines if line.state in {"running", "done"} and line.runner]
    priced = [line for line in ran if line.usd is not None]
    groups: dict[str, list[JobLine]] = {}
    for line in priced:
        groups.setdefault(KEYS[by](line, _day(line.queued_at or 0.0)), []).append(line)
    sums = [
        Sum(
            key=key,
            jobs=len(each),
            failures=sum(line.conclusion in FAILURES for line in each),
            minutes=round(sum(line.ran_s or 0.0 for line in each) / 60, 2),
            usd=round(sum(line.usd or 0.0 for line in each), 4),
            github_usd=_sum(line.github_usd for line in each),
            compared_usd=_compared(each),
        )
        for key, each in groups.items()
    ]
    return _cost(by, since, sums, unpriced=len(ran) - len(priced))


def _cost(by: str, since: float, sums: list[Sum], *, unpriced: int) -> Cost:
    ordered = sorted(sums, key=lambda one: one.key if by == "day" else (-one.usd, one.key))
    return Cost(
        by,
        since,
        ordered,
        round(sum(one.usd for one in sums), 4),
        unpriced,
        github_usd=_sum(one.github_usd for one in sums),
        compared_usd=round(sum(one.compared_usd for one in sums), 4),
    )


def _sum(parts: Iterable[float | None]) -> float | None:
    """Of those that are known; None: none is."""
    known = [each for each in parts if each is not None]
    return round(sum(known), 4) if known else None


def _compared(jobs: Iterable[JobLine | SumRow]) -> float:
    """What the jobs have cost here that GitHub has a machine for."""
    return round(sum(each.usd or 0.0 for each in jobs if each.github_usd is not None), 4)

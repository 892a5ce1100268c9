"""From a plan that breaks something to the least that still breaks it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

from github_app.simulate.plan import Plan
from github_app.simulate.run import simulate

MOST_TRIES = 150

T = TypeVar("T")


def shrink(
    plan: Plan, invariant: str, tell: Callable[[str], None] = lambda _: None, *, most_tries: int = MOST_TRIES
) -> Plan:
    """Take away pushes, jobs, kinds of faults, blows, containers and single faults while `invariant` still breaks."""
    search = _Search(plan, invariant, tell, most_tries)
    for step in (_faults, _runs, _jobs, _blows, _containers, _strikes):
        step(search)
    return search.plan


class _Search:
    def __init__(self, plan: Plan, invariant: str, tell: Callable[[str], None], most_tries: int) -> None:
        self.plan = plan
        self._left = most_tries
        self._invariant = invariant
        self._tell = tell

    def takes(self, plan: Plan) -> bool:
        """Try a smaller plan, and go on from it if it breaks the same."""
        if self._left == 0:
            return False
        self._left -= 1
        if any(each.invariant == self._invariant for each in simulate(plan).violations):
            self.plan = plan
            self._tell(plan.described)
            return True
        return False


def _without(items: Sequence[T]) -> Iterator[list[T]]:
    """Lists that leave out half, a quarter, ... one of the items."""
    size = max(1, len(items) // 2)
    while True:
        for begin in range(0, len(items), size):
            yield [*items[:begin], *items[begin + size :]]
        if size == 1:
            return
        size //= 2


def _reduce(search: _Search, items: Callable[[Plan], Sequence[T]], put: Callable[[Plan, list[T]], Plan]) -> None:
    smaller = True
    while smaller:
        smaller = any(search.takes(put(search.plan, rest)) for rest in _without(items(search.plan)))


def _faults(search: _Search) -> None:
    _reduce(search, lambda plan: sorted(plan.faults), lambda plan, rest: plan.without(plan.faults - set(rest)))


def _runs(search: _Search) -> None:
    def put(plan: Plan, rest: list[object]) -> Plan:
        return replace(plan, runs=tuple(rest))  # type: ignore[arg-type]

    _reduce(search, lambda plan: plan.runs, put)


def _jobs(search: _Search) -> None:
    for number in range(len(search.plan.runs)):

        def put(plan: Plan, rest: list[object], number: int = number) -> Plan:
            runs = list(plan.runs)
            # A workflow has one job at least.
            runs[number] = replace(runs[number], jobs=(runs[number].jobs[0], *rest))  # type: ignore[arg-type]
            return replace(plan, runs=tuple(runs))

        _reduce(search, lambda plan, number=number: plan.runs[number].jobs[1:], put)  # type: ignore[misc]


def _blows(search: _Search) -> None:
    _reduce(search, lambda plan: plan.blows, lambda plan, rest: replace(plan, blows=tuple(rest)))


def _containers(search: _Search) -> None:
    if search.plan.containers > 1 and not search.plan.blows:
        search.takes(replace(search.plan, containers=1, skews=(search.plan.skews[0], search.plan.skews[-1])))


def _strikes(search: _Search) -> None:
    """Single faults: those that struck, one after the other."""
    struck = simulate(search.plan).strikes
    needed = list(struck)

    def spare(rest: list[str]) -> Plan:
        return replace(search.plan, spared=frozenset(struck) - frozenset(rest))

    smaller = True
    while smaller and needed:
        smaller = False
        for rest in _without(needed):
            if search.takes(spare(rest)):
                needed, smaller = rest, True
                break

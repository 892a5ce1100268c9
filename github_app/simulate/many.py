"""Many seeds, on every core: each is a process's own for as long as it runs."""

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor

from github_app.simulate.plan import Plan
from github_app.simulate.run import Outcome, simulate


def simulate_all(plans: Sequence[Plan]) -> Iterator[Outcome]:
    """Run all plans, in order; of those that are all well the history is left out."""
    workers = min(len(plans), os.cpu_count() or 1)
    if workers < 2:
        yield from map(_brief, plans)
        return
    # A fresh interpreter, as the command itself is: nothing is inherited that is not said.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        yield from pool.map(_brief, plans, chunksize=4)


def _brief(plan: Plan) -> Outcome:
    outcome = simulate(plan)
    if not outcome.violations:
        outcome.trace.clear()
    return outcome

"""What a round would start, and which jobs a cap would hold. Pure: nothing is taken."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from github_app.runners.balance import Start, Wait
from github_app.runners.capacity import Caps, of_group


@dataclass(frozen=True)
class Rehearsal:
    """How many runners would be started, and the jobs that caps would hold."""

    started: int
    held: tuple[Wait, ...]


def rehearse(starts: Iterable[Start], slots: Iterable[str], caps: Caps) -> Rehearsal:
    """Begin in order, as a round does, with the slots that are taken."""
    taken = Counter(key.rpartition("/")[0] for key in slots)
    started, held = 0, []
    for start in starts:
        over = caps.over(start.demand.job.event.repository, start.demand.shape.profile)
        full = next(((group, most) for group, most in over if taken[group] >= most), None)
        if full is not None:
            group, most = full
            held.append(Wait(start.demand, reached(group, taken[group], most)))
        else:
            taken.update(group for group, _ in over)
            started += 1
    return Rehearsal(started, tuple(held))


def reached(group: str, taken: int, most: int) -> str:
    """Say which cap a job waits for, and by which setting there is one."""
    whose, setting = of_group(group)
    return f"the cap of {whose} is reached ({taken} of {most}, {setting}); it starts when one of them ends"

"""Whether sweeps come, by when the last one ended. Pure."""

import re

from github_app.routing.units import as_span, number_of

# A sweep may take some minutes; the next ones begin meanwhile.
_LATE_S = 300.0
# Every minute, or every few; of other schedules nothing is known here.
_EVERY = re.compile(r"\*(?:/(\d+))? \* \* \* \*")


def every_s(schedule: str) -> float | None:
    """How often a schedule lets sweeps begin, where that is every minute or every few."""
    found = _EVERY.fullmatch(schedule)
    return None if found is None else 60.0 * int(found[1] or 1)


def late(ended_at: float | None, deployed_at: float | None, now: float, every: float | None) -> str | None:
    """Say that no sweep has come to its end for too long; None: one has, or nobody knows when one is due."""
    since = ended_at or deployed_at
    if since is None or every is None or now - since <= _LATE_S - 60.0 + every:
        return None
    ago = as_span(now - since)
    told = f"the last sweep ended {ago} ago" if ended_at else f"no sweep has come to its end since the deploy {ago} ago"
    often = "every minute" if every == 60 else f"every {number_of(round(every), 'second')}"
    often = often if every % 60 or every == 60 else f"every {number_of(round(every / 60), 'minute')}"
    return f"{told}, and one comes {often}: the App is stopped or frozen, or its sweeps do not come to their end"

"""The kinds of record. Each kind has a Dict of its own, so that what is active can be listed without history."""

from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec

from github_app.model import Claim, Halt, JobRecord, Place, RunnerRecord, Slot
from github_app.store.notes import (
    Allowance,
    CacheUsed,
    DaySums,
    Lane,
    NoticeWritten,
    Parked,
    Paused,
    Probed,
    Redelivered,
    Refusal,
    Release,
    RepositorySeen,
    Suspect,
    Swept,
    Tally,
    Totals,
    VersionRefused,
    Watermark,
)

T = TypeVar("T", bound=msgspec.Struct)


class Delivered(msgspec.Struct, frozen=True):
    """A delivery that was left to the sweep, under its body's digest."""

    at: float


@dataclass(frozen=True)
class Kind(Generic[T]):
    """A kind of record: the end of its Dict's name, and what its values are."""

    name: str
    type: type[T]


DELIVERIES = Kind("deliveries", Delivered)
JOBS = Kind("jobs", JobRecord)
CLAIMS = Kind("claims", Claim)
HALTS = Kind("halts", Halt)
RUNNERS = Kind("runners", RunnerRecord)
SLOTS = Kind("slots", Slot)
# By the owner and the key of a slot.
RELEASES = Kind("releases", Release)
BUDGET = Kind("budget", Lane)
# Finished jobs. Modal forgets an entry seven days after it was last read or written.
HISTORY = Kind("history", JobRecord)
REDELIVERED = Kind("redelivered", Redelivered)
WATERMARKS = Kind("watermarks", Watermark)
ALLOWANCES = Kind("allowances", Allowance)
SUSPECTS = Kind("suspects", Suspect)
# Where runners are registered that wait for jobs, by scope.
PLACES = Kind("places", Place)
SEEN = Kind("seen", RepositorySeen)
CACHES = Kind("caches", CacheUsed)
PARKED = Kind("parked", Parked)
REFUSALS = Kind("refusals", Refusal)
TOLD = Kind("told", NoticeWritten)
VERSIONS = Kind("versions", VersionRefused)
SWEEPS = Kind("sweeps", Swept)
PAUSES = Kind("pauses", Paused)
PROBES = Kind("probes", Probed)
# Sums over finished jobs, by day of UTC, and since the beginning.
SUMS = Kind("sums", DaySums)
TOTALS = Kind("totals", Totals)
# What processes have counted, by a key of each.
TALLIES = Kind("tallies", Tally)
KINDS = (
    *(DELIVERIES, JOBS, CLAIMS, HALTS, RUNNERS, SLOTS, RELEASES, BUDGET, HISTORY),
    *(
        REDELIVERED,
        WATERMARKS,
        ALLOWANCES,
        SUSPECTS,
        PLACES,
        SEEN,
        CACHES,
        PARKED,
        REFUSALS,
        TOLD,
        VERSIONS,
        SWEEPS,
        PAUSES,
        PROBES,
        SUMS,
        TOTALS,
        TALLIES,
    ),
)

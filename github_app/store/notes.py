"""What is recorded beside jobs and runners: budgets, the sweep's memory, and what a person should know.

As with every record, a new field needs a default.
"""

import msgspec

from github_app.model import JobEvent


class Lane(msgspec.Struct, frozen=True):
    """The right to some writes to GitHub within some seconds of `taken_at`."""

    owner: str
    taken_at: float


class Redelivered(msgspec.Struct, frozen=True):
    """A delivery that GitHub was asked for again, under its GUID; `owner` is unique."""

    owner: str
    at: float


class Release(msgspec.Struct, frozen=True):
    """Who gives a slot of some owner back, and since when; `by` is unique."""

    by: str
    at: float


class Watermark(msgspec.Struct, frozen=True):
    """How far the sweep has read the App's deliveries."""

    delivery_id: int
    read_at: float


class Cut(msgspec.Struct, frozen=True):
    """How far a repository was read when the budget ended: the page of its runs, newest first, and the last run."""

    page: int = 1
    run: int | None = None


class ReadingPosition(msgspec.Struct, frozen=True):
    """Where the sweep's reading ended, so that the next one goes on from there; names are lower-case."""

    # The job that was asked after last; of the repositories with jobs of ours, and of the others, the one read last.
    job: int = 0
    seen: str = ""
    other: str = ""
    # The page of the list of repositories that is being read.
    repositories: int = 1
    # Repositories in the middle of which it ended.
    cuts: dict[str, Cut] = {}
    # Which of the three (jobs, repositories seen, others) is sure of a step next.
    turn: int = 0


class Allowance(msgspec.Struct, frozen=True):
    """What the sweep may still read from GitHub for an installation, and whose turn is next."""

    left: float
    at: float
    turn: ReadingPosition = ReadingPosition()
    # What it cost last to list the runners, and when that was.
    listing: int = 0
    listed_at: float = 0.0


class RepositorySeen(msgspec.Struct, frozen=True):
    """A repository that had a job of ours, under `<installation>/<owner/repo>`; written once an hour."""

    at: float
    event: JobEvent | None = None


class Parked(msgspec.Struct, frozen=True):
    """A delivery that makes no sense, under its body's digest: signed by GitHub, and not understood."""

    reason: str
    at: float
    guid: str = ""


class NoticeWritten(msgspec.Struct, frozen=True):
    """A commit on which its author was told of a job, under `<repository's id>/<sha>/<kind>`; `owner` is unique."""

    owner: str
    at: float


class CacheUsed(msgspec.Struct, frozen=True):
    """A cache that a repository's job has asked for by label, under `<owner/repo>/<cache>`; written once a day."""

    at: float


class Refusal(msgspec.Struct, frozen=True):
    """A job that is not served, under its id, and what its author was told; `owner` is unique."""

    owner: str
    repository: str
    code: str
    sentence: str
    at: float


class VersionRefused(msgspec.Struct, frozen=True):
    """GitHub refuses a version of actions/runner (the key); `runner` is the one that was told so."""

    runner: str
    at: float


class Paused(msgspec.Struct, frozen=True):
    """Somebody has stopped launching, or (`on`) let it go on again."""

    by: str
    at: float
    on: bool = False


class Suspect(msgspec.Struct, frozen=True):
    """Something that looks orphaned; a second look, later, decides."""

    first_seen: float


class Buckets(msgspec.Struct, frozen=True):
    """How many took how long: counts by upper ends (jobs/accounts.py), and one above the last; and the sum of all."""

    counts: tuple[int, ...] = ()
    sum_s: float = 0.0


class SumRow(msgspec.Struct, frozen=True):
    """A day's jobs of one repository, workflow and machine. `seconds` they ran; `usd` is an estimate.

    `github_usd`: what they would have cost on GitHub's own runners; None where it has no such machine.
    """

    repository: str
    workflow: str
    machine: str
    jobs: int = 0
    failures: int = 0
    seconds: float = 0.0
    usd: float = 0.0
    starts: Buckets = Buckets()
    github_usd: float | None = None


class DaySums(msgspec.Struct, frozen=True):
    """The jobs that were queued on a day of UTC. `counted`: the runners of those that came last."""

    rows: tuple[SumRow, ...] = ()
    counted: tuple[str, ...] = ()


class Totals(msgspec.Struct, frozen=True):
    """The same since the beginning: jobs by conclusion, and what parts their starts had."""

    jobs: dict[str, int] = {}
    seconds: float = 0.0
    usd: float = 0.0
    starts: dict[str, Buckets] = {}
    counted: tuple[str, ...] = ()


class Quota(msgspec.Struct, frozen=True):
    """The share of GitHub's hourly limit that an installation had left (0 to 1), and when GitHub said so."""

    left: float
    at: float


class Tally(msgspec.Struct, frozen=True):
    """What a process has counted until `at`, and the quotas that it was told of, by installation.

    In the record of those that are gone, `added` says whose records it holds, and since when.
    """

    at: float
    sums: dict[str, int] = {}
    quotas: dict[str, Quota] = {}
    added: dict[str, float] = {}


class VersionTaken(msgspec.Struct, frozen=True):
    """Until when GitHub takes a version of actions/runner, as far as it tells, and when it was asked."""

    version: str
    until: float | None
    asked_at: float


class Swept(msgspec.Struct, frozen=True):
    """The last sweep that came to its end; `problems` is how many of its parts failed."""

    at: float
    problems: int
    taken: VersionTaken | None = None


class ProbeResult(msgspec.Struct, frozen=True):
    """One assumption of a probe: `state` is holds, does-not-hold or unknown.

    `evidence` is what was seen, or why it is unknown; `consequence` what follows where it does not hold.
    """

    id: int
    assumption: str
    state: str
    evidence: str
    consequence: str | None = None


class ProbeReport(msgspec.Struct, frozen=True):
    """Every assumption in order, and what the looking has cost by list prices: what `probe --json` prints."""

    results: tuple[ProbeResult, ...]
    cost_usd: float

    def state(self, number: int) -> str:
        """What was found of one assumption."""
        return next((each.state for each in self.results if each.id == number), "unknown")


class Probed(msgspec.Struct, frozen=True):
    """The last probe; `versions` are those of what was there then."""

    at: float
    report: ProbeReport
    versions: dict[str, str] = {}

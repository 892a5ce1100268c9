"""What a sweep found and did, as numbers."""

import msgspec


class SweepReport(msgspec.Struct):
    """The fields are what `modal-runner sweep --json` prints. In a dry run they say what would have been done."""

    dry_run: bool = False
    redelivered: int = 0
    jobs_read: int = 0
    jobs_corrected: int = 0
    runners_checked: int = 0
    sandboxes_running: int = 0
    sandboxes_adopted: int = 0
    sandboxes_died: int = 0
    died_during_job: int = 0
    # Runners that had a job of which nobody had told, perhaps of a repository where the App is not installed.
    runners_taken: int = 0
    runners_ended: int = 0
    orphans_ended: int = 0
    started: int = 0
    waiting: int = 0
    # Of a dry run: how many of those that wait a cap holds.
    held_by_caps: int | None = None
    slots_released: int = 0
    records_removed: int = 0
    waits: list[str] = msgspec.field(default_factory=list)
    # Jobs that GitHub does not know any more, which are served again when it does.
    gone: list[str] = msgspec.field(default_factory=list)
    parked: int = 0
    # Runners that died while they ran a job, and jobs that GitHub keeps leased to a runner that is gone.
    deaths: list[str] = msgspec.field(default_factory=list)
    stuck: list[str] = msgspec.field(default_factory=list)
    # Why no runner is started at all, if so.
    stopped: str | None = None
    problems: list[str] = msgspec.field(default_factory=list)


# Of these fields each sweep adds to what the others have done; the rest says how things are at the moment.
DONE = (
    "redelivered",
    "jobs_corrected",
    "sandboxes_adopted",
    "sandboxes_died",
    "died_during_job",
    "runners_taken",
    "runners_ended",
    "orphans_ended",
    "started",
    "slots_released",
    "records_removed",
)

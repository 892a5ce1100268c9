"""How things are, by the records alone. Pure."""

from dataclasses import dataclass

from github_app.dashboard.reading import Reading
from github_app.dashboard.sight import Sight
from github_app.routing.units import as_span, number_of

_DAY_S = 86400.0
# A sweep comes every minute; a long one takes some.
_SWEPT_WITHIN_S = 300.0
_VERSION_DAYS = 7
_QUOTA_LOW = 0.1


@dataclass(frozen=True)
class Notice:
    """A line of the state of things: `ok`, `look` (someone should) or `wrong`; what it is, and what to do."""

    state: str
    name: str
    told: str
    cure: str = ""


def health_of(reading: Reading, sight: Sight) -> list[Notice]:
    """What the records say of how things are; `modal-runner doctor` asks GitHub and Modal as well."""
    if not sight.sees_any:
        return []
    is_owner = bool(sight.owned)
    found = [_launching(reading), _swept(reading)]
    if sight.is_old:
        told = "it does not answer; what you may see is as it was some minutes ago"
        found.append(Notice("look", "GitHub", told, "https://www.githubstatus.com"))
    if (days := _version_days(reading)) is not None and days < _VERSION_DAYS:
        left = number_of(max(0, round(days)), "day")
        told = f"GitHub takes this version of actions/runner for {left} more, as far as it tells"
        found.append(
            Notice("wrong" if days < 1 else "look", "runner", told, "`modal-runner redeploy` takes the newest")
        )
    if is_owner and reading.quota_left < _QUOTA_LOW:
        told = f"an installation has {reading.quota_left:.0%} of GitHub's hourly limit left"
        found.append(Notice("look", "GitHub", told, "it is full again within the hour; see docs/operating.md"))
    halted = [job for job in reading.status.jobs if str(job.id) in reading.records.halts]
    if halted:
        names = ", ".join(f"{job.repository}#{job.id}" for job in halted[:3])
        found.append(Notice("look", "jobs", f"{len(halted)} can be given to no runner: {names}", "look at each job"))
    found += [
        Notice("look", "warm runners", f"{each.source}: {each.waiting} of {each.wanted} wait; {each.waits_for}")
        for each in reading.status.warm
        if each.waits_for
    ]
    if is_owner and reading.status.parked:
        told = f"{number_of(reading.status.parked, 'delivery')} of GitHub made no sense"
        found.append(Notice("look", "deliveries", told, "`modal-runner logs` says why; is this version too old?"))
    return found


_FINDINGS = {
    "redelivered": "deliveries that GitHub was asked for again",
    "jobs_corrected": "jobs of which no delivery had told",
    "started": "runners started for jobs that events had left",
    "sandboxes_died": "sandboxes that died",
    "died_during_job": "of these, while a job ran",
    "sandboxes_adopted": "sandboxes found whose creation had not been answered",
    "runners_ended": "runners ended that nobody needed",
    "orphans_ended": "runners and sandboxes ended that belonged to nothing",
    "slots_released": "slots given back that were left over",
}


def findings_of(reading: Reading, sight: Sight) -> list[tuple[str, int]]:
    """What sweeps have done since the beginning, for owners: it is of all repositories together."""
    if not sight.owned:
        return []
    return [(told, reading.findings[name]) for name, told in _FINDINGS.items() if reading.findings.get(name)]


def _version_days(reading: Reading) -> float | None:
    taken = reading.swept.taken if reading.swept else None
    return None if taken is None or taken.until is None else (taken.until - reading.at) / _DAY_S


def _launching(reading: Reading) -> Notice:
    if reading.status.stopped:
        return Notice("wrong", "launching", reading.status.stopped)
    return Notice("ok", "launching", "runners are started")


def _swept(reading: Reading) -> Notice:
    swept, cure = reading.swept, "`modal-runner doctor` says why"
    if swept is None:
        return Notice("look", "sweep", "none has come to its end yet", "one comes every minute")
    ago = as_span(reading.at - swept.at)
    if reading.at - swept.at > _SWEPT_WITHIN_S:
        return Notice("wrong", "sweep", f"the last one ended {ago} ago", cure)
    if swept.problems:
        return Notice(
            "look", "sweep", f"the last one, {ago} ago, had {number_of(swept.problems, 'part')} that failed", cure
        )
    return Notice("ok", "sweep", f"the last one ended {ago} ago")

"""Runners that wait for jobs: how many there are to be, with which labels, where and when. Pure.

Each has a seat, which stands in the place of a job: it has an id of its own, above all that GitHub gives, and asks for
what a job of these labels would get. So the runner is started, retried and ended by what does that for jobs.
"""

import hashlib
from dataclasses import dataclass

from github_app.model import FIRST_SEAT, Action, JobEvent, Place, RunFacts, RunnerRecord, Scope, Shape
from github_app.routing.admission import hidden_refusal
from github_app.routing.catalog import LONGEST_S, usd_per_minute
from github_app.routing.hours import Hours, parse_hours
from github_app.routing.profiles import Route, Waiting
from github_app.routing.route import route
from github_app.routing.rules import Admit, Rules

# How long a runner waits before another takes its place. Its sandbox lives for that and for its job, at most a day.
LONGEST_WAIT_S = 12 * 3600
LEAST_WAIT_S = 3600
# In the place of a repository's name, where a seat is for an organisation: the name of none.
_ANY = "-"
_WEEKS_A_MONTH = 365.25 / 7 / 12
_HOURS_A_WEEK = 168.0


@dataclass(frozen=True)
class Seat:
    """A place for one runner. `source` is where the file says so; `scope` is `owner` or `owner/repo`."""

    id: int
    source: str
    scope: str
    labels: tuple[str, ...]
    hours: Hours | None = None

    def covers(self, labels: tuple[str, ...]) -> bool:
        """Tell whether its runner has all of these labels."""
        own = {label.lower() for label in self.labels}
        return all(label.lower() in own for label in labels)

    def is_open(self, now: float) -> bool:
        """Tell whether its runner is to be there at this moment (Unix seconds)."""
        return self.hours is None or self.hours.include(now)

    def event(self, place: Place, *, branch: str = "main", private: bool = True) -> JobEvent:
        """What a job would say that asks for its runner; `private`: its repository is, if it is for one."""
        return JobEvent(
            action=Action.QUEUED,
            job_id=self.id,
            run_id=0,
            run_attempt=1,
            job_name=f"a runner that waits ({self.source})",
            labels=self.labels,
            repository=self.repository,
            repository_id=place.repository_id,
            private=private,
            scope=place.scope,
            installation_id=place.installation_id,
            branch=branch,
            default_branch="main",
            run=RunFacts("push", from_fork=False),
        )

    @property
    def owner(self) -> str:
        """The organisation or the account."""
        return self.scope.partition("/")[0]

    @property
    def repository(self) -> str:
        """The repository that it is for; an organisation stands for any of its own."""
        return self.scope if "/" in self.scope else f"{self.scope}/{_ANY}"


def is_seat(job_id: int) -> bool:
    """Tell whether an id is a seat's, and not a job's."""
    return job_id >= FIRST_SEAT


def vacant(runner: RunnerRecord) -> JobEvent:
    """What stands for a job, of a runner that waited for one."""
    place = runner.place
    return Seat(runner.started_for, "left empty", str(place.scope), runner.labels).event(place)


def seats_of(rules: Rules) -> tuple[Seat, ...]:
    """All seats that the file asks for."""
    profiles = [(f"profiles.{name}", each, (*_base(rules), f"profile:{name}")) for name, each in rules.profiles.items()]
    routes = [(f"routes.{each.name}", each, _literal(each, rules)) for each in rules.routes]
    return tuple(seat for said in (*profiles, *routes) for seat in _seats(*said, rules.deployment))


def waits_s(shape: Shape) -> int:
    """How long a runner of this shape may wait, so that its job still has all of its time."""
    return min(LONGEST_WAIT_S, LONGEST_S - shape.timeout_s)


def usd_a_month(seat: Seat, rules: Rules) -> float:
    """What a seat's waiting costs a month, at list prices; 0 where a job of its labels would get no machine."""
    routed = route(seat.event(Place(Scope(seat.owner), 0)), rules)
    if not isinstance(routed, Admit):
        return 0.0
    hours = (seat.hours.a_week if seat.hours else _HOURS_A_WEEK) * _WEEKS_A_MONTH
    return usd_per_minute(routed.shape) * 60 * hours


def problem(seat: Seat, rules: Rules) -> str | None:
    """Say why a seat's runner would be of no use, if so."""
    scope = Scope(seat.owner)
    found, other = (route(seat.event(Place(scope, 1), branch=each), rules) for each in ("main", "another"))
    if not isinstance(found, Admit):
        why = getattr(found, "sentence", None) or getattr(found, "reason", "")
        return f"a job with its warm_labels {', '.join(seat.labels)} would get no runner: {why}"
    by = {f"profiles.{found.profile}", f"routes.{found.route}"}
    if seat.source not in by:
        return f"a job with its warm_labels {', '.join(seat.labels)} comes under {' and '.join(sorted(by))} instead"
    if found != other or (found.cache or (found.shape.made_for is not None and "/" not in seat.scope)):
        return (
            "its machine is another for each repository or branch (a cache, secrets, volumes, variables), so that a "
            'runner that waits fits few jobs: write warm_scope = ["owner/repo"], and no cache'
        )
    refusal = None if "/" in seat.scope else hidden_refusal(found.shape, seat.labels, found.route, rules)
    if refusal is not None:
        return (
            f"route {refusal!r} would refuse its jobs inside: what is made for no repository cannot tell whether a job "
            f'has the labels of route {found.route!r}; write warm_scope = ["owner/repo"]'
        )
    if waits_s(found.shape) < LEAST_WAIT_S:
        return "its timeout leaves no hour of the 24 that a sandbox lives to wait in: write a shorter one"
    return None


def _base(rules: Rules) -> tuple[str, ...]:
    return ("self-hosted", rules.labels[0])


def _literal(route: Route, rules: Rules) -> tuple[str, ...]:
    base = _base(rules)
    return (*base, *(each for each in route.labels if each.lower() not in base))


def _seats(source: str, said: Waiting, labels: tuple[str, ...], deployment: str) -> list[Seat]:
    hours = parse_hours(said.warm_hours) if said.warm_hours else None
    own = said.warm_labels or labels
    return [
        Seat(_id(deployment, source, scope, number), source, scope, own, hours)
        for scope in said.warm_scope
        for number in range(said.warm or 0)
    ]


def _id(deployment: str, source: str, scope: str, number: int) -> int:
    """The same for every process, and another for another deployment in the same organisation."""
    digest = hashlib.sha256(f"{deployment}\n{source}\n{scope.lower()}\n{number}".encode()).digest()
    return FIRST_SEAT + (int.from_bytes(digest[:8], "big") >> 3)

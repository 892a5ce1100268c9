"""What must hold after every step, and in the end."""

import math
import re
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import httpx

from github_app.model import SandboxSpec
from github_app.routing.warm import is_seat
from github_app.simulate.loop import CONTAINER
from github_app.simulate.sandboxes import Box, Boxes
from github_app.simulator.github.site import Site
from github_app.simulator.github.state import Runner

# GitHub allows an installation so many points in any minute, of which a write costs five (docs: "Rate limits for the
# REST API").
_POINTS_PER_MINUTE = 900
_RUNNER = re.compile(r"/actions/runners/(\d+)$")
# The answer to a look and a call to GitHub take half a minute each at most.
_LOOK_GOOD_FOR_S = 61.0
# A creation may take minutes.
_CREATED_WITHIN_S = 600.0


def is_of_seat(name: str) -> bool:
    """Tell whether a runner's name or the key of its claim is that of one that waits for jobs."""
    found = re.fullmatch(r"(?:modal-)?(\d+)-\d+", name)
    return found is not None and is_seat(int(found[1]))


@dataclass(frozen=True)
class Violation:
    """What was broken, when, and by what."""

    invariant: str
    at: float
    what: str


class Broken(Exception):  # noqa: N818 - what became of it
    """Something did not hold; what would come after it is of no interest."""


class InForce(Protocol):
    """By what the containers go at this moment."""

    @property
    def cap_per_repository(self) -> int:
        """How many runners there may be of a repository."""
        ...

    @property
    def cap_in_all(self) -> int:
        """How many there may be."""
        ...

    @property
    def agree(self) -> bool:
        """Whether all containers give a job the same machine."""
        ...


class Watch:
    """Looks at each change of the world just before or after it takes effect."""

    def __init__(self, site: Site, boxes: Boxes, in_force: InForce, now: Callable[[], float], warm: int) -> None:
        """`warm`: so many runners wait for jobs."""
        self._warm = warm
        self._site = site
        self._boxes = boxes
        self._in_force = in_force
        self._now = now
        # By installation: when each request within a minute was sent, and its points.
        self._sent: defaultdict[int, deque[tuple[float, int]]] = defaultdict(deque)
        self._deregistered_at_work = 0
        # By runner: why a DELETE of it should not have been sent, when it was; None: nothing spoke against it.
        self._objections: dict[int, str | None] = {}
        self.violations: list[Violation] = []
        boxes.on_create = self._creates
        boxes.on_terminate = self._terminates

    def after_step(self) -> None:
        """What any step may have done.

        Raises:
            Broken: something did not hold.
        """
        if self._site.deregistered_at_work > self._deregistered_at_work:
            self._deregistered_at_work = self._site.deregistered_at_work
            self._deregistered()
        if self.violations:
            raise Broken

    def sends(self, request: httpx.Request) -> None:
        """Look at a request to GitHub that a container is about to send."""
        if request.method == "DELETE" and (found := _RUNNER.search(request.url.path)):
            self._objections[int(found[1])] = self._objection(int(found[1]))
        token = self._site.world.tokens.get(request.headers.get("authorization", "").partition(" ")[2])
        if token is None:
            return
        sent = self._sent[token.installation.id]
        sent.append((self._now(), 1 if request.method == "GET" else 5))
        while sent[0][0] <= self._now() - 60:
            sent.popleft()
        if (points := sum(each for _, each in sent)) > _POINTS_PER_MINUTE:
            self.broken("write-limit", f"{points} points within a minute")

    def broken(self, invariant: str, what: str) -> None:
        """Take a violation down."""
        self.violations.append(Violation(invariant, round(self._now(), 3), what))

    def _deregistered(self) -> None:
        """A DELETE went through on a runner that works, as it may while GitHub's busy flag lags.

        Between the look inside and the DELETE's effect lies the network, and no care of the app's reaches there. What
        a container must not do is to send it although a Worker was to be seen when it looked, or without a look.
        """
        for runner in self._site.world.all_runners.values():
            if runner.works and runner.removed_at == self._site.clock() and (why := self._objections.get(runner.id)):
                name = runner.job.instance.name if runner.job else "its job"
                self.broken("deregistered-at-work", f"{runner.name} is deregistered during {name} {why}")

    def _objection(self, runner_id: int) -> str | None:
        runner = self._site.world.all_runners.get(runner_id)
        box = self._boxes.named(runner.name) if runner else None
        if box is None:
            return None
        looked_at = box.looks.get(CONTAINER.get(), -math.inf)
        if looked_at < self._now() - _LOOK_GOOD_FOR_S:
            return "without a look"
        return None if box.works_since is None or box.works_since > looked_at else "although a Worker was seen"

    def _creates(self, spec: SandboxSpec) -> None:
        alive = [box for box in self._boxes.all.values() if box.running]
        of_repository = [box for box in alive if box.spec.repository == spec.repository]
        if len(of_repository) >= self._in_force.cap_per_repository:
            self.broken("cap", f"{spec.name} is the {len(of_repository) + 1}th of {spec.repository}")
        if len(alive) >= self._in_force.cap_in_all:
            self.broken("cap", f"{spec.name} is the {len(alive) + 1}th in all")
        if is_of_seat(spec.name):
            self._creates_for_seat(spec, alive)
            return
        for box in alive:
            if box.spec.tags.get("job") == spec.tags.get("job") and self._as_good(box, spec) and self._waits(box):
                self.broken("duplicate", f"{spec.name} is made while {box.spec.name} waits for the same job")

    def _creates_for_seat(self, spec: SandboxSpec, alive: list[Box]) -> None:
        """A job that may take a runner that waits has its successor made; it may end otherwise meanwhile."""
        lately = self._site.clock() - _CREATED_WITHIN_S
        jobs = sum(job.status == "queued" or job.created_at > lately for job in self._site.jobs())
        waiting = sum(is_of_seat(box.spec.name) and self._as_good(box, spec) and self._waits(box) for box in alive)
        if waiting >= self._warm + jobs:
            self.broken("duplicate", f"{spec.name} is made, and {waiting} wait already, for {jobs} jobs")

    def _terminates(self, box: Box) -> None:
        runner = self._runner(box.spec.name)
        if runner is not None and runner.job is not None and runner.job.status != "completed":
            self.broken("terminated-at-work", f"{box.spec.name} is terminated during job {runner.job.instance.name}")

    def _as_good(self, box: Box, spec: SandboxSpec) -> bool:
        """Whether it is such a runner, so that one of them is too much.

        Not while a redeploy brings other machines, nor when the repository has another owner.
        """
        one, other = self._runner(box.spec.name), self._runner(spec.name)
        same_home = one is not None and other is not None and one.home is other.home
        return self._in_force.agree and box.spec.shape == spec.shape and same_home

    def _waits(self, box: Box) -> bool:
        runner = self._runner(box.spec.name)
        return runner is not None and runner.removed_at is None and runner.job is None

    def _runner(self, name: str) -> Runner | None:
        return next((each for each in self._site.world.all_runners.values() if each.name == name), None)

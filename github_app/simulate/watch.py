"""What must hold after every step, and in the end."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from github_app.model import SandboxSpec
from github_app.simulate.plan import CAP_IN_ALL, CAP_PER_REPOSITORY
from github_app.simulate.sandboxes import Box, Boxes
from github_app.simulator.github.site import Site
from github_app.simulator.github.state import Runner

# GitHub allows an installation 180 writes in any minute (docs: "Rate limits for the REST API").
_WRITES_PER_MINUTE = 180
# The answer to a look and a call to GitHub take half a minute each at most.
_LOOK_GOOD_FOR_S = 61.0


@dataclass(frozen=True)
class Violation:
    """What was broken, when, and by what."""

    invariant: str
    at: float
    what: str


class Broken(Exception):  # noqa: N818 - what became of it
    """Something did not hold; what would come after it is of no interest."""


class Watch:
    """Looks at each change of the world just before or after it takes effect."""

    def __init__(self, site: Site, boxes: Boxes, now: Callable[[], float]) -> None:
        self._site = site
        self._boxes = boxes
        self._now = now
        self._writes: deque[float] = deque()
        self._deregistered_at_work = 0
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

    def writes(self, call: str) -> None:
        """Count a call that GitHub serves."""
        method, _, path = call.partition(" ")
        if method == "GET" or path.startswith("/app"):
            return
        self._writes.append(self._now())
        while self._writes[0] <= self._now() - 60:
            self._writes.popleft()
        if len(self._writes) > _WRITES_PER_MINUTE:
            self.broken("write-limit", f"{len(self._writes)} writes within a minute")

    def broken(self, invariant: str, what: str) -> None:
        """Take a violation down."""
        self.violations.append(Violation(invariant, round(self._now(), 3), what))

    def _deregistered(self) -> None:
        """A DELETE went through on a runner that works, as it may while GitHub's busy flag lags.

        Between the look inside and the DELETE's effect lies the network, and no care of the app's reaches there. What
        it must not do is to send it although a Worker was to be seen when it looked, or without a look.
        """
        for box in self._boxes.all.values():
            runner = self._runner(box)
            if runner is None or box.works_since is None or runner.removed_at != self._site.clock():
                continue
            if box.works_since <= box.looked_at or box.looked_at < self._now() - _LOOK_GOOD_FOR_S:
                name = runner.job.instance.name if runner.job else "its job"
                self.broken("deregistered-at-work", f"{box.spec.name} is deregistered during {name}")

    def _creates(self, spec: SandboxSpec) -> None:
        alive = [box for box in self._boxes.all.values() if box.running]
        of_repository = [box for box in alive if box.spec.repository == spec.repository]
        if len(of_repository) >= CAP_PER_REPOSITORY:
            self.broken("cap", f"{spec.name} is the {len(of_repository) + 1}th of {spec.repository}")
        if len(alive) >= CAP_IN_ALL:
            self.broken("cap", f"{spec.name} is the {len(alive) + 1}th in all")
        for box in alive:
            if box.spec.tags.get("job") == spec.tags.get("job") and self._waits(box):
                self.broken("duplicate", f"{spec.name} is made while {box.spec.name} waits for the same job")

    def _terminates(self, box: Box) -> None:
        runner = self._runner(box)
        if runner is not None and runner.job is not None and runner.job.status != "completed":
            self.broken("terminated-at-work", f"{box.spec.name} is terminated during job {runner.job.instance.name}")

    def _waits(self, box: Box) -> bool:
        runner = self._runner(box)
        return runner is not None and runner.removed_at is None and runner.job is None

    def _runner(self, box: Box) -> Runner | None:
        return next((each for each in self._site.world.all_runners.values() if each.name == box.spec.name), None)

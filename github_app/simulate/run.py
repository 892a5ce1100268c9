"""One seed: the world, the containers of the app, the plan, until all is quiet."""

import asyncio
import re
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from github_app.compose import Outside
from github_app.simulate.chance import only_chance
from github_app.simulate.containers import Containers
from github_app.simulate.deployment import ORIGIN, WEBHOOK_SECRET
from github_app.simulate.dicts import StoreInProcess, Writes
from github_app.simulate.github_side import GitHubSide
from github_app.simulate.history import History
from github_app.simulate.loop import SeededLoop, Stuck
from github_app.simulate.outcome import Outcomes
from github_app.simulate.plan import Blow, Plan
from github_app.simulate.sandboxes import Boxes, SandboxesInProcess
from github_app.simulate.watch import Broken, Violation, Watch, is_of_seat
from github_app.simulate.wire import WireToApp, WireToGitHub
from github_app.simulator.github.api_runners import encode_jit_config
from github_app.simulator.github.application import application
from github_app.simulator.github.state import Job
from github_app.simulator.modal.dicts import Dicts
from github_app.store import HISTORY, KINDS

# Once the faults have ended, and the job was queued. The longest wait of the app's own is an hour (a halt is looked at
# again, a refusal of GitHub's is tried again); under a cap of five, 40 jobs of up to four minutes take half of one.
STARTS_WITHIN_S = 90 * 60.0
# A job may run for four minutes, and what is left is ended within deadlines of five; it was halted for an hour again.
GONE_WITHIN_S = 2 * 3600.0
# Records of what is alive. Each sweep drops what is over; this is a few of them.
_GONE_IN_THE_END = ("jobs", "runners", "claims", "slots", "halts")
_UPKEEP_S = 180.0
# At any time, of each kind, so many for a job that is alive or was within the hour, and a few more: an outage of 20
# minutes makes a dozen attempts, each of which leaves two rights to give a slot back for ten minutes; and each runner
# that came to nothing is looked at twice before it goes.
_MOST_PER_JOB = {
    "jobs": 1,
    "halts": 1,
    "runners": 4,
    "claims": 15,
    "slots": 2,
    "releases": 20,
    "suspects": 5,
    "parked": 1,
}
_A_FEW = 20
_LATELY_S = 3600.0
_NAME = "simulated"
# What no sweep reads whole may not have been read or written for seven days, after which Modal forgets it.
_FORGOTTEN = ("deliveries", HISTORY.name, "told", "refusals", "caches", "redelivered")


@dataclass
class Outcome:
    """What came of a seed."""

    plan: Plan
    violations: list[Violation]
    trace: list[str]
    virtual_s: float
    steps: int
    struck: Counter[str]
    strikes: list[str]
    starts: list[float]


class Universe:
    """Everything of one seed."""

    def __init__(self, plan: Plan, loop: SeededLoop, history: History) -> None:
        self.plan = plan
        self.loop = loop
        self.tell = history.tell
        history.time = loop.time
        self.outcomes = Outcomes(plan, loop.time)
        self.outcomes.tell = lambda name, call: self.tell("fault", f"{name} {call}")
        self.outcomes.plan_death = self._plan_death
        wire = WireToApp(lambda of: self.outcomes.which("container", of))
        self.github = GitHubSide(plan, loop, self.outcomes, wire, history.tell)
        self.application = application(self.github.site)
        self.boxes = Boxes(self.application, self.outcomes, loop.time)
        self.dicts, self.writes = Dicts(), Writes(loop.time)
        self.containers = Containers(plan, loop, wire, self._outside, history.tell)
        self.watch = Watch(self.github.site, self.boxes, self.containers, loop.time, plan.warm)
        loop.after_step = self.watch.after_step

    def _outside(self, container: str) -> Outside:
        return Outside(
            WireToGitHub(self.application, self.watch.sends),
            StoreInProcess(_NAME, self.dicts, self.writes, container, self.outcomes),
            SandboxesInProcess(self.boxes, self.outcomes),
        )

    async def run(self) -> None:
        """From the first push until all is quiet."""
        self.github.install()
        if self.plan.warm:
            self.outcomes.strike("warm")
        self.containers.start_all()
        around = [asyncio.create_task(work) for work in self._around()]
        await self.github.push_all()
        await asyncio.sleep(max(0.0, self.plan.calm_at - self.loop.time()))
        await self._until_quiet()
        for task in around:
            task.cancel()

    def _around(self) -> tuple[Coroutine[Any, Any, None], ...]:
        return (
            self.github.keep_leases(),
            self._strike_blows(),
            self.containers.sweep_each_minute(),
            self._count_records(),
        )

    async def _count_records(self) -> None:
        while True:
            await asyncio.sleep(60)
            oldest = self.github.site.clock() - _LATELY_S
            alive = sum(job.completed_at is None or job.completed_at > oldest for job in self.github.site.jobs())
            for kind, most in _MOST_PER_JOB.items():
                if (found := len(self._keys(kind))) > most * alive + _A_FEW:
                    self.watch.broken("records", f"{found} {kind} for {alive} jobs")

    def _plan_death(self, sandbox_id: str, seconds: float) -> None:
        def die() -> None:
            box = self.boxes.all[sandbox_id]
            if box.running:
                self.tell("modal", f"{box.spec.name} dies")
            self.boxes.end(box, 137, "died")

        self.loop.call_later(seconds, die)

    async def _strike_blows(self) -> None:
        for blow in sorted(self.plan.blows, key=lambda each: each.at):
            await asyncio.sleep(max(0.0, blow.at - self.loop.time()))
            self._strike(blow)

    def _strike(self, blow: Blow) -> None:
        if blow.kind.endswith("-down"):
            # Each call that it hits is counted by itself.
            return
        self.outcomes.strike(blow.kind)
        if blow.kind == "kill":
            self.containers.kill(int(blow.of), blow.seconds)
        elif blow.kind == "freeze":
            self.containers.freeze(int(blow.of), blow.seconds)
        elif blow.kind == "redeploy":
            self.containers.redeploy(blow.seconds)
        elif blow.kind == "suspend":
            self.github.suspend(blow.of, blow.seconds)
        elif blow.kind == "rename":
            self.github.rename(blow.of)
        elif blow.kind == "transfer":
            self.github.transfer(blow.of)
        elif blow.kind == "records-expire":
            self._forget()

    def _forget(self) -> None:
        self.tell("modal", "forgets what was neither read nor written for seven days")
        for kind in _FORGOTTEN:
            self.dicts.forget(f"{_NAME}-{kind}")

    async def _until_quiet(self) -> None:
        while (left := self._left()) or self.github.is_to_come:
            if self.loop.time() > self.plan.calm_at + GONE_WITHIN_S:
                for each in left:
                    self.watch.broken("liveness", each)
                return
            for job in self.github.jobs():
                if job.status == "queued" and self._waits_for(job) > STARTS_WITHIN_S:
                    self.watch.broken("liveness", f"{job.instance.name} does not start")
            await asyncio.sleep(15)
        while self._seats_filled() != self.plan.warm and self.loop.time() < self.plan.calm_at + GONE_WITHIN_S:
            await asyncio.sleep(60)
        if (filled := self._seats_filled()) != self.plan.warm:
            self.watch.broken("liveness", f"{filled} runners wait for jobs, and not {self.plan.warm}")
        await asyncio.sleep(_UPKEEP_S)
        # A late event may have said that a job runs on another's runner, and GitHub is asked after that once an hour.
        while self._recorded() and self.loop.time() < self.plan.calm_at + GONE_WITHIN_S:
            await asyncio.sleep(60)

    def _waits_for(self, job: Job) -> float:
        return self.loop.time() - max(self.plan.calm_at, job.created_at - ORIGIN)

    def look_at_the_end(self, said: list[str]) -> None:
        """No secret in a record or in anything that was logged, and no record that nobody needs any more."""
        records = [value for kind in KINDS for value in self.dicts.entries(f"{_NAME}-{kind.name}").values()]
        written = b"\n".join(records).decode() + "\n".join(said)
        world = self.github.site.world
        secrets = [WEBHOOK_SECRET, "BEGIN RSA", *world.tokens]
        for runner in world.all_runners.values():
            secrets += [runner.secret, encode_jit_config(runner, self.github.site.url)]
        if any(secret in written for secret in secrets):
            self.watch.broken("secret", "a secret is in a record or in the log")
        for kind, left in self._recorded().items():
            self.watch.broken("records", f"{len(left)} {kind} are left: {', '.join(left[:3])}")

    def _recorded(self) -> dict[str, list[str]]:
        """What no job that is alive has a record for."""
        return {kind: keys for kind in _GONE_IN_THE_END if (keys := self._of_jobs(kind))}

    def _seats_filled(self) -> int:
        runners = self.github.site.world.runners.values()
        return sum(each.online and each.job is None and is_of_seat(each.name) for each in runners)

    def _of_jobs(self, kind: str) -> list[str]:
        """The keys of a kind but those of runners that wait for jobs, which stay."""
        return [key for key in self._keys(kind) if not is_of_seat(key) and not is_of_seat(self._holder(kind, key))]

    def _holder(self, kind: str, key: str) -> str:
        entry = self.dicts.entries(f"{_NAME}-{kind}")[key.encode()] if kind == "slots" else b""
        found = re.search(rb'"runner":"([^"]+)"', entry)
        return found[1].decode() if found else ""

    def _left(self) -> list[str]:
        running = [box.spec.name for box in self.boxes.all.values() if box.running]
        registered = [runner.name for runner in self.github.site.world.runners.values()]
        jobs = [f"job {job.instance.name} is {job.status}" for job in self.github.jobs() if job.status != "completed"]
        boxes = [f"sandbox of {name} runs" for name in running if not is_of_seat(name)]
        runners = [f"runner {name} is registered" for name in registered if not is_of_seat(name)]
        return jobs + boxes + runners + [f"slot {key} is taken" for key in self._of_jobs("slots")]

    def _keys(self, kind: str) -> list[str]:
        found = self.dicts.entries(f"{_NAME}-{kind}")
        return sorted(key.decode() for key in found)


def simulate(plan: Plan) -> Outcome:
    """Run one plan from the first push to the last end."""
    history = History()
    with history, only_chance(plan.seed, ORIGIN) as loop:
        return _outcome(plan, loop, history)


def _outcome(plan: Plan, loop: SeededLoop, history: History) -> Outcome:
    universe = Universe(plan, loop, history)
    try:
        loop.run_until_complete(universe.run())
    except Stuck as error:
        universe.watch.broken("stuck", str(error))
    except Broken:
        pass
    else:
        universe.look_at_the_end(history.said)
    # What is under way ends with the loop, and says so.
    history.closed = True
    starts = [job.started_at - job.created_at for job in universe.github.jobs() if job.started_at is not None]
    outcomes, violations = universe.outcomes, universe.watch.violations
    return Outcome(plan, violations, history.lines, loop.time(), loop.steps, outcomes.struck, outcomes.strikes, starts)

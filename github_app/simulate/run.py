"""One seed: the world, the containers of the app, the plan, until all is quiet."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import SecretStr

from github_app.compose import Outside, Parts, compose
from github_app.errors import StoreError
from github_app.github.manifest import load_manifest
from github_app.settings.toml_file import Config
from github_app.simulate.chance import only_chance
from github_app.simulate.deployment import ORIGIN, WEBHOOK_SECRET, VirtualClock, app_key, settings
from github_app.simulate.dicts import StoreInProcess
from github_app.simulate.history import History
from github_app.simulate.loop import SeededLoop, Stuck
from github_app.simulate.outcome import Outcomes
from github_app.simulate.plan import Plan
from github_app.simulate.sandboxes import Boxes, SandboxesInProcess
from github_app.simulate.watch import Broken, Violation, Watch
from github_app.simulate.wire import WireToApp, WireToGitHub, in_container
from github_app.simulator.github.application import application
from github_app.simulator.github.site import Site
from github_app.simulator.github.state import App, Job
from github_app.simulator.modal.dicts import Dicts
from github_app.store import KINDS
from github_app.web import create_app

_SWEEP_EVERY_S = 60.0
_LEASE_S = 600.0
# Once the faults have ended. The longest wait of the app's own is an hour (a halt is looked at again, a refusal of
# GitHub's is tried again); then a job may run for four minutes, and what is left is ended within deadlines of five.
QUIET_WITHIN_S = 2 * 3600.0
# Records of what is alive. Each sweep drops what is over; this is a few of them.
_GONE_IN_THE_END = ("jobs", "runners", "claims", "slots", "halts")
_UPKEEP_S = 240.0
_PATH = ".github/workflows/simulated.yml"


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
        self.wire = WireToApp()
        self.site = Site("http://github.invalid", self.now, _real_time, deliver_by=self.wire)
        self.application = application(self.site)
        self.boxes = Boxes(self.application, self.outcomes, loop.time)
        self.dicts = Dicts()
        self.watch = Watch(self.site, self.boxes, loop.time)
        self._generations: Counter[int] = Counter()
        self._newest_sweep = ""

    def now(self) -> float:
        """The world's time."""
        return ORIGIN + self.loop.time()

    async def run(self) -> None:
        """From the first push until all is quiet."""
        self._prepare()
        for number in range(self.plan.containers):
            self._start(number)
        around = [asyncio.create_task(work) for work in self._around()]
        await self._push_all()
        await self._until_quiet()
        for task in around:
            task.cancel()

    def _around(self) -> tuple[Coroutine[Any, Any, None], ...]:
        return self._keep_leases(), self._strike_blows(), self._sweep_each_minute()

    def _prepare(self) -> None:
        site, manifest = self.site, load_manifest()
        owner = site.world.add_account("octo-org")
        app = App(
            id=1,
            owner=owner,
            name="simulated",
            slug="simulated",
            client_id="Iv23lisimulated",
            public_key=app_key().public_key(),
            webhook_secret=WEBHOOK_SECRET,
            hook_url="http://web0/webhook",
            permissions={"metadata": "read", **manifest["default_permissions"]},
            events=list(manifest["default_events"]),
            external_url="http://web0",
            created_at=self.now(),
        )
        site.world.apps[app.id] = app
        for name in ("alpha", "beta", "gamma"):
            site.world.add_repository(owner, name)
        site.webhooks.targets = [f"http://web{n}/webhook" for n in range(self.plan.containers)]
        site.inject(self.outcomes)
        self.outcomes.tokens = site.world.tokens
        site.deletes_by_flag = self.outcomes.wants("github-deletes-busy")
        self.outcomes.tell = lambda name, call: self.tell("fault", f"{name} {call}")
        self.outcomes.served = self.watch.writes
        self.outcomes.sends = self._sends
        self.outcomes.plan_death = self._plan_death
        site.install(app, owner)
        self.loop.after_step = self.watch.after_step

    def _sends(self, delivery: Any) -> None:
        job = delivery.payload.get("workflow_job", {})
        if job:
            self.tell("github", f"{delivery.payload['action']} {job['name']} {job['id']} {job['runner_name'] or ''}")

    def _plan_death(self, sandbox_id: str, seconds: float) -> None:
        def die() -> None:
            box = self.boxes.all[sandbox_id]
            if box.running:
                self.tell("modal", f"{box.spec.name} dies")
            self.boxes.end(box, 137, "died")

        self.loop.call_later(seconds, die)

    def _start(self, number: int) -> None:
        self._generations[number] += 1
        name = f"web{number}.{self._generations[number]}"
        in_container(name, self._serve(number, name))

    async def _serve(self, number: int, name: str) -> None:
        """What the web function does on Modal: answer deliveries."""
        parts = self._compose(self.plan.skews[number])
        await self._prepared(parts, name)
        self.wire.apps[f"web{number}"] = (name, create_app(parts.service, [SecretStr(WEBHOOK_SECRET)]))
        self.tell(name, "serves")

    async def _sweep_each_minute(self) -> None:
        """What the schedule does on Modal: a container of its own each time, whether the last has ended or not."""
        for number in itertools.count(1):
            in_container(f"sweep.{number}", self._sweep(f"sweep.{number}"))
            self._newest_sweep = f"sweep.{number}"
            await asyncio.sleep(_SWEEP_EVERY_S)

    async def _sweep(self, name: str) -> None:
        parts = self._compose(self.plan.skews[-1])
        await self._prepared(parts, name)
        await parts.sweep.run()

    async def _prepared(self, parts: Parts, name: str) -> None:
        """Modal starts a container again that ends with an error."""
        while True:
            try:
                await parts.prepare()
            except StoreError as error:
                self.tell(name, f"cannot start: {error}")
                await asyncio.sleep(5)
            else:
                return

    def _compose(self, skew: float) -> Parts:
        clock = VirtualClock(time=self.loop.time, skew=skew)
        outside = Outside(
            WireToGitHub(self.application),
            StoreInProcess("simulated", self.dicts, self.outcomes),
            SandboxesInProcess(self.boxes, self.outcomes),
        )
        return compose(settings(), Config(), clock, outside=outside)

    async def _strike_blows(self) -> None:
        blows = [(blow, True) for blow in self.plan.kills] + [(blow, False) for blow in self.plan.freezes]
        for blow, kills in sorted(blows, key=lambda each: each[0].at):
            await asyncio.sleep(max(0.0, blow.at - self.loop.time()))
            name = self._container(blow.container)
            self.tell(name, "is killed" if kills else f"freezes for {blow.seconds:.0f} s")
            if not kills:
                self.loop.freeze(name)
                self.loop.call_later(blow.seconds, self.loop.thaw, name)
                continue
            self.loop.kill(name)
            if blow.container < self.plan.containers:
                self.wire.apps.pop(f"web{blow.container}", None)
                self.loop.call_later(blow.seconds, self._start, blow.container)

    def _container(self, number: int) -> str:
        """The container of this number as it is now; behind those of the web function stands the sweep's."""
        return f"web{number}.{self._generations[number]}" if number < self.plan.containers else self._newest_sweep

    async def _keep_leases(self) -> None:
        while True:
            await asyncio.sleep(10)
            self.site.actions.busy_lag_s = self.outcomes.redraw_busy_lag()
            self.site.actions.end_leases(_LEASE_S)

    async def _push_all(self) -> None:
        for run in self.plan.runs:
            await asyncio.sleep(max(0.0, run.at - self.loop.time()))
            repository = self.site.world.repositories[f"octo-org/{run.repository}"]
            lengths = {job.name: job.seconds for job in run.jobs}
            pushed = self.site.actions.push(repository, {_PATH: run.workflow}, _PATH, lengths)
            planned = {job.name: job for job in run.jobs}
            for job in pushed.jobs:
                after = planned[job.instance.name].cancel_after
                if after is not None:
                    self.loop.call_later(after, self._cancel, job)
        await asyncio.sleep(max(0.0, self.plan.calm_at - self.loop.time()))

    def _cancel(self, job: Job) -> None:
        if job.status != "completed":
            self.tell("github", f"{job.instance.name} is cancelled by a person")
            self.site.actions.cancel(job)

    async def _until_quiet(self) -> None:
        give_up = self.plan.calm_at + QUIET_WITHIN_S
        while self.loop.time() < give_up:
            if not self._left():
                await asyncio.sleep(_UPKEEP_S)
                return
            await asyncio.sleep(15)
        for each in self._left():
            self.watch.broken("liveness", each)

    def look_at_the_end(self, said: list[str]) -> None:
        """No secret in a record or in anything that was logged, and no record that nobody needs any more."""
        records = [value for kind in KINDS for value in self.dicts.entries(f"simulated-{kind.name}").values()]
        secrets = [
            WEBHOOK_SECRET,
            "BEGIN RSA",
            *self.site.world.tokens,
            *(r.secret for r in self.site.world.all_runners.values()),
        ]
        for secret in secrets:
            if any(secret.encode() in value for value in records) or any(secret in event for event in said):
                self.watch.broken("secret", "a secret is in a record or in the log")
        for kind in _GONE_IN_THE_END:
            if left := self._keys(kind):
                self.watch.broken("records", f"{len(left)} {kind} are left: {', '.join(left[:3])}")

    def _left(self) -> list[str]:
        jobs = [f"job {job.instance.name} is {job.status}" for job in self.site.jobs() if job.status != "completed"]
        boxes = [f"sandbox of {box.spec.name} runs" for box in self.boxes.all.values() if box.running]
        runners = [f"runner {runner.name} is registered" for runner in self.site.world.runners.values()]
        return jobs + boxes + runners + [f"slot {key} is taken" for key in self._keys("slots")]

    def _keys(self, kind: str) -> list[str]:
        found = self.dicts.entries(f"simulated-{kind}")
        return sorted(key.decode() for key in found)


def _real_time() -> float:
    """JWTs are dated by githubkit, which asks the machine; nothing of them is in the history."""
    return datetime.now(UTC).timestamp()


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
    starts = [job.started_at - job.created_at for job in universe.site.jobs() if job.started_at is not None]
    outcomes, violations = universe.outcomes, universe.watch.violations
    return Outcome(plan, violations, history.lines, loop.time(), loop.steps, outcomes.struck, outcomes.strikes, starts)

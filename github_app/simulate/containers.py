"""The app's containers: those of the web function, a sweep's each minute, and what becomes of them."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from pydantic import SecretStr

from github_app.compose import Outside, Parts, compose
from github_app.errors import StoreError
from github_app.simulate.deployment import VERSIONS, WEBHOOK_SECRET, Version, VirtualClock, config, settings
from github_app.simulate.loop import SeededLoop
from github_app.simulate.plan import Plan
from github_app.simulate.wire import WireToApp, in_container
from github_app.web import create_app

_SWEEP_EVERY_S = 60.0
# What a container has asked for takes effect at most so much later, though it has ended since.
_UNDER_WAY_S = 60.0


@dataclass
class _Container:
    """One, of a version; `ended_at` is None as long as it lives."""

    version: Version
    ended_at: float | None = None


class Containers:
    """Starts them, kills and freezes them, and deploys the next version."""

    def __init__(
        self,
        plan: Plan,
        loop: SeededLoop,
        wire: WireToApp,
        outside: Callable[[str], Outside],
        tell: Callable[[str, str], None],
    ) -> None:
        """`outside`: what leads out of the container of a name."""
        self._skews = plan.skews
        self._warm = plan.warm
        self._loop = loop
        self._wire = wire
        self._outside = outside
        self._tell = tell
        self._all: dict[str, _Container] = {}
        self._generations: Counter[int] = Counter()
        self._newest_sweep = ""
        self._versions = iter(VERSIONS)
        self._version = next(self._versions)

    @property
    def cap_per_repository(self) -> int:
        """The most runners that any container may have started one more above, at this moment."""
        return max(version.cap_per_repository for version in self._in_force())

    @property
    def cap_in_all(self) -> int:
        """The same for all repositories."""
        return max(version.cap_in_all for version in self._in_force())

    @property
    def agree(self) -> bool:
        """Whether all give a job the same machine."""
        return len({version.vcpu for version in self._in_force()}) == 1

    def start_all(self) -> None:
        """Start the containers of the web function."""
        for number in range(len(self._skews) - 1):
            self._start(number)

    async def sweep_each_minute(self) -> None:
        """What the schedule does on Modal: a container of its own each time, whether the last has ended or not."""
        for number in itertools.count(1):
            name = self._newest_sweep = f"sweep.{number}"
            self._all[name] = _Container(self._version)
            in_container(name, self._sweep(name)).add_done_callback(partial(self._ended, name))
            await asyncio.sleep(_SWEEP_EVERY_S)

    def kill(self, number: int, seconds: float) -> None:
        """`kill -9`; a web container is started again after some seconds."""
        name = self._name(number)
        self._end(name)
        if number < len(self._skews) - 1:
            self._loop.call_later(seconds, self._restart, number)

    def freeze(self, number: int, seconds: float) -> None:
        """Let one stand still."""
        name = self._name(number)
        self._tell(name, f"freezes for {seconds:.0f} s")
        self._loop.freeze(name)
        self._loop.call_later(seconds, self._loop.thaw, name)

    def redeploy(self, seconds: float) -> None:
        """Deploy the next version, whose containers serve beside those of the last for some seconds."""
        self._version = next(self._versions, self._version)
        self._tell("modal", f"deploys {self._version}")
        for name in self._serving():
            self._loop.call_later(seconds, self._end, name)
        for number in range(len(self._skews) - 1):
            self._start(number)

    def _restart(self, number: int) -> None:
        if self._name(number) not in self._serving():
            self._start(number)

    def _serving(self) -> list[str]:
        return [name for name, each in self._all.items() if name.startswith("web") and each.ended_at is None]

    def _start(self, number: int) -> None:
        self._generations[number] += 1
        name = f"web{number}.{self._generations[number]}"
        self._all[name] = _Container(self._version)
        in_container(name, self._serve(number, name))

    async def _serve(self, number: int, name: str) -> None:
        """What the web function does on Modal: answer deliveries."""
        parts = self._compose(name, self._skews[number])
        await self._prepared(parts, name)
        self._wire.listen(f"web{number}", name, create_app(parts.service, [SecretStr(WEBHOOK_SECRET)]))
        self._tell(name, "serves")

    async def _sweep(self, name: str) -> None:
        parts = self._compose(name, self._skews[-1])
        await self._prepared(parts, name)
        await parts.sweep.run()
        # What it has left in the background ends with it: Modal keeps no container alive for that.
        self._loop.kill(name)

    async def _prepared(self, parts: Parts, name: str) -> None:
        """Modal starts a container again that ends with an error."""
        while True:
            try:
                await parts.prepare()
            except StoreError as error:
                self._tell(name, f"cannot start: {error}")
                await asyncio.sleep(5)
            else:
                return

    def _compose(self, name: str, skew: float) -> Parts:
        version = self._all[name].version
        clock = VirtualClock(time=self._loop.time, skew=skew)
        return compose(settings(version), config(version, self._warm), clock, outside=self._outside(name))

    def _end(self, name: str) -> None:
        self._tell(name, "is killed")
        self._loop.kill(name)
        self._wire.hang_up(name)
        self._ended(name)

    def _ended(self, name: str, _task: "asyncio.Task[None] | None" = None) -> None:
        self._all[name].ended_at = self._all[name].ended_at or self._loop.time()

    def _name(self, number: int) -> str:
        """The container of this number as it is now; behind those of the web function stands the sweep's."""
        is_web = number < len(self._skews) - 1
        return f"web{number}.{self._generations[number]}" if is_web else self._newest_sweep

    def _in_force(self) -> list[Version]:
        oldest = self._loop.time() - _UNDER_WAY_S
        return [each.version for each in self._all.values() if each.ended_at is None or each.ended_at > oldest]

"""An event loop without a wall clock: time jumps to the next timer, and chance orders what is ready.

One thread, no socket, no process. Each step belongs to a container of the app, or to the world around them. A container
can be frozen, so that its steps wait, and killed, so that they never come: not even its `finally`.
"""

import asyncio
import contextvars
import heapq
import itertools
import random
from asyncio import base_events, events
from collections import deque
from collections.abc import Callable
from typing import TypeVarTuple

Args = TypeVarTuple("Args")
# Whose step it is; empty: the world's.
CONTAINER: contextvars.ContextVar[str] = contextvars.ContextVar("container", default="")


class Stuck(Exception):  # noqa: N818 - what became of it
    """Nothing is ready and no timer runs, so whoever waits would wait for ever; or there is no end of steps."""


class SeededLoop(base_events.BaseEventLoop):
    """Runs one callback at a time, drawn by `dice` from those that are ready; `time` is 0 at the start."""

    # The base class keeps it, and says so to no type checker.
    _ready: "deque[events.Handle]"

    def __init__(self, dice: random.Random, most_steps: int) -> None:
        super().__init__()
        self._dice = dice
        self._most_steps = most_steps
        self._now = 0.0
        # When each is due, in which order they were asked for, and what is to be run: compared without Python's help.
        self._timers: list[tuple[float, int, events.TimerHandle]] = []
        self._asked_for = itertools.count()
        self._frozen: dict[str, list[events.Handle]] = {}
        self._dead: set[str] = set()
        # What a dead container left unfinished: were it collected, its `finally` would run.
        self._kept: list[object] = []
        self.steps = 0
        self.after_step: Callable[[], None] | None = None
        self.set_exception_handler(lambda _loop, _context: None)

    def time(self) -> float:
        """Virtual seconds since the start."""
        return self._now

    def call_at(
        self,
        when: float,
        callback: Callable[[*Args], object],
        *args: *Args,
        context: contextvars.Context | None = None,
    ) -> events.TimerHandle:
        """Run `callback` at that virtual time."""
        timer = events.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, next(self._asked_for), timer))
        return timer

    def freeze(self, container: str) -> None:
        """Let a container's steps wait."""
        self._frozen.setdefault(container, [])

    def thaw(self, container: str) -> None:
        """Let a frozen container go on."""
        self._ready.extend(self._frozen.pop(container, ()))

    def kill(self, container: str) -> None:
        """Let none of a container's steps come any more."""
        self._dead.add(container)
        self._kept += [self._frozen.pop(container, None), *asyncio.all_tasks(self)]

    def abandon(self) -> None:
        """Leave everything as it is: what is under way does not end, not even by an error."""
        self.after_step = None
        self._ready.clear()
        self._timers.clear()
        self.close()
        self._kept.clear()
        self._frozen.clear()

    def _run_once(self) -> None:
        ready, timers = self._ready, self._timers
        if not ready or (timers and timers[0][0] <= self._now):
            self._let_time_pass()
        if len(ready) > 1:
            # The chosen one changes places with the last.
            chosen = int(self._dice.random() * len(ready))
            ready[chosen], ready[-1] = ready[-1], ready[chosen]
        handle = ready.pop()
        if handle.cancelled():
            return
        container = handle._context.get(CONTAINER, "")  # type: ignore[attr-defined]  # noqa: SLF001
        if container in self._dead:
            self._kept.append(handle)
        elif container in self._frozen:
            self._frozen[container].append(handle)
        else:
            self._step(handle)

    def _step(self, handle: events.Handle) -> None:
        handle._run()  # noqa: SLF001 - the loop's own
        self.steps += 1
        if self.steps > self._most_steps:
            raise Stuck(f"no end after {self._most_steps} steps")
        if self.after_step is not None:
            self.after_step()

    def _let_time_pass(self) -> None:
        timers = self._timers
        while timers and (timers[0][0] <= self._now or not self._ready):
            when, _, timer = heapq.heappop(timers)
            if not timer.cancelled():
                self._now = max(self._now, when)
                self._ready.append(timer)
        if not self._ready:
            raise Stuck("nothing is ready and no timer runs")

    def _process_events(self, event_list: object) -> None:
        """There are none."""
        del event_list

    def _write_to_self(self) -> None:
        """Nobody else could wake this."""

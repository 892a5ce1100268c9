"""A process in which time and chance come from a seed alone."""

import asyncio
import contextlib
import gc
import os
import random
import sys
import time
import warnings
from collections.abc import Iterator

from github_app.simulate.loop import SeededLoop

_MOST_STEPS = 5_000_000


@contextlib.contextmanager
def only_chance(seed: int, origin: float) -> Iterator[SeededLoop]:
    """Give a loop, and let what is drawn in this process come from the seed for as long.

    `time.time` is the loop's time after `origin`.
    """
    dice = random.Random(f"os {seed}")  # noqa: S311
    loop = SeededLoop(random.Random(f"order {seed}"), _MOST_STEPS)  # noqa: S311
    before = (time.time, os.urandom, random.__dict__["_urandom"], sys.unraisablehook)
    try:
        # What `uuid` and `secrets` draw from.
        os.urandom = random.__dict__["_urandom"] = dice.randbytes
        random.seed(seed)
        time.time = lambda: origin + loop.time()
        asyncio.set_event_loop(loop)
        # Nothing is collected while it runs: when, would depend on what ran before; and it is faster.
        gc.disable()
        # What is there already is not looked through when it is over.
        gc.freeze()
        yield loop
    finally:
        sys.unraisablehook = lambda _: None
        with warnings.catch_warnings():
            # What was abandoned comes to nothing here, where nobody hears of it.
            warnings.simplefilter("ignore")
            loop.abandon()
            gc.collect()
        gc.unfreeze()
        gc.enable()
        time.time, os.urandom, random.__dict__["_urandom"], sys.unraisablehook = before
        asyncio.set_event_loop(None)

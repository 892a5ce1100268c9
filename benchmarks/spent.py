"""CPU by container of a simulation: what its steps take, the Dicts' side of each call with them."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Iterator
from unittest import mock

from github_app.simulate.loop import CONTAINER, SeededLoop


@contextlib.contextmanager
def cpu_by_container() -> Iterator[Counter[str]]:
    """Seconds so far, by the container's name; of the world around them nothing is counted."""
    spent: Counter[str] = Counter()
    step = SeededLoop._step

    def counted(self: SeededLoop, handle: asyncio.Handle) -> None:
        began = time.process_time()
        step(self, handle)
        if of := handle._context.get(CONTAINER, ""):  # type: ignore[attr-defined]
            spent[of] += time.process_time() - began  # type: ignore[assignment]  # a Counter counts floats too

    with mock.patch.object(SeededLoop, "_step", counted):
        yield spent

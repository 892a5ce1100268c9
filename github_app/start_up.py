"""How a process imports what it needs: with no collection of garbage meanwhile."""

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Make what stays as long as the process, such as modules, and never look through it for garbage.

    The collector looks through all objects each time that they have grown by a quarter (docs of Python's `gc`): with
    the SDKs a fifth of a start, and later 40 ms in which nothing is answered.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()

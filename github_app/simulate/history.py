"""What happened in a seed, a line a step: the app's log, and what the world tells."""

from collections.abc import Callable, MutableMapping
from typing import Any, NoReturn, Self

import structlog

from github_app.simulate.loop import CONTAINER

# Of a log line.
_SHOWN = ("job", "runner", "sandbox", "reason", "hold", "state", "again_in_s", "part", "status")


class History:
    """The lines; while it is entered, the app's log goes here."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        # Everything that the app has logged, of which a line shows a part.
        self.said: list[str] = []
        self.closed = False
        self.time: Callable[[], float] = float
        self._before: dict[str, Any] = {}

    def tell(self, who: str, what: str) -> None:
        """Write a line."""
        if not self.closed:
            self.lines.append(f"{self.time():10.3f} {who:8} {what}")

    def __enter__(self) -> Self:
        self._before = structlog.get_config()
        structlog.configure(
            processors=[structlog.contextvars.merge_contextvars, self._take], cache_logger_on_first_use=False
        )
        return self

    def __exit__(self, *_: object) -> None:
        structlog.configure(**self._before)

    def _take(self, _logger: object, _method: str, event: MutableMapping[str, Any]) -> NoReturn:
        self.said.append(str(event))
        said = " ".join(f"{name}={event[name]}" for name in _SHOWN if event.get(name) is not None)
        self.tell(CONTAINER.get(), f"{event['event']} {said}"[:400])
        raise structlog.DropEvent

"""uvicorn, held to deadlines and limits, which it has none of: whoever connects need not be GitHub.

On Modal its own proxy stands there instead (docs/security.md).
"""

import asyncio
import errno
import math
import resource
import socket
from typing import Any

import h11
import structlog
import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.flow_control import CLOSE_HEADER
from uvicorn.protocols.http.h11_impl import H11Protocol

from github_app.clock import Clock
from github_app.web.seldom import Seldom

# Seconds in which a request's head and its body have to be there. GitHub gives the whole exchange ten seconds.
_LIMITS_S: dict[Any, float] = {h11.IDLE: 10.0, h11.SEND_BODY: 15.0}
_UNREAD_S = 15.0
# On one connection: whoever sends thousands of requests at once and reads no answer must not hold it meanwhile.
_MOST_REQUESTS = 50
_MOST_CONNECTIONS = 500
# Descriptors that the process may have, where the system lets it; half of them are left to calls and files.
_DESCRIPTORS = 4096
# Cloud hosts and `docker stop` kill ten seconds after SIGTERM.
_SHUTDOWN_S = 8
# Connections that are accepted in one go.
_LONGEST_BURST = 50
_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}

_log = structlog.get_logger(__name__)


_refused, _late, _failed = Seldom(Clock()), Seldom(Clock()), Seldom(Clock())


class _BoundedProtocol(H11Protocol):
    """A connection on which a request's head and body come in time, and of which there are not too many."""

    most = _MOST_CONNECTIONS
    _phase: Any = None
    _deadline: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None
    _served = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._watch()
        if len(self.connections) > self.most:
            if count := _refused.due():
                _log.warning("too_many_connections", count=count, most=self.most)
            # Who has let us wait longest: GitHub sends at once, and must find a place.
            others = [each for each in self.connections if isinstance(each, _BoundedProtocol) and each is not self]
            longest = min(others, key=lambda each: each.waited_for_until)
            (self if longest.waited_for_until == math.inf else longest).transport.abort()

    @property
    def waited_for_until(self) -> float:
        """Until when this connection is waited for, in the loop's time; for ever when it waits for us."""
        return min((each.when() for each in (self._deadline, self._unread) if each is not None), default=math.inf)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._say_that_it_is_the_last()
        self._watch()

    def on_response_complete(self) -> None:
        self._served += 1
        super().on_response_complete()
        if self._served >= _MOST_REQUESTS:
            self.transport.close()
        # A second request may have come with the first.
        self._say_that_it_is_the_last()
        self._watch()

    def _say_that_it_is_the_last(self) -> None:
        """Have the last answer of a connection say so: whoever sent another then would see a reset."""
        if self._served == _MOST_REQUESTS - 1 and self.cycle is not None and not self.cycle.response_started:
            # By the request's own header uvicorn knows that it has to.
            self.cycle.scope["headers"] = [*self.cycle.scope["headers"], CLOSE_HEADER]

    def pause_writing(self) -> None:
        """Give a peer that does not read what it asked for as long as one that does not send."""
        super().pause_writing()
        self._unread = self._unread or self.loop.call_later(_UNREAD_S, self._expire)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel()
        if self._unread is not None:
            self._unread.cancel()
        super().connection_lost(exc)

    def _watch(self) -> None:
        """Begin a deadline where a head or a body begins; bytes do not prolong it."""
        phase = self.conn.their_state
        if phase is self._phase or self.transport.is_closing():
            return
        self._cancel()
        self._phase = phase
        if (limit := _LIMITS_S.get(phase)) is not None:
            self._deadline = self.loop.call_later(limit, self._expire)

    def _expire(self) -> None:
        phases = {h11.IDLE: "a head", h11.SEND_BODY: "a body"}
        if count := _late.due():
            _log.warning("request_too_slow", count=count, waited_for=phases.get(self._phase, "its reading"))
        # A close would wait for a peer that reads nothing.
        self.transport.abort()

    def _cancel(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class Listener(socket.socket):
    """A listening socket that ends asyncio's burst of accepts at the first that fails for want of descriptors.

    asyncio goes on with the burst, logs each, and tries each again after a second (python/cpython#151615). A burst is
    short, so that connections over the limit are closed before more are accepted.
    """

    _exhausted = False
    _burst = 0

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept, or tell asyncio that nothing waits, at the end of a burst."""
        self._burst += 1
        if self._exhausted or self._burst > _LONGEST_BURST:
            self._exhausted, self._burst = False, 0
            raise BlockingIOError
        try:
            return super().accept()
        except OSError as error:
            self._exhausted = error.errno in _EXHAUSTED
            raise


def server(app: Starlette) -> uvicorn.Server:
    """Make the server of an application; it is to run in the loop that runs now."""
    asyncio.get_running_loop().set_exception_handler(_tell_seldom)
    protocol = type("_Protocol", (_BoundedProtocol,), {"most": min(_MOST_CONNECTIONS, _descriptors() // 2)})
    return uvicorn.Server(
        uvicorn.Config(
            app,
            http=protocol,
            # Nobody speaks over a websocket here; by default uvicorn looks for a package that does.
            ws="none",
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=_SHUTDOWN_S,
        )
    )


def _descriptors() -> int:
    """How many descriptors the process may have; raised to what the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(_DESCRIPTORS, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    if soft < _DESCRIPTORS:
        _log.warning("few_descriptors", limit=soft, advice=f"allow {_DESCRIPTORS} open files (ulimit -n, LimitNOFILE)")
    return soft


def _tell_seldom(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    if str(context.get("message", "")).startswith("socket.accept()"):
        if count := _failed.due():
            _log.warning("accept_failed", count=count, reason=str(context.get("exception")))
    else:
        loop.default_exception_handler(context)

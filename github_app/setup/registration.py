"""One registration under way: its one-use state, and the code that GitHub sends the browser back with."""

import asyncio
import hmac
import re
import secrets
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

from github_app.errors import SetupError

# Between the posted manifest and the trade of the code lies at most an hour (docs: "Registering a GitHub App from a
# manifest").
LIFETIME_S = 3600.0

_CODE = re.compile(r"[A-Za-z0-9_-]{8,100}")
FOREIGN = (
    "This answer does not belong to the setup that is running here. "
    "Go back to the first page and press the button again."
)
USED = (
    "This registration has been answered already, maybe from another tab. If GitHub has just made a second App, "
    "delete it on its settings page; the first one is being set up."
)
LATE = "More than an hour has passed since the page was made. Go back to the first page and press the button again."
NEITHER = (
    "This is neither the address that GitHub sent the browser to (http://127.0.0.1:.../registered?...), nor a code."
)
STOPPED = "The setup was stopped. Run the same command again: it goes on from here."
NO_CODE = "GitHub sent no code along. Go back to the first page and press the button again."


class Registration:
    """Takes codes, one after the other; each comes with the state that was valid when the page was made."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._codes: asyncio.Queue[str] = asyncio.Queue()
        self._outcome: asyncio.Future[None] | None = None
        self.is_over = False
        self._renew()

    @property
    def state(self) -> str:
        """What the form has to carry along."""
        if self._now() >= self._until:
            self._renew()
        return self._state

    def take(self, code: str, state: str) -> "asyncio.Future[None]":
        """Take what the browser came back with; the result tells when the code has been traded, or why not.

        Raises:
            SetupError: wrong or used state, or too late.
        """
        if not hmac.compare_digest(state.encode(), self._state.encode()):
            raise SetupError(USED if self.is_over or self._outcome is not None else FOREIGN)
        if self.is_over or self._outcome is not None:
            raise SetupError(USED)
        if self._now() >= self._until:
            raise SetupError(LATE)
        return self.accept(code)

    def accept(self, code: str) -> "asyncio.Future[None]":
        """Take a code by hand: whoever pastes it into the terminal vouches for it.

        Raises:
            SetupError: there is no code, or one is being traded.
        """
        if not code:
            raise SetupError(NO_CODE)
        if self.is_over or self._outcome is not None:
            raise SetupError(USED)
        self._outcome = asyncio.get_running_loop().create_future()
        # Nobody may be there to hear it: a code pasted by hand, a browser that has gone.
        self._outcome.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._codes.put_nowait(code)
        return self._outcome

    def paste(self, text: str) -> None:
        """Take a pasted line: the whole address that the browser was sent to, or the code alone.

        Raises:
            SetupError: wrong state, or no code.
        """
        text = text.strip()
        if "code=" in text:
            query = parse_qs(urlsplit(text).query or text)
            self.take(query.get("code", [""])[0], query.get("state", [""])[0])
        elif not _CODE.fullmatch(text):
            raise SetupError(NEITHER)
        else:
            self.accept(text)

    async def next_code(self) -> str:
        """Wait for a code.

        Raises:
            SetupError: none came within the hour.
        """
        try:
            async with asyncio.timeout(LIFETIME_S):
                return await self._codes.get()
        except TimeoutError:
            raise SetupError("No answer came from GitHub within an hour. Run `modal-runner setup` again.") from None

    def succeed(self) -> None:
        """The code was traded and what it bought is stored: no other is taken."""
        self.is_over = True
        if self._outcome is not None:
            self._outcome.set_result(None)

    def fail(self, problem: str) -> None:
        """The code bought nothing; the person may try again, from the page that is open."""
        outcome, self._outcome = self._outcome, None
        if outcome is not None:
            outcome.set_exception(SetupError(problem))

    def stop(self) -> None:
        """Let a browser that still waits know that nothing more comes."""
        if self._outcome is not None and not self._outcome.done():
            self._outcome.set_exception(SetupError(STOPPED))

    def _renew(self) -> None:
        self._state = secrets.token_urlsafe(32)
        self._until = self._now() + LIFETIME_S

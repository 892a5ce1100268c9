"""Registering the App: a person presses a button in a browser, and GitHub sends the code back."""

import asyncio
import contextlib
import os
import secrets
import sys
import threading
import time
import webbrowser
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from github_app.errors import GitHubError, SetupError
from github_app.github import NewApp, convert
from github_app.github.manifest import LONGEST_NAME, registration_manifest
from github_app.settings.github_host import Host
from github_app.setup.pages import LOOPBACK, Form, Pages
from github_app.setup.progress import Progress
from github_app.setup.registration import Registration

# Where deliveries would go if the address cannot be told before the deploy: a name that belongs to nobody (RFC 2606).
_NOWHERE = "https://modal-runner.example.com/webhook"


@dataclass(frozen=True)
class Wish:
    """What the command line asks for. `owner` is an organisation; None is one's own account."""

    owner: str | None
    name: str | None
    host: Host
    opens_browser: bool
    app_name: str
    # With one's own account: its name, where it was given.
    login: str | None = None

    @property
    def github_name(self) -> str:
        """The App's name at GitHub, where the names of all Apps are one namespace."""
        return self.name or f"modal-runner-{self.owner or secrets.token_hex(3)}"[:LONGEST_NAME].rstrip("-")


class Registering:
    """One App being registered. `pages` have to be served meanwhile."""

    def __init__(
        self,
        wish: Wish,
        *,
        port: int,
        hook_url: str | None,
        label: str,
        progress: Progress,
        keep: Callable[[NewApp], Awaitable[None]],
        rescue: Callable[[NewApp], None],
    ) -> None:
        """`keep` stores an App's secrets; `rescue` does so at once on this machine, when the setup is being stopped."""
        self._keep = keep
        self._rescue = rescue
        self._bought: NewApp | None = None
        self._is_stopping = False
        self._wish = wish
        self._progress = progress
        self._address = f"http://{LOOPBACK}:{port}"
        self.registration = Registration(time.monotonic)
        manifest = registration_manifest(
            name=wish.github_name,
            hook_url=f"{hook_url}/webhook" if hook_url else _NOWHERE,
            redirect_url=f"{self._address}/registered",
            personal=wish.owner is None,
        )
        self.pages = Pages(Form(wish.host.web_url, wish.owner, manifest), self.registration, progress, label)

    async def new_app(self) -> NewApp:
        """Send the person to the page, and wait for an App whose secrets are kept.

        A stop is let through when nothing can be lost by it: a code buys the App's key but once.

        Raises:
            SetupError: nothing came within the hour, or what came could not be kept.
        """
        with self._asking():
            while True:
                code = await self.registration.next_code()
                self._progress.tell("GitHub sent a code; trading it for the App's key and secrets")
                app = await self._to_the_end(asyncio.ensure_future(self._trade_and_keep(code)))
                if app is not None:
                    return app

    async def _to_the_end(self, work: "asyncio.Future[NewApp | None]") -> NewApp | None:
        """Wait for what a code buys; a stop meanwhile rescues what is bought, or waits until GitHub has answered."""
        while True:
            try:
                return await asyncio.shield(work)
            except asyncio.CancelledError:
                self._is_stopping = True
                if self._bought is None and not work.done():
                    self._progress.tell("stopping as soon as GitHub has answered: the key is given out but once")
                    continue
                if self._bought is not None and not work.done():
                    self._rescue(self._bought)
                work.cancel()
                await asyncio.gather(work, return_exceptions=True)
                raise

    async def _trade_and_keep(self, code: str) -> NewApp | None:
        """The App that a code bought, kept; None when it bought none that can be used."""
        try:
            app = await self._trade(code)
            self._check_owner(app)
        except SetupError as error:
            self._progress.tell(str(error))
            self.registration.fail(str(error))
            app = None
        if app is not None and not self._is_stopping:
            self._bought = app
            await self._keep(app)
        elif app is not None:
            self._rescue(app)
        if self._is_stopping:
            raise asyncio.CancelledError
        return app

    async def _trade(self, code: str) -> NewApp:
        try:
            return await convert(code, self._wish.host)
        except GitHubError as error:
            if error.status == 404:
                raise SetupError(
                    "GitHub does not take this code: each is good once, for an hour. Press the button again; if GitHub "
                    "then says that the name is taken, delete the App of the first try on its settings page"
                ) from error
            raise SetupError(
                f"{error}. Press the button again, under another name if GitHub says it is taken"
            ) from error

    def _check_owner(self, app: NewApp) -> None:
        wanted = self._wish.owner or self._wish.login
        if wanted is not None and app.owner.lower() != wanted.lower():
            instead = f"not to {wanted}"
        elif self._wish.owner is None and app.owner_type != "User":
            instead = "which is no personal account"
        else:
            return
        raise SetupError(
            f"This App belongs to {app.owner}, {instead}, so it is not used: delete it at GitHub, and press the button "
            "on the page that this setup shows"
        )

    @contextlib.contextmanager
    def _asking(self) -> Iterator[None]:
        tell, page = self._progress.tell, f"{self._address}{self.pages.path}"
        if self._wish.opens_browser:
            tell(f"open {page} and press the button (no browser here? Ctrl-C, then add --no-browser)")
            with _opened(page, Path.cwd() / f"modal-runner-open-{self._port}.html"):
                yield
            return
        file = Path.cwd() / f"modal-runner-register-{self._port}.html"
        tell(f"on this machine, or with its port forwarded (ssh -L {self._port}:{LOOPBACK}:{self._port} ...):")
        tell(f"    open {page} and press the button; it opens in one browser, once")
        try:
            _write(file, self.pages.first(pasted=True))
        except OSError:
            tell(f"(no file for another machine: nothing can be written in {Path.cwd()})")
        tell(f"or copy {file} to where your browser is, open it there, and press the button;")
        tell("    then paste here the address that GitHub sends your browser to, or the code in it, and press Enter")
        try:
            with _pasted_lines(self._take_line):
                yield
        finally:
            with contextlib.suppress(OSError):
                file.unlink(missing_ok=True)

    @property
    def _port(self) -> str:
        return self._address.rpartition(":")[2]

    def _take_line(self, line: str) -> None:
        if not line.strip():
            return
        try:
            self.registration.paste(line)
        except SetupError as error:
            self._progress.tell(str(error))


@contextlib.contextmanager
def _opened(page: str, file: Path) -> Iterator[None]:
    """Open a page in the browser by way of a file of one's own: a browser's arguments can be read by everyone here."""
    try:
        _write(file, f'<!doctype html><meta http-equiv="refresh" content="0; url={page}"><a href="{page}">{page}</a>')
        webbrowser.open(file.as_uri())
    except OSError:
        webbrowser.open(page)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            file.unlink(missing_ok=True)


def _write(file: Path, text: str) -> None:
    # The state in it is no secret for long, and of no use without this setup; still it is nobody else's business.
    file.unlink(missing_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as page:
        page.write(text)


def can_open_browser() -> bool:
    """Whether a browser would open beside the terminal; where there is no screen, one may open inside it."""
    screen = any(os.environ.get(name) for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY"))
    return screen or sys.platform in {"darwin", "win32"}


@contextlib.contextmanager
def _pasted_lines(take: Callable[[str], None]) -> Iterator[None]:
    """Hand each line of standard input to `take`, in the loop's own thread."""
    loop = asyncio.get_running_loop()
    # None when a program has closed it.
    source: Iterable[str] = sys.stdin or ()

    def read() -> None:
        with contextlib.suppress(RuntimeError, ValueError):  # the loop, or the stream, is closed
            for line in source:
                loop.call_soon_threadsafe(take, line)

    # Nothing ends a read from a terminal: the thread is a daemon, and what it reads after the block goes nowhere.
    threading.Thread(target=read, daemon=True, name="pasted lines").start()
    yield


def variables_of(app: NewApp, secret: str) -> Mapping[str, str]:
    """An App's credentials as settings; `secret` signs its deliveries."""
    return {
        "GITHUB_APP_ID": str(app.id),
        "GITHUB_CLIENT_ID": app.client_id,
        "GITHUB_CLIENT_SECRET": app.client_secret.get_secret_value(),
        "GITHUB_PRIVATE_KEY": app.pem.get_secret_value(),
        "WEBHOOK_SECRET": secret,
    }

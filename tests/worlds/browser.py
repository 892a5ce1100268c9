"""A real Chromium that takes the simulated GitHub for github.com, certificate and all."""

import asyncio
import contextlib
import datetime
import shutil
import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from selenium import webdriver
from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.support.ui import WebDriverWait

from github_app.simulator.github import SimulatedGitHub
from github_app.simulator.listening import listen

CHROMIUM, DRIVER = (shutil.which(name) for name in ("chromium", "chromedriver"))
_WAIT_S = 30


class Browser:
    """A browser, driven from outside the event loop."""

    def __init__(self, driver: WebDriver) -> None:
        self._driver = driver

    async def open(self, url: str) -> None:
        """Go to an address."""
        await asyncio.to_thread(self._driver.get, url)

    async def press(self, selector: str) -> None:
        """Wait for a button or a link, and press it."""

        def click(driver: WebDriver) -> bool:
            driver.find_element(By.CSS_SELECTOR, selector).click()
            return True

        await asyncio.to_thread(self._wait().until, click)

    async def until(self, wanted: str) -> str:
        """Wait until the page says something; return all its text."""

        def look(driver: WebDriver) -> str:
            text = str(driver.execute_script("return document.body ? document.body.innerText : ''"))
            return text if wanted in text else ""

        return await asyncio.to_thread(self._wait().until, look)

    def _wait(self) -> WebDriverWait[WebDriver]:
        # A page that is loaded anew takes the element away between finding and pressing it.
        ignored = (NoSuchElementException, StaleElementReferenceException)
        return WebDriverWait(self._driver, _WAIT_S, ignored_exceptions=ignored)

    async def follow(self, selector: str) -> None:
        """Press a link that opens a tab of its own, and go there."""
        tabs = set(self._driver.window_handles)
        await self.press(selector)
        new = await asyncio.to_thread(self._wait().until, lambda driver: set(driver.window_handles) - tabs)
        await asyncio.to_thread(self._driver.switch_to.window, new.pop())

    async def type(self, selector: str, text: str) -> None:
        """Write into a field."""
        await asyncio.to_thread(lambda: self._driver.find_element(By.CSS_SELECTOR, selector).send_keys(text))

    async def prefer(self, scheme: str) -> None:
        """Prefer light or dark pages."""
        features = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        await asyncio.to_thread(self._driver.execute_cdp_cmd, "Emulation.setEmulatedMedia", features)

    async def run(self, script: str) -> None:
        """Run a script in the page, whatever its policy says."""
        await asyncio.to_thread(self._driver.execute_script, script)

    async def answer(self, script: str) -> object:
        """The same of one that calls its last argument with what it has found."""
        return await asyncio.to_thread(self._driver.execute_async_script, script)

    async def complaints(self) -> list[str]:
        """What the browser's console has to say, but for answers 4xx, which scenes ask for."""
        found = await asyncio.to_thread(self._driver.get_log, "browser")  # type: ignore[attr-defined]
        return [each["message"] for each in found if "server responded with a status of 4" not in each["message"]]

    async def first_tab(self) -> None:
        """Go back to the tab that was there first."""
        await asyncio.to_thread(self._driver.switch_to.window, self._driver.window_handles[0])

    async def width_needed(self, width: int) -> int:
        """Make the window so wide, and tell how wide the page is: more means that one has to scroll sideways."""

        def measure() -> int:
            self._driver.set_window_size(width, 844)
            return int(self._driver.execute_script("return document.documentElement.scrollWidth"))

        return await asyncio.to_thread(measure)

    async def picture(self, file: Path) -> None:
        """Save what is seen."""
        await asyncio.to_thread(self._driver.save_screenshot, str(file))


@contextlib.asynccontextmanager
async def browser(github: SimulatedGitHub, folder: Path) -> AsyncIterator[Browser]:
    """Start a browser in which https://github.com is the simulated GitHub."""
    async with _over_tls(github, folder) as port:
        options = webdriver.ChromeOptions()
        options.binary_location = str(CHROMIUM)
        for argument in (
            *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            *("--disable-dev-shm-usage", "--ignore-certificate-errors", f"--user-data-dir={folder / 'profile'}"),
            f"--host-resolver-rules=MAP github.com:443 127.0.0.1:{port}",
        ):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        driver = await asyncio.to_thread(webdriver.Chrome, options, Service(str(DRIVER)))
        try:
            yield Browser(driver)
        finally:
            await asyncio.to_thread(driver.quit)


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def _over_tls(github: SimulatedGitHub, folder: Path) -> AsyncIterator[int]:
    """Serve the same GitHub over TLS as well; github.com is never asked for without it."""
    certificate = _certificate(folder)
    listener = listen()
    config = uvicorn.Config(
        github.asgi,
        log_config=None,
        lifespan="off",
        access_log=False,
        ssl_certfile=str(certificate),
        ssl_version=ssl.PROTOCOL_TLS_SERVER,
        timeout_graceful_shutdown=1,
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        await serving
        listener.close()


def _certificate(folder: Path) -> Path:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "github.com")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    file = folder / "github.com.pem"
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file.write_bytes(secret + made.public_bytes(pem))
    return file


__all__ = ["CHROMIUM", "DRIVER", "Browser", "browser"]

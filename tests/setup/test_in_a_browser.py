"""The whole setup with a real Chromium, as a newcomer does it."""

import json
from pathlib import Path

import pytest

from tests.worlds.browser import CHROMIUM, DRIVER, Browser, browser
from tests.worlds.setup_run import Command, site

pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="no Chromium here: install Debian's packages chromium and chromium-driver"
)
_PHONE = 390
_DESKTOP = 1280


async def test_two_buttons_in_a_real_browser_lead_from_nothing_to_a_job_that_ran(tmp_path: Path) -> None:
    async with site(tmp_path) as it, browser(it.github, tmp_path) as chromium:
        setup = await it.start("setup", "--org", "octo-org")
        address = (await setup.until(r"open (http://127\.0\.0\.1:\d+/\S+) "))[1]
        await chromium.open(address)
        start = await chromium.until("Register a GitHub App on octo-org")
        await _look(chromium, tmp_path, "start")
        await chromium.press("#register")
        await chromium.until("Create GitHub App")
        await chromium.press("#create")
        await chromium.until("Setting up")
        await _installs(chromium, setup, tmp_path)
        ready = await chromium.until("Modal Runner is ready")
        await _look(chromium, tmp_path, "ready")
        code = await setup.end()
        await it.job_runs()
        _, report = await it.run("probe", "--report")
        lines = {each["id"]: each["state"] for each in json.loads(report)["results"]}

    assert code == 0, setup.text
    assert "--no-probe leaves it out" in setup.text
    # The browser came back to this machine, and the witness sees.
    assert (lines[13], lines[7]) == ("holds", "holds")
    assert "github.com" in start
    assert "organization_self_hosted_runners: write" in start
    assert "runs-on: [self-hosted, modal]" in ready


async def _installs(chromium: Browser, setup: Command, folder: Path) -> None:
    await setup.until(r"open http\S+/installations/new")
    await chromium.until("Install the App on GitHub")
    await _look(chromium, folder, "install")
    await chromium.follow("#install")
    await chromium.press("#install")
    await chromium.until("is installed")
    await chromium.first_tab()


async def _look(chromium: Browser, folder: Path, name: str) -> None:
    """Nothing is cut off on a phone; the pictures are kept for a person to look at."""
    for width in (_PHONE, _DESKTOP):
        needed = await chromium.width_needed(width)
        await chromium.picture(folder / f"{name}-{width}.png")

        assert needed <= width

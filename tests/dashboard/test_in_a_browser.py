"""The dashboard in a real Chromium over a live demo: what a person does there, and whether everyone can."""

import contextlib
import json
from collections.abc import AsyncIterator
from importlib.resources import files
from pathlib import Path

import pytest

from github_app.demo.world import DEVELOPER, World, world
from github_app.simulator.github.state import Repository
from tests.worlds.browser import CHROMIUM, DRIVER, Browser, browser

pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="no Chromium here: install Debian's packages chromium and chromium-driver"
)
_PATH = ".github/workflows/ci.yml"
_AXE = files("axe_core_python").joinpath("axe.min.js").read_text(encoding="utf-8")
# Contrast, names, roles, order of headings, language: what axe calls serious or critical.
_RUN_AXE = """
const done = arguments[arguments.length - 1];
axe.run(document).then(found => done(found.violations
  .filter(each => ["serious", "critical"].includes(each.impact))
  .map(each => each.id + ": " + each.nodes.map(node => node.html.slice(0, 90)).join(" | "))));
"""


@contextlib.asynccontextmanager
async def _scene() -> AsyncIterator[tuple[World, Repository, Repository]]:
    """A demo with a repository that the developer sees, and one that only the owner does."""
    async with world() as running:
        shown = running.github.world.add_repository(running.organization, "shown")
        veiled = running.github.world.add_repository(running.organization, "veiled")
        running.github.add_person(DEVELOPER, sees={shown.full_name})
        yield running, shown, veiled


def _push(running: World, repository: Repository, name: str, seconds: int, *labels: str) -> int:
    """Push a workflow of one job; return its id."""
    job = {"runs-on": ["self-hosted", "modal", *labels], "steps": [{"run": f"sleep {seconds}"}]}
    workflow = json.dumps({"name": f"Workflow of {name}", "on": "push", "jobs": {name: job}})
    running.github.actions.push(repository, {_PATH: workflow.encode()}, _PATH)
    return running.github.jobs()[-1].id


async def _sign_in(chromium: Browser, running: World, login: str) -> None:
    await chromium.open(running.app.url)
    await chromium.press("main a.button")
    await chromium.until("Continue as")
    await chromium.press(f"button[value='{login}']")
    await chromium.until("Sign out")


async def _is_for_everyone(chromium: Browser, page: str) -> None:
    """Light and dark, axe finds nothing serious; on a phone nobody scrolls sideways."""
    for scheme in ("light", "dark"):
        await chromium.prefer(scheme)
        await chromium.run(_AXE)
        assert await chromium.answer(_RUN_AXE) == [], (page, scheme)
    for width in (390, 1280):
        assert await chromium.width_needed(width) <= width, (page, width)


async def test_a_person_signs_in_looks_and_signs_out(tmp_path: Path) -> None:
    async with _scene() as (running, shown, veiled), browser(running.github, tmp_path) as chromium:
        secret = _push(running, veiled, "veiled-job", 1)
        refused = _push(running, shown, "odd-job", 1, "gpu:h999")
        await _sign_in(chromium, running, DEVELOPER)
        await chromium.until("Nothing waits, and nothing runs.")
        # Without being loaded anew, the page shows what comes and goes.
        await chromium.run("window.sameDocument = true")
        number = _push(running, shown, "long-job", 6)
        text = await chromium.until("long-job")
        await chromium.until("Nothing waits, and nothing runs.")
        assert await chromium.answer("arguments[0](window.sameDocument)") is True
        assert "veiled" not in text
        await _is_for_everyone(chromium, "now")

        await chromium.open(f"{running.app.url}/jobs")
        assert "veiled" not in await chromium.until("long-job")
        await chromium.type("input[name=q]", "no such job")
        await chromium.press("form.filters button")
        await chromium.until("No job that is over fits this.")
        await _is_for_everyone(chromium, "history")

        await chromium.open(f"{running.app.url}/jobs/{number}")
        await chromium.until("Where its time went")
        await chromium.until("Running job: long-job")
        await _is_for_everyone(chromium, "job")
        await chromium.open(f"{running.app.url}/jobs/{refused}")
        await chromium.until("was refused")
        await _is_for_everyone(chromium, "refused")
        for guessed in (f"/jobs/{secret}", f"/jobs/{secret}/log"):
            await chromium.open(running.app.url + guessed)
            assert "veiled" not in await chromium.until("No such job")
        for page, said in (("latency", "From the queue"), ("spend", "Spend"), ("health", "Health")):
            await chromium.open(f"{running.app.url}/{page}")
            assert "veiled" not in await chromium.until(said)
            await _is_for_everyone(chromium, page)

        await chromium.press("form.who button")
        await chromium.until("Sign in with GitHub")
        await _is_for_everyone(chromium, "welcome")
        await chromium.open(f"{running.app.url}/jobs/{number}")
        assert "long-job" not in await chromium.until("Sign in with GitHub")
        assert await chromium.complaints() == []

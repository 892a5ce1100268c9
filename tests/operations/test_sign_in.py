"""The dashboard's sign-in for an App that stands, and launching that is stopped by hand."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.worlds.setup_run import Site, site


@pytest.fixture
async def it(tmp_path: Path) -> AsyncIterator[Site]:
    """A deployment that was just set up."""
    async with site(tmp_path) as made:
        await made.set_up()
        yield made


async def _add(it: Site, secret: str) -> tuple[int, str]:
    command = await it.start("setup", "--add-sign-in")
    await command.say(secret)
    return await command.end(), command.text


async def test_a_setup_leaves_nothing_to_click_for_the_sign_in(it: Site) -> None:
    [app] = it.github.world.apps.values()
    code, text = await it.run("setup", "--add-sign-in")

    assert code == 0, text
    assert [url.rpartition(".run/")[2] for url in app.callback_urls] == ["sign-in/callback"]
    assert "known already" in text
    assert "/sign-in/callback" in text


async def test_a_client_secret_is_tried_before_it_is_stored_and_is_shown_nowhere(it: Site) -> None:
    [app] = it.github.world.apps.values()
    before = it.secret["GITHUB_CLIENT_SECRET"]
    # The one that is stored was deleted there.
    app.client_secrets = ["0123456789abcdef0123456789abcdef01234567"]
    version = it.modal.deployment("modal-runner").version
    refused, said = await _add(it, "f" * 40)
    kept = it.secret["GITHUB_CLIENT_SECRET"], it.modal.deployment("modal-runner").version
    empty, asked = await it.run("setup", "--add-sign-in")
    code, text = await _add(it, app.client_secrets[0])

    assert (refused, kept) == (2, (before, version))
    assert "GitHub does not take this" in said
    assert (empty, "is wanted" in asked) == (2, True)
    assert code == 0, text
    assert it.secret["GITHUB_CLIENT_SECRET"] == app.client_secrets[0]
    assert it.modal.deployment("modal-runner").version > version
    assert app.client_secrets[0] not in text
    assert "Generate a new client secret" in text


async def test_launching_is_stopped_and_goes_on_by_hand(it: Site) -> None:
    stopped = await it.run("launching", "stop")
    shown = await it.run("launching")
    status = await it.run("status")
    going = await it.run("launching", "go-on")

    assert "somebody has stopped launching" in stopped[1]
    assert shown == stopped
    assert status[0] == 1
    assert going == (0, "runners are started\n")

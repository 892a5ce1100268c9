"""Someone at the dashboard, who signs in at the simulated GitHub as a browser would."""

import contextlib
import html
import re
from collections.abc import AsyncIterator

import httpx

from tests.worlds.universe import Universe


def dashboard_url(it: Universe) -> str:
    """Where the dashboard is."""
    return it.app.hook_url.removesuffix("/webhook")


@contextlib.asynccontextmanager
async def visitor(it: Universe, login: str | None = None, to: str = "/") -> AsyncIterator[httpx.AsyncClient]:
    """A browser without scripts, in which `login` has signed in."""
    async with httpx.AsyncClient(base_url=dashboard_url(it), trust_env=False, follow_redirects=True) as client:
        if login is not None:
            await sign_in(client, login, to)
        yield client


async def sign_in(client: httpx.AsyncClient, login: str, to: str = "/") -> httpx.Response:
    """Sign in; return the page that it leads to."""
    page = await client.get("/sign-in", params={"to": to})
    fields = dict(re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', page.text))
    form = {name: html.unescape(value) for name, value in fields.items()} | {"login": login}
    return await client.post(str(page.url.copy_with(query=None)), data=form)


def csrf_of(page: httpx.Response) -> dict[str, str]:
    """What a form of this page carries."""
    found = re.search(r'name="csrf" value="([^"]+)"', page.text)
    assert found is not None
    return {"csrf": html.unescape(found[1])}

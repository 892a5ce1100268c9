"""A person at the browser who signs in at the simulated GitHub, and the App that buys a token with the code."""

import html
import re
from dataclasses import dataclass

import httpx

from tests.worlds.github_workshop import Hub

CALLBACK = "https://app.example.com/callback"


def fields_of(page: httpx.Response) -> dict[str, str]:
    """The hidden fields of a page's form."""
    found = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', page.text)
    return {html.unescape(name): html.unescape(value) for name, value in found}


@dataclass
class Visitor:
    """Whoever sits at the browser, and the program that the browser is led back to."""

    hub: Hub

    @property
    def credentials(self) -> dict[str, str]:
        return {"client_id": self.hub.app.client_id, "client_secret": self.hub.app.client_secrets[0]}

    async def ask(self, **query: str) -> httpx.Response:
        """Go where the App leads who wants to sign in."""
        return await self.hub.client.get(
            "/login/oauth/authorize", params={"client_id": self.hub.app.client_id, **query}
        )

    async def post(self, **form: str) -> httpx.Response:
        return await self.hub.client.post("/login/oauth/authorize", data=form)

    async def press(self, page: httpx.Response, **button: str) -> httpx.Response:
        """Press a button of the page."""
        return await self.post(**fields_of(page), **button)

    async def code(self, login: str = "octo-dev", **query: str) -> str:
        """Sign in, and come back with a code."""
        answer = await self.press(await self.ask(**query), login=login)
        return httpx.URL(answer.headers["location"]).params["code"]

    async def buy(self, *, accept: str = "application/json", **given: str) -> httpx.Response:
        """Ask for a token."""
        form = self.credentials | given
        return await self.hub.client.post("/login/oauth/access_token", data=form, headers={"Accept": accept})

    async def token(self, login: str = "octo-dev") -> str:
        """A person's token."""
        return str((await self.buy(code=await self.code(login))).json()["access_token"])

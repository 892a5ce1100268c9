"""Whose Modal it is."""

import hashlib
from dataclasses import dataclass

import modal
import modal.config

from github_app.deployment.errors import deployment_errors

_LONGEST_SUBDOMAIN = 63
# The first call of a command: without a network the SDK would try for minutes.
_DEADLINE_S = 10.0


@dataclass(frozen=True)
class Workspace:
    """The workspace that Modal's token belongs to; `name` is empty when Modal does not tell it."""

    name: str

    def web_url(self, app: str, function: str) -> str | None:
        """Where a web function will be reached, before it is deployed (modal.com/docs/guide/webhook-urls).

        An environment other than the default one may have a suffix of its own in the address: then None.
        """
        if not self.name or modal.config.config.get("environment"):
            return None
        subdomain = f"{self.name}--{app}-{function}".lower().replace("_", "-").replace(".", "-")
        if len(subdomain) > _LONGEST_SUBDOMAIN:
            subdomain = f"{subdomain[:56]}-{hashlib.sha256(subdomain.encode()).hexdigest()[:6]}"
        return f"https://{subdomain}.modal.run"


async def look_up_workspace(client: modal.Client | None = None) -> Workspace:
    """Ask Modal whose token this is.

    Raises:
        DeploymentError: there is no token, Modal refuses it, or did not answer.
    """
    async with deployment_errors("looking up Modal's workspace", _DEADLINE_S):
        try:
            found = await modal.Workspace.from_context(client=client).hydrate.aio(client)
        except modal.exception.UnimplementedError:
            return Workspace("")
    return Workspace(found.name or "")

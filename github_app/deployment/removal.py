"""Stopping what runs on Modal."""

import modal
import modal.exception

from github_app.deployment.errors import deployment_errors


async def stop_app(name: str, client: modal.Client | None = None) -> bool:
    """Stop an App with its containers and sandboxes, if it is there, and tell whether it was. It is for good.

    Raises:
        DeploymentError: Modal refused or did not answer.
    """
    async with deployment_errors(f"stopping App {name!r}"):
        try:
            app = await modal.App.lookup.aio(name, client=client)
        except modal.exception.NotFoundError:
            return False
        await app.stop.aio(client=client)
        return True

"""The App's functions on Modal: deployed by Modal's own command, and found again."""

import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import modal
import modal.exception

from github_app.deployment.errors import deployment_errors
from github_app.errors import DeploymentError, InputError

_FILE = "modal_app.py"
# The image of the functions may have to be built, and the runner's.
_DEPLOY_DEADLINE_S = 3600.0
_LAST_LINES = 15


class Functions:
    """What `modal deploy modal_app.py` makes."""

    def __init__(self, app_name: str, client: modal.Client | None = None) -> None:
        self._app_name = app_name
        self._client = client

    async def deploy(self, variables: Mapping[str, str]) -> None:
        """Deploy, and replace the containers that there are, so that a changed Secret reaches them too.

        `variables` are what modal_app.py reads beside the App's name: nothing secret.

        Raises:
            InputError: modal_app.py is not here.
            DeploymentError: Modal's command failed; what was deployed before still runs.
        """
        was_there = await self.web_url() is not None
        await self._modal("deploy", str(application_file()), variables=variables)
        if was_there:
            # A deploy that changes nothing leaves the containers as they are (modal.com/docs: "modal app rollover").
            await self._modal("app", "rollover", self._app_name)

    async def web_url(self) -> str | None:
        """The base of the web function's address; None when it is not deployed, or Modal does not tell it.

        Raises:
            DeploymentError: Modal refused or did not answer.
        """
        async with deployment_errors("looking up the web function"):
            try:
                function = modal.Function.from_name(self._app_name, "web", client=self._client)
                await function.hydrate.aio()
                url = await function.get_web_url.aio()
            except (modal.exception.NotFoundError, ValueError):  # the SDK ends so at an answer without a definition
                return None
        return url.rstrip("/") if url else None

    async def _modal(self, *arguments: str, variables: Mapping[str, str] | None = None) -> None:
        command = " ".join(("modal", *arguments))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "modal", *arguments),
            env={**os.environ, **(variables or {}), "MODAL_APP_NAME": self._app_name},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout(_DEPLOY_DEADLINE_S):
                output, _ = await process.communicate()
        except TimeoutError:
            raise DeploymentError(f"`{command}` took more than {_DEPLOY_DEADLINE_S:.0f} s", retryable=True) from None
        finally:
            if process.returncode is None:
                process.terminate()
                await process.wait()
        if process.returncode != 0:
            last = "\n".join(output.decode(errors="replace").strip().splitlines()[-_LAST_LINES:])
            raise DeploymentError(f"`{command}` ended with {process.returncode}:\n{last}", retryable=True)


def application_file() -> Path:
    """modal_app.py: beside the package in a checkout, or here.

    Raises:
        InputError: it is in neither place.
    """
    here, packaged = Path.cwd(), Path(__file__).parent / "packaged"
    # Many who use Modal have a file of that name: only beside the package is it ours.
    ours = [here] if (here / "github_app").is_dir() else []
    for folder in (Path(__file__).parents[2], *ours, packaged):
        if (folder / _FILE).is_file():
            return folder / _FILE
    raise InputError(f"{_FILE} is not here: run this in a checkout of Modal Runner")

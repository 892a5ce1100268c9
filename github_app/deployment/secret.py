"""The Modal Secret that holds the App's settings: the only place where its key and secrets are kept."""

from collections.abc import Collection, Mapping

import modal
import modal.exception

from github_app.deployment.errors import deployment_errors
from github_app.errors import DeploymentError

# The output of a command run in a sandbox is kept in no log, unlike what a sandbox itself prints.
_READ = ("env", "-0")
_READ_DEADLINE_S = 180.0


class SettingsSecret:
    """`<app name>-settings`. Nothing of it is ever written to a file or a command line."""

    def __init__(self, app_name: str, client: modal.Client | None = None) -> None:
        self.name = f"{app_name}-settings"
        self._app_name = app_name
        self._client = client

    async def holds(self, *names: str) -> bool:
        """Whether there is such a Secret, with values under these names; Modal tells the names without a container.

        Raises:
            DeploymentError: Modal refused or did not answer.
        """
        async with deployment_errors(f"looking up Secret {self.name!r}"):
            secret = modal.Secret.from_name(self.name, required_keys=list(names), client=self._client)
            try:
                await secret.hydrate.aio()
            except (modal.exception.NotFoundError, modal.exception.InvalidError):
                return False
            return True

    async def store(self, variables: Mapping[str, str]) -> None:
        """Put these variables in; those that it holds besides stay.

        Raises:
            DeploymentError: Modal refused or did not answer; to store the same again is safe.
        """
        values = dict(variables)
        async with deployment_errors(f"storing Secret {self.name!r}"):
            try:
                await modal.Secret.objects.create.aio(self.name, values, client=self._client)
            except modal.exception.AlreadyExistsError:
                secret = await modal.Secret.from_name(self.name, client=self._client).hydrate.aio()
                await secret.update.aio(values)

    async def read(self, names: Collection[str], *, makes_app: bool = True) -> dict[str, str] | None:
        """Those of `names` that it holds; None when there is no such Secret.

        Modal gives a Secret's values to containers alone, so a command in a sandbox of a minute reads them. The sandbox
        belongs to the App, which is made before the first deploy unless `makes_app` is off.

        Raises:
            DeploymentError: Modal refused or did not answer.
        """
        if not await self.holds():
            return None
        secret = modal.Secret.from_name(self.name, client=self._client)
        async with deployment_errors(f"reading Secret {self.name!r}", _READ_DEADLINE_S):
            app = await modal.App.lookup.aio(self._app_name, create_if_missing=makes_app, client=self._client)
            sandbox = await modal.Sandbox.create.aio(
                *("sleep", "60"), app=app, image=modal.Image.debian_slim(), timeout=120, client=self._client
            )
            try:
                command = await sandbox.exec.aio(*_READ, secrets=[secret], timeout=30)
                output, code = await command.stdout.read.aio(), await command.wait.aio()
            finally:
                await sandbox.terminate.aio()
        if code != 0:
            raise DeploymentError(f"reading Secret {self.name!r}: the command ended with {code}", retryable=True)
        found = dict(part.partition("=")[::2] for part in output.split("\0") if part)
        return {name: found[name] for name in names if found.get(name)}

    async def delete(self) -> None:
        """Delete it, if it is there.

        Raises:
            DeploymentError: Modal refused or did not answer.
        """
        async with deployment_errors(f"deleting Secret {self.name!r}"):
            await modal.Secret.objects.delete.aio(self.name, allow_missing=True, client=self._client)

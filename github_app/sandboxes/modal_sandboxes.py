"""Runners' sandboxes, through Modal's SDK."""

import asyncio
from collections.abc import Mapping, Sequence

import modal
import modal.exception
import structlog

from github_app.errors import SandboxError, SandboxNameTaken
from github_app.modal_errors import Boundary
from github_app.model import UNKNOWN_TO_MODAL, SandboxSpec, SandboxStatus, Witness
from github_app.routing.admission import LONGEST, hook_rules
from github_app.routing.machine import CACHE_PATH
from github_app.routing.provisions import given
from github_app.routing.rules import Rules
from github_app.sandboxes.environment import runner_variables
from github_app.sandboxes.image import BUILDER_VERSION, ImageRecipe, unpin_builder
from github_app.sandboxes.scripts import START

# Asked by plain sh, so that it needs nothing of the image. The Worker is there a second before the job's first step.
_QUESTION = """
[ -e "${RUNNER_HOME:-/home/runner}/.job-started" ] && { echo working; exit; }
for comm in /proc/[0-9]*/comm; do
    read -r name 2>/dev/null < "$comm" && [ "$name" = Runner.Worker ] && { echo working; exit; }
done
echo idle
"""
_QUESTION_TIMEOUT_S = 20
# What waits for a call holds up a sweep.
_DEADLINE_S = 60.0
sandbox_errors = Boundary(
    SandboxError,
    _DEADLINE_S,
    {modal.exception.AlreadyExistsError: (SandboxNameTaken, "a running sandbox has this name")},
)
# Modal itself gives up the search for a free GPU after 21 minutes.
_CREATE_DEADLINE_S = 1500.0
_BUILD_DEADLINE_S = 3600.0
_LAST_LINES = 12
_TOO_LONG = (
    "creating sandbox {name!r}: policy and routes together are longer than a variable of a Modal sandbox may be; write "
    "fewer names in ALLOWED_REPOS and modal-runner.toml, with wildcards"
)

_log = structlog.get_logger(__name__)


async def _variables_of(secrets: Sequence[modal.Secret]) -> set[str] | None:
    """The names of the variables that Secrets bring, which Modal tells with the look-up; None where it does not."""
    names: set[str] = set()
    for secret in secrets:
        await secret.hydrate.aio()
        # The SDK has no public way; a Secret without variables is none.
        own = await secret._get_keys.aio()  # noqa: SLF001
        if not own:
            return None
        names |= own
    return names


async def _last_words(sandbox: modal.Sandbox) -> str:
    try:
        return "".join([entry.message async for entry in sandbox.logs.tail.aio(_LAST_LINES)]).strip()
    except modal.exception.Error as error:
        return f"(its output cannot be read: {type(error).__name__})"


class ModalSandboxes:
    """The sandboxes of one Modal App, which holds nothing else: redeploying the control plane cannot end them."""

    def __init__(
        self,
        app_name: str,
        recipes: Mapping[str, ImageRecipe],
        client: modal.Client | None = None,
        *,
        rules: Rules | None = None,
    ) -> None:
        """`recipes` by the images' names; `rules` say what a profile gives, and who is admitted."""
        self._app_name = f"{app_name}-sandboxes"
        self._recipes = recipes
        self._rules = rules or Rules()
        self._client = client
        self._app: modal.App | None = None
        self._images: dict[str, modal.Image] = {}
        # Known not to work under gVisor, so that no sandbox there needs to try.
        self.sudo_fails = False

    async def prepare(self) -> None:
        """Look up App and images, and build and publish images that are missing. A launch then costs one RPC.

        Raises:
            SandboxError: Modal refused, did not answer, or could not build an image.
        """
        async with sandbox_errors(f"preparing App {self._app_name!r}"):
            self._app = await modal.App.lookup.aio(self._app_name, create_if_missing=True, client=self._client)
        for name, recipe in self._recipes.items():
            async with sandbox_errors(f"preparing image {name!r} ({recipe.name})", _BUILD_DEADLINE_S):
                try:
                    self._images[name] = await self._lookup(self._app, recipe)
                except modal.exception.NotFoundError:
                    await self._build(self._app, recipe)
                    self._images[name] = await self._lookup(self._app, recipe)

    async def look_up(self) -> None:
        """Look up the App alone, to look at its sandboxes and start none; nothing is made.

        Raises:
            SandboxError: there is no such App, or Modal did not answer.
        """
        async with sandbox_errors(f"looking up App {self._app_name!r}"):
            self._app = await modal.App.lookup.aio(self._app_name, create_if_missing=False, client=self._client)

    async def missing_images(self) -> list[str]:
        """The names of the images that are not built; nothing is made.

        Raises:
            SandboxError: there is no App yet, or Modal did not answer.
        """
        await self.look_up()
        missing = []
        for name, recipe in self._recipes.items():
            async with sandbox_errors(f"looking up image {name!r}"):
                try:
                    await self._lookup(self._known_app, recipe)
                except modal.exception.NotFoundError:
                    missing.append(name)
        return missing

    @property
    def _known_app(self) -> modal.App:
        if self._app is None:
            raise SandboxError("the App is not known yet", retryable=False)
        return self._app

    async def _lookup(self, app: modal.App, recipe: ImageRecipe) -> modal.Image:
        # `build` of a named image only resolves the name: the SDK refuses to `hydrate` images.
        return await modal.Image.from_name(recipe.name, client=self._client).build.aio(app)

    async def _build(self, app: modal.App, recipe: ImageRecipe) -> None:
        _log.info("image_build_started", image=recipe.name, base=recipe.base)
        try:
            built = await recipe.image().build.aio(app)
        except (modal.exception.VersionError, modal.exception.InvalidError) as error:
            if not unpin_builder():
                raise
            reason = f"{type(error).__name__}: {error}"
            _log.warning("image_builder_refused", version=BUILDER_VERSION, reason=reason, instead="the environment's")
            built = await recipe.image().build.aio(app)
        await built.publish.aio(recipe.name, client=self._client)
        _log.info("image_built", image=recipe.name)

    async def create(self, spec: SandboxSpec) -> str:
        """Start one sandbox and return its id. With a GPU this may block for 21 minutes, until one is free.

        Raises:
            SandboxNameTaken: a running sandbox has this name.
            SandboxError: Modal refused or did not answer.
        """
        shape = spec.shape
        if shape.image not in self._images:
            raise SandboxError(f"creating sandbox {spec.name!r}: image {shape.image!r} is not built", retryable=False)
        provisions = given(shape, self._rules)
        if provisions.kept_back:
            _log.error(
                "secrets_kept_back", profile=provisions.kept_back, runner=spec.name, cure="modal-runner config check"
            )
        async with sandbox_errors(f"creating sandbox {spec.name!r}", _CREATE_DEADLINE_S):
            secrets = [modal.Secret.from_name(name, client=self._client) for name in provisions.secrets]
            names = await _variables_of(secrets)
            rules = hook_rules(spec, self._rules, can_withhold=names is not None)
            if len(rules) > LONGEST:
                raise SandboxError(_TOO_LONG.format(name=spec.name), retryable=False)
            sandbox = await modal.Sandbox.create.aio(
                "/bin/sh",
                "-euc",
                START,
                app=self._app,
                name=spec.name,
                tags=spec.tags,
                image=self._images[shape.image],
                env={
                    **provisions.env,
                    **runner_variables(spec, provisions, names or (), rules, sudo_fails=self.sudo_fails),
                },
                secrets=secrets,
                timeout=shape.timeout_s + spec.waits_s,
                gpu=str(shape.gpu) if shape.gpu else None,
                cpu=shape.cpu,
                memory=shape.memory_mib,
                region=shape.region,
                proxy=modal.Proxy.from_name(shape.proxy, client=self._client) if shape.proxy else None,
                volumes={path: self._volume(path, name) for path, name in shape.volumes},
                outbound_domain_allowlist=list(shape.network.domains) or None,
                outbound_cidr_allowlist=list(shape.network.cidrs) or None,
                # Modal's VM runtime has no GPUs; there only the older way is left (modal.com/docs/guide/docker).
                runtime="vm" if shape.docker and shape.gpu is None else None,
                experimental_options={"enable_docker": True} if shape.docker and shape.gpu else None,
                client=self._client,
            )
        return sandbox.object_id

    def _volume(self, path: str, name: str) -> modal.Volume:
        if path != CACHE_PATH:
            return modal.Volume.from_name(name, client=self._client)
        # Of the second kind, which takes hundreds of writers at once.
        return modal.Volume.from_name(name, create_if_missing=True, version=2, client=self._client)

    async def find(self, name: str) -> str | None:
        """Look a running sandbox up by name, which Modal keeps unique among the running ones.

        Raises:
            SandboxError: Modal did not answer.
        """
        async with sandbox_errors(f"looking for sandbox {name!r}"):
            try:
                sandbox = await modal.Sandbox.from_name.aio(self._app_name, name, client=self._client)
                return sandbox.object_id if await sandbox.poll.aio() is None else None
            except modal.exception.NotFoundError:
                return None

    async def running(self) -> set[str]:
        """The ids of all running sandboxes of the App.

        Raises:
            SandboxError: Modal did not answer; then nothing is known, not nothing there.
        """
        async with sandbox_errors("listing sandboxes"):
            if self._app is None or self._app.app_id is None:
                # Without an App the SDK would list every sandbox of the workspace.
                raise SandboxError("listing sandboxes: the App is not known yet", retryable=False)
            app_id = self._app.app_id
            return {each.object_id async for each in modal.Sandbox.list.aio(app_id=app_id, client=self._client)}

    async def runner_of(self, sandbox_id: str) -> str | None:
        """The runner's name in a sandbox's tags.

        Raises:
            SandboxError: Modal did not answer.
        """
        async with sandbox_errors(f"reading the tags of sandbox {sandbox_id}"):
            try:
                sandbox = await modal.Sandbox.from_id.aio(sandbox_id, client=self._client)
                return (await sandbox.get_tags.aio()).get("runner")
            except modal.exception.NotFoundError:
                return None

    async def status(self, sandbox_id: str) -> SandboxStatus:
        """Tell whether a sandbox has ended, with what code and what last words.

        Raises:
            SandboxError: Modal did not answer.
        """
        async with sandbox_errors(f"asking after sandbox {sandbox_id}"):
            try:
                sandbox = await modal.Sandbox.from_id.aio(sandbox_id, client=self._client)
                code = await sandbox.poll.aio()
            except modal.exception.NotFoundError:
                return SandboxStatus(UNKNOWN_TO_MODAL, output="Modal does not know this sandbox")
            return SandboxStatus() if code is None else SandboxStatus(code, await _last_words(sandbox))

    async def ends_within(self, sandbox_id: str, seconds: float) -> bool:
        """Wait for a sandbox's end, which Modal tells at once; False: it goes on, or Modal does not know it.

        Raises:
            SandboxError: Modal did not answer.
        """
        async with sandbox_errors(f"waiting for the end of sandbox {sandbox_id}", seconds + _DEADLINE_S):
            try:
                sandbox = await modal.Sandbox.from_id.aio(sandbox_id, client=self._client)
                async with asyncio.timeout(seconds):
                    await sandbox.wait.aio(raise_on_termination=False)
            except modal.exception.SandboxTimeoutError:
                return True
            except (TimeoutError, modal.exception.NotFoundError):
                return False
        return True

    async def output(self, name: str, sandbox_id: str | None, lines: int) -> str | None:
        """The last lines that a sandbox printed, by its id or else by its name; None when Modal knows none.

        Raises:
            SandboxError: Modal did not answer.
        """
        async with sandbox_errors(f"reading the output of sandbox {name!r}"):
            try:
                if sandbox_id is not None:
                    sandbox = await modal.Sandbox.from_id.aio(sandbox_id, client=self._client)
                else:
                    sandbox = await modal.Sandbox.from_name.aio(
                        self._app_name, name, include_terminated=True, client=self._client
                    )
                return "".join([entry.message async for entry in sandbox.logs.tail.aio(lines)]).rstrip()
            except modal.exception.NotFoundError:
                return None

    async def witness(self, sandbox_id: str) -> Witness:
        """Ask inside a sandbox whether a job runs there.

        Raises:
            SandboxError: there was no answer; then nothing is known.
        """
        async with sandbox_errors(f"asking sandbox {sandbox_id}"):
            try:
                sandbox = await modal.Sandbox.from_id.aio(sandbox_id, client=self._client)
                if await sandbox.poll.aio() is not None:
                    return Witness.GONE
                question = await sandbox.exec.aio("/bin/sh", "-c", _QUESTION, timeout=_QUESTION_TIMEOUT_S)
                answer = (await question.stdout.read.aio()).strip()
            except modal.exception.NotFoundError:
                return Witness.GONE
        if answer not in {Witness.IDLE.value, Witness.WORKING.value}:
            raise SandboxError(f"asking sandbox {sandbox_id}: no answer", retryable=True)
        return Witness(answer)

    async def terminate(self, sandbox_id: str) -> None:
        """Kill a sandbox; one that has ended or is unknown stays as it is.

        Raises:
            SandboxError: Modal did not answer.
        """
        async with sandbox_errors(f"terminating sandbox {sandbox_id}"):
            try:
                sandbox = await modal.Sandbox.from_id.aio(sandbox_id, client=self._client)
                await sandbox.terminate.aio()
            except modal.exception.NotFoundError:
                return

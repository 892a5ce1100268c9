"""What can be seen on Modal, in a few small sandboxes."""

import asyncio
import os
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from importlib.resources import files
from urllib.parse import urlsplit

import modal
import modal.exception
import msgspec

from github_app.errors import ModalRunnerError, SandboxError
from github_app.model import Gpu, Network, Shape, Witness
from github_app.probe.result import found, unknown
from github_app.routing.catalog import usd_per_minute
from github_app.routing.machine import DOCKER_MEMORY_MIB, PLAIN_CPU
from github_app.routing.network import GITHUB_ONLY
from github_app.sandboxes import ModalSandboxes
from github_app.sandboxes.image import BUILDER_VARIABLE, BUILDER_VERSION
from github_app.sandboxes.trial import Trial, Trials
from github_app.settings.github_host import host
from github_app.store.notes import ProbeResult

_HERE = files("github_app.probe")
_SAYS_S = 180.0
_ANSWERS_S = 240.0
_ROUNDS = 100
# The default job's machine, with the least memory that the image needs.
PLAIN = Shape(PLAIN_CPU, (1024, 4096), 900)
_SMALL = Shape((0.25, 1.0), (512, 1024), 900)


DOCKER = Shape(PLAIN_CPU, DOCKER_MEMORY_MIB, 900, docker=True)
_FORBIDDEN = "example.com"
# The pattern of which a name one level down and one two levels down are tried.
_CONTENT = "*.githubusercontent.com"
_BELOW_CONTENT = ("objects.githubusercontent.com", "results-receiver.actions.githubusercontent.com")
# Where the two small images come from.
_DOCKER_HUB = ("*.docker.io", "*.docker.com", "*.r2.cloudflarestorage.com")


def with_gpu(gpu: Gpu) -> Shape:
    """The machine of a plain job with a GPU."""
    return msgspec.structs.replace(PLAIN, gpu=gpu)


class _Answer(msgspec.Struct):
    wins: list[int]
    missed: int
    milliseconds: list[float]
    time: float
    builds: str = ""


class OnModal:
    """The looks at Modal. Each returns the assumptions that it decides, or says why it could not."""

    def __init__(
        self,
        trials: Trials,
        sandboxes: ModalSandboxes,
        enterprise_domain: str | None,
        told_skew: Callable[[], float | None],
    ) -> None:
        self._trials = trials
        self._sandboxes = sandboxes
        self._host = host(enterprise_domain)
        self._told_skew = told_skew

    @property
    def cost_usd(self) -> float:
        """What the sandboxes have cost until now, by list prices."""
        now = asyncio.get_running_loop().time()
        seconds = [((trial.ended or now) - trial.began, trial.shape) for trial in self._trials.all]
        return round(sum(each / 60 * usd_per_minute(shape) for each, shape in seconds), 4)

    async def plain(self) -> list[ProbeResult]:
        """sudo, threads, the witness, clocks: in one machine of a default job."""
        async with self._trials.machine(_text("machine.sh"), PLAIN) as trial:
            said = await self._trials.lines(trial, _SAYS_S)
            skew = float(said.get("time") or time.time()) - time.time()
            seen = await self._witness(trial)
        return [_sudo(said), _threads(said), *seen, self._clocks(skew)]

    async def builder(self) -> list[ProbeResult]:
        """The version of the image builder."""
        if os.environ.get(BUILDER_VARIABLE) == "":
            return [found(22, f"version {BUILDER_VERSION} was refused a moment ago", holds=False)]
        refused = await self._trials.builder()
        version = os.environ.get(BUILDER_VARIABLE, BUILDER_VERSION)
        return [found(22, refused or f"an image was built by version {version}", holds=refused is None)]

    async def network(self) -> list[ProbeResult]:
        """A closed network."""
        names = [urlsplit(self._host.api_url).hostname or ""]
        if _CONTENT in self._host.domains:
            names += _BELOW_CONTENT
        shape = msgspec.structs.replace(_SMALL, network=self._closed())
        variables = {"PROBE_NAMES": " ".join([*names, _FORBIDDEN])}
        async with self._trials.machine(_text("network.sh"), shape, variables) as trial:
            said = await self._trials.lines(trial, _SAYS_S)
        codes = dict(each.partition(":")[::2] for each in said.get("reached", "").split())
        reached = [_reached(codes.get(name)) for name in names]
        evidence = ", ".join(f"{name}: {codes.get(name) or 'no answer'}" for name in [*names, _FORBIDDEN])
        if not any(reached) and not _reached(codes.get(_FORBIDDEN)):
            return [unknown(19, f"no name at all was reached ({evidence}); check this workspace's network policy")]
        return [found(19, evidence, holds=all(reached) and not _reached(codes.get(_FORBIDDEN)))]

    async def containers(self) -> list[ProbeResult]:
        """A Dict between two sandboxes, and a build from inside one."""
        name = f"modal-runner-probe-{secrets.token_hex(6)}"
        first, second = [name, "first", str(_ROUNDS)], [name, "second", str(_ROUNDS)]
        script = _text("container.py")
        try:
            async with self._trials.container(script, first) as one, self._trials.container(script, second) as other:
                said = await asyncio.gather(*(self._trials.answer(each, _ANSWERS_S) for each in (one, other)))
        finally:
            await self._trials.forget([name], [])
        answers = [msgspec.json.decode(each, type=_Answer) for each in said]
        return [_dict(answers[0], answers[1]), _builds(answers[1].builds)]

    async def volume(self) -> list[ProbeResult]:
        """One Volume in two sandboxes at once."""
        name = f"modal-runner-probe-{secrets.token_hex(6)}"
        shape = msgspec.structs.replace(_SMALL, volumes=(("/probe", name),))
        try:
            said = await asyncio.gather(*(self._fill(shape, me) for me in ("first", "second")))
        finally:
            await self._trials.forget([], [name])
        if any("ready" not in each for _, each in said):
            return [_ended_early(15, next(each for _, each in said if "ready" not in each))]
        read = [each.get("link") == me for me, each in said]
        users = sorted({each.get("user", "nobody") for _, each in said})
        evidence = f"of two sandboxes {sum(read)} wrote as {' and '.join(users)}, and read through a link of its own"
        return [found(15, evidence, holds=all(read))]

    async def _fill(self, shape: Shape, me: str) -> tuple[str, dict[str, str]]:
        variables = {"PROBE_ME": me, "PROBE_VOLUME": "/probe"}
        async with self._trials.machine(_text("volume.sh"), shape, variables) as trial:
            return me, await self._trials.lines(trial, _SAYS_S)

    async def docker(self) -> list[ProbeResult]:
        """A virtual machine with dockerd, a container and its port."""
        port = str(20_000 + secrets.randbelow(10_000))
        variables = {"PROBE_DOCKER": "yes", "PROBE_PORT": port}
        shape = msgspec.structs.replace(DOCKER, network=self._closed(*_DOCKER_HUB))
        said = await self._machine_or_refusal(shape, variables)
        evidence = f"container: {said.get('docker', 'none')}; its port: {said.get('port', 'none')}"
        if "pull" in said:
            return [unknown(3, f"dockerd runs, but loaded no image to try: {said['pull']}; run the probe again")]
        if "ready" not in said:
            return [_ended_early(3, said, "dockerd was not ready")]
        return [found(3, evidence, holds=said.get("docker") == "works" and said.get("port") == "200")]

    async def gpu(self, gpu: Gpu) -> list[ProbeResult]:
        """A GPU, for the user runner."""
        shape = msgspec.structs.replace(with_gpu(gpu), network=self._closed())
        said = await self._machine_or_refusal(shape, {"PROBE_GPU": "yes"})
        if "ready" not in said:
            return [_ended_early(4, said)]
        libcuda, devices = said.get("libcuda", "0"), said.get("devices", "0")
        evidence = f"as {said.get('user')}: {said.get('gpu', 'none')}; libcuda {libcuda}, device files {devices}"
        holds = said.get("gpu", "").startswith("GPU ") and libcuda != "0" and devices != "0"
        return [found(4, evidence, holds=holds)]

    async def _machine_or_refusal(self, shape: Shape, variables: Mapping[str, str]) -> dict[str, str]:
        """What the machine says; where Modal refuses to make such a one, `refused` has its words."""
        try:
            async with self._trials.machine(_text("machine.sh"), shape, variables) as trial:
                return await self._trials.lines(trial, _SAYS_S)
        except SandboxError as error:
            if not isinstance(error.__cause__, modal.exception.InvalidError):
                raise
            return {"refused": str(error)}

    async def _witness(self, trial: Trial) -> list[ProbeResult]:
        """Ask the witness's question of a sandbox with a Runner.Worker, and of one with none."""
        busy = await self._sandboxes.witness(trial.id)
        async with self._trials.machine("echo ready=yes; exec sleep 240", _SMALL) as other:
            await self._trials.lines(other, _SAYS_S)
            idle = await self._sandboxes.witness(other.id)
        evidence = f"with a Runner.Worker: {busy.value}, without: {idle.value}"
        return [found(7, evidence, holds=(busy, idle) == (Witness.WORKING, Witness.IDLE))]

    def _closed(self, *more: str) -> Network:
        return Network(GITHUB_ONLY, (*self._host.domains, *more))

    def _clocks(self, sandbox: float) -> ProbeResult:
        github = self._told_skew()
        evidence = f"a sandbox's is {sandbox:+.0f} s off this machine's"
        if github is None:
            return unknown(20, f"{evidence}; GitHub told no time")
        evidence += f", this machine's {github:+.0f} s off GitHub's"
        return found(20, evidence, holds=abs(github) < _SKEW_S and abs(sandbox) < _SKEW_S)


_SKEW_S = 30.0


async def guarded(ids: Sequence[int], look: Callable[[], Awaitable[list[ProbeResult]]]) -> list[ProbeResult]:
    """Take a look's own failure as why its assumptions are unknown."""
    try:
        return await look()
    except ModalRunnerError as error:
        why = str(error)[:300]
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        # What a machine says is foreign text, and may be of another form than the scripts print.
        why = f"an answer of another form than expected, {type(error).__name__}"
    return [unknown(each, f"it could not be looked at ({why}); run the probe again") for each in ids]


def _ended_early(number: int, said: dict[str, str], failure: str | None = None) -> ProbeResult:
    """A machine that Modal refuses decides, and so does an end by `failure`; any other end tells nothing."""
    if "refused" in said:
        return found(number, said["refused"], holds=False)
    told = said.get("told", "without a word")
    if failure is not None and failure in told:
        return found(number, told, holds=False)
    return unknown(number, f"its sandbox ended before it had said all: {told}; run the probe again")


def _text(name: str) -> str:
    return _HERE.joinpath(name).read_text(encoding="utf-8")


def _reached(code: str | None) -> bool:
    return code not in {None, "", "000"}


def _sudo(said: dict[str, str]) -> ProbeResult:
    if "uid" not in said:
        return unknown(1, f"the start script did not come to the runner: {said.get('told', 'nothing was said')}")
    evidence = f"as user {said['uid']}: sudo -n id -u prints {said.get('sudo')}"
    return found(1, evidence, holds=said["uid"] != "0" and said.get("sudo") == "0")


def _threads(said: dict[str, str]) -> ProbeResult:
    if "nproc" not in said:
        return unknown(2, f"the start script did not come to the runner: {said.get('told', 'nothing was said')}")
    limit = int(PLAIN_CPU[1] * 2)
    evidence = (
        f"OMP_NUM_THREADS is {said.get('given')} as Modal gives it and {said.get('threads')} for a job; nproc "
        f"{said['nproc']} of {said.get('all')}; the limit is {limit} vCPU"
    )
    return found(2, evidence, holds=said.get("given") == str(limit))


def _dict(first: _Answer, second: _Answer) -> ProbeResult:
    winners = [a + b for a, b in zip(first.wins, second.wins, strict=True)]
    took = first.milliseconds
    evidence = (
        f"winners of {len(winners)} keys, 50 contenders each: {winners}; {second.missed} of {_ROUNDS} values were not "
        f"there when their signal was; a put takes {took[len(took) // 2]} ms (median), {took[-1]} ms (longest)"
    )
    return found(11, evidence, holds=winners == [1] * len(winners) and second.missed == 0)


def _builds(answer: str) -> ProbeResult:
    if answer == "built":
        return found(9, "a sandbox with this machine's token built and published an image", holds=True)
    return found(9, f"a build from a sandbox: {answer or 'no answer'}", holds=False)

"""What can be seen at GitHub: one runner registered and removed, and what became of deliveries."""

import base64
import binascii
import json
import secrets
import time
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import httpx
import msgspec
from githubkit import GitHub, Response
from githubkit.webhooks import sign
from pydantic import SecretStr

from github_app.errors import GitHubError
from github_app.github import AppWebhook, Connection, Delivery, Runners
from github_app.github.tokens import permissions
from github_app.github.wire import Repository
from github_app.model import JitConfig, Place
from github_app.probe.result import found, unknown
from github_app.store.notes import ProbeResult

# What one label of each form that we read looks like.
LABELS = ("self-hosted", "modal-runner-probe", "gpu:h100:2", "modal-runner-probe/gpu=h100/run=1-0")
_PLAIN_LABELS = ("self-hosted", "modal-runner-probe")
_INVALID = 422
_FORBIDDING = frozenset({401, 403, 404, _INVALID})
_ORG = permissions({"organization_self_hosted_runners": "write"})
_IDLE_S = 3600.0
# GitHub waits so long for an answer (docs: "Best practices for using webhooks").
_ANSWER_S = 10.0


class _Label(msgspec.Struct):
    name: str


class _Runner(msgspec.Struct):
    id: int
    labels: list[_Label] = []


class _JitAnswer(msgspec.Struct):
    runner: _Runner
    encoded_jit_config: str


class OnGitHub:
    """The looks at GitHub, as the App."""

    def __init__(self, connection: Connection, runners: Runners) -> None:
        self._connection = connection
        self._runners = runners

    async def registration(self, place: Place, repository: Repository | None) -> list[ProbeResult]:
        """Register one runner with a token that is narrowed to a repository, look at the answer, and remove it.

        Raises:
            GitHubError: GitHub refused or did not answer, also with the token that the product uses.
        """
        group = await self._runners.group_of(place)
        narrowed = None if repository is None else repository.id
        labels: Sequence[str] = LABELS
        refused: dict[int, str] = {}
        while True:
            try:
                answer = await self._register(place, group, narrowed, labels)
                break
            except GitHubError as error:
                if error.status == _INVALID and labels is LABELS:
                    labels, refused = _PLAIN_LABELS, refused | {5: f"GitHub answered 422 to {list(LABELS)}"}
                elif narrowed is not None and error.status in _FORBIDDING:
                    # Refused with plain labels too: not for the labels.
                    refused = {18: f"GitHub answered {error.status} to a narrowed token"}
                    narrowed, labels = None, LABELS
                else:
                    raise
        await self._runners.remove(place, answer.runner.id)
        results = [found(number, why, holds=False) for number, why in refused.items()]
        if 5 not in refused:
            results.append(_echoed(answer))
        if repository is None:
            results.append(unknown(18, "the App reaches no repository to narrow a token to: choose one, run it again"))
        elif 18 not in refused:
            results.append(found(18, "a runner was registered with a narrowed token", holds=True))
        return [*results, _updates(JitConfig(answer.runner.id, SecretStr(answer.encoded_jit_config)))]

    async def _register(self, place: Place, group: int, repository_id: int | None, labels: Sequence[str]) -> _JitAnswer:
        name = f"modal-runner-probe-{secrets.token_hex(6)}"

        async def call(github: GitHub[Any]) -> Response[Any, Any]:
            return await github.rest.actions.async_generate_runner_jitconfig_for_org(
                place.scope.owner, name=name, runner_group_id=group, labels=list(labels)
            )

        return await self._connection.as_installation(
            "JIT config of a look",
            call,
            _JitAnswer,
            installation_id=place.installation_id,
            permissions=_ORG,
            repository_id=repository_id,
        )

    async def deliveries(self) -> list[ProbeResult]:
        """In which order the ids of deliveries come, and how long the first answer after an idle hour took.

        Raises:
            GitHubError: GitHub refused or did not answer.
        """
        listed = await AppWebhook(self._connection).deliveries()
        timed = sorted((each for each in listed if each.delivered_at), key=_time)
        return [_order(timed), _cold(timed)]


async def ping(url: str, secret: SecretStr) -> float:
    """Send the web function a signed `ping`, as GitHub does; return the seconds until its answer.

    Raises:
        GitHubError: it did not answer, or not as the App does.
    """
    body = json.dumps({"zen": "modal-runner probe", "hook_id": 0}).encode()
    headers = {
        "content-type": "application/json",
        "x-github-event": "ping",
        "x-hub-signature-256": sign(secret.get_secret_value(), body, method="sha256"),
    }
    began = time.monotonic()
    try:
        async with httpx.AsyncClient(timeout=60.0) as client:
            answer = await client.post(url, content=body, headers=headers)
    except httpx.HTTPError as error:
        raise GitHubError(f"the web function did not answer ({type(error).__name__})", retryable=True) from error
    if answer.status_code != 200:
        raise GitHubError(f"the web function answered a signed ping with {answer.status_code}", retryable=False)
    return time.monotonic() - began


def answered(seconds: float, cold: ProbeResult) -> ProbeResult:
    """Bring the ping together with what deliveries tell."""
    if seconds >= _ANSWER_S:
        return found(10, f"a signed ping was answered after {seconds:.1f} s", holds=False)
    evidence = f"a signed ping was answered after {seconds:.1f} s; {cold.evidence}"
    return msgspec.structs.replace(cold, evidence=evidence)


def _echoed(answer: _JitAnswer) -> ProbeResult:
    back = [each.name for each in answer.runner.labels]
    # GitHub's own may come back beside them, as in the example of its docs.
    return found(5, f"sent {list(LABELS)}, came back {back}", holds=set(LABELS) <= set(back))


def _updates(jit: JitConfig) -> ProbeResult:
    try:
        files = json.loads(base64.b64decode(jit.encoded.get_secret_value()))
        settings = json.loads(base64.b64decode(files[".runner"]).decode("utf-8-sig"))
    except (binascii.Error, ValueError, KeyError, TypeError):
        return unknown(6, "the JIT config is of another form than actions/runner reads; report this")
    value = next((value for name, value in settings.items() if name.lower() == "disableupdate"), None)
    evidence = "its .runner has no DisableUpdate" if value is None else f"its .runner says DisableUpdate: {value}"
    return found(6, evidence, holds=str(value).lower() == "true")


def _order(timed: Sequence[Delivery]) -> ProbeResult:
    if len(timed) < 2:
        return unknown(14, "the App has had fewer than two deliveries: run it again when it has")
    apart = [(earlier.id, later.id) for earlier, later in pairwise(timed) if _time(later) > _time(earlier)]
    if not apart:
        return unknown(14, "all deliveries of the App came in one second: run it again when it has had others")
    fell = sum(later <= earlier for earlier, later in apart)
    return found(14, f"of the last {len(timed)} deliveries {fell} had a lower id than the one before", holds=fell == 0)


def _cold(timed: Sequence[Delivery]) -> ProbeResult:
    late = [each for each in timed if each.duration >= _ANSWER_S or "timed out" in each.status.lower()]
    if late:
        return found(10, f"{len(late)} of the last {len(timed)} deliveries had no answer within 10 s", holds=False)
    after_idle = [
        later for earlier, later in pairwise(timed) if _time(later) - _time(earlier) > _IDLE_S and later.arrived
    ]
    if not after_idle:
        return unknown(10, "no delivery came after an idle hour yet: run it again when one has")
    longest = max(each.duration for each in after_idle)
    return found(10, f"the first answer after an idle hour took {longest:.1f} s at most", holds=True)


def _time(delivery: Delivery) -> float:
    return delivery.delivered_at.timestamp() if delivery.delivered_at else 0.0

"""No secret shows anywhere outside: not in a log, an argument, a tag, a process list, an error or a repr."""

import asyncio
import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message
from grpclib import GRPCError, Status
from pydantic import SecretStr

from github_app.errors import ConfigError, GitHubError
from github_app.github.tokens import InstallationToken, TokenAnswer
from github_app.model import JitConfig, SandboxSpec
from github_app.settings.load import load_settings
from github_app.simulator.github.api_runners import encode_jit_config
from github_app.simulator.github.auth import ApiError
from github_app.simulator.github.state import Job, Runner
from tests.worlds.control_plane import ControlPlane, running, until
from tests.worlds.records import SHAPE

WORKFLOW = ".github/workflows/ci.yml"
CI = b"""
on: push
jobs:
  plain:
    runs-on: [self-hosted, modal]
    steps:
      - run: env; tr '\\0' '\\n' < /proc/$$/environ; sleep 0.5
  gpu:
    runs-on: [self-hosted, modal, "gpu:h100"]
    steps:
      - run: env; sleep 0.5
"""


class Canaries:
    """Every secret that comes into being in a control plane."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane
        self._runners: list[Runner] = []
        register = plane.github.world.add_runner

        def noting(*args: Any) -> Runner:
            self._runners.append(register(*args))
            return self._runners[-1]

        plane.github.world.add_runner = noting  # type: ignore[method-assign, assignment]

    def all(self) -> Iterator[str]:
        """Each secret, or a part of it that betrays it."""
        settings = self._plane.settings
        yield from settings["GITHUB_PRIVATE_KEY"].splitlines()[1:-1]
        yield settings["WEBHOOK_SECRET"]
        yield settings["GITHUB_CLIENT_SECRET"]
        yield self._plane.modal.env["MODAL_TOKEN_SECRET"]
        yield from self._plane.github.world.tokens
        for runner in self._runners:
            yield encode_jit_config(runner, self._plane.github.url)
            yield runner.secret
            yield base64.b64encode(json.dumps({"d": runner.secret}).encode()).decode()

    def found_in(self, text: str) -> list[str]:
        """The canaries that sing in `text`, cut so that a failing test shows which they are."""
        return [canary[:12] for canary in self.all() if canary in text]


def push(plane: ControlPlane) -> list[Job]:
    """Run the workflow, and return its jobs."""
    repository = plane.github.world.add_repository(plane.organization, "app")
    return plane.github.actions.push(repository, {WORKFLOW: CI}, WORKFLOW).jobs


def command_lines() -> str:
    """The arguments of every process of this machine."""
    shown = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            shown.append(file.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace"))
        except OSError:
            continue
    return "\n".join(shown)


async def test_a_whole_job_shows_no_secret_anywhere(tmp_path: Path) -> None:
    async with running(tmp_path) as plane:
        canaries = Canaries(plane)
        jobs = push(plane)
        seen = set()
        async with asyncio.timeout(40):
            while any(job.status != "completed" for job in jobs):
                seen.add(command_lines())
                await asyncio.sleep(0.05)
        sandboxes = plane.modal.sandboxes()
        public = [(view.args, view.tags, view.name, view.output) for view in sandboxes]
        logs = [line for job in jobs for line in job.log]

        assert [job.conclusion for job in jobs] == ["success", "success"]
        # Without these the search would find nothing because there was nothing to find.
        assert len(plane.github.world.tokens) >= 1
        assert len(list(canaries.all())) > 20
        assert any("github_app serve" in lines for lines in seen)
        assert canaries.found_in(plane.log.read_text()) == []
        assert canaries.found_in("\n".join(seen)) == []
        assert canaries.found_in(repr(public)) == []
        assert canaries.found_in("\n".join(logs)) == []


async def test_both_formats_of_tokens_are_among_the_canaries(tmp_path: Path) -> None:
    async with running(tmp_path) as plane:
        canaries = Canaries(plane)
        jobs = push(plane)
        await until(lambda: jobs[0].runner is not None)
        # The next call needs a new token, and the simulated GitHub gives out the two formats in turn.
        for token in plane.github.world.tokens.values():
            token.expires_at = 0
        again = push(plane)
        await until(lambda: all(job.status == "completed" for job in [*jobs, *again]), within=40)

        assert {name.count(".") for name in plane.github.world.tokens} == {0, 2}
        assert canaries.found_in(plane.log.read_text()) == []


async def test_a_delivery_signed_with_another_secret_is_refused_without_showing_ours(tmp_path: Path) -> None:
    async with running(tmp_path) as plane:
        canaries = Canaries(plane)
        body = json.dumps(plane.queued("self-hosted", "modal")).encode()
        right = plane.sign(body)
        answer = await plane.send(
            body,
            content_type="application/json",
            x_github_event="workflow_job",
            x_github_delivery="a",
            x_hub_signature_256="sha256=" + "0" * 64,
        )
        log = plane.log.read_text()

        assert answer.status_code == 401
        assert "delivery_rejected" in log
        assert canaries.found_in(log + answer.text) == []
        assert right.removeprefix("sha256=") not in log + answer.text


@pytest.mark.parametrize("status", [422, 500])
async def test_a_github_that_fails_and_quotes_secrets_leaves_none_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    async with running(tmp_path) as plane:
        canaries = Canaries(plane)
        quoted: list[str] = []

        def spend(*_: object) -> dict[str, str]:
            quoted.append("asked")
            raise ApiError(status, "Do not do this: " + " ".join(plane.github.world.tokens))

        monkeypatch.setattr(plane.github.limits, "spend", spend)
        await plane.deliver(plane.queued("self-hosted", "modal"))
        await until(lambda: len(quoted) > 1 or "422" in plane.log.read_text())

        assert canaries.found_in(plane.log.read_text()) == []
        plane.kill()


async def test_an_exchange_that_fails_and_quotes_the_jwt_leaves_none_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path) as plane:
        quoted: list[str] = []

        def app(authorization: str) -> None:
            quoted.append(authorization.split()[-1])
            raise ApiError(401, f"'Issued at' claim ('iat') must be an Integer: {authorization}")

        monkeypatch.setattr(plane.github.authority, "app", app)
        await plane.deliver(plane.queued("self-hosted", "modal"))
        await until(lambda: quoted and "401" in plane.log.read_text(), within=30)

        assert not [jwt for jwt in quoted if jwt in plane.log.read_text()]
        plane.kill()


class Refuses:
    """A Modal that refuses every sandbox, and quotes the request."""

    async def before(self, rpc: str, request: Message) -> None:
        if rpc == "SandboxCreateV2":
            raise GRPCError(Status.INVALID_ARGUMENT, f"I do not like {request}")

    async def after(self, rpc: str, request: Message, response: Message) -> None:
        pass


async def test_a_modal_that_refuses_and_quotes_the_request_leaves_no_secret_in_the_log(tmp_path: Path) -> None:
    async with running(tmp_path) as plane:
        canaries = Canaries(plane)
        plane.modal.interceptor = Refuses()
        await plane.deliver(plane.queued("self-hosted", "modal"))
        await until(lambda: "I do not like" in plane.log.read_text(), within=30)

        assert canaries.found_in(plane.log.read_text()) == []
        plane.kill()


def test_no_value_that_holds_a_secret_shows_it() -> None:
    secret = SecretStr("canary")
    held = [
        JitConfig(7, secret),
        SandboxSpec("modal-11-1", SHAPE, {}, secret),
        InstallationToken(secret, 0.0),
        GitHubError("no", retryable=False),
    ]

    assert "canary" not in repr(held) + str(held)


def test_an_answer_of_the_exchange_shows_its_token_to_nobody_once_it_is_sealed() -> None:

    assert "canary" not in repr(TokenAnswer("canary", datetime.now(UTC)).seal())


@pytest.mark.parametrize(
    "changes",
    [
        {"GITHUB_PRIVATE_KEY": "canary"},
        {"GITHUB_PRIVATE_KEY": "-----BEGIN RSA PRIVATE KEY-----\ncanary"},
        {"GITHUB_PRIVATE_KEY": "", "GITHUB_PRIVATE_KEY_PATH": "/canary"},
        {"GITHUB_APP_ID": "canary"},
        {"WEBHOOK_SECRET": "canary", "GITHUB_CLIENT_SECRET": "canary", "GITHUB_APP_ID": "x"},
    ],
)
def test_wrong_settings_are_told_without_their_values(
    settings_environment: pytest.MonkeyPatch, changes: dict[str, str]
) -> None:
    for name, value in changes.items():
        settings_environment.setenv(name, value)
    with pytest.raises(ConfigError) as caught:
        load_settings()

    assert "canary" not in str(caught.value) + repr(caught.value)
    assert caught.value.__cause__ is None

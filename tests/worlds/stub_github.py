"""An HTTP server that answers what a test plans for it, and remembers each connection and request."""

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from github_app.github import Runners
from github_app.model import JitConfig, Place
from tests.worlds.records import PLACE

JIT = "generate-jitconfig"


@dataclass(frozen=True)
class Answer:
    """An answer; `after` is how many seconds it takes."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    after: float = 0.0


def token(value: str, *, after: float = 0.0) -> Answer:
    """The answer to an exchange."""
    return Answer(201, {"token": value, "expires_at": "2099-01-01T00:00:00Z"}, after=after)


@dataclass(frozen=True)
class Seen:
    """A request."""

    method: str
    path: str
    headers: Mapping[str, str]
    json: Any


class StubGitHub:
    """Answers by the end of the path: first what is planned for it, then always the same."""

    def __init__(self) -> None:
        self.url = ""
        self.connections = 0
        self.seen: list[Seen] = []
        self.planned: dict[str, deque[Answer]] = {}
        self.always: dict[str, Answer] = {
            "access_tokens": token("ghs_" + "a" * 36),
            "generate-jitconfig": Answer(201, {"runner": {"id": 7}, "encoded_jit_config": "ZW5jb2RlZA=="}),
            "runner-groups": Answer(200, {"total_count": 1, "runner_groups": [{"id": 3, "default": True}]}),
            "": Answer(204),
        }

    def plan(self, end: str, *answers: Answer) -> None:
        """Give these answers, in turn, to the next requests whose path ends so."""
        self.planned.setdefault(end, deque()).extend(answers)

    def asked(self, end: str) -> list[Seen]:
        """The requests whose path ends so."""
        return [seen for seen in self.seen if seen.path.partition("?")[0].endswith(end)]

    def _answer(self, path: str) -> Answer:
        end = next(end for end in self.always if path.partition("?")[0].endswith(end))
        if planned := self.planned.get(end):
            return planned.popleft()
        return self.always[end]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until the client hangs up."""
        self.connections += 1
        with contextlib.closing(writer), contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                method, path, _ = head[0].split(" ")
                headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in head[1:] if line)}
                content = await reader.readexactly(int(headers.get("content-length", 0)))
                self.seen.append(Seen(method, path, headers, json.loads(content) if content else None))
                answer = self._answer(path)
                await asyncio.sleep(answer.after)
                writer.write(_encode(answer))
                await writer.drain()


def _encode(answer: Answer) -> bytes:
    body = b"" if answer.body is None else json.dumps(answer.body).encode()
    headers = {"content-type": "application/json", "content-length": str(len(body))} | dict(answer.headers)
    if answer.status == 204:
        del headers["content-length"]
    lines = [f"HTTP/1.1 {answer.status} X", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


@contextlib.asynccontextmanager
async def stub_github() -> AsyncIterator[StubGitHub]:
    """Listen on a free port."""
    stub = StubGitHub()
    serving: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.create_task(stub.serve(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    stub.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield stub
    finally:
        server.close()
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)
        await server.wait_closed()


async def jit(
    runners: Runners, place: Place = PLACE, name: str = "modal-11-1", labels: Sequence[str] = ("self-hosted", "modal")
) -> JitConfig:
    """Ask for a JIT config."""
    return await runners.create_jit_config(place, name, labels)

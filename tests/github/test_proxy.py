"""GitHub is reached through the proxies that the environment names, as by httpx itself."""

import asyncio
import re
from collections.abc import AsyncIterator

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from github_app.github import Connection, Runners
from github_app.github.connection import SharedTransport
from tests.worlds.stub_github import JIT, StubGitHub, jit


class Proxy:
    """A proxy for plain HTTP, which takes every name for the stub's address."""

    def __init__(self, target: str) -> None:
        self._host, _, port = target.removeprefix("http://").partition(":")
        self._port = int(port)
        self.asked: list[str] = []
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, _, rest = head.partition("\r\n")
        method, address, version = first.split()
        self.asked.append(address)
        length = re.search(r"(?i)content-length: (\d+)", rest)
        body = await reader.readexactly(int(length[1]) if length else 0)
        up, down = await asyncio.open_connection(self._host, self._port)
        down.write(f"{method} /{address.split('/', 3)[3]} {version}\r\n{rest}".encode() + body)
        down.write_eof()
        answer = await up.read()
        writer.write(answer.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
        for each in (down, writer):
            await each.drain()
            each.close()
            await each.wait_closed()


@pytest.fixture
async def proxy(stub: StubGitHub) -> AsyncIterator[Proxy]:
    made = Proxy(stub.url)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield made
    server.close()


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "ALL_PROXY"])
async def test_calls_go_through_the_proxy_of_the_environment(
    stub: StubGitHub, proxy: Proxy, private_key: RSAPrivateKey, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    for name in ("HTTP_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv(variable, proxy.url)
    connection = Connection(
        api_url="http://github.example.test", app_id=1, private_key=private_key, transport=SharedTransport()
    )
    await jit(Runners(connection, group_id=1))
    await connection.close()

    assert len(stub.asked(JIT)) == 1
    assert all(address.startswith("http://github.example.test/") for address in proxy.asked)
    assert len(proxy.asked) == 2


async def test_no_proxy_is_heeded(
    stub: StubGitHub, proxy: Proxy, private_key: RSAPrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy.url)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    connection = Connection(api_url=stub.url, app_id=1, private_key=private_key, transport=SharedTransport())
    await jit(Runners(connection, group_id=1))
    await connection.close()

    assert len(stub.asked(JIT)) == 1
    assert proxy.asked == []


async def test_a_certificate_file_of_the_environment_is_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/ca.pem")

    with pytest.raises(OSError, match="No such file"):
        SharedTransport()

"""Requests as bytes: what no HTTP library would send, and what is sent too slowly for one."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

Header = tuple[str, str]
_KIB = 1024
# Small, so that what was sent is nearly what was read.
_SEND_BUFFER = 64 * _KIB


def headers(signature: str | None, *, event: str = "workflow_job", guid: str = "a") -> list[Header]:
    """The headers of a delivery."""
    return [
        ("Host", "localhost"),
        ("Content-Type", "application/json"),
        ("X-GitHub-Event", event),
        ("X-GitHub-Delivery", guid),
        *([("X-Hub-Signature-256", signature)] if signature is not None else []),
    ]


def head(fields: Iterable[Header], *, line: str = "POST /webhook HTTP/1.1") -> bytes:
    """A request's head; values are sent as latin-1, as they are."""
    return "".join([f"{line}\r\n", *(f"{name}: {value}\r\n" for name, value in fields), "\r\n"]).encode("latin-1")


def post(body: bytes, fields: Sequence[Header]) -> bytes:
    """A whole request, after which the connection is closed."""
    return head([*fields, ("Content-Length", str(len(body))), ("Connection", "close")]) + body


@asynccontextmanager
async def connection(url: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Open a connection, and close it without waiting for anything."""
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def exchange(url: str, request: bytes, *, patience: float) -> int | None:
    """Send bytes and return the status of the first answer; None when there is none."""
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(patience), connection(url) as (reader, writer):
            writer.write(request)
            return await status(reader)
    return None


async def status(reader: asyncio.StreamReader) -> int | None:
    """The status of an answer; None when the connection ends without one."""
    with suppress(OSError, ValueError, IndexError):
        return int((await reader.readline()).split()[1])
    return None


async def dribble(url: str, first: bytes, rest: bytes, *, every: float, limit: float) -> tuple[int | None, float]:
    """Send `first`, then one byte after another; return what was answered, and after how long the app hung up.

    Infinite when it had not within `limit`.
    """
    began, answer = time.monotonic(), b""
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(limit), connection(url) as (reader, writer):
            writer.write(first)
            sending = asyncio.create_task(_byte_by_byte(writer, rest, every))
            try:
                while part := await reader.read(_KIB):
                    answer += part
            finally:
                sending.cancel()
    took = time.monotonic() - began
    words = answer.split(maxsplit=2)
    return int(words[1]) if len(words) > 1 else None, took if took < limit else float("inf")


async def deaf(url: str, request: bytes, *, limit: float) -> float:
    """Send requests and read nothing; return after how long the app hung up, infinite when not within `limit`."""
    began = time.monotonic()
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(limit), connection(url) as (reader, writer):
            # asyncio reads into a buffer of its own until told not to.
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            writer.write(request)
            while not writer.transport.is_closing():
                await asyncio.sleep(1)
                writer.write(b"\r\n")
            del reader
    took = time.monotonic() - began
    return took if took < limit else float("inf")


async def _byte_by_byte(writer: asyncio.StreamWriter, rest: bytes, every: float) -> None:
    sent = 0
    while True:
        await asyncio.sleep(every)
        writer.write(rest[sent : sent + 1] or b"a")
        sent += 1


async def pour(writer: asyncio.StreamWriter, pieces: Iterable[bytes | memoryview], sent: list[int]) -> None:
    """Send piece after piece as fast as they are taken; `sent` grows by the size of each."""
    with suppress(OSError):
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            sent.append(len(piece))

"""Deliveries that are not ours, through 16 connections, against a bare Starlette that verifies and decodes."""

import asyncio
import contextlib
import hashlib
import hmac
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

from benchmarks.rows import Row, median
from tests.worlds.control_plane import PAYLOADS, running

SECRET = "benchmark"
_CONNECTIONS = 16
_SECONDS = 4.0
_ROUNDS = 3
_HERE = Path(__file__).parent


async def intake() -> list[Row]:
    """Deliveries a second, ours and the floor's in turn; probot's where node and npm are there."""
    body = (PAYLOADS / "workflow_job_5_queued.json").read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        async with running(Path(folder), settings={"SWEEP_INTERVAL_SECONDS": "0"}) as plane, _bare() as bare:
            ours = int(plane.url.rpartition(":")[2])
            sides = {"ours": (ours, plane.app.webhook_secret), "bare": (bare, SECRET)}
            rates: dict[str, list[float]] = {side: [] for side in sides}
            for _round in range(_ROUNDS):
                for side, (port, secret) in sides.items():
                    rates[side].append(await _rate(port, body, secret))
    rows = [
        Row(
            f"deliveries not ours, {len(body)} bytes, {_CONNECTIONS} connections",
            median(rates["ours"]),
            "a second",
            median(rates["bare"]),
            "≥ 0.8 × bare Starlette",
        )
    ]
    return [*rows, *await _probot(body, median(rates["ours"]))]


async def _rate(port: int, body: bytes, secret: str, path: str = "/webhook") -> float:
    """Send for some seconds; every answer must be a success."""
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        f"X-GitHub-Event: workflow_job\r\nX-GitHub-Delivery: 72d3162e-cc78-11e3-81ab-4c9367dc0958\r\n"
        f"X-Hub-Signature-256: sha256={signature}\r\n\r\n"
    )
    request, ends_at = head.encode() + body, time.perf_counter() + _SECONDS
    counts = await asyncio.gather(*(_send_until(port, request, ends_at) for _ in range(_CONNECTIONS)))
    return sum(counts) / _SECONDS


async def _send_until(port: int, request: bytes, ends_at: float) -> int:
    count = 0
    while time.perf_counter() < ends_at:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        # A server may end a connection after some requests, and say so or not.
        with contextlib.closing(writer), contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while time.perf_counter() < ends_at:
                writer.write(request)
                head = await reader.readuntil(b"\r\n\r\n")
                if not head.startswith(b"HTTP/1.1 20"):
                    raise RuntimeError(f"a fast wrong answer: {head[:60]!r}")
                length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
                await reader.readexactly(int(length.split(b":")[1]))
                count += 1
                if b"connection: close" in head.lower():
                    break
    return count


@contextlib.asynccontextmanager
async def _bare() -> AsyncIterator[int]:
    """The floor, in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.bare"), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        yield int(await process.stdout.readline())
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def _probot(body: bytes, ours: float) -> list[Row]:
    """The peer, from npm; told as not measured where that cannot be."""
    name = "the same, probot 14"
    if shutil.which("node") is None or shutil.which("npm") is None:
        return [Row(name, 0.0, "not measured", note="node and npm are not there")]
    with tempfile.TemporaryDirectory() as folder:
        for file in ("package.json", "app.mjs"):
            shutil.copy(_HERE / "probot" / file, folder)
        installed = await asyncio.to_thread(
            subprocess.run,
            ["npm", "install", "--silent", "--no-audit", "--no-fund"],
            cwd=folder,
            capture_output=True,
            check=False,
        )
        if installed.returncode != 0:
            return [Row(name, 0.0, "not measured", note="npm could not install probot")]
        process = await asyncio.create_subprocess_exec(
            *("node", "app.mjs"), cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
        try:
            assert process.stdout is not None
            port = json.loads(await process.stdout.readline())["port"]
            rate = median([await _rate(port, body, SECRET, "/api/github/webhooks") for _ in range(_ROUNDS)])
        finally:
            process.terminate()
            await process.wait()
    return [Row(name, rate, "a second", note=f"ours is {ours / rate:.2f} × it; the goal is ≥ 2 ×")]

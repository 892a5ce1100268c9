"""What is wrong below the payload: lines, headers, signatures, sizes, chunks."""

import os
import uuid
from collections.abc import Callable, Iterator

from tests.attack.wire import Header, head, headers, post

Sign = Callable[[bytes], str]
_BODY = b'{"zen":"Keep it logically awesome."}'
_LONG = "a" * 8192
_POST = "POST /webhook HTTP/1.1"


def http(sign: Sign) -> dict[str, bytes]:
    """Every kind, by its name."""
    kinds = (*_content_types(sign), *_signatures(sign), *_github_headers(sign), *_sizes(), *_lines(), *_raw())
    return dict(kinds)


def _replaced(name: str, value: str | None, sign: Sign) -> bytes:
    """A signed ping of which one header is another, or missing."""
    kept = [each for each in headers(sign(_BODY), event="ping", guid=str(uuid.uuid4())) if each[0] != name]
    return post(_BODY, [*kept, *([(name, value)] if value is not None else [])])


def _content_types(sign: Sign) -> Iterator[tuple[str, bytes]]:
    wrong = ("", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x")
    odd = ("application/json, text/html", "application/json\xff", ";", _LONG)
    for value in (None, *wrong, *odd):
        yield f"content type {str(value)[:40]!r}", _replaced("Content-Type", value, sign)


def _signatures(sign: Sign) -> Iterator[tuple[str, bytes]]:
    right = sign(_BODY)
    wrong = ("", "sha256=", "sha256=" + "0" * 64, "sha1=" + "0" * 40, right.upper(), right[:-1], right + "0", right[7:])
    for value in (None, *wrong, "\xff" * 71, _LONG, sign(b"another body")):
        yield f"signature {str(value)[:20]!r} {len(value or '')}", _replaced("X-Hub-Signature-256", value, sign)
    twice = [*headers("sha256=" + "0" * 64, event="ping"), ("X-Hub-Signature-256", right)]
    yield "signature twice", post(_BODY, twice)


def _github_headers(sign: Sign) -> Iterator[tuple[str, bytes]]:
    # Each GUID with a payload that is parked under it, and with one that is ignored.
    for guid in ("", "a", "../../x", "\xff\xfe", "00000000-0000-0000-0000-000000000000", _LONG, "a b\tc"):
        for body in (_BODY, b"{"):
            fields = headers(sign(body), event="workflow_job", guid=guid)
            yield f"guid {guid[:10]!r} {body!r}", post(body, fields)
    for event in (None, "", "\xff", "Workflow_Job", "workflow_job, ping", _LONG):
        yield f"event {str(event)[:20]!r}", _replaced("X-GitHub-Event", event, sign)
    for name in ("X-GitHub-Delivery", "X-GitHub-Event", "Content-Type"):
        yield f"{name} twice", post(b"{", [*headers(sign(b"{")), (name, "another")])


def _sizes() -> Iterator[tuple[str, bytes]]:
    plain = headers(None)
    for length in ("-1", "+1", "1e3", "0x10", "", "9" * 400, "12, 13", "\xb2"):
        yield f"length {length[:10]!r}", head([*plain, ("Content-Length", length)]) + _BODY
    yield "length twice", head([*plain, ("Content-Length", "1"), ("Content-Length", "2")]) + _BODY
    chunked = ("Transfer-Encoding", "chunked")
    yield "length and chunks", head([*plain, chunked, ("Content-Length", "3")]) + b"0\r\n\r\n"
    yield "unknown encoding", head([*plain, ("Transfer-Encoding", "gzip")]) + _BODY
    yield "chunked twice", head([*plain, ("Transfer-Encoding", "chunked, chunked")]) + b"0\r\n\r\n"
    bad = (b"zz\r\n", b"-1\r\n{}\r\n", b"f" * 16 + b"\r\n{}", b"2;" + b"x" * 70000 + b"\r\n{}\r\n", b"2\r\n{}}}}\r\n")
    for chunk in (*bad, b"2\n{}\n0\n\n", b"\r\n\r\n", b"0\r\nX: \xff\r\n\r\n", os.urandom(64)):
        yield f"chunk {chunk[:12]!r}", head([*plain, chunked]) + chunk


def _lines() -> Iterator[tuple[str, bytes]]:
    host: list[Header] = [("Host", "x"), ("Content-Length", "0"), ("Connection", "close")]
    for method in ("GET", "PUT", "PATCH", "DELETE", "TRACE", "OPTIONS", "HEAD", "CONNECT", "post", "BREW", "\xff"):
        yield f"method {method}", head(host, line=f"{method} /webhook HTTP/1.1")
    paths = ("/", "//webhook", "/webhook/", "/webhook%00", "/webhook/../healthz", "/%ff%fe", "http://x/webhook", "*")
    for path in (*paths, "/webhook?" + "a=b&" * 1000, "/" + "a" * 70000, "webhook", "/\xff", "/%", "/web hook"):
        yield f"path {path[:20]}", head(host, line=f"POST {path} HTTP/1.1")
    for line in (
        "POST /webhook HTTP/1.0",
        "POST /webhook HTTP/9.9",
        "POST /webhook",
        "POST",
        " POST /webhook HTTP/1.1",
    ):
        yield f"line {line}", head(host, line=line)
    yield "healthz by post", head(host, line="POST /healthz HTTP/1.1")
    yield "healthz with a body", head([("Host", "x"), ("Content-Length", "2")], line="GET /healthz HTTP/1.1") + b"{}"


def _raw() -> Iterator[tuple[str, bytes]]:
    yield "no host", head([("Content-Length", "0")], line=_POST)
    yield "host twice", head([("Host", "x"), ("Host", "y")], line=_POST)
    yield "host that is none", head([("Host", "\xff:99999999/@")], line=_POST)
    yield "header without a colon", f"{_POST}\r\nHost: x\r\nnonsense\r\n\r\n".encode()
    yield "header with a blank", f"{_POST}\r\nHost : x\r\n\r\n".encode()
    yield "header without a name", f"{_POST}\r\n: x\r\n\r\n".encode()
    yield "header with NUL", f"{_POST}\r\nHost: x\r\nX: a\0b\r\n\r\n".encode()
    yield "folded header", f"{_POST}\r\nHost: x\r\nX: a\r\n b\r\n\r\n".encode()
    yield "long head", head([("Host", "x"), ("X-Long", "a" * 100_000)])
    yield "many headers", head([("Host", "x"), *((f"X-{number}", "a") for number in range(3000))])
    yield "upgrade to a websocket", head([("Host", "x"), ("Upgrade", "websocket"), ("Connection", "Upgrade")])
    yield "upgrade to HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    yield "expects 100", head([*headers(None), ("Expect", "100-continue"), ("Content-Length", "0")])
    yield "expects the unknown", head([*headers(None), ("Expect", "tea"), ("Content-Length", "0")])
    yield "TLS", bytes.fromhex("16030100c8010000c40303") + os.urandom(200)
    yield "noise", os.urandom(500)
    yield "blank lines", b"\r\n" * 2000
    yield "bare line feeds", f"{_POST}\nHost: x\nContent-Length: 0\n\n".encode()
    yield "two in one", head([("Host", "x"), ("Content-Length", "0")]) * 20

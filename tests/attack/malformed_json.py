"""What is wrong with the payload, signed by the right secret."""

import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from tests.attack.wire import headers, post

Sign = Callable[[bytes], str]
# No field of a payload is of any of these kinds.
_OF_ANOTHER_KIND: tuple[Any, ...] = ({"a": 1}, 1.5)
_FIELDS = (
    *("action", "workflow_job", "repository", "installation", "organization"),
    *(f"workflow_job.{name}" for name in ("id", "run_id", "labels", "name", "run_attempt", "conclusion")),
    *(f"workflow_job.{name}" for name in ("created_at", "runner_name", "workflow_name", "head_branch", "head_sha")),
    *(f"repository.{name}" for name in ("id", "name", "full_name", "owner", "private", "forks_count")),
    *("repository.owner.login", "repository.owner.type", "installation.id"),
)
_NUMBERS = (
    *("workflow_job.id", "workflow_job.run_id", "workflow_job.run_attempt"),
    *("repository.id", "repository.forks_count", "installation.id"),
)
_ODD: tuple[tuple[str, Any], ...] = (
    ("action", ""),
    ("action", "queued\0"),
    ("action", "a" * 100_000),
    ("workflow_job.labels", ["self-hosted", "modal", *(f"l{number}" for number in range(10_000))]),
    ("workflow_job.labels", ["modal", "a" * 500_000]),
    ("workflow_job.labels", ["modal", "gpu:\0\n\x1b[2J"]),
    ("workflow_job.labels", ["modal", None]),
    ("workflow_job.labels", []),
    ("workflow_job.name", "\0\r\n\x1b]0;x\x07" + "a" * 500_000),
    ("workflow_job.runner_name", "modal-1-1\n"),
    ("workflow_job.runner_name", "modal-" + "9" * 4000 + "-1"),
    ("workflow_job.created_at", "0001-01-01T00:00:00"),
    ("workflow_job.created_at", "9999-12-31T23:59:59-23:59"),
    ("workflow_job.created_at", 10**18),
    ("workflow_job.head_sha", "../../../"),
    ("workflow_job.conclusion", "a" * 10_000),
    ("repository.full_name", "a/b/c"),
    ("repository.full_name", "octo-org/..%2f..?x#y"),
    ("repository.full_name", "octo-org/" + "a" * 10_000),
    ("repository.owner.login", ".."),
    ("repository.owner.type", "Enterprise"),
    ("installation.id", 0),
)


def payloads(payload: dict[str, Any], sign: Sign) -> dict[str, bytes]:
    """Every kind, by its name; made of a delivery of ours that says of a job that it is over: it starts nothing."""
    payload["action"] = "completed"
    bodies = (*_bodies(json.dumps(payload).encode()), *_fields(payload))
    return {name: _delivery(body, sign) for name, body in bodies}


def _delivery(body: bytes, sign: Sign) -> bytes:
    return post(body, headers(sign(body), guid=str(uuid.uuid4())))


def _bodies(right: bytes) -> Iterator[tuple[str, bytes]]:
    open_end = right.strip()[:-1]
    for body in (b"", b"{", b"[]", b"null", b"7", b'"a"', b"NaN", b"\0" * 100, b"{}", b"{'a': 1}"):
        yield f"body {body[:10]!r}", body
    yield "a byte order mark", b"\xef\xbb\xbf" + right
    yield "UTF-16", right.decode().encode("utf-16")
    yield "no UTF-8", right.replace(b'"completed"', b'"comp\xffleted"', 1)
    yield "half a surrogate", open_end + b',"x":"\\ud800"}'
    yield "half a surrogate in a name", _at(right, "workflow_job.name", "@@").replace(b"@@", b"\\ud800")
    yield "something behind it", right + b"{}"
    yield "half of it", right[: len(right) // 2]
    yield "the same key many times", open_end + b',"action":"queued"' * 1000 + b',"action":"completed"}'
    yield "deep lists", open_end + b',"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    yield "deep objects", open_end + b',"x":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001
    yield "deep and open", b"[" * 100_000
    yield "deep labels", _at(right, "workflow_job.labels", "@@").replace(b'"@@"', b"[" * 5000 + b"]" * 5000)
    yield "a long number", open_end + b',"x":' + b"9" * 5000 + b"}"
    yield "a number past all", open_end + b',"x":1e400}'
    yield "a megabyte of blanks", b" " * 900_000 + right


def _fields(payload: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
    right = json.dumps(payload).encode()
    for path in _FIELDS:
        for value in _OF_ANOTHER_KIND:
            yield f"{path} = {value}", _at(right, path, value)
    for path in _NUMBERS:
        for number in (-1, 2**53, 2**63, 2**64, 10**300):
            yield f"{path} = {str(number)[:20]} {len(str(number))}", _at(right, path, number)
    for place, (path, value) in enumerate(_ODD):
        yield f"{path}, oddity {place}", _at(right, path, value)


def _at(right: bytes, path: str, value: Any) -> bytes:
    """The right body with another value at one place, and another job each time."""
    payload = json.loads(right)
    payload["workflow_job"]["id"] = uuid.uuid4().int % 10**11 + 1
    parent = payload
    *above, last = path.split(".")
    for name in above:
        parent = parent.setdefault(name, {})
    parent[last] = value
    return json.dumps(payload).encode()

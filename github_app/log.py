"""JSON lines on stderr, with every secret taken out on the way.

Redaction is the last step before a line is made, so it also covers tracebacks and what libraries log.
"""

import json
import logging
import re
import sys
from collections.abc import Iterable

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

_MASK = "[redacted]"
_SECRET_SHAPES = re.compile(
    # GitHub tokens: 40 characters, or the 520 of `ghs_<App id>_<JWT>`.
    r"gh[a-z]_[A-Za-z0-9._-]{20,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    # JWTs, and JIT configs: base64 of a JSON object, that is of `{"`, `{ ` or `{` and a line's end.
    r"|e(?:yI|yJ|yA|wo|w0)[A-Za-z0-9_+/=.-]{40,}"
    r"|\bas-[A-Za-z0-9]{20,}",
    re.DOTALL,
)

# Nothing shorter has one of these shapes, nor what has none of these in it.
_SHORTEST = 23
_BEGINNINGS = ("gh", "-----BEGIN", "eyI", "eyJ", "eyA", "ewo", "ew0", "as-")


def redact(text: str, known: Iterable[str] = ()) -> str:
    """Mask everything that has the shape of a secret, and each of the `known` ones."""
    for secret in known:
        text = text.replace(secret, _MASK)
    return text if len(text) < _SHORTEST else _SECRET_SHAPES.sub(_MASK, text)


def redactor(known: Iterable[str]) -> Processor:
    """A structlog processor over the finished line."""
    secrets = [secret for secret in known if secret]

    def process(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        return {key: _redacted(value, secrets) for key, value in event.items()}

    return process


def json_line(known: Iterable[str]) -> Processor:
    """A structlog processor that makes a line of JSON, with every secret taken out.

    The values are looked through one by one only where the line they would make may hold one.
    """
    secrets = [secret for secret in known if secret]
    mask, encode = redactor(secrets), json.JSONEncoder(default=_as_json).encode
    looked_for = (*_BEGINNINGS, *(encode(secret)[1:-1] for secret in secrets))

    def process(logger: WrappedLogger, method: str, event: EventDict) -> str:
        line = encode(event)
        return encode(mask(logger, method, event)) if any(each in line for each in looked_for) else line

    return process


def _as_json(value: object) -> object:
    return list(value) if isinstance(value, set | frozenset) else str(value)


def _redacted(value: object, known: list[str]) -> object:
    if isinstance(value, str):
        return redact(value, known)
    if isinstance(value, dict):
        return {key: _redacted(item, known) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_redacted(item, known) for item in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return redact(str(value), known)


def configure(known_secrets: Iterable[str] = (), level: int = logging.INFO) -> None:
    """Send our own log and every library's to stderr: as JSON lines, in colours where that is a terminal."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    as_text: list[Processor] = [redactor(known_secrets), structlog.dev.ConsoleRenderer()]
    made_a_line: list[Processor] = [
        structlog.processors.format_exc_info,
        *(as_text if sys.stderr.isatty() else [json_line(known_secrets)]),
    ]
    # Ours go by no record of the standard library's, which costs as much as all the rest of an answer to GitHub.
    structlog.configure(
        processors=[*shared, *made_a_line],
        logger_factory=_Logger,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *made_a_line],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # One line for each HTTP request or gRPC frame would drown what matters.
    for chatty in ("httpx", "httpcore", "hpack", "uvicorn.access"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


class _Logger(structlog.WriteLogger):
    """Writes lines to stderr."""

    def __init__(self, name: str = "") -> None:
        super().__init__(sys.stderr)
        self.name = name

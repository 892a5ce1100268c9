"""The log: JSON lines, without secrets, whoever wrote them and wherever they stand."""

import base64
import json
import subprocess
import sys

import pytest

from github_app.log import json_line, redact, redactor

LONG_TOKEN = f"ghs_12345_{'a' * 60}.{'b' * 200}.{'c' * 100}"
JWT = "eyJhbGciOiJSUzI1NiJ9." + "x" * 60 + "." + "y" * 80
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIcanary\n-----END RSA PRIVATE KEY-----"


@pytest.mark.parametrize(
    "secret",
    [
        "ghs_" + "a" * 36,
        "ghp_" + "A1" * 18,
        "gho_" + "b" * 36,
        LONG_TOKEN,
        JWT,
        *(base64.b64encode(json.dumps({".runner": "x" * 90}, indent=indent).encode()).decode() for indent in (None, 2)),
        base64.b64encode(b'{ ".runner": "' + b"x" * 90 + b'"}').decode(),
        PEM,
        PEM.replace("RSA ", ""),
        PEM.replace("\n", "\\n"),
        "-----BEGIN PRIVATE KEY-----\nMIIcanary, cut off",
        "as-" + "a1B2" * 6,
    ],
)
@pytest.mark.parametrize("around", ["{}", "token={}", "'{}'", "Authorization: Bearer {}\n", "https://x:{}@github.com/"])
def test_what_has_the_shape_of_a_secret_is_masked_wherever_it_stands(secret: str, around: str) -> None:
    masked = redact(around.format(secret))
    line = str(json_line([])(None, "info", {"event": {"deep": [around.format(secret)]}}))

    assert "[redacted]" in masked
    assert json.loads(line) == {"event": {"deep": [masked]}}
    assert not [part for part in secret.split("\n") if len(part) > 8 and part in masked]


@pytest.mark.parametrize(
    "text",
    [
        "modal-12345-1",
        "sb-EJ1HKR00ITWK384H9E1Q4CODSB",
        "octo-org/ghs_tools",
        "eyJ",
        "2026-11-24T07:57:57Z",
        "as-is",
        "",
    ],
)
def test_what_is_needed_to_follow_a_job_is_left(text: str) -> None:
    assert redact(text) == text


def test_known_secrets_are_masked_whatever_their_shape() -> None:
    assert redact("it was hunter2!", ["hunter2"]) == "it was [redacted]!"


@pytest.mark.parametrize(
    "secret", ["hunter2", "two\nlines", 'a "quote"', "back\\slash", "schlüssel", "\x00\x7f", "\ud800"]
)
def test_a_known_secret_is_masked_in_a_line_that_writes_it_otherwise(secret: str) -> None:
    line = str(json_line([secret, ""])(None, "info", {"event": f"it was {secret}!", "error": ValueError(secret)}))

    assert json.loads(line) == {"event": "it was [redacted]!", "error": "[redacted]"}


def test_every_value_of_an_event_is_masked_at_any_depth() -> None:
    class Odd:
        def __str__(self) -> str:
            return "hunter2"

    event = {
        "event": "a hunter2",
        "list": ["hunter2", {"deep": ("hunter2", b"hunter2")}],
        "error": ValueError("hunter2"),
        "odd": Odd(),
        "number": 7,
        "none": None,
    }
    masked = redactor(["hunter2", ""])(None, "info", event)

    assert "hunter2" not in str(masked)
    assert isinstance(masked, dict)
    assert (masked["number"], masked["none"]) == (7, None)


_PROGRAM = """
import logging, structlog
from github_app import log
log.configure(["hunter2"])
structlog.contextvars.bind_contextvars(job=7)
def inner():
    raise ValueError("inner hunter2 ghs_" + "a" * 36)
try:
    try:
        inner()
    except ValueError as error:
        raise RuntimeError("outer hunter2") from error
except RuntimeError:
    structlog.get_logger("ours").exception("failed", detail="hunter2")
    logging.getLogger("theirs").exception("library %s", "hunter2")
logging.getLogger("httpx").info("chatter")
structlog.get_logger("ours").info("x" * 10, lines="a\\nb")
"""


def test_tracebacks_and_the_lines_of_libraries_are_json_lines_without_secrets() -> None:
    ran = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True)  # noqa: S603
    ours, theirs, last = (json.loads(line) for line in ran.stderr.splitlines())

    assert "hunter2" not in ran.stderr
    assert "ghs_" not in ran.stderr
    assert (ours["job"], ours["level"], ours["logger"]) == (7, "error", "ours")
    assert "in inner" in ours["exception"]
    assert "outer [redacted]" in ours["exception"]
    assert theirs["event"] == "library [redacted]"
    assert last["lines"] == "a\nb"

"""A check and what came of it. The fields are what `modal-runner doctor --json` prints."""

from collections.abc import Awaitable
from typing import Literal

import msgspec

from github_app.errors import GitHubError, ModalRunnerError


class Check(msgspec.Struct, frozen=True):
    """One line: `detail` says what was found; `cure` what to do, when it does not hold.

    `unknown`: it could not be looked at, because of something that another line tells.
    """

    name: str
    status: Literal["ok", "failed", "unknown"]
    detail: str
    cure: str | None = None


class Report(msgspec.Struct):
    """All checks, in order; `warnings` is what is allowed and may not be meant."""

    checks: list[Check]
    warnings: list[str]
    ok: bool = False


def ok(name: str, detail: str) -> Check:
    """It holds."""
    return Check(name, "ok", detail)


def failed(name: str, detail: str, cure: str) -> Check:
    """It does not hold."""
    return Check(name, "failed", detail, cure)


def unknown(name: str, missing: str, cure: str | None = None) -> Check:
    """It cannot be looked at."""
    return Check(name, "unknown", f"cannot be looked at: {missing}", cure)


async def guarded(name: str, check: Awaitable[Check], cure: str) -> Check:
    """Take a check's own failure as its answer, with the click that GitHub's refusal asks for, else `cure`."""
    try:
        return await check
    except ModalRunnerError as error:
        advice = error.advice if isinstance(error, GitHubError) else None
        return failed(name, str(error), advice or cure)

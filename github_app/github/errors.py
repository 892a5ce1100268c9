"""The one boundary where githubkit's exceptions become ours.

Rules from GitHub's docs, "Rate limits for the REST API" and "Best practices for using the REST API":
obey `retry-after`, else wait until `x-ratelimit-reset` when nothing remains, else at least a minute.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime

import httpx
from githubkit.exception import GitHubException, RequestFailed, RequestTimeout

from github_app.errors import GitHubError
from github_app.github.refusal_advice import advice_on

_UNTOLD_LIMIT_WAIT_S = 60.0


@contextmanager
def github_errors(call: str) -> Iterator[None]:
    """Raise every failure of githubkit inside the block as a `GitHubError` that names `call`."""
    try:
        yield
    except RequestFailed as error:
        raise _from_answer(call, error.response.raw_response) from error
    except (RequestTimeout, TimeoutError) as error:
        raise GitHubError(f"{call}: GitHub did not answer in time", retryable=True) from error
    except GitHubException as error:
        cause = getattr(error, "exc", error)
        raise GitHubError(f"{call}: no connection to GitHub ({type(cause).__name__})", retryable=True) from error
    except ValueError as error:
        # githubkit reads some headers unguarded, and its methods check a request's body before they send it.
        raise GitHubError(f"{call}: githubkit gave up ({type(error).__name__})", retryable=False) from error


def _from_answer(call: str, answer: httpx.Response) -> GitHubError:
    status = answer.status_code
    wait = _asked_wait(answer)
    limited = status == 429 or (status == 403 and wait is not None)
    advice = None if limited else advice_on(status, _message(answer))
    return GitHubError(
        f"{call}: GitHub answered {status} ({_message(answer)})" + (f"; {advice}" if advice else ""),
        retryable=limited or status >= 500,
        retry_after=wait if limited or status >= 500 else None,
        status=status,
        request_id=answer.headers.get("x-github-request-id"),
        advice=advice,
    )


def _asked_wait(answer: httpx.Response) -> float | None:
    """Seconds that GitHub asks us to wait; None when it does not ask."""
    headers = answer.headers
    if asked := headers.get("retry-after"):
        return seconds_to_wait(asked)
    if headers.get("x-ratelimit-remaining") == "0" and headers.get("x-ratelimit-reset", "").isdigit():
        return max(0.0, int(headers["x-ratelimit-reset"]) - time.time())
    # A secondary limit may come without any header; its message is then the only sign.
    if answer.status_code == 429 or "secondary rate limit" in _message(answer).lower():
        return _UNTOLD_LIMIT_WAIT_S
    return None


def seconds_to_wait(retry_after: str) -> float:
    """Read the header's value, which is a number of seconds or an HTTP date."""
    if retry_after.isascii() and retry_after.isdigit():
        return float(retry_after)
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - time.time())
    except ValueError:
        return _UNTOLD_LIMIT_WAIT_S


def _message(answer: httpx.Response) -> str:
    """GitHub's own sentence: the `message` of a JSON answer, never another part of the body."""
    try:
        body = answer.json()
    except ValueError:
        return answer.reason_phrase
    message = body.get("message") if isinstance(body, dict) else None
    return message[:300] if isinstance(message, str) else answer.reason_phrase

"""When a launch is tried again."""

import pytest
from tenacity import Future, RetryCallState

from github_app.errors import GitHubError, SandboxError
from github_app.model import Hold
from github_app.runners.retry import LAUNCH_WAIT, PATIENCE_S, RETRYABLE, delay


@pytest.mark.parametrize(
    ("hold", "failures", "seconds"),
    [
        (Hold.GITHUB_REFUSES, 1, 3600.0),
        (Hold.MODAL_REFUSES, 1, 3600.0),
        (Hold.GITHUB_NOT_FOUND, 1, 30.0),
        (Hold.GITHUB_NOT_FOUND, 2, 3600.0),
        (Hold.NOT_PICKED_UP, 1, 0.0),
        (Hold.NOT_PICKED_UP, 2, 3600.0),
        (Hold.RUNNER_DIED, 4, 80.0),
        (Hold.RUNNER_DIED, 5, 3600.0),
        (Hold.MODAL_CAPACITY, 1, 10.0),
        (Hold.MODAL_CAPACITY, 2, 20.0),
        (Hold.MODAL_CAPACITY, 5, 160.0),
        (Hold.MODAL_CAPACITY, 7, 640.0),
        (Hold.MODAL_CAPACITY, 8, 900.0),
        (Hold.MODAL_CAPACITY, 5000, 900.0),
    ],
)
def test_the_delay_grows_and_is_an_hour_where_a_person_must_act(hold: Hold, failures: int, seconds: float) -> None:
    assert delay(hold, failures) == seconds


def ended_with(error: BaseException | None, attempt: int = 1) -> RetryCallState:
    state = RetryCallState(retry_object=None, fn=None, args=(), kwargs={})  # type: ignore[arg-type]  # unused here
    state.attempt_number = attempt
    state.outcome = Future(attempt)
    if error is None:
        state.outcome.set_result(None)
    else:
        state.outcome.set_exception(error)
    return state


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (GitHubError("x", retryable=True), True),
        (GitHubError("x", retryable=False), False),
        (GitHubError("x", retryable=True, retry_after=PATIENCE_S), True),
        (GitHubError("x", retryable=True, retry_after=PATIENCE_S + 0.1), False),
        (GitHubError("x", retryable=False, retry_after=1.0), False),
        (SandboxError("x", retryable=True), True),
        (ValueError("x"), False),
    ],
)
def test_only_what_may_soon_succeed_is_repeated_within_a_launch(error: BaseException, *, again: bool) -> None:
    assert RETRYABLE(ended_with(error)) is again


@pytest.mark.parametrize(
    ("error", "attempt", "least"),
    [
        (GitHubError("x", retryable=True, retry_after=7.0), 1, 7.0),
        (GitHubError("x", retryable=True), 1, 1.0),
        (GitHubError("x", retryable=True), 3, 4.0),
        (SandboxError("x", retryable=True, retry_after=7.0), 2, 2.0),
        (None, 1, 1.0),
    ],
)
def test_a_repetition_waits_for_what_was_asked_or_longer_each_time(
    error: BaseException | None, attempt: int, least: float
) -> None:
    waits = {LAUNCH_WAIT(ended_with(error, attempt)) for _ in range(20)}

    assert all(least <= wait <= least + 1.0 for wait in waits)
    # No burst comes back as one.
    assert len(waits) > 1

"""When something is tried again. The policies are values; each is used only where repeating is safe by name."""

from tenacity import RetryCallState, retry_if_exception, stop_after_attempt, wait_exponential_jitter, wait_random
from tenacity.wait import wait_base

from github_app.errors import GitHubError, SandboxError, StoreError
from github_app.model import Hold

# What is waited out inside a launch; anything longer becomes a record.
PATIENCE_S = 30.0
HOUR_S = 3600.0
# Attempts in a row that came to nothing, after which a job is held as failing and tried once an hour.
FAILING_AFTER = 5
# Runners in a row that came online and were not given the job, after which GitHub is believed to be stuck.
STUCK_AFTER = 2
_LONGEST_DELAY_S = 900.0


def _may_succeed_later(error: BaseException) -> bool:
    """Try again at once-ish what may soon succeed and did not ask for a longer wait."""
    if not isinstance(error, GitHubError | SandboxError | StoreError):
        return False
    return error.retryable and (error.retry_after or 0) <= PATIENCE_S


RETRYABLE = retry_if_exception(_may_succeed_later)
LAUNCH_STOP = stop_after_attempt(4)


class _AskedOrExponential(wait_base):
    """What the other side asked for, else 1, 2, 4 s, each with up to a second more: no burst comes back as one."""

    _exponential: wait_base = wait_exponential_jitter(initial=1, max=PATIENCE_S, jitter=1)
    _spread: wait_base = wait_random(0, 1)

    def __call__(self, retry_state: RetryCallState) -> float:
        error = retry_state.outcome.exception() if retry_state.outcome else None
        if isinstance(error, GitHubError) and error.retry_after is not None:
            return error.retry_after + float(self._spread(retry_state))
        return float(self._exponential(retry_state))


LAUNCH_WAIT = _AskedOrExponential()


def delay(hold: Hold, failures: int) -> float:
    """Seconds until the next attempt, after `failures` in a row: growing, and an hour where a person must act."""
    if hold in {Hold.GITHUB_REFUSES, Hold.MODAL_REFUSES}:
        return HOUR_S
    if hold is Hold.GITHUB_NOT_FOUND:
        # One 404 proves nothing; a second one, half a minute later, does.
        return PATIENCE_S if failures < 2 else HOUR_S
    if hold is Hold.NOT_PICKED_UP:
        return 0.0 if failures < STUCK_AFTER else HOUR_S
    if hold is Hold.RUNNER_DIED and failures >= FAILING_AFTER:
        return HOUR_S
    return min(_LONGEST_DELAY_S, 5.0 * 2.0 ** min(failures, 10))

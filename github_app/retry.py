"""When a call is made again. The policies are values; each is used only where repeating is safe by name."""

from tenacity import retry_if_exception, stop_after_attempt, wait_exponential_jitter
from tenacity.wait import wait_base

from github_app.errors import GitHubError, SandboxError, StoreError


def _may_succeed_later(error: BaseException) -> bool:
    return isinstance(error, GitHubError | SandboxError | StoreError) and error.retryable


RETRYABLE = retry_if_exception(_may_succeed_later)
LAUNCH_STOP = stop_after_attempt(4)


def launch_wait() -> wait_base:
    """1, 2, 4 s, each with up to a second more, so that a burst does not come back as a burst."""
    return wait_exponential_jitter(initial=1, max=30, jitter=1)

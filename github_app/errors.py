"""Every error that this package raises on purpose.

ModalRunnerError
├── ConfigError       the settings are wrong; lists every problem at once
├── InputError        what the command line names cannot be used
├── SetupError        a step of the setup did not come true; to run it again goes on from there
├── DeliveryError     a webhook request that is not answered 2xx; carries the HTTP status
├── GitHubError       GitHub refused or did not answer
├── SandboxError      Modal refused or did not answer about sandboxes or images
├── StoreError        Modal's Dict did not answer
└── DeploymentError   Modal refused or did not answer about the App's own Secret, functions and objects

The last four are made at one place per adapter; `retryable` says whether the same call may succeed later,
`retry_after` (seconds) what the other side asked to wait. Nothing above an adapter reads an error's text.
"""

from collections.abc import Sequence
from http import HTTPStatus


class ModalRunnerError(Exception):
    """The root of the tree."""


class ConfigError(ModalRunnerError):
    """The settings are wrong. `problems` holds one sentence for each thing to mend."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(["The settings are not right:", *(f"  - {p}" for p in problems)]))
        self.problems = tuple(problems)


class InputError(ModalRunnerError):
    """What the command line names cannot be used; the message says why, and what to give instead."""


class SetupError(ModalRunnerError):
    """A step of `modal-runner setup` did not come true; the message says what to do before it is run again."""


class DeliveryError(ModalRunnerError):
    """A webhook request that is refused with `status`."""

    def __init__(self, status: HTTPStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class _ServiceError(ModalRunnerError):
    # Nothing at all can be asked of the service: there is no network, or no token.
    no_way = False

    def __init__(self, message: str, *, retryable: bool, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retryable = retryable
        self.retry_after = retry_after


class GitHubError(_ServiceError):
    """GitHub refused (`status` is its HTTP status) or did not answer (`status` is None).

    `advice` is the click that mends it, where one is known.
    """

    def __init__(
        self,
        message: str,
        *,
        retryable: bool,
        retry_after: float | None = None,
        status: int | None = None,
        request_id: str | None = None,
        advice: str | None = None,
    ) -> None:
        super().__init__(message, retryable=retryable, retry_after=retry_after)
        self.advice = advice
        self.status = status
        self.request_id = request_id


class SandboxError(_ServiceError):
    """Modal refused or did not answer about a sandbox or an image."""


class SandboxNameTaken(SandboxError):  # noqa: N818 - the fact, as SandboxError says that it is one
    """A running sandbox has this name already (Modal keeps names unique among the running ones of an App)."""


class StoreError(_ServiceError):
    """Modal's Dict did not answer."""


class DeploymentError(_ServiceError):
    """Modal refused or did not answer about the App's own objects, or its command `modal` failed."""

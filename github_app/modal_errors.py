"""Where the errors of Modal's SDK become ours: one table, with what differs between the adapters as data."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import modal.exception

from github_app.errors import DeploymentError, SandboxError, StoreError

# May be none the next time: no machine free, a throttle, a cap, an outage.
_RETRYABLE = (
    modal.exception.ResourceExhaustedError,
    modal.exception.ServiceError,
    modal.exception.ConnectionError,
    modal.exception.InternalError,
    modal.exception.TimeoutError,
)

OurError = type[DeploymentError] | type[SandboxError] | type[StoreError]


@dataclass(frozen=True)
class Boundary:
    """One adapter's calls to Modal: `raises` is its error, `deadline_s` how long a call is waited for.

    `special`: errors of Modal's that say something of their own there, and what. The SDK repeats a call on a broken
    connection for minutes, hence the deadline.
    """

    raises: OurError
    deadline_s: float
    special: Mapping[type[modal.exception.Error], tuple[OurError, str]] = field(default_factory=dict)

    @asynccontextmanager
    async def __call__(self, call: str, deadline_s: float | None = None) -> AsyncIterator[None]:
        """Raise every failure of the SDK in the block as an error of ours that names `call`."""
        seconds = self.deadline_s if deadline_s is None else deadline_s
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError as error:
            raise self.raises(f"{call}: Modal did not answer in {seconds:.0f} s", retryable=True) from error
        except tuple(self.special) as error:
            ours, sentence = next(found for kind, found in self.special.items() if isinstance(error, kind))
            raise ours(f"{call}: {sentence}", retryable=False) from error
        except modal.exception.Error as error:
            # An error about a Secret does not quote its values.
            retryable = isinstance(error, _RETRYABLE)
            raise self.raises(f"{call}: {type(error).__name__}: {error}", retryable=retryable) from error

"""Where the errors of Modal's SDK become ours: one table, with what differs between the adapters as data."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import grpclib.exceptions
import modal.config
import modal.exception

from github_app.errors import DeploymentError, SandboxError, StoreError
from github_app.modal_wait import first_answer

# May be none the next time: no machine free, a throttle, a cap, an outage.
_RETRYABLE = (
    modal.exception.ResourceExhaustedError,
    modal.exception.ServiceError,
    modal.exception.ConnectionError,
    modal.exception.InternalError,
    modal.exception.TimeoutError,
)

LOG_IN = "run `modal setup`, or set MODAL_TOKEN_ID and MODAL_TOKEN_SECRET"
REACH = "see that this machine reaches api.modal.com (network, proxy, firewall), and what status.modal.com says"
_NO_TOKEN = f"Modal's token is missing or refused: {LOG_IN}"
# What the SDK lets through of a connection that breaks, or leads to something else than Modal.
_BROKEN = (grpclib.exceptions.StreamTerminatedError, grpclib.exceptions.ProtocolError, OSError)

OurError = type[DeploymentError] | type[SandboxError] | type[StoreError]


def _no_network() -> str:
    address = str(modal.config.config.get("server_url"))
    where = "" if address == "https://api.modal.com" else f" at {address} (MODAL_SERVER_URL)"
    return f"Modal cannot be reached{where}: {REACH}"


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
        seconds, left_s = self.deadline_s if deadline_s is None else deadline_s, first_answer.left_s()
        try:
            async with asyncio.timeout(seconds if left_s is None else min(seconds, left_s)):
                yield
            first_answer.came()
        except TimeoutError as error:
            # Another call may have had its answer meanwhile.
            if first_answer.left_s() is not None:
                raise self._no_way(_no_network(), retryable=True) from error
            raise self.raises(f"{call}: Modal did not answer in {seconds:.0f} s", retryable=True) from error
        except _BROKEN as error:
            if first_answer.left_s() is not None:
                raise self._no_way(_no_network(), retryable=True) from error
            raise self.raises(
                f"{call}: the connection to Modal broke ({type(error).__name__})", retryable=True
            ) from error
        except modal.exception.AuthError as error:
            raise self._no_way(_NO_TOKEN, retryable=False) from error
        except tuple(self.special) as error:
            first_answer.came()
            ours, sentence = next(found for kind, found in self.special.items() if isinstance(error, kind))
            raise ours(f"{call}: {sentence}", retryable=False) from error
        except modal.exception.Error as error:
            if isinstance(error, modal.exception.ConnectionError) and first_answer.left_s() is not None:
                raise self._no_way(_no_network(), retryable=True) from error
            if not isinstance(error, modal.exception.ConnectionError | modal.exception.TimeoutError):
                first_answer.came()
            # An error about a Secret does not quote its values.
            retryable = isinstance(error, _RETRYABLE)
            raise self.raises(f"{call}: {type(error).__name__}: {error}", retryable=retryable) from error

    def _no_way(self, sentence: str, *, retryable: bool) -> DeploymentError | SandboxError | StoreError:
        """The same sentence for every call."""
        error = self.raises(sentence, retryable=retryable)
        error.no_way = True
        return error

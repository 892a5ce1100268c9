"""The one boundary where Modal's exceptions about the App's own objects become ours."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import modal.exception

from github_app.errors import DeploymentError
from github_app.modal_errors import RETRYABLE

_DEADLINE_S = 60.0
_LOG_IN = "Modal's token is missing or refused: run `modal setup`, or set MODAL_TOKEN_ID and MODAL_TOKEN_SECRET"


@asynccontextmanager
async def deployment_errors(call: str, deadline_s: float = _DEADLINE_S) -> AsyncIterator[None]:
    """Raise every failure of Modal's SDK inside the block as a `DeploymentError` that names `call`."""
    try:
        async with asyncio.timeout(deadline_s):
            yield
    except TimeoutError as error:
        raise DeploymentError(f"{call}: Modal did not answer in {deadline_s:.0f} s", retryable=True) from error
    except modal.exception.AuthError as error:
        raise DeploymentError(f"{call}: {_LOG_IN}", retryable=False) from error
    except modal.exception.Error as error:
        # An error about a Secret does not quote its values.
        raise DeploymentError(
            f"{call}: {type(error).__name__}: {error}", retryable=isinstance(error, RETRYABLE)
        ) from error

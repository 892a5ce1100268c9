"""Fixtures for the simulators."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import modal
import pytest

from github_app.simulator.modal import Limits, SimulatedModal
from tests.worlds.modal_workshop import IMAGE, Workshop, connect


@pytest.fixture
async def simulated_modal() -> AsyncIterator[SimulatedModal]:
    """A simulated Modal without limits."""
    async with SimulatedModal(image=IMAGE) as simulated:
        yield simulated


@pytest.fixture
async def modal_client(simulated_modal: SimulatedModal) -> AsyncIterator[modal.Client]:
    """A client bound to `simulated_modal`, to be passed on explicitly as `client=`."""
    async with connect(simulated_modal) as client:
        yield client


@pytest.fixture
async def open_workshop() -> AsyncIterator[Callable[..., Awaitable[Workshop]]]:
    """Open a workshop with limits of its own."""
    async with AsyncExitStack() as stack:

        async def opened(**limits: Any) -> Workshop:
            simulated = SimulatedModal(image=IMAGE, limits=Limits(**limits))
            await stack.enter_async_context(simulated)
            client = await stack.enter_async_context(connect(simulated))
            app = await modal.App.lookup.aio("sandboxes", create_if_missing=True, client=client)
            return Workshop(simulated, client, app)

        yield opened


@pytest.fixture
async def workshop(simulated_modal: SimulatedModal, modal_client: modal.Client) -> Workshop:
    """A workshop without limits."""
    app = await modal.App.lookup.aio("sandboxes", create_if_missing=True, client=modal_client)
    return Workshop(simulated_modal, modal_client, app)

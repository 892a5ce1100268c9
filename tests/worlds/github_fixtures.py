"""Fixtures around the simulated GitHub, for any test module: `pytest_plugins = ["tests.worlds.github_fixtures"]`."""

from collections.abc import AsyncIterator

import pytest

from tests.worlds.github_checked import CheckedGitHub
from tests.worlds.github_workshop import Hub, open_hub


@pytest.fixture
async def checked_github() -> AsyncIterator[CheckedGitHub]:
    """A simulated GitHub without accounts; what breaks GitHub's contract fails the test."""
    async with CheckedGitHub() as github:
        yield github


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    """The same with an App that is installed on an organisation and delivers to a receiver."""
    async with open_hub() as opened:
        yield opened

"""A chain for each test, cheap by going back to a snapshot."""

from collections.abc import Iterator

import pytest

from .chain import Chain, new_chain
from .world import PEOPLE, World, world


@pytest.fixture(scope="session")
def started() -> Chain:
    """One chain for the session."""
    return new_chain(PEOPLE)


@pytest.fixture
def chain(started: Chain) -> Iterator[Chain]:
    """The chain; what a test does on it is undone."""
    before = started.machine.take_snapshot()
    yield started
    started.machine.revert_to_snapshot(before)


@pytest.fixture(scope="session")
def deployed(started: Chain) -> World:
    """A vault with the stand-in for a verifier, and nobody in it."""
    return world(started)


@pytest.fixture
def vault(deployed: World, chain: Chain) -> World:
    """The vault, as it was deployed."""
    return deployed

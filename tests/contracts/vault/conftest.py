"""A chain for each test, cheap by going back to a snapshot."""

from collections.abc import Iterator

import pytest

from .chain import Chain, new_chain
from .world import PEOPLE, World, attesting_world, world


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
    made = world(started)
    # Going back to a block carries it out: an empty one is quickest.
    started.machine.mine_block()
    return made


@pytest.fixture
def vault(deployed: World, chain: Chain) -> World:
    """The vault, as it was deployed."""
    return deployed


def _opened(vault: World) -> World:
    vault.enrol(1000, 500)
    vault.open()
    vault.chain.machine.mine_block()
    return vault


@pytest.fixture(scope="session")
def standing() -> World:
    """A vault on a chain of its own, where the holder's run is open."""
    return _opened(world(new_chain(PEOPLE)))


@pytest.fixture
def opened(standing: World) -> Iterator[World]:
    """A holder with 1,000 free and 500 posted, and its run."""
    yield from _undone(standing)


@pytest.fixture(scope="session")
def attesting() -> World:
    """The same with the vault that believes an agent."""
    return _opened(attesting_world(new_chain(PEOPLE)))


@pytest.fixture
def pending(attesting: World) -> Iterator[World]:
    """A holder with 1,000 free and 500 posted, and its run, in the vault that believes an agent."""
    yield from _undone(attesting)


def _undone(vault: World) -> Iterator[World]:
    before = vault.chain.machine.take_snapshot()
    yield vault
    vault.chain.machine.revert_to_snapshot(before)

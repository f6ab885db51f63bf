"""Two chains for each test, cheap by going back to snapshots."""

from collections.abc import Iterator

import pytest

from .pair import ASSET_CHAIN, DECIDING_CHAIN, Pair, numbered, pair


@pytest.fixture(scope="session")
def started_pair() -> Pair:
    """Two chains for the session, with everything deployed. The holder has 1,000 free and 500 posted in the vault."""
    both = pair(numbered(ASSET_CHAIN), numbered(DECIDING_CHAIN))
    both.vault.enrol(1000, 500)
    return both


@pytest.fixture
def chains(started_pair: Pair) -> Iterator[Pair]:
    """Both chains; what a test does on them is undone."""
    yield from undone(started_pair)


def undone(both: Pair) -> Iterator[Pair]:
    """Give both chains to a test, and undo what it does."""
    machines = (both.asset.machine, both.deciding.machine)
    before = [machine.take_snapshot() for machine in machines]
    yield both
    for machine, snapshot in zip(machines, before, strict=True):
        machine.revert_to_snapshot(snapshot)

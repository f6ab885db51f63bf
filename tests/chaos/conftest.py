"""A world with custodians, dealt to once for all tests that want one."""

from pathlib import Path

import pytest

from ..e2e.harness import World
from ..e2e.preloaded import Nursery
from .custody import copied, deal


@pytest.fixture(scope="session")
def dealt(tmp_path_factory: pytest.TempPathFactory, nursery: Nursery) -> World:
    """A world whose account's book was dealt to custodians; all is stopped."""
    return deal(tmp_path_factory.mktemp("dealt"), nursery)


@pytest.fixture
def custody_world(dealt: World, tmp_path: Path) -> World:
    """A private copy of it."""
    return copied(dealt, tmp_path / "world")

"""A stopped world whose runs are audited."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from atomic_margin.service.protocol.states import RunState

from .. import postgres
from .audits import COVERED, evidence_of
from .harness import World, copy_world


@pytest.fixture(scope="session")
def audited(enrolled: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    """A stopped world with four runs: covered, settled, unanswered, and not evaluated."""
    world = copy_world(enrolled, tmp_path_factory.mktemp("audited"))
    with world.both():
        world.wait_run(world.tick(1, 1))
        world.wait_run(world.tick(2, 2), (RunState.SETTLED,))
    with world.serving():
        world.wait_run(world.tick(1, 3), (RunState.AWAITING_ANSWER,))
        world.tick(1, 4)
        # A running server is no obstacle.
        assert evidence_of(world.root / "operator", COVERED).record.run_id == COVERED
    return world


@pytest.fixture
def operator(audited: World, tmp_path: Path) -> Iterator[Path]:
    """A private copy of the operator's directory."""
    with postgres.operator_s_database(tmp_path / "operator"):
        yield shutil.copytree(audited.root / "operator", tmp_path / "operator")

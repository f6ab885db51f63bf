"""The story of the examples, played once; every test gets a copy of the stage it starts from."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from atomic_margin.service.protocol.terms import Terms
from atomic_margin.service.protocol.trust import TrustFile
from atomic_margin.zk.groups import Group, load_group

from .documents import example_terms
from .stages import Stages
from .world import World


@pytest.fixture(scope="session")
def stages(tmp_path_factory: pytest.TempPathFactory) -> Stages:
    return Stages(tmp_path_factory.mktemp("stages"))


@pytest.fixture(scope="session")
def terms() -> Terms:
    return example_terms()


@pytest.fixture(scope="session")
def group() -> Group:
    return load_group()


@pytest.fixture(scope="session")
def trust(stages: Stages) -> TrustFile:
    return TrustFile.parse(stages.trust)


@pytest.fixture
def world_at(stages: Stages, tmp_path: Path) -> Iterator[Callable[[str], World]]:
    """Open the operator at a stage: enrolled, bare, submitted, two, {calm,fall,crash}-{open,done}."""
    opened: list[World] = []

    def at(stage: str) -> World:
        opened.append(stages.open(stage, tmp_path / f"operator-{len(opened)}"))
        return opened[-1]

    yield at
    for world in opened:
        world.close()

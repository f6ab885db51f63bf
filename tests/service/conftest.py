"""The story of the examples, played once; every test gets a copy of the stage it starts from."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from atomic_margin.service.operator.runs import evaluation
from atomic_margin.service.protocol.terms import Terms
from atomic_margin.service.protocol.trust import TrustFile
from atomic_margin.zk.groups import Group, load_group

from .cases import Case
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


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Move the clock that deadlines are measured by."""

    def move(seconds: int) -> None:
        monkeypatch.setattr(evaluation, "now", lambda: datetime.now(timezone.utc) + timedelta(seconds=seconds))

    return move


@pytest.fixture
def case(stages: Stages, terms: Terms, group: Group) -> Callable[[str], Case]:
    return lambda name: Case(stages, terms, group, name)

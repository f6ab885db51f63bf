"""The story of the examples, played once; every test gets a copy of the stage it starts from."""

import tempfile
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from atomic_margin.service.operator.runs import evaluation
from atomic_margin.service.protocol.terms import Terms
from atomic_margin.service.protocol.trust import TrustFile
from atomic_margin.service.verifier import attestation, gain
from atomic_margin.zk.groups import Group, load_group

from .bundles import Remembering
from .cases import Case
from .documents import example_terms
from .stages import Stages
from .three_sources import RULES
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
def own_temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for what worker processes leave behind; in the system's there may be those of other tests."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def three_sources(stages: Stages, tmp_path: Path) -> Iterator[World]:
    """An account with collateral and a portfolio, before its first tick, at an operator with three sources."""
    single = stages.open("submitted", tmp_path / "three")
    single.close()
    world = World(single.directory, single.source, single.funds, RULES)
    yield world
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


@pytest.fixture(scope="session")
def remembering() -> dict[str, Remembering]:
    places = {
        "verify_submission": attestation,
        "verify_answer": attestation,
        "verify_committed": gain,
        "verify_gain": gain,
    }
    return {f"{module.__name__}.{name}": Remembering(getattr(module, name)) for name, module in places.items()}


@pytest.fixture(scope="module")
def proofs_checked_once(remembering: dict[str, Remembering]) -> Iterator[None]:
    """Checking proofs takes a second, and most changes of a bundle are none of its proofs' statements."""
    with pytest.MonkeyPatch.context() as patched:
        for name, check in remembering.items():
            patched.setattr(name, check)
        yield

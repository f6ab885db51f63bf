"""What tests of the agent's rounds share: the residents, a line that is cut, a clock, and accounts that owe."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from atomic_margin.documents.fields import instant_text
from atomic_margin.margin.market.portfolio import Portfolio
from atomic_margin.service.institution.store import OwnAnswer
from atomic_margin.service.operator.runs import evaluation as runs
from atomic_margin.service.protocol.documents import Answer

from ..lines import FLAT
from .resident import Resident, Residents


@pytest.fixture(scope="module")
def residents(tmp_path_factory: pytest.TempPathFactory) -> Residents:
    return Residents(tmp_path_factory.mktemp("residents"))


@pytest.fixture
def resident(residents: Residents, tmp_path: Path) -> Iterator[Resident]:
    resident = residents.copy(tmp_path, proofs=False)
    yield resident
    resident.close()


@pytest.fixture
def proving(residents: Residents, tmp_path: Path) -> Iterator[Resident]:
    """The same with the proofs."""
    resident = residents.copy(tmp_path, proofs=True)
    yield resident
    resident.close()


def flat() -> Portfolio:
    return Portfolio.parse(FLAT)


def in_step(resident: Resident) -> bool:
    """Whether the agent's replica is what the operator has."""
    history = resident.agent.history
    return (history.head, history.state) == (resident.world.head(resident.name), resident.state)


def lose(resident: Resident, end: str, what: str) -> None:
    """Cut the line for requests to paths with that end: before they arrive, or before the reply does."""
    resident.line.lost = lambda method, path: what if method == "POST" and path.endswith(end) else None


def mend(resident: Resident) -> None:
    resident.line.lost = lambda method, path: None


def said(row: OwnAnswer) -> Answer:
    assert row.document is not None
    return Answer.parse(row.document["body"])


class Clock:
    """The agent's clock."""

    def __init__(self) -> None:
        self.now = datetime.now(timezone.utc)

    def __call__(self) -> datetime:
        return self.now

    def wait(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Move the operator's clock, by which deadlines are measured and said to be over."""

    def move(seconds: int) -> None:
        at = datetime.now(timezone.utc) + timedelta(seconds=seconds)
        monkeypatch.setattr(runs, "now", lambda: at)
        monkeypatch.setattr(runs, "now_text", lambda: instant_text(at))

    return move


def unproven(resident: Resident, number: int, later: Callable[[int], None]) -> str:
    """Let the time of a run pass by the operator's clock, without the agent."""
    run_id = resident.world.play(number)
    later(1000)
    assert runs.sweep_deadlines(resident.world.operator) == [run_id]
    return run_id

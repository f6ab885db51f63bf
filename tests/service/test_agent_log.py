"""A real agent, operator and witness: nothing is answered before others could have been shown it too."""

import dataclasses
import json
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from atomic_margin.documents.canonical import canonical_bytes
from atomic_margin.documents.fields import instant_text
from atomic_margin.service.institution.agent import Agent
from atomic_margin.service.institution.settings import AgentSettings, present_time
from atomic_margin.service.operator.publishing import Publisher
from atomic_margin.service.operator.runs import evaluation as runs
from atomic_margin.service.operator.store import log
from atomic_margin.service.operator.store.tables import LogLeaf
from atomic_margin.service.protocol.account.errors import EntryIllegal
from atomic_margin.service.protocol.states import AccountState
from atomic_margin.service.protocol.trust import TrustFile
from atomic_margin.service.witness.witness import Witness

from .documents import FUND, GROSS_LIMIT
from .resident import Resident
from .rounds import resident as resident
from .rounds import residents as residents
from .test_log import serving


class Watched:
    """An agent whose trust file asks for one witness of one, and the operator's publisher."""

    def __init__(self, resident: Resident, witness: Witness, url: str) -> None:
        self.resident, self.operator, self.ahead = resident, resident.world.operator, 0
        self.operator.settings = dataclasses.replace(self.operator.settings, witnesses=((url, witness.key),))
        log = {
            "key": str(self.operator.log_key),
            "witnesses": [str(witness.key)],
            "threshold": "1",
            "max_age_seconds": "60",
        }
        trust = TrustFile.parse({**resident.world.trust(), "log": log})
        settings = AgentSettings(
            resident.folder,
            FUND,
            "http://operator",
            trust,
            GROSS_LIMIT,
            None,
            clock=lambda: present_time() + self.later,
        )
        resident.agent.close()
        self.stages: list[str] = []
        self.agent = Agent(settings, self.stages.append)
        resident._agent = self.agent

    @property
    def later(self) -> timedelta:
        return timedelta(seconds=self.ahead)

    def publish(self) -> None:
        publisher = Publisher(self.operator)
        assert publisher.publish() is True
        publisher.close()

    def leaves(self) -> list[dict[str, Any]]:
        with self.operator.store.unit_of_work() as session:
            return [json.loads(row.entry) for row in session.query(LogLeaf).order_by(LogLeaf.number)]

    def append(self, **changes: Any) -> None:
        """Append the account's last leaf once more, changed: what an honest operator never does."""
        last = [leaf for leaf in self.leaves() if leaf["kind"] == "entry"][-1]
        with self.operator.store.unit_of_work() as session:
            log.append(session, canonical_bytes({**last, **changes}))


class Moved:
    """The witness's clock."""

    def __init__(self) -> None:
        self.ahead = 0

    def __call__(self) -> int:
        return int(time.time()) + self.ahead


@pytest.fixture
def clock() -> Moved:
    return Moved()


@pytest.fixture
def watched(resident: Resident, tmp_path: Path, clock: Moved) -> Iterator[Watched]:
    key = resident.world.operator.log_key
    witness = Witness(tmp_path / "w1", "w1", {key.name: key}, clock)
    with serving(witness) as url:
        yield Watched(resident, witness, url)
    witness.close()


def test_a_run_is_answered_once_a_witness_saw_it(watched: Watched) -> None:
    run_id = watched.resident.world.play(1)
    for _ in range(2):
        assert watched.agent.answer_due() == []
    assert watched.stages[-1] == "waiting for witnesses"
    assert watched.resident.answers == []
    watched.publish()
    assert watched.agent.answer_due() == [run_id]
    assert watched.agent.contradiction is None
    # A checkpoint that was seen too long ago shows nothing about now.
    second = watched.resident.world.play(2)
    watched.publish()
    watched.ahead = 120
    assert watched.agent.answer_due() == []
    watched.ahead = 0
    assert watched.agent.answer_due() == [second]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"entry": "1a" * 32, "document": "1b" * 32}, "once more"),
        ({"number": "99"}, "comes after"),
        ({"account": "1a" * 32, "number": "2"}, "comes after 0"),
    ],
)
def test_a_log_with_another_history_gets_no_answer(watched: Watched, changes: dict[str, str], why: str) -> None:
    """The run itself is in the log, and cosigned: only whoever reads all of it sees what else there is."""
    watched.resident.world.play(1)
    watched.append(**changes)
    watched.publish()
    assert watched.agent.answer_due() == []
    assert watched.stages[-1] == "refused a run"
    assert watched.agent.contradiction is not None
    (kept,) = (watched.resident.folder / "contradictions").glob("log-*.json")
    value = json.loads(kept.read_text())
    assert why in value["reason"]
    assert all("path" in item for item in value["documents"] if item["kind"] == "leaf")
    assert watched.resident.answers == []


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Move the operator's clock."""

    def move(seconds: int) -> None:
        at = datetime.now(timezone.utc) + timedelta(seconds=seconds)
        monkeypatch.setattr(runs, "now", lambda: at)
        monkeypatch.setattr(runs, "now_text", lambda: instant_text(at))

    return move


def test_a_deadline_is_over_by_the_witness_s_clock(
    watched: Watched, clock: Moved, later: Callable[[int], None]
) -> None:
    world, seconds = watched.resident.world, watched.operator.settings.answer_seconds
    run_id = world.play(1)
    # Nobody saw the run yet: by the operator's clock alone its time does not even begin.
    later(10 * seconds)
    assert runs.sweep_deadlines(watched.operator) == []
    watched.publish()
    assert runs.sweep_deadlines(watched.operator) == []
    world.tick(2)
    clock.ahead = seconds - 10
    watched.publish()
    assert runs.sweep_deadlines(watched.operator) == []
    world.tick(3)
    clock.ahead = seconds + 10
    watched.publish()
    assert runs.sweep_deadlines(watched.operator) == [run_id]
    assert watched.resident.state.public.status is AccountState.FROZEN
    # The agent follows that, since the two checkpoints say so.
    watched.agent.history.sync()
    assert watched.agent.history.state == watched.resident.state


def test_an_overdue_run_that_no_witness_stands_for_is_refused(
    watched: Watched, later: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    world, seconds = watched.resident.world, watched.operator.settings.answer_seconds
    world.play(1)
    watched.publish()
    later(10 * seconds)
    # The operator does as if it had no witnesses.
    monkeypatch.setattr(runs, "_elapsed", lambda *_: (None, None))
    assert runs.sweep_deadlines(watched.operator) != []
    with pytest.raises(EntryIllegal, match="declared overdue, and the witnesses do not say so"):
        watched.agent.history.sync()
    assert watched.agent.contradiction is not None

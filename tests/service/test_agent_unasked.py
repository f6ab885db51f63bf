"""Proofs that nobody asked for, and directories that are older than their account, in rounds of the real agent."""

from collections.abc import Callable
from pathlib import Path

import pytest

from atomic_margin.margin.market.portfolio import Portfolio
from atomic_margin.service.errors import AgentRefused, RemoteError
from atomic_margin.service.operator.runs import evaluation as runs
from atomic_margin.service.protocol.account.errors import EntryUnsent
from atomic_margin.service.protocol.states import AccountState, RunState

from .documents import FUND, example
from .resident import Resident, Residents
from .rounds import Clock, flat, in_step, lose, mend, unproven
from .rounds import later as later
from .rounds import proving as proving
from .rounds import resident as resident
from .rounds import residents as residents

pytestmark = pytest.mark.long


def test_an_owed_run_that_still_takes_an_answer_is_answered(resident: Resident, later: Callable[[int], None]) -> None:
    run_id = unproven(resident, 1, later)
    assert resident.world.state() == AccountState.FROZEN
    assert resident.agent.answer_due() == [run_id]
    assert resident.world.state() == AccountState.ACTIVE
    assert resident.line.sent("/coverage") == []


def test_a_due_run_that_nobody_opens_is_made_good_unasked(proving: Resident) -> None:
    resident, clock = proving, Clock()
    agent = resident.restarted(clock=clock)
    resident.world.tick(1)
    agent.answer_due()
    clock.wait(agent.settings.unasked_after - 1)
    agent.answer_due()
    assert resident.line.sent("/coverage") == []
    clock.wait(1)
    agent.answer_due()
    assert len(resident.line.sent("/coverage")) == 1
    assert in_step(resident)
    public = resident.state.public
    assert (public.last_run, public.book.covered) == (1, 1)  # type: ignore[union-attr]
    # Nothing is due any more, neither here nor at the operator.
    clock.wait(100)
    agent.answer_due()
    assert len(resident.line.sent("/coverage")) == 1
    assert resident.world.evaluate() is None


def test_a_book_that_is_not_covered_is_not_proven_and_nothing_is_said(resident: Resident) -> None:
    agent = resident.restarted(unasked_after=0)
    resident.world.tick(2)
    for _ in range(2):
        assert agent.answer_due() == []
    assert resident.line.sent("/coverage") == []
    assert [row.type for row in resident.documents if row.type == "coverage"] == []


def test_an_account_whose_run_cannot_be_answered_is_made_active_by_its_own_proof(
    resident: Resident, later: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The flag of a breach is withheld, the time is over, more is posted: no run of the operator's is needed."""
    agent = resident.restarted(unasked_after=0)
    run_id = resident.world.play(2)
    own = agent._keys.in_use()
    assert own is not None
    agent._keys.raise_alarm(own, "for this test")
    assert agent.answer_due() == []
    later(1000)
    runs.sweep_deadlines(resident.world.operator)
    assert resident.state.public.status is AccountState.FROZEN
    assert agent.answer_due() == []
    agent.instruct("post", "USDC", 100_000_000_000)
    agent.answer_due()
    assert len(resident.line.sent("/coverage")) == 1
    public = resident.state.public
    assert (public.status, public.run, public.owed) == (AccountState.ACTIVE, None, None)
    assert in_step(resident)
    assert [figures.outcome for figures in agent.figures()] == ["withheld"]
    assert run_id == agent.figures()[0].run_id


def test_nothing_is_proven_unasked_while_a_run_waits_for_its_answer(resident: Resident) -> None:
    """Its flag is withheld, and the next tick covers the book: the run is over when its time is, and no sooner."""
    agent = resident.restarted(unasked_after=0)
    resident.world.play(2)
    own = agent._keys.in_use()
    assert own is not None
    agent._keys.raise_alarm(own, "for this test")
    assert agent.answer_due() == []
    resident.world.tick(1, sequence="3", as_of="2026-11-21T08:00:00Z")
    for _ in range(2):
        assert agent.answer_due() == []
    assert resident.line.sent("/coverage") == []


def test_what_hangs_after_a_void_run_is_proven_unasked_once_the_operator_had_its_time(resident: Resident) -> None:
    clock = Clock()
    agent = resident.restarted(clock=clock)
    agent.submit(flat())
    run_id = resident.world.play(1)
    assert agent.answer_due() == [run_id]
    resident.world.evaluator.failures = 3
    run_id = resident.world.play(2)
    assert resident.world.states()[run_id] == RunState.FAILED
    with pytest.raises(RemoteError, match="the run of tick 2 was void"):
        agent.instruct("withdraw", "USDC", 1)
    agent.submit(flat())
    waiting = resident.state.public.waiting
    assert waiting is not None
    agent.answer_due()
    clock.wait(agent.settings.unasked_after - 1)
    agent.answer_due()
    assert resident.line.sent("/coverage") == []
    clock.wait(1)
    agent.answer_due()
    assert len(resident.line.sent("/coverage")) == 1
    public = resident.state.public
    assert (public.book, public.waiting, public.status) == (waiting, None, AccountState.ACTIVE)
    assert in_step(resident)
    # Nothing hangs any more, so nothing is proven. The next run is on the new book; then what is free may leave.
    clock.wait(100)
    agent.answer_due()
    assert len(resident.line.sent("/coverage")) == 1
    run_id = resident.world.play(3)
    assert agent.answer_due() == [run_id]
    agent.instruct("withdraw", "USDC", 1)


def test_each_void_run_gives_the_operator_its_time_anew(resident: Resident) -> None:
    clock = Clock()
    agent = resident.restarted(clock=clock)
    for number in (1, 2):
        resident.world.evaluator.failures = 3
        resident.world.play(number)
        agent.answer_due()
        clock.wait(agent.settings.unasked_after - 1)
        agent.answer_due()
    assert resident.line.sent("/coverage") == []


@pytest.mark.parametrize("lost", ["request", "reply"])
def test_an_unasked_proof_is_sent_again_until_the_account_went_on(resident: Resident, lost: str) -> None:
    agent = resident.restarted(unasked_after=0)
    resident.world.tick(1)
    lose(resident, "/coverage", lost)
    with pytest.raises(RemoteError):
        agent.answer_due()
    mend(resident)
    if lost == "request":
        # The operator enters something else meanwhile: the proof names another entry than the last one.
        resident.world.deposit(FUND, "USDC", 1, "custodian-late")
    resident.restarted(unasked_after=0).answer_due()
    rows = [row for row in resident.documents if row.type == "coverage"]
    reasons = [row.superseded for row in rows]
    assert reasons == (["the account went on since it was made", None] if lost == "request" else [None])
    assert rows[-1].entry is not None
    assert resident.state.public.last_run == 1


# Backups


def test_an_older_backup_is_noticed_and_can_be_adopted(
    residents: Residents, resident: Resident, tmp_path: Path
) -> None:
    agent = resident.agent
    agent.submit(flat())
    resident.world.play(1)
    assert agent.answer_due() != []
    agent.close()
    # Yesterday's directory.
    for path in resident.folder.iterdir():
        if path.name.startswith("institution.db"):
            path.unlink()
    (resident.folder / "institution.db").write_bytes((residents.root / "institution" / "institution.db").read_bytes())
    resident._agent = None
    with pytest.raises(EntryUnsent, match="institution adopt"):
        resident.agent.answer_due()
    with pytest.raises(EntryUnsent):
        resident.agent.submit(flat())
    assert resident.agent.contradiction is None
    assert resident.agent.adopt() == 2
    assert in_step(resident)
    # The book in force is one that it cannot open: no run on it is answered, and no other book can be compared with it.
    second = resident.world.play(2)
    assert resident.agent.answer_due() == []
    assert resident.world.states()[second] == RunState.AWAITING_ANSWER
    with pytest.raises(AgentRefused, match="cannot open; restore its newest backup, or give it up"):
        resident.agent.submit(Portfolio.parse(example("portfolio")))
    assert resident.state.public.waiting is None


def test_the_keys_of_an_older_backup_are_replaced(residents: Residents, resident: Resident) -> None:
    resident.agent.rotate_keys()
    resident.agent.close()
    for path in resident.folder.iterdir():
        if path.name.startswith("institution.db"):
            path.unlink()
    (resident.folder / "institution.db").write_bytes((residents.root / "institution" / "institution.db").read_bytes())
    resident._agent = None
    lost = resident.state.public.keys
    # It signs by its identity key, which is the same, and finds what it does not know.
    with pytest.raises(EntryUnsent, match="a enrolment with this institution's signature that is not in its database"):
        resident.agent.answer_due()
    # Enrolment, confirmation and submission.
    assert resident.agent.adopt() == 3
    public = resident.state.public
    assert public.keys == resident.agent._store.note("evaluation_keys") != lost
    assert resident.agent.answer_due() == []
    # The book in force has the commitments of one that the directory can open, and it is not the same document.
    assert resident.agent._store.submission(public.book.submission) is None  # type: ignore[union-attr]

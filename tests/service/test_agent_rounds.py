"""Rounds of the real agent against a real operator in one process: which run it answers, and how often."""

import dataclasses
from collections.abc import Callable

import pytest

from atomic_margin.service.errors import AgentRefused, RemoteError
from atomic_margin.service.institution import answering
from atomic_margin.service.operator.runs import evaluation as runs
from atomic_margin.service.protocol.policy import Policy
from atomic_margin.service.protocol.states import AccountState, RunState

from .documents import FUND
from .resident import Resident
from .rounds import flat, in_step, lose, mend, said
from .rounds import later as later
from .rounds import proving as proving
from .rounds import resident as resident
from .rounds import residents as residents


def test_a_covered_run_and_a_breach_are_answered_by_the_entries_that_have_them(proving: Resident) -> None:
    resident, agent = proving, proving.agent
    assert agent.answer_due() == []
    for number, outcome, state in ((1, "covered", RunState.COVERED), (2, "breach", RunState.SETTLED)):
        run_id = resident.world.play(number)
        assert agent.answer_due() == [run_id]
        assert agent.answer_due() == []
        assert resident.world.states()[run_id] == state
        answer = said(resident.answers[-1])
        assert (answer.outcome, answer.entry) == (outcome, resident.world.entry_of(run_id))
        assert in_step(resident)
    assert [figures.delivered for figures in agent.figures()] == [True, True]
    assert agent.contradiction is None
    # What the settlement moved is known from its entry.
    public = resident.state.public
    assert public.posted == agent.history.state.public.posted  # type: ignore[union-attr]
    assert public.status is AccountState.ACTIVE


def test_nothing_but_the_open_run_of_the_account_is_answered(
    resident: Resident, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An operator that shows another genuine record under the open run's name."""
    first = resident.world.play(1)
    agent = resident.agent
    assert agent.answer_due() == [first]
    view = agent._client.run(first)
    second = resident.world.play(2)
    with monkeypatch.context() as other:
        other.setattr(agent._client, "run", lambda run_id: view)
        assert agent.answer_due() == []
    assert len(resident.answers) == 1
    assert agent.answer_due() == [second]


def test_a_run_on_a_replaced_book_is_never_asked_for(resident: Resident) -> None:
    """The first attack of issue 11: the operator's own code refuses it, and so would the agent's machine."""
    agent = resident.agent
    first = resident.world.play(1)
    agent.submit(flat())
    public = resident.state.public
    assert public.waiting is not None
    assert public.book is not None
    assert public.waiting.submission != public.book.submission
    # The run is on the book that was in force when its tick came; the new one comes in force with its answer.
    assert agent.answer_due() == [first]
    assert resident.state.public.book == public.waiting
    second = resident.world.play(2)
    assert agent.answer_due() == [second]
    answers = [said(row) for row in resident.answers]
    assert [answer.submission for answer in answers] == [public.book.submission, public.waiting.submission]
    assert [answer.outcome for answer in answers] == ["covered", "covered"]


@pytest.mark.parametrize("lost", ["request", "reply"])
def test_an_answer_is_stored_before_it_is_sent_and_sent_again_as_the_same_bytes(resident: Resident, lost: str) -> None:
    run_id = resident.world.play(2)
    lose(resident, "/answer", lost)
    with pytest.raises(RemoteError, match="does not answer"):
        resident.agent.answer_due()
    if lost == "request":
        with pytest.raises(RemoteError, match="does not answer"):
            resident.agent.answer_due()
    mend(resident)
    # Where the reply alone was lost, the entries say that it arrived.
    assert resident.restarted().answer_due() == ([run_id] if lost == "request" else [])
    sent = resident.line.sent("/answer")
    assert sent == [resident.answers[0].document] * len(sent)
    assert len(resident.answers) == 1
    assert resident.answers[0].entry is not None
    assert resident.world.states() == {run_id: RunState.SETTLED}


def test_an_answer_to_a_run_that_is_over_is_kept_and_not_sent_any_more(
    resident: Resident, later: Callable[[int], None]
) -> None:
    """The answer is lost, the time is over, and the operator goes on to the next tick."""
    first = resident.world.play(1)
    lose(resident, "/answer", "request")
    with pytest.raises(RemoteError):
        resident.agent.answer_due()
    later(1000)
    assert runs.sweep_deadlines(resident.world.operator) == [first]
    second = resident.world.play(2)
    mend(resident)
    before = len(resident.line.sent("/answer"))
    assert resident.agent.answer_due() == [second]
    assert len(resident.line.sent("/answer")) == before + 1
    (kept, answered) = sorted(resident.answers, key=lambda row: row.price_sequence)
    assert (kept.run_id, kept.entry) == (first, None)
    assert kept.superseded == f"run {first} takes no answer any more"
    assert answered.entry is not None


def test_a_run_that_was_not_evaluated_is_answered_covered_or_not_at_all(
    resident: Resident, monkeypatch: pytest.MonkeyPatch, later: Callable[[int], None]
) -> None:
    world, agent = resident.world, resident.agent
    settings = dataclasses.replace(world.operator.settings, policy=Policy.UNLESS_PROVEN, proof_seconds=10)
    world.operator.settings = settings
    world.tick(1)
    assert runs.ask_next(world.operator) == f"{FUND}.1"
    assert agent.answer_due() == [f"{FUND}.1"]
    world.tick(2)
    assert runs.ask_next(world.operator) == f"{FUND}.2"
    assert agent.answer_due() == []
    later(12)
    runs.sweep_deadlines(world.operator)
    second = world.evaluate()
    assert second == f"{FUND}.2.exact"
    assert agent.answer_due() == [second]
    assert world.evaluator.evaluated == 1
    assert [(row.run_id, row.outcome, row.delivered) for row in agent.figures()] == [
        (f"{FUND}.1", "covered", True),
        (f"{FUND}.2", "silent", False),
        (second, "breach", True),
    ]


def test_dropped_outputs_are_noticed_when_the_policy_is_to_evaluate(resident: Resident) -> None:
    world, agent = resident.world, resident.agent
    always = world.operator.settings
    world.operator.settings = dataclasses.replace(always, policy=Policy.UNLESS_PROVEN, proof_seconds=10)
    world.tick(1)
    runs.ask_next(world.operator)
    world.operator.settings = always
    assert agent.answer_due() == []
    assert resident.answers == []


def test_both_runs_of_a_tick_get_the_same_answer(resident: Resident) -> None:
    run_id = resident.world.play(1)
    agent = resident.agent
    lose(resident, "/answer", "request")
    with pytest.raises(RemoteError):
        agent.answer_due()
    (row,) = resident.answers
    with agent._store.unit_of_work() as session:
        kept = session.get_one(type(row), run_id)
        # As if another run of the tick had been answered otherwise.
        assert kept.document is not None
        other = {**kept.document, "body": {**kept.document["body"], "outcome": "breach", "top_up": "7"}}
        session.add(
            type(row)(
                run_id=f"{run_id}.other",
                price_sequence=1,
                run_hash="1a" * 32,
                sha256="1a" * 32,
                document=other,
                figures=kept.figures,
                stored_at=kept.stored_at,
                superseded="for this test",
            )
        )
        session.delete(kept)
    mend(resident)
    with pytest.raises(AgentRefused, match="would get another answer"):
        agent.answer_due()
    assert answering.open_run(agent._party) is not None

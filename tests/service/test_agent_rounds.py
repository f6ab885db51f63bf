"""Rounds of the real agent against a real operator in one process: what it answers, sends again, and proves unasked."""

import dataclasses
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from atomic_margin.documents.fields import instant_text
from atomic_margin.margin.market.portfolio import Portfolio
from atomic_margin.service.errors import AgentRefused, RemoteError
from atomic_margin.service.institution import answering, outbox
from atomic_margin.service.institution.store import OwnAnswer
from atomic_margin.service.operator.runs import evaluation as runs
from atomic_margin.service.protocol.account.errors import EntryUnsent
from atomic_margin.service.protocol.documents import Answer, Submission
from atomic_margin.service.protocol.policy import Policy
from atomic_margin.service.protocol.states import AccountState, RunState

from .documents import FUND, example
from .resident import Resident, Residents

FLAT: dict[str, Any] = {"format": "atomic-margin/portfolio/1", "positions": []}


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
    return (history.head, history.state) == (resident.world.head(), resident.state)


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


# Answers


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
    assert agent.dispute is None
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


# What is sent


@pytest.mark.parametrize("lost", ["request", "reply"])
def test_a_submission_is_stored_before_it_is_sent_and_sent_again_as_the_same_bytes(
    resident: Resident, lost: str
) -> None:
    lose(resident, "/submissions", lost)
    with pytest.raises(RemoteError, match="does not answer"):
        resident.agent.submit(flat())
    _, stored = resident.submissions
    assert (stored.sequence, stored.entry, stored.superseded) == (2, None, None)
    mend(resident)
    resident.restarted().answer_due()
    _, stored = resident.submissions
    assert stored.entry is not None
    assert {str(body) for body in resident.line.sent("/submissions")} == {str(stored.document)}
    assert resident.state.public.book.submission == stored.sha256  # type: ignore[union-attr]
    # The next one has the next number.
    assert resident.agent.submit(Portfolio.parse(example("portfolio"))) == 3


@pytest.mark.parametrize("kind", ["submission", "collateral-instruction"])
def test_a_crash_between_storing_and_sending_loses_nothing(
    resident: Resident, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    agent = resident.agent

    def crash(_document: Any) -> None:
        raise KeyboardInterrupt

    def act() -> None:
        if kind == "submission":
            agent.submit(flat())
        else:
            agent.instruct("post", "USDC", 5)

    with monkeypatch.context() as broken:
        broken.setattr(agent._client, "submit" if kind == "submission" else "instruct", crash)
        with pytest.raises(KeyboardInterrupt):
            act()
    (waiting,) = agent._outbox.outstanding()
    assert (waiting.document or {})["type"] == kind
    resident.restarted().answer_due()
    assert resident.agent._outbox.outstanding() == []
    wanted = (2, 5) if kind == "submission" else (1, 6)
    assert (resident.state.public.submissions, resident.state.public.instructions) == wanted
    assert in_step(resident)


def test_an_earlier_submission_is_never_deleted_and_known_when_the_operator_plays_it(resident: Resident) -> None:
    """The operator refuses a book, takes another one's place for it, and plays the first one after all."""
    agent, world = resident.agent, resident.world
    nonce = agent._client.nonce()
    lose(resident, "/submissions", "request")
    agent._client.nonce = lambda: nonce  # type: ignore[method-assign]
    for _ in range(2):
        with pytest.raises(RemoteError):
            agent.submit(flat())
    _, first = resident.submissions
    assert first.superseded is None
    # Another book takes its place, with the same number.
    agent._outbox.replace_submissions()
    mend(resident)
    _, first = resident.submissions
    assert first.superseded == "another book was submitted in its place"
    world.client.post(f"/v1/institutions/{FUND}/submissions", json=first.document).raise_for_status()
    agent.answer_due()
    _, first = resident.submissions
    assert first.entry == agent.history._account.number
    assert in_step(resident)


def test_what_another_nonce_made_impossible_is_superseded(resident: Resident) -> None:
    agent = resident.agent
    lose(resident, "/submissions", "request")
    with pytest.raises(RemoteError):
        agent.submit(flat())
    mend(resident)
    agent._client.nonce()
    agent.answer_due()
    _, stored = resident.submissions
    assert "does not carry the current nonce" in (stored.superseded or "")
    assert agent.submit(flat()) == 2
    sequences = [(row.sequence, row.entry is not None) for row in resident.submissions]
    assert sequences == [(1, True), (2, False), (2, True)]


def test_a_refused_submission_is_sent_again_after_a_while_and_handed_on(
    resident: Resident, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An operator that will not take a book: the agent goes on trying, and a witness can be told."""
    clock = Clock()
    agent, refused = resident.restarted(clock=clock), list[Any]()

    def refuse(document: Any) -> None:
        refused.append(document)
        raise RemoteError("the operator refuses: not today", 422)

    monkeypatch.setattr(agent._client, "submit", refuse)
    with pytest.raises(RemoteError, match="not today"):
        agent.submit(flat())
    agent.answer_due()
    assert len(refused) == 1
    assert resident.delivered == []
    clock.wait(outbox.RESEND_SECONDS)
    agent.answer_due()
    assert refused == [refused[0]] * 2
    clock.wait(agent.settings.deliver_after)
    for _ in range(2):
        agent.answer_due()
    (stored,) = (row for row in resident.submissions if row.sequence == 2)
    assert resident.delivered == [stored.sha256]
    monkeypatch.undo()
    clock.wait(outbox.RESEND_SECONDS)
    agent.answer_due()
    assert resident.state.public.book.submission == stored.sha256  # type: ignore[union-attr]


def test_an_instruction_that_is_refused_is_told_and_not_sent_again(resident: Resident) -> None:
    agent = resident.agent
    with pytest.raises(RemoteError, match="less than that"):
        agent.instruct("post", "USDC", 10**15)
    refused = resident.documents[-1]
    assert refused.type == "collateral-instruction"
    assert "less than that" in (refused.superseded or "")
    agent.answer_due()
    assert len(resident.line.sent("/collateral")) == 1
    # Its number stays free for the next one; of the two the account can only ever have one.
    agent.instruct("post", "USDC", 5)
    assert resident.state.public.instructions == 6


@pytest.mark.parametrize("lost", ["request", "reply"])
def test_an_instruction_without_a_reply_is_sent_again_as_the_same_bytes(resident: Resident, lost: str) -> None:
    lose(resident, "/collateral", lost)
    before = resident.state.public.posted["USDC"]
    with pytest.raises(RemoteError, match="does not answer"):
        resident.agent.instruct("post", "USDC", 5)
    mend(resident)
    resident.restarted().instruct("post", "USDC", 7)
    assert resident.state.public.posted["USDC"] == before + 12
    sent = resident.line.sent("/collateral")
    assert len({str(body) for body in sent}) == 2
    assert [body["body"]["sequence"] for body in sent][-1] == "7"


# Keys


def test_new_keys_bring_the_book_in_force_and_then_the_one_that_waits(resident: Resident) -> None:
    agent, world = resident.agent, resident.world
    run_id = world.play(1)
    agent.submit(flat())
    before = resident.state.public
    agent.rotate_keys()
    public = resident.state.public
    assert (public.book.commitments, public.waiting.commitments) == (  # type: ignore[union-attr]
        before.book.commitments,  # type: ignore[union-attr]
        before.waiting.commitments,  # type: ignore[union-attr]
    )
    assert {public.book.evaluation_keys, public.waiting.evaluation_keys} == {public.keys}  # type: ignore[union-attr]
    assert public.keys != before.keys
    assert [row.sequence for row in resident.submissions] == [1, 2, 3, 4]
    # The run is still the one that began, under the keys that it began with.
    assert agent.answer_due() == [run_id]
    assert in_step(resident)
    agent.answer_due()
    assert len(resident.submissions) == 4


def test_a_book_is_brought_under_new_keys_with_the_limit_it_was_proven_under(resident: Resident) -> None:
    agent = resident.restarted()
    agent.settings = dataclasses.replace(agent.settings, gross_limit=agent.settings.gross_limit * 2)
    agent.rotate_keys()
    limits = {Submission.parse(row.document["body"]).gross_limit for row in resident.submissions}
    assert len(limits) == 1
    assert resident.state.public.book.sequence == 2  # type: ignore[union-attr]


def test_a_submission_under_old_keys_is_superseded(resident: Resident) -> None:
    agent = resident.agent
    lose(resident, "/submissions", "request")
    with pytest.raises(RemoteError):
        agent.submit(flat())
    # It comes first, and is then found to be impossible.
    agent.rotate_keys()
    mend(resident)
    agent.answer_due()
    superseded = [row.superseded for row in resident.submissions]
    assert superseded[1] == "other keys than its are in force"
    public = resident.state.public
    assert public.book.evaluation_keys == public.keys  # type: ignore[union-attr]


@pytest.mark.parametrize("lost", ["request", "reply"])
@pytest.mark.parametrize("end", ["/enrolment", "/confirmation"])
def test_a_rotation_that_was_cut_is_finished(resident: Resident, end: str, lost: str) -> None:
    """The reply to an enrolment has the token that the account is read with from then on."""
    lose(resident, end, lost)
    with pytest.raises(RemoteError, match="does not answer"):
        resident.agent.rotate_keys()
    mend(resident)
    resident.restarted().answer_due()
    public = resident.state.public
    assert public.book.evaluation_keys == public.keys == resident.agent._store.note("evaluation_keys")  # type: ignore[union-attr]
    assert public.key_sequence == (2 if end == "/confirmation" else 3)
    assert in_step(resident)


# Unasked


def unproven(resident: Resident, number: int, later: Callable[[int], None]) -> str:
    """Let the time of a run pass by the operator's clock, without the agent."""
    run_id = resident.world.play(number)
    later(1000)
    assert runs.sweep_deadlines(resident.world.operator) == [run_id]
    return run_id


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
    agent.instruct("post", "USDC", 250_000_000_000)
    agent.answer_due()
    assert len(resident.line.sent("/coverage")) == 1
    public = resident.state.public
    assert (public.status, public.run, public.owed) == (AccountState.ACTIVE, None, None)
    assert in_step(resident)
    assert [figures.outcome for figures in agent.figures()] == ["withheld"]
    assert run_id == agent.figures()[0].run_id


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
    assert resident.agent.dispute is None
    assert resident.agent.adopt() == 2
    assert in_step(resident)
    # The book in force is one that it cannot open: no run on it is answered, and another book is taken.
    second = resident.world.play(2)
    assert resident.agent.answer_due() == []
    assert resident.world.states()[second] == RunState.AWAITING_ANSWER
    resident.agent.submit(Portfolio.parse(example("portfolio")))
    assert resident.state.public.waiting is not None


def test_the_keys_of_an_older_backup_are_replaced(residents: Residents, resident: Resident) -> None:
    resident.agent.rotate_keys()
    resident.agent.close()
    for path in resident.folder.iterdir():
        if path.name.startswith("institution.db"):
            path.unlink()
    (resident.folder / "institution.db").write_bytes((residents.root / "institution" / "institution.db").read_bytes())
    resident._agent = None
    lost = resident.state.public.keys
    # Its token came with the first keys.
    with pytest.raises(RemoteError, match="with the token that enrolment returned"):
        resident.agent.answer_due()
    # Enrolment, confirmation and submission.
    assert resident.agent.adopt() == 3
    public = resident.state.public
    assert public.keys == resident.agent._store.note("evaluation_keys") != lost
    assert resident.agent.answer_due() == []
    # The book in force has the commitments of one that the directory can open, and it is not the same document.
    assert resident.agent._store.submission(public.book.submission) is None  # type: ignore[union-attr]

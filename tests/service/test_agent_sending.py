"""What the agent sends, and sends again as the same bytes, in rounds against a real operator in one process."""

import dataclasses
from typing import Any

import pytest

from atomic_margin.documents.canonical import canonical_bytes
from atomic_margin.margin.market.portfolio import Portfolio
from atomic_margin.service.errors import RemoteError
from atomic_margin.service.institution import outbox
from atomic_margin.service.protocol.submissions import Submission

from .documents import FUND, example
from .resident import Resident
from .rounds import Clock, flat, in_step, lose, mend
from .rounds import later as later
from .rounds import proving as proving
from .rounds import resident as resident
from .rounds import residents as residents

pytestmark = pytest.mark.long


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
    assert {canonical_bytes(body) for body in resident.line.sent("/submissions")} == {canonical_bytes(stored.document)}
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
    wanted = (2, 2) if kind == "submission" else (1, 3)
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
    path = f"/v1/institutions/{FUND}/submissions"
    world.client.post(path, json=first.document, auth=world.auth()).raise_for_status()
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
    assert resident.state.public.instructions == 3


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
    assert [body["body"]["sequence"] for body in sent][-1] == "4"


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
    # Keys whose reply was lost are brought again under another number, and refused: the operator has them.
    assert public.key_sequence == (2 if end == "/confirmation" else 3 if lost == "request" else 4)
    assert {path.name for path in resident.folder.glob("fhe-*.keys")} == {
        "fhe-1.keys",
        f"fhe-{public.key_sequence}.keys",
    }
    assert in_step(resident)

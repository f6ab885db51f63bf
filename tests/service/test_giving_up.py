"""A book that its institution can open no more: the real operator and the real agent, and who cannot do it alone."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.orm import make_transient

from atomic_margin.service.errors import AgentRefused, Conflict, NotFound, RemoteError, SignatureInvalid
from atomic_margin.service.institution.app import AgentProcess
from atomic_margin.service.institution.app import create_app as create_agent
from atomic_margin.service.institution.store import OwnDocument, OwnSubmission
from atomic_margin.service.operator import replay
from atomic_margin.service.operator.accounts import giving_up
from atomic_margin.service.operator.runs import evaluation as runs
from atomic_margin.service.protocol.account.errors import EntryUnsent, NotCovered, RunNotOver, WrongBook
from atomic_margin.service.protocol.account.events import GivingUp
from atomic_margin.service.protocol.policy import Policy
from atomic_margin.service.protocol.signing import Identity, SignedDocument
from atomic_margin.service.protocol.states import AccountState, RunState

from .documents import FUND, Json
from .resident import Resident
from .rounds import flat, in_step
from .rounds import resident as resident
from .rounds import residents as residents
from .test_policy import reopened
from .told import Told
from .told import told as told
from .world import TestClient, World

WorldAt = Callable[[str], World]
PATH = f"/v1/institutions/{FUND}/giving-up"
RUN = f"{FUND}.1"


def body(world: World, **changes: Any) -> Json:
    public = world.account().public
    assert public.book is not None
    said: Json = {
        "institution": FUND,
        "operator": world.key,
        "entry": world.head(),
        "submission": public.book.submission,
        "reason": "the disk was lost",
    }
    said |= {} if public.book.covered is None else {"covered": str(public.book.covered)}
    return said | changes


def asking(world: World, **changes: Any) -> SignedDocument:
    return GivingUp.parse(body(world, **changes)).signed_by(world.funds[FUND].identity)


def replayed(world: World) -> None:
    with world.operator.store.unit_of_work() as session:
        replay.check(session, world.key)


def given_up(world: World, document: SignedDocument | None = None) -> SignedDocument:
    """Ask and agree; return the entry."""
    document = document or asking(world)
    giving_up.ask(world.operator, FUND, document.to_json())
    return giving_up.agree(world.operator, FUND, document.body_hash())


# The operator


def test_an_institution_asks_and_the_operator_agrees_over_http(world_at: WorldAt, later: Callable[[int], None]) -> None:
    world = world_at("calm-open")
    later(1000)
    assert runs.sweep_deadlines(world.operator) == [RUN]
    before, head = world.account(), world.head()
    assert before.public.status is AccountState.FROZEN
    document = asking(world)
    for caller in ({"headers": world.admin}, {"auth": world.auth()}):
        assert world.client.get(PATH, **caller).status_code == 404
    asked = world.client.post(PATH, json=document.to_json(), auth=world.auth())
    assert (asked.status_code, asked.json()["giving_up"], asked.json()["problem"]) == (202, document.body_hash(), None)
    # It is a question, and changes nothing.
    assert (world.account(), world.head(), world.states()[RUN]) == (before, head, RunState.UNPROVEN)
    for caller in ({"headers": world.admin}, {"auth": world.auth()}):
        assert world.client.get(PATH, **caller).json() == asked.json()
    assert world.client.get(PATH).status_code == 401
    agreement = {"institution": FUND, "giving_up": document.body_hash()}
    for caller in ({}, {"auth": world.auth()}):
        assert world.client.post("/v1/giving-up", json=agreement, **caller).status_code == 401
    entry = world.client.post("/v1/giving-up", json=agreement, headers=world.admin)
    assert (entry.status_code, entry.json()["body"]["kind"]) == (201, "book given up")
    public = world.account().public
    assert (public.status, public.book, public.run, public.owed) == (AccountState.ACTIVE, None, None, None)
    assert (public.posted, world.account().private) == (before.public.posted, before.private)
    assert world.states()[RUN] == RunState.GIVEN_UP
    replayed(world)
    # Agreed to twice is once; there is nothing to agree to any more.
    assert world.client.post("/v1/giving-up", json=agreement, headers=world.admin).json() == entry.json()
    assert world.client.get(PATH, headers=world.admin).status_code == 404
    assert world.client.post(PATH, json=document.to_json(), auth=world.auth()).status_code == 202
    asset, free = next(iter(before.private.free.items()))
    with pytest.raises(NotCovered, match="a book was given up"):
        world.instruct(FUND, "withdraw", asset, free)
    assert runs.sweep_deadlines(world.operator) == []


def test_nobody_asks_for_an_institution_or_for_another_book(world_at: WorldAt) -> None:
    world = world_at("calm-open")
    good = asking(world)
    for signer in (Identity.generate(), world.operator.identity):
        with pytest.raises(SignatureInvalid):
            giving_up.ask(world.operator, FUND, signer.sign("giving-up", good.body).to_json())
    for wrong, error in (
        ({"submission": "1a" * 32}, WrongBook),
        ({"covered": "7"}, WrongBook),
        ({"entry": "1a" * 32}, Conflict),
    ):
        with pytest.raises(error):
            giving_up.ask(world.operator, FUND, asking(world, **wrong).to_json())
    with pytest.raises(NotFound, match="asks to give no book up"):
        giving_up.asked(world.operator, FUND)


def test_an_operator_agrees_to_what_it_was_shown_alone(world_at: WorldAt) -> None:
    world = world_at("calm-open")
    first, second = asking(world), asking(world, reason="another one")
    with pytest.raises(NotFound, match="asks to give no book up"):
        giving_up.agree(world.operator, FUND, first.body_hash())
    with pytest.raises(NotFound, match="is not admitted here"):
        giving_up.agree(world.operator, "nobody", first.body_hash())
    for document in (first, second):
        giving_up.ask(world.operator, FUND, document.to_json())
    with pytest.raises(Conflict, match="look at it again"):
        giving_up.agree(world.operator, FUND, first.body_hash())
    assert world.account().public.book is not None
    giving_up.agree(world.operator, FUND, second.body_hash())


def test_what_was_asked_before_a_proof_is_agreed_to_no_more(world_at: WorldAt) -> None:
    """An operator that keeps the question for a better day: the institution found its backup, and proved the book."""
    world = world_at("calm-open")
    document = asking(world)
    giving_up.ask(world.operator, FUND, document.to_json())
    world.answer(RUN)
    assert "proven covered since" in str(giving_up.asked(world.operator, FUND).problem)
    with pytest.raises(WrongBook, match="proven covered since"):
        giving_up.agree(world.operator, FUND, document.body_hash())
    assert world.states()[RUN] == RunState.COVERED


def test_a_run_whose_book_was_given_up_takes_no_answer(world_at: WorldAt) -> None:
    world = world_at("calm-open")
    answer = world.prove_answer(RUN)
    given_up(world)
    with pytest.raises(Conflict):
        world.answer(RUN, answer)
    assert world.bundles() == []


def test_a_run_that_was_due_is_not_evaluated_any_more(world_at: WorldAt) -> None:
    world = world_at("submitted")
    world.tick(1)
    given_up(world)
    assert (world.evaluate(), world.states()) == (None, {RUN: RunState.SUPERSEDED})
    replayed(world)


def test_a_run_whose_turn_came_just_then_is_over_as_well(world_at: WorldAt, monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_at("submitted")
    world.tick(1)
    begin = runs.begin

    def begun(operator: Any, run_id: str) -> Any:
        given_up(world)
        return begin(operator, run_id)

    monkeypatch.setattr(runs, "begin", begun)
    assert (world.evaluate(), world.states()) == (RUN, {RUN: RunState.SUPERSEDED})
    replayed(world)


def test_what_is_being_evaluated_is_not_given_up(world_at: WorldAt) -> None:
    world = world_at("submitted")
    world.tick(1)
    document = asking(world)
    giving_up.ask(world.operator, FUND, document.to_json())
    refused = list[Exception]()
    evaluate = world.evaluator.evaluate

    def evaluated(*arguments: Any) -> Any:
        with pytest.raises(RunNotOver, match="is being evaluated") as error:
            giving_up.agree(world.operator, FUND, document.body_hash())
        refused.append(error.value)
        return evaluate(*arguments)

    world.evaluator.evaluate = evaluated  # type: ignore[method-assign]
    assert world.evaluate() == RUN
    assert (len(refused), world.states()[RUN]) == (1, RunState.AWAITING_ANSWER)
    giving_up.agree(world.operator, FUND, document.body_hash())
    assert world.states()[RUN] == RunState.GIVEN_UP


def test_the_second_run_of_a_tick_does_not_follow(world_at: WorldAt, later: Callable[[int], None]) -> None:
    world = reopened(world_at("submitted"), Policy.UNLESS_PROVEN)
    world.tick(1)
    assert runs.ask_next(world.operator) == RUN
    later(1000)
    assert runs.sweep_deadlines(world.operator) == [RUN]
    given_up(world)
    assert world.states() == {RUN: RunState.GIVEN_UP, f"{RUN}.exact": RunState.SUPERSEDED}
    assert world.evaluate() is None
    replayed(world)


# The agent


def closed(resident: Resident) -> None:
    """Lose what opens the book in force."""
    with resident.agent._store.unit_of_work() as session:
        session.query(OwnSubmission).delete()


def agree(resident: Resident, asked: str) -> None:
    giving_up.agree(resident.world.operator, FUND, asked)


def test_the_agent_gives_up_no_book_that_it_can_open(resident: Resident) -> None:
    with pytest.raises(AgentRefused, match="can open the book in force"):
        resident.agent.give_up("it is in breach")
    assert resident.line.sent("/giving-up") == []
    closed(resident)
    agree(resident, resident.agent.give_up("the disk was lost"))
    with pytest.raises(AgentRefused, match="no book is in force"):
        resident.agent.give_up("once more")


def test_the_agent_asks_by_its_own_face_and_follows_the_entry(resident: Resident) -> None:
    resident.world.play(1)
    resident.agent.answer_due()
    resident.world.play(2)
    closed(resident)
    process = AgentProcess(lambda stage: resident.agent)
    process._opened = resident.agent
    client = TestClient(create_agent(process, "token"), headers={"Authorization": "Bearer token"})
    assert client.post("/v1/giving-up", json={"reason": ""}).status_code == 422
    asked = client.post("/v1/giving-up", json={"reason": "the disk was lost"})
    assert asked.status_code == 201, asked.json()
    (sent,) = resident.line.sent("/giving-up")
    assert (sent["body"]["reason"], sent["body"]["covered"], "waiting" in sent["body"]) == (
        "the disk was lost",
        "1",
        False,
    )
    # It is not sent again by itself, and the run stays as it is.
    assert resident.agent.answer_due() == []
    assert len(resident.line.sent("/giving-up")) == 1
    agree(resident, asked.json()["giving_up"])
    assert resident.agent.answer_due() == []
    assert in_step(resident)
    assert resident.agent.contradiction is None
    resident.agent.submit(flat())
    assert resident.state.public.book is not None


def test_a_book_that_waits_is_named_as_well(resident: Resident) -> None:
    resident.world.play(2)
    resident.agent.submit(flat())
    first = resident.agent._store.submission(resident.state.public.waiting.submission)  # type: ignore[union-attr]
    closed(resident)
    waiting = resident.state.public.waiting
    assert waiting is not None
    asked = resident.agent.give_up("the disk was lost")
    (sent,) = resident.line.sent("/giving-up")
    assert sent["body"]["waiting"] == waiting.submission
    # Another one comes before the operator agrees: what was asked is about other books. It was found in a backup.
    with resident.agent._store.unit_of_work() as session:
        make_transient(first)
        session.add(first)
    resident.agent.submit(flat())
    closed(resident)
    with pytest.raises(WrongBook, match="other books are in force, or wait"):
        agree(resident, asked)
    agree(resident, resident.agent.give_up("the disk was lost"))
    assert resident.agent.answer_due() == []
    assert in_step(resident)


def test_an_operator_that_has_nothing_to_agree_to_says_so(resident: Resident) -> None:
    resident.world.tick(1)
    closed(resident)
    resident.world.evaluator.failures = 1
    run = runs.claim(resident.world.operator, resident.world.operator.line, lambda run: True)
    assert run is not None
    runs.begin(resident.world.operator, run.run_id)
    with pytest.raises(RemoteError, match="is being evaluated or settled"):
        resident.agent.give_up("the disk was lost")


def test_an_entry_about_a_question_that_was_never_asked_is_refused(told: Told) -> None:
    """Whoever has the identity key, or a directory from before the question, finds it in the account."""
    told.booked()
    document = told.giving_up()
    with told.store.unit_of_work() as session:
        session.query(OwnDocument).filter_by(sha256=document.body_hash()).delete()
    head = told.chain.head
    told.enter(document)
    with pytest.raises(EntryUnsent, match="a giving-up with this institution's signature"):
        told.history.sync()
    assert told.history.head == head

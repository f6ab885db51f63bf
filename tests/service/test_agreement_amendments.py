"""Agreements between the real operator and the real agent: admission, amendment, and who cannot change one alone."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from atomic_margin.margin.collateral.agreement import CollateralAgreement
from atomic_margin.service.errors import (
    AgentRefused,
    ArchiveInvalid,
    Conflict,
    NotFound,
    Refused,
    RemoteError,
    SignatureInvalid,
)
from atomic_margin.service.institution import amending
from atomic_margin.service.institution.app import AgentProcess
from atomic_margin.service.institution.app import create_app as create_agent
from atomic_margin.service.institution.store import OwnDocument
from atomic_margin.service.operator import replay
from atomic_margin.service.operator.accounts import agreements
from atomic_margin.service.operator.runs import evaluation as runs
from atomic_margin.service.operator.runs import records
from atomic_margin.service.protocol.account.amendments import AgreementAmendment
from atomic_margin.service.protocol.account.errors import (
    AgreementNotPinned,
    EntryIllegal,
    EntryUnsent,
    RunNotOver,
    WrongAgreement,
)
from atomic_margin.service.protocol.account.events import read_event
from atomic_margin.service.protocol.account.state import Account
from atomic_margin.service.protocol.signing import Identity, SignedDocument
from atomic_margin.service.protocol.states import AccountState
from atomic_margin.service.protocol.trust import TrustFile
from atomic_margin.service.verifier.archived_documents import ArchivedDocuments
from atomic_margin.service.verifier.archived_entry import Ground, Happened
from atomic_margin.zk.groups import load_group

from .account.test_machine_agreements import under
from .agreements import agreement, started
from .bodies import TRUST
from .documents import FUND, Json, example_terms
from .resident import Resident
from .rounds import in_step
from .rounds import resident as resident
from .rounds import residents as residents
from .told import INSTITUTION, Told
from .told import told as told
from .world import TestClient, World

PATH = f"/v1/institutions/{FUND}/amendment"
GENEROUS = agreement(threshold="1000000000")
STRICT = agreement(independent_amount="1000")


def asking(world: World, terms: CollateralAgreement, **changes: Any) -> SignedDocument:
    public = world.account().public
    before = public.agreement
    said: Json = {
        "institution": FUND,
        "operator": world.key,
        "entry": world.head(),
        "sequence": str(1 if before is None else before.sequence + 1),
        "agreement": terms.canonical(),
        "until": str(public.newest.tick + 100),
    }
    said |= {} if before is None else {"before": before.agreement}
    return AgreementAmendment.parse(said | changes).signed_by(world.funds[FUND].identity)


def amended(world: World, terms: CollateralAgreement) -> SignedDocument:
    document = asking(world, terms)
    agreements.ask(world.operator, FUND, document.to_json())
    return agreements.agree(world.operator, FUND, document.body_hash())


def replayed(world: World) -> None:
    with world.operator.store.unit_of_work() as session:
        replay.check(session, world.key)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = started(tmp_path / "operator", STRICT)
    yield world
    world.close()


# The operator


def test_an_institution_asks_and_the_operator_agrees_over_http(world: World) -> None:
    before, head = world.account(), world.head()
    document = asking(world, GENEROUS)
    for caller in ({"headers": world.admin}, {"auth": world.auth()}):
        assert world.client.get(PATH, **caller).status_code == 404
    asked = world.client.post(PATH, json=document.to_json(), auth=world.auth())
    assert (asked.status_code, asked.json()["amendment"], asked.json()["problem"]) == (202, document.body_hash(), None)
    assert (world.account(), world.head()) == (before, head)
    for caller in ({"headers": world.admin}, {"auth": world.auth()}):
        assert world.client.get(PATH, **caller).json() == asked.json()
    assert world.client.get(PATH).status_code == 401
    agreed = {"institution": FUND, "amendment": document.body_hash()}
    for caller in ({}, {"auth": world.auth()}):
        assert world.client.post("/v1/amendments", json=agreed, **caller).status_code == 401
    entry = world.client.post("/v1/amendments", json=agreed, headers=world.admin)
    assert (entry.status_code, entry.json()["body"]["kind"]) == (201, "agreement amended")
    found = world.account().public.agreement
    assert found is not None
    assert (found.agreement, found.sequence) == (GENEROUS.hash(), 1)
    replayed(world)
    assert world.client.post("/v1/amendments", json=agreed, headers=world.admin).json() == entry.json()
    assert world.client.get(PATH, headers=world.admin).status_code == 404
    assert world.client.post(PATH, json=document.to_json(), auth=world.auth()).status_code == 202


def test_nobody_asks_for_an_institution_or_for_what_cannot_be(world: World) -> None:
    good = asking(world, GENEROUS)
    for signer in (Identity.generate(), world.operator.identity):
        with pytest.raises(SignatureInvalid):
            agreements.ask(world.operator, FUND, signer.sign("agreement-amendment", good.body).to_json())
    for wrong, error in (
        ({"before": "1a" * 32}, WrongAgreement),
        ({"entry": "1a" * 32}, Conflict),
        ({"agreement": agreement(eligible=["DOGE"]).canonical()}, Refused),
    ):
        with pytest.raises(error):
            agreements.ask(world.operator, FUND, asking(world, GENEROUS, **wrong).to_json())
    with pytest.raises(NotFound, match="asks for no amendment"):
        agreements.asked(world.operator, FUND)


def test_an_operator_agrees_to_what_it_was_shown_alone(world: World) -> None:
    first, second = asking(world, GENEROUS), asking(world, agreement())
    with pytest.raises(NotFound, match="asks for no amendment"):
        agreements.agree(world.operator, FUND, first.body_hash())
    for document in (first, second):
        agreements.ask(world.operator, FUND, document.to_json())
    with pytest.raises(Conflict, match="look at it again"):
        agreements.agree(world.operator, FUND, first.body_hash())


def test_what_was_asked_is_agreed_to_after_the_run(world: World) -> None:
    document = asking(world, GENEROUS)
    agreements.ask(world.operator, FUND, document.to_json())
    run_id = world.play(1)
    assert "open, due or owed" in str(agreements.asked(world.operator, FUND).problem)
    with pytest.raises(RunNotOver):
        agreements.agree(world.operator, FUND, document.body_hash())
    world.answer(run_id)
    agreements.agree(world.operator, FUND, document.body_hash())
    assert world.run(world.play(2)).record["body"]["agreed"] == GENEROUS.agreed.canonical()  # type: ignore[index]


def test_an_operator_cannot_open_a_run_with_other_figures(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own machine refuses, and so does whoever replays the account: that is in the tests of the machine."""
    world.tick(1)
    tries = iter([GENEROUS.agreed, STRICT.agreed])
    monkeypatch.setattr(records, "agreed_in_force", lambda public: next(tries))
    assert world.evaluate() == f"{FUND}.1"
    # The first was refused and planned again.
    assert world.run(f"{FUND}.1").record["body"]["agreed"] == STRICT.agreed.canonical()  # type: ignore[index]


def test_a_frozen_account_has_no_credit_in_its_next_run(tmp_path: Path, later: Callable[[int], None]) -> None:
    world = started(tmp_path / "frozen", agreement(threshold="1000000", minimum_transfer_amount="1000000"))
    try:
        world.play(1)
        later(1000)
        assert runs.sweep_deadlines(world.operator) == [f"{FUND}.1"]
        assert world.account().public.status is AccountState.FROZEN
        record = world.run(world.play(2)).record
        assert record is not None
        figures = record["body"]["agreed"]
        assert (figures["threshold"], figures["minimum_transfer_amount"]) == ("0", "0")
        # With credit it would be covered, `test_agreements` says; without it is short.
        assert world.prove_answer(f"{FUND}.2").body["outcome"] == "breach"
    finally:
        world.close()


# The agent


def test_the_agent_asks_by_its_own_face_and_follows_the_entry(resident: Resident) -> None:
    process = AgentProcess(lambda stage: resident.agent)
    process._opened = resident.agent
    client = TestClient(create_agent(process, "token"), headers={"Authorization": "Bearer token"})
    wrong = agreement(eligible=["DOGE"]).canonical()
    assert client.post("/v1/amendment", json={"agreement": wrong, "ticks": "5"}).status_code >= 400
    assert client.post("/v1/amendment", json={"agreement": {}, "ticks": "5"}).status_code >= 400
    asked = client.post("/v1/amendment", json={"agreement": STRICT.canonical(), "ticks": "5"})
    assert asked.status_code == 201, asked.json()
    (sent,) = resident.line.sent("/amendment")
    assert (sent["body"]["sequence"], sent["body"]["until"], "before" in sent["body"]) == ("1", "5", False)
    assert resident.agent.answer_due() == []
    agreements.agree(resident.world.operator, FUND, asked.json()["amendment"])
    assert resident.agent.answer_due() == []
    assert in_step(resident)
    run_id = resident.world.play(1)
    assert resident.agent.answer_due() == [run_id]
    assert in_step(resident)
    assert resident.agent.contradiction is None
    with resident.agent.signing() as (party, outbox), pytest.raises(AgentRefused, match="under this agreement already"):
        amending.ask(party, outbox, STRICT, 5)


def test_the_operator_s_refusal_of_an_amendment_is_told(resident: Resident) -> None:
    with resident.agent.signing() as (party, outbox):
        resident.world.tick(1)
        with pytest.raises(RemoteError, match="open, due or owed"):
            amending.ask(party, outbox, STRICT, 5)


def test_an_entry_about_an_amendment_that_was_never_asked_is_refused(told: Told) -> None:
    told.booked()
    told.newest, told.market = 0, 0
    document = told.amendment(GENEROUS)
    with told.store.unit_of_work() as session:
        session.query(OwnDocument).filter_by(sha256=document.body_hash()).delete()
    told.enter(document)
    with pytest.raises(EntryUnsent, match="agreement-amendment with this institution's signature"):
        told.history.sync()


@pytest.mark.parametrize(
    ("admitted", "pinned", "good"),
    [
        (STRICT, [STRICT], True),
        (STRICT, [GENEROUS, STRICT], True),
        (None, [], True),
        (STRICT, [], False),
        (GENEROUS, [STRICT], False),
        (None, [STRICT], False),
    ],
)
def test_an_agent_takes_the_pinned_agreement_alone(
    told: Told, admitted: CollateralAgreement | None, pinned: list[CollateralAgreement], good: bool
) -> None:
    told.agreement = admitted
    told.pins = {"agreements": {INSTITUTION: [one.canonical() for one in pinned]}} if pinned else {}
    told.history = told.started()
    if good:
        told.booked()
        told.history.sync()
        assert told.history.state == told.state
    else:
        document = told.admission()
        told.enter(document)
        with pytest.raises(AgreementNotPinned, match="pins another"):
            told.history.sync()
        assert told.history.state is None


def test_an_agent_follows_no_run_with_other_figures(told: Told) -> None:
    """An operator that signs whatever it likes: its machine would not have opened this run."""
    told.agreement = STRICT
    told.pins = {"agreements": {INSTITUTION: [STRICT.canonical()]}}
    told.history = told.started()
    told.booked()
    wrong = told.run_opened(agreed=GENEROUS.agreed.canonical())
    told.refuses(EntryIllegal, "another agreed", told.forced(wrong))


def test_a_trust_file_names_agreements_by_institution(world: World) -> None:
    trust = world.trust_file()
    assert trust.agreements_of(FUND) == {STRICT.hash()}
    assert trust.agreements_of("other") == frozenset()
    bare = TrustFile.parse({name: value for name, value in world.trust().items() if name != "agreements"})
    assert "agreements" not in bare.canonical()  # type: ignore[operator]


@pytest.mark.parametrize(("pinned", "good"), [([], False), ([GENEROUS], False), ([STRICT], True)])
def test_an_archive_under_another_agreement_is_refused(pinned: list[CollateralAgreement], good: bool) -> None:
    """Before anything of a run or a proof unasked is looked at; what follows is in the tests of archives."""
    pins = {"agreements": {INSTITUTION: [one.canonical() for one in pinned]}} if pinned else {}
    trust = TrustFile.parse({**TRUST, **pins})
    checks = ArchivedDocuments(Ground(example_terms(), trust, {}, {}, load_group()))
    parties = under(STRICT)
    coverage = parties.coverage()
    after = Account(public=parties.state.public, private=parties.state.private)
    happened = Happened(7, read_event(coverage), coverage, after, after, b"")
    wanted, words = (ArchiveInvalid, "is not in the archive") if good else (Refused, "does not pin")
    with pytest.raises(wanted, match=words):
        checks.covered_unasked(happened)

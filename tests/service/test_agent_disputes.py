"""Disputes before the real agent: what it signs and sends, once, and which ends of a dispute it believes."""

import json
from typing import Any

import pytest

from atomic_margin.service.errors import AgentRefused, Conflict, RemoteError
from atomic_margin.service.institution import disputing
from atomic_margin.service.institution.app import AgentProcess
from atomic_margin.service.institution.app import create_app as create_agent
from atomic_margin.service.institution.store import OwnDocument
from atomic_margin.service.operator.accounts import disputes
from atomic_margin.service.protocol.account.errors import EntryIllegal, EntryUnsent
from atomic_margin.service.protocol.dispute_messages import Disputing, Proposal
from atomic_margin.service.protocol.disputes import DisputeLapse
from atomic_margin.service.protocol.signing import SignedDocument

from .documents import FUND, Json
from .resident import Resident
from .rounds import in_step, lose, mend
from .rounds import resident as resident
from .rounds import residents as residents
from .test_disputes import BEGAN, LATE, opened
from .told import Told
from .told import told as told
from .world import TestClient


def at_its_face(resident: Resident) -> TestClient:
    process = AgentProcess(lambda stage: resident.agent)
    process._opened = process._agent = resident.agent
    return TestClient(create_agent(process, "token"), headers={"Authorization": "Bearer token"})


def dispute(resident: Resident, subject: str | None = None, **said: Any) -> str:
    wanted = {"subject": subject or resident.agent.history.head, "kind": "other", "reason": "it is not ours"} | said
    with resident.agent.signing() as (party, outbox):
        return disputing.dispute(party, outbox, Disputing.parse(wanted))


def offer(resident: Resident, said: Json | None = None, ticks: int = 10) -> str:
    with resident.agent.signing() as (party, outbox):
        return disputing.resolve(party, outbox, None if said is None else Proposal.parse(said), ticks)


def withdraw(resident: Resident) -> str:
    with resident.agent.signing() as (party, outbox):
        return disputing.withdraw(party, outbox)


def test_the_agent_disputes_by_its_own_face_and_shows_it(resident: Resident) -> None:
    resident.world.play(1)
    assert resident.agent.answer_due() != []
    client = at_its_face(resident)
    assert client.get("/v1/status").json()["dispute"] is None
    subject = resident.world.entries()[-1].document.body_hash()
    said = {"subject": subject, "kind": "valuation", "reason": "the price of ETH is not that of the tick"}
    for wrong in ({"reason": ""}, {"kind": "price"}, {"subject": "1a"}, {"amount": "x"}):
        assert client.post("/v1/disputes", json=said | wrong).status_code == 422
    unknown = client.post("/v1/disputes", json=said | {"subject": "1a" * 32})
    assert unknown.status_code >= 400
    assert client.post("/v1/disputes", json=said).status_code == 201
    public = resident.state.public
    assert public.disputes is not None
    assert public.disputes.open is not None
    # Named by its document, it is disputed by its entry.
    assert public.disputes.open.subject == resident.world.entries()[-2].entry.body_hash()
    status = client.get("/v1/status").json()
    assert "valuation of entry" in status["dispute"]
    assert status["contradiction"] is None
    with pytest.raises(RemoteError, match="withdraw after it is resolved"):
        resident.agent.instruct("withdraw", "USDC", 1)
    # It is answered all the same.
    resident.world.play(2)
    assert resident.agent.answer_due() != []
    assert client.post("/v1/disputes/withdrawal").status_code == 201
    assert client.post("/v1/disputes/withdrawal").status_code >= 400
    assert client.get("/v1/status").json()["dispute"] is None
    assert in_step(resident)


@pytest.mark.parametrize("what", ["request", "reply"])
def test_what_the_line_loses_is_sent_again_as_the_same_bytes(resident: Resident, what: str) -> None:
    resident.world.play(1)
    resident.agent.answer_due()
    lose(resident, "/disputes", what)
    with pytest.raises(RemoteError):
        dispute(resident)
    with pytest.raises((RemoteError, AgentRefused)):
        dispute(resident, kind="amount", amount="5")
    mend(resident)
    resident.agent.answer_due()
    sent = resident.line.sent("/disputes")
    assert len({json.dumps(one, sort_keys=True) for one in sent}) == 1
    assert opened(resident.world).kind == "other"
    lose(resident, "/disputes/withdrawal", what)
    with pytest.raises(RemoteError):
        withdraw(resident)
    mend(resident)
    resident.agent.answer_due()
    assert resident.state.public.disputes is not None
    assert resident.state.public.disputes.open is None
    assert in_step(resident)


def test_the_agent_signs_what_the_operator_proposes_and_one_offer_at_a_time(resident: Resident) -> None:
    resident.world.play(1)
    resident.agent.answer_due()
    with pytest.raises(AgentRefused, match="no dispute is open"):
        offer(resident)
    signed = dispute(resident, kind="amount", amount="1000")
    with pytest.raises(AgentRefused, match="proposes nothing"):
        offer(resident)
    said = {"outcome": "agreed", "amount": "100", "words": "a tenth"}
    first = offer(resident, said, ticks=1)
    assert offer(resident, said, ticks=5) == first
    with pytest.raises(AgentRefused, match="another offer binds this institution until tick 2"):
        offer(resident, said | {"amount": "900"})
    for number in (2, 3):
        resident.world.play(number)
        resident.agent.answer_due()
    view = disputes.shown(resident.world.operator, FUND).open
    assert view is not None
    assert view.offered is not None
    assert "bound to it until tick 2" in str(view.offered.problem)
    disputes.propose(resident.world.operator, FUND, signed, Proposal.parse(said | {"amount": "900"}))
    second = offer(resident)
    with pytest.raises(Conflict):
        disputes.agree(resident.world.operator, FUND, first)
    disputes.agree(resident.world.operator, FUND, second)
    resident.agent.answer_due()
    assert resident.state.public.disputes is not None
    assert resident.state.public.disputes.open is None
    assert in_step(resident)


def test_a_refused_dispute_is_not_sent_again(resident: Resident) -> None:
    resident.world.play(1)
    resident.agent.answer_due()
    dispute(resident)
    withdraw(resident)
    # Of what it says of a dispute the agent may be wrong; the operator has the last word, and it is not lost here.
    about_a_dispute = resident.agent.history.head
    with pytest.raises(RemoteError, match="disputed no further"):
        dispute(resident, about_a_dispute)
    before = len(resident.line.sent("/disputes"))
    resident.agent.answer_due()
    assert len(resident.line.sent("/disputes")) == before
    dispute(resident, resident.world.entries()[0].entry.body_hash())
    assert in_step(resident)


def lapse(resident: Resident, **changes: Any) -> None:
    """Let the operator sign that a dispute lapses, with other times than those of its prices."""
    world = resident.world
    found = opened(world)
    last = world.client.get("/v1/ticks").json()["document"]
    number, late = last["body"]["sequence"], SignedDocument.parse(last).body_hash()
    body = {
        "institution": FUND,
        "operator": world.key,
        "dispute": found.dispute,
        "begins": {"price_sequence": str(found.price_sequence), "tick": found.tick, "priced_at": BEGAN},
        "ends": {"price_sequence": number, "tick": late, "priced_at": LATE},
        "declared_at": LATE,
    }
    signed = DisputeLapse.parse(body | changes).signed_by(world.operator.identity)
    with world.operator.store.unit_of_work() as session:
        disputes._end(session, world.operator, FUND, signed)


@pytest.mark.long
@pytest.mark.parametrize("end", ["begins", "ends"])
def test_the_agent_refuses_a_lapse_at_times_that_prices_do_not_have(resident: Resident, end: str) -> None:
    resident.world.play(1)
    resident.agent.answer_due()
    dispute(resident)
    ends = "2026-11-21T08:00:00Z" if end == "ends" else LATE
    resident.world.play(2, as_of=ends)
    resident.agent.answer_due()
    head = resident.agent.history.head
    if end == "begins":
        found = opened(resident.world)
        begins = {"price_sequence": "1", "tick": found.tick, "priced_at": "2026-11-01T08:00:00Z"}
        lapse(resident, begins=begins)
    else:
        lapse(resident)
    with pytest.raises(EntryIllegal, match=f"the dispute {end} at prices of"):
        resident.agent.answer_due()
    assert resident.agent.history.head == head
    assert resident.agent.contradiction is not None


def test_the_agent_follows_a_lapse_at_its_time(resident: Resident) -> None:
    resident.world.play(1)
    resident.agent.answer_due()
    signed = dispute(resident)
    resident.world.play(2, as_of=LATE)
    disputes.lapse(resident.world.operator, FUND, signed)
    resident.agent.answer_due()
    assert in_step(resident)
    with pytest.raises(RemoteError, match="ended before"):
        dispute(resident, resident.world.entries()[int(opened_number(resident)) - 1].entry.body_hash())


def opened_number(resident: Resident) -> int:
    assert resident.state.public.disputes is not None
    (number,) = resident.state.public.disputes.over
    return number


def test_an_entry_about_a_dispute_that_was_never_sent_is_refused(told: Told) -> None:
    """Whoever has the identity key could hold the account."""
    told.recorded()
    document = told.dispute()
    with told.store.unit_of_work() as session:
        session.query(OwnDocument).filter_by(sha256=document.body_hash()).delete()
    head = told.chain.head
    told.enter(document)
    with pytest.raises(EntryUnsent, match="a dispute with this institution's signature"):
        told.history.sync()
    assert told.history.head == head

"""Disputes at the real operator: what they hold, what ends them, and what they are no way out of."""

from collections.abc import Callable
from typing import Any

import pytest

from atomic_margin.service.errors import Conflict, NotFound, SignatureInvalid
from atomic_margin.service.operator import replay
from atomic_margin.service.operator.accounts import disputes
from atomic_margin.service.operator.store.tables import ResolutionRow
from atomic_margin.service.protocol.account.errors import AccountHeld, WrongDispute
from atomic_margin.service.protocol.account.state import OpenDispute
from atomic_margin.service.protocol.bodies import Body
from atomic_margin.service.protocol.disputes import Dispute, DisputeResolution, DisputeWithdrawal
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.states import AccountState

from .documents import FUND, Json
from .rounds import resident as resident
from .rounds import residents as residents
from .told import told as told
from .world import World

WorldAt = Callable[[str], World]
PATH = f"/v1/institutions/{FUND}/disputes"
BEGAN = "2026-11-20T08:00:00Z"
LATE = "2026-12-04T08:00:00Z"


def by(world: World, kind: type[Body], body: Json) -> SignedDocument:
    said = {"institution": FUND, "operator": world.key, "entry": world.head()}
    return kind.parse(said | body).signed_by(world.funds[FUND].identity)


def about(world: World, at: int | None = None, **changes: Any) -> SignedDocument:
    """A dispute about an entry, by default the last one, at the first tick."""
    shown = world.entries()
    number = len(shown) if at is None else at
    found = world.account().public.disputes
    body: Json = {
        "sequence": str(1 if found is None else found.sequence + 1),
        "subject": shown[number - 1].entry.body_hash(),
        "number": str(number),
        "kind": "valuation",
        "price_sequence": "1",
        "tick": tick_hash(world, 1),
        "priced_at": BEGAN,
        "reason": "the price of ETH is not that of the tick",
    }
    return by(world, Dispute, body | changes)


def tick_hash(world: World, number: int) -> str:
    return SignedDocument.parse(world.client.get(f"/v1/ticks/{number}").json()).body_hash()


def opened(world: World) -> OpenDispute:
    found = world.account().public.disputes
    assert found is not None
    assert found.open is not None
    return found.open


def resolution(world: World, outcome: str = "rejected", **changes: Any) -> SignedDocument:
    body = {"dispute": opened(world).dispute, "outcome": outcome, "until": "100", "words": "the price was right"}
    return by(world, DisputeResolution, body | changes)


def disputed(world: World, **changes: Any) -> SignedDocument:
    document = about(world, **changes)
    disputes.dispute(world.operator, FUND, document.to_json())
    return document


def replayed(world: World) -> None:
    with world.operator.store.unit_of_work() as session:
        replay.check(session, world.key)


# The operator


def test_a_dispute_is_taken_offered_an_end_and_ended_over_http(world_at: WorldAt) -> None:
    world = world_at("calm-done")
    document = about(world, kind="amount", amount="1200", undisputed="400")
    entry = world.client.post(PATH, json=document.to_json(), auth=world.auth())
    assert (entry.status_code, entry.json()["body"]["kind"]) == (201, "disputed")
    assert world.client.post(PATH, json=document.to_json(), auth=world.auth()).json() == entry.json()
    (view,) = world.client.get("/v1/disputes", headers=world.admin).json()["disputes"]
    assert (view["document"], view["lapses_from"], view["lapses"]) == (document.to_json(), LATE, False)
    assert (view["proposed"], view["offered"]) == (None, None)
    asset, free = next(iter(world.account().private.free.items()))
    with pytest.raises(AccountHeld, match="withdraw after it is resolved"):
        world.instruct(FUND, "withdraw", asset, free)
    proposal = {"institution": FUND, "dispute": document.body_hash(), "outcome": "agreed", "words": "half of it"}
    for caller in ({}, {"auth": world.auth()}):
        assert world.client.post("/v1/disputes/proposals", json=proposal, **caller).status_code == 401
    wrong = world.client.post("/v1/disputes/proposals", json=proposal, headers=world.admin)
    assert (wrong.status_code, wrong.json()["field"]) == (422, "amount")
    proposed = world.client.post("/v1/disputes/proposals", json=proposal | {"amount": "600"}, headers=world.admin)
    assert proposed.json()["open"]["proposed"] == {"outcome": "agreed", "amount": "600", "words": "half of it"}
    # It binds nobody: the operator has nothing that it could enter.
    with pytest.raises(NotFound, match="offered nothing that ends a dispute"):
        disputes.agree(world.operator, FUND, document.body_hash())
    offer = resolution(world, "agreed", amount="600", words="half of it")
    offered = world.client.post(f"{PATH}/resolution", json=offer.to_json(), auth=world.auth())
    assert (offered.status_code, offered.json()["open"]["offered"]["problem"]) == (202, None)
    assert world.client.get(PATH).status_code == 401
    assert world.client.get(PATH, auth=world.auth()).json() == offered.json()
    agreement = {"institution": FUND, "resolution": offer.body_hash()}
    for caller in ({}, {"auth": world.auth()}):
        assert world.client.post("/v1/disputes/resolutions", json=agreement, **caller).status_code == 401
    ended = world.client.post("/v1/disputes/resolutions", json=agreement, headers=world.admin)
    assert (ended.status_code, ended.json()["body"]["kind"]) == (201, "dispute resolved")
    assert world.client.post("/v1/disputes/resolutions", json=agreement, headers=world.admin).json() == ended.json()
    shown = world.client.get(PATH, headers=world.admin).json()
    assert shown["open"] is None
    assert [(one["kind"], one["document"]) for one in shown["history"]] == [
        ("disputed", document.to_json()),
        ("dispute resolved", offer.to_json()),
    ]
    assert world.client.get("/v1/disputes", headers=world.admin).json() == {"disputes": []}
    world.instruct(FUND, "withdraw", asset, free)
    replayed(world)


@pytest.mark.parametrize(
    ("stage", "status"), [("fall-open", AccountState.ACTIVE), ("crash-open", AccountState.IN_DEFAULT)]
)
def test_a_dispute_is_no_way_out_of_what_was_proven(world_at: WorldAt, stage: str, status: AccountState) -> None:
    """The hook fires on a verified breach, and moves all that it has to, in a held account as in every other."""
    world, same = world_at(stage), world_at(stage)
    run = {"fall-open": f"{FUND}.2", "crash-open": f"{FUND}.4"}[stage]
    disputed(world)
    for one in (world, same):
        one.answer(run)
    assert world.account().public.status is status
    assert world.ledger() == same.ledger()
    assert (world.settlements()[run]["body"]["transfers"]) == same.settlements()[run]["body"]["transfers"]
    # The settlement itself may be disputed as well, once the first dispute is over; nothing comes back by that.
    withdrawal = by(world, DisputeWithdrawal, {"dispute": opened(world).dispute})
    disputes.withdraw(world.operator, FUND, withdrawal.to_json())
    settlement = next(item for item in world.entries() if item.document.type == "settlement")
    disputed(world, at=int(settlement.entry.body["number"]), kind="settlement")
    assert world.ledger() == same.ledger()
    replayed(world)


def test_an_account_in_default_disputes_once_and_its_end_is_seen_by_everybody(world_at: WorldAt) -> None:
    world = world_at("crash-done")
    disputed(world)
    withdrawal = by(world, DisputeWithdrawal, {"dispute": opened(world).dispute})
    disputes.withdraw(world.operator, FUND, withdrawal.to_json())
    with pytest.raises(Conflict, match="in default has one dispute"):
        disputed(world, at=1)


def test_a_dispute_of_what_is_no_entry_of_the_account_is_refused(world_at: WorldAt) -> None:
    world = world_at("two")
    world.tick(1)
    other = next(name for name in world.funds if name != FUND)
    alien = world.entries(other)[-1].entry.body_hash()
    document = world.entries()[-1].document.body_hash()
    wrongs: tuple[tuple[Json, str], ...] = (
        ({"subject": alien}, "subject"),
        ({"subject": "1a" * 32}, "subject"),
        # A document has one name more; an entry is disputed by its own, so that it is disputed once.
        ({"subject": document}, "subject"),
        ({"number": "1"}, "subject"),
        ({"entry": world.entries(other)[-1].entry.body_hash()}, "entry"),
        ({"tick": "1a" * 32}, "priced_at"),
        ({"priced_at": "2026-11-20T08:00:01Z"}, "priced_at"),
        ({"priced_at": "2026-11-19T08:00:00Z"}, "priced_at"),
    )
    for wrong, field in wrongs:
        with pytest.raises(Conflict) as caught:
            disputes.dispute(world.operator, FUND, about(world, **wrong).to_json())
        assert caught.value.field == field
    assert world.account().public.disputes is None
    good = about(world)
    for signer in (world.operator.identity, world.funds[other].identity):
        with pytest.raises(SignatureInvalid):
            disputes.dispute(world.operator, FUND, signer.sign("dispute", good.body).to_json())
    disputes.dispute(world.operator, FUND, good.to_json())
    # What is about a dispute is no matter for another one.
    withdrawal = by(world, DisputeWithdrawal, {"dispute": good.body_hash()})
    disputes.withdraw(world.operator, FUND, withdrawal.to_json())
    with pytest.raises(Conflict, match="about a dispute is disputed no further"):
        disputed(world)


def test_nobody_but_the_institution_ends_its_dispute_before_its_time(world_at: WorldAt) -> None:
    world = world_at("calm-done")
    document = disputed(world)
    good = resolution(world)
    for signer in (world.operator.identity, world.funds[FUND].identity.generate()):
        with pytest.raises(SignatureInvalid):
            disputes.offer(world.operator, FUND, signer.sign(good.type, good.body).to_json())
    with pytest.raises(WrongDispute, match="it stood for 0 s of prices"):
        disputes.lapse(world.operator, FUND, document.body_hash())
    with pytest.raises(NotFound, match="offered nothing"):
        disputes.agree(world.operator, FUND, good.body_hash())
    assert opened(world).dispute == document.body_hash()


def test_an_operator_agrees_to_the_amount_that_it_was_shown_alone(world_at: WorldAt) -> None:
    world = world_at("calm-done")
    disputed(world, kind="amount", amount="1000")
    first, second = (resolution(world, "agreed", amount=amount) for amount in ("100", "900"))
    for document in (first, second):
        disputes.offer(world.operator, FUND, document.to_json())
    with pytest.raises(Conflict, match="look at it again"):
        disputes.agree(world.operator, FUND, first.body_hash())
    with pytest.raises(WrongDispute, match="1000 USD are in dispute"):
        disputes.offer(world.operator, FUND, resolution(world, "agreed", amount="1001").to_json())
    disputes.agree(world.operator, FUND, second.body_hash())
    assert world.account().public.disputes is not None


def test_what_ends_an_old_dispute_ends_no_new_one(world_at: WorldAt) -> None:
    world = world_at("calm-done")
    document = disputed(world)
    old = resolution(world)
    disputes.offer(world.operator, FUND, old.to_json())
    withdrawal = by(world, DisputeWithdrawal, {"dispute": document.body_hash()})
    disputes.withdraw(world.operator, FUND, withdrawal.to_json())
    disputed(world, at=2)
    assert disputes.shown(world.operator, FUND).open is not None
    with pytest.raises(NotFound, match="offered nothing"):
        disputes.agree(world.operator, FUND, old.body_hash())
    with pytest.raises(WrongDispute, match="another dispute than the open one"):
        disputes.offer(world.operator, FUND, old.to_json())
    # The same withdrawal again is the entry that there is, and ends nothing more.
    disputes.withdraw(world.operator, FUND, withdrawal.to_json())
    assert opened(world).number == 2
    # An operator that puts the old offer where it kept the new one enters nothing either.
    disputes.offer(world.operator, FUND, resolution(world).to_json())
    with world.operator.store.unit_of_work() as session:
        row = session.get_one(ResolutionRow, FUND)
        row.sha256, row.document = old.body_hash(), old.to_json()
    with pytest.raises(WrongDispute, match="another dispute than the open one"):
        disputes.agree(world.operator, FUND, old.body_hash())


def test_it_lapses_by_the_time_of_prices(world_at: WorldAt) -> None:
    world = world_at("calm-done")
    document = disputed(world)
    world.play(2, as_of="2026-12-04T07:59:59Z")
    with pytest.raises(WrongDispute, match="it lapses after 1209600"):
        disputes.lapse(world.operator, FUND, document.body_hash())
    with pytest.raises(Conflict, match="look at it again"):
        disputes.lapse(world.operator, FUND, "1a" * 32)
    assert [one.lapses for one in disputes.all_open(world.operator).disputes] == [False]
    world.tick(3, as_of=LATE)
    assert [one.lapses for one in disputes.all_open(world.operator).disputes] == [True]
    entry = disputes.lapse(world.operator, FUND, document.body_hash())
    assert entry.body["kind"] == "dispute lapsed"
    with pytest.raises(NotFound, match="disputes nothing"):
        disputes.lapse(world.operator, FUND, document.body_hash())
    # It stays on record, and is disputed no more.
    assert [one.kind for one in disputes.shown(world.operator, FUND).history] == ["disputed", "dispute lapsed"]
    with pytest.raises(WrongDispute, match="ended before"):
        disputed(world, at=int(document.body["number"]))
    replayed(world)

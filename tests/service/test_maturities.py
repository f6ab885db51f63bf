"""A tokenised bill that matures while it is posted: at a real operator, before its agent, and in its archive."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from atomic_margin.circuits.profile import TINY
from atomic_margin.documents.fields import now_text
from atomic_margin.margin.collateral.dated import Dated
from atomic_margin.margin.errors import IneligibleAsset, UnknownAsset
from atomic_margin.service.errors import ArchiveInvalid, Refused
from atomic_margin.service.operator import replay
from atomic_margin.service.operator.accounts import agreements, maturities, netting, releases
from atomic_margin.service.operator.settlement import ledger
from atomic_margin.service.operator.store.tables import Tick
from atomic_margin.service.protocol.account.errors import EntryIllegal
from atomic_margin.service.protocol.account.events import EventKind
from atomic_margin.service.protocol.account.maturity_documents import Maturity
from atomic_margin.service.protocol.maturities import check_maturity
from atomic_margin.service.protocol.signing import Identity
from atomic_margin.service.protocol.terms import Terms
from atomic_margin.service.reports.parts import moves_stated
from atomic_margin.service.reports.reconciled import check_step

from .account.test_machine_maturity import maturity
from .agreements import agreement
from .documents import FUND, Json, example
from .test_agent_defaults import forced
from .test_agreement_amendments import asking
from .test_archive import archived, verified
from .test_reports import whole
from .told import TERMS, Told
from .world import World

pytestmark = pytest.mark.long

BILL = "TBILL-2027-02"
# A hundredth of a dollar of face pays ten thousand millionths.
DATED = {"matures": "2026-11-20T09:00:00Z", "pays": "USDC", "quantity": "10000", "unpaid_days": "2"}
BEFORE, AFTER = "2026-11-20T08:59:59Z", "2026-11-20T09:00:00Z"


def schedule() -> Json:
    document = example("collateral-schedule")
    for asset in document["assets"]:
        if asset["id"] == BILL:
            asset |= {"dated": DATED}
            asset.pop("eligibility", None)
    return {**document, "format": "atomic-margin/collateral-schedule/3"}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    terms = Terms.parse(example("model-scan"), example("universe"), schedule(), TINY)
    made = World(tmp_path / "data", Identity.generate(), {}, terms=terms)
    made.enrol(FUND)
    made.deposit(FUND, BILL, 20_000_000, "custodian-bill")
    made.deposit(FUND, "USDC", 10**11, "custodian-cash")
    made.instruct(FUND, "post", BILL, 15_000_000)
    made.submit(FUND, (0,) * len(made.columns))
    yield made
    made.close()


def run(world: World, number: int, as_of: str) -> str:
    run_id = world.play(1, sequence=str(number), as_of=as_of)
    world.answer(run_id)
    return run_id


def test_its_cash_comes_in_where_it_was(world: World) -> None:
    run(world, 1, BEFORE)
    with pytest.raises(Refused, match="has not matured by the newest prices"):
        maturities.mature(world.operator, BILL)
    run(world, 2, AFTER)
    booked = maturities.mature(world.operator, BILL)
    assert [(one.pool, one.quantity, one.paid, one.waits) for one in booked] == [
        ("posted", "15000000", "150000000000", None),
        ("free", "5000000", "50000000000", None),
    ]
    assert world.held(ledger.posted(FUND)) == dict(world.account().public.posted) == {"USDC": 150_000_000_000}
    assert world.held(ledger.free(FUND)) == dict(world.account().private.free) == {"USDC": 150_000_000_000}
    # What left and what came in are booked against the world outside, asset by asset.
    assert not any(world.totals().values())
    # Once more is nothing.
    assert maturities.mature(world.operator, BILL) == []
    run(world, 3, "2026-11-20T09:01:00Z")
    with world.operator.store.unit_of_work() as session:
        assert replay.check(session, world.key).accounts == 1


def test_between_its_maturity_and_its_cash_a_run_counts_the_same(world: World) -> None:
    """Nobody is short for a moment: what is due counts as the cash that it becomes, to the bit."""
    run(world, 1, BEFORE)
    run(world, 2, AFTER)
    market = world.operator.compiled_ticks
    before = dict(world.account().public.posted)
    maturities.mature(world.operator, BILL)
    after = dict(world.account().public.posted)
    with world.operator.store.unit_of_work() as session:
        tick = market.of(session.get_one(Tick, 2))
    values = [world.terms.collateral(tick.market, posted) for posted in (before, after)]
    assert list(values[0].maintenance) == list(values[1].maintenance)
    assert list(values[0].initial) == list(values[1].initial)


def test_what_has_matured_takes_the_place_of_nothing_and_is_not_promised(world: World) -> None:
    """Of an account without a book too, which nobody else would ask for a proof."""
    world.admit("other")
    world.deposit("other", BILL, 100, "bill-of-other")
    world.deposit("other", "USDC", 1000, "cash-of-other")
    world.instruct("other", "post", "USDC", 1000)
    netting.name_party(world.operator, "other", "lei-one", "party")
    run(world, 1, AFTER)
    public = world.account("other").public
    said: dict[str, Any] = {"institution": "other", "operator": world.key, "entry": world.head("other")}
    with world.operator.store.unit_of_work() as session:
        tick = session.get_one(Tick, 1).sha256
    release = {
        **said, "sequence": str(public.instructions + 1), "price_sequence": "1", "tick": tick,
        "posted": {"USDC": "1000"}, "taken": {"USDC": "10"}, "given": {BILL: "100"},
        "remaining": {"USDC": "990", BILL: "100"},
    }  # fmt: skip
    signed = world.funds["other"].identity.sign("release", release)
    with pytest.raises(IneligibleAsset, match="has matured"):
        releases.take_release(world.operator, "other", signed.to_json())
    promise = {
        **said, "sequence": "1", "party": "lei-one", "scope": "party", "direction": "delivery", "asset": BILL,
        "quantity": "5", "settles": now_text()[:10],
    }  # fmt: skip
    with pytest.raises(IneligibleAsset, match="has matured"):
        netting.promise(world.operator, "other", world.funds["other"].identity.sign("obligation", promise).to_json())


def test_an_open_run_makes_it_wait_and_says_so(world: World) -> None:
    run_id = world.play(1, sequence="1", as_of=AFTER)
    held = world.ledger()
    booked = maturities.mature(world.operator, BILL)
    assert [one.waits is not None and "after it is answered" in one.waits for one in booked] == [True, True]
    assert world.ledger() == held
    world.answer(run_id)
    assert [one.waits for one in maturities.mature(world.operator, BILL)] == [None, None]


def test_what_has_no_end_is_named(world: World) -> None:
    run(world, 1, AFTER)
    with pytest.raises(Refused, match="has no end in the schedule"):
        maturities.mature(world.operator, "USDC")
    with pytest.raises(UnknownAsset):
        maturities.mature(world.operator, "GOLD")
    response = world.client.post("/v1/maturities", json={"asset": "USDC"}, headers=world.admin)
    assert (response.status_code, response.json()["detail"][:4]) == (422, "USDC")
    assert world.client.post("/v1/maturities", json={"asset": BILL}).status_code == 401
    booked = world.client.post("/v1/maturities", json={"asset": BILL}, headers=world.admin)
    assert (booked.status_code, len(booked.json()["matured"])) == (201, 2)


def test_an_agreement_that_takes_the_bill_takes_its_cash(world: World) -> None:
    run(world, 1, BEFORE)
    wrong, right = agreement(eligible=[BILL]), agreement(eligible=[BILL, "USDC"])
    with pytest.raises(Refused, match=f"{BILL} matures into USDC; add USDC") as refused:
        agreements.ask(world.operator, FUND, asking(world, wrong).to_json())
    assert refused.value.field == "agreement.eligible"
    agreements.ask(world.operator, FUND, asking(world, right).to_json())
    world.agreement = wrong
    with pytest.raises(IneligibleAsset, match=f"{BILL} matures into USDC"):
        world.enrol("other")


def matured(world: World) -> Maturity:
    bodies = [one.document.body for one in world.entries() if one.document.type == "maturity"]
    return Maturity.parse(bodies[0])


def test_readers_hold_it_against_schedule_and_prices(world: World, tmp_path: Path) -> None:
    run(world, 1, AFTER)
    maturities.mature(world.operator, BILL)
    found = verified(archived(world, tmp_path / "a.zip"), world.trust())
    assert found.account == world.account()
    assert (found.kinds[str(EventKind.MATURED)], found.kinds[str(EventKind.FREE_MATURED)]) == (1, 1)
    body = matured(world)
    with world.operator.store.unit_of_work() as session:
        market = world.operator.compiled_ticks.of(session.get_one(Tick, 1)).market
    check_maturity(body, world.terms.schedule, market)
    for changes, reason in (
        ({"paid": body.paid - 1}, "pay 150000000000 units"),
        ({"paid": body.paid + 1}, "pay 150000000000 units"),
        ({"cash": "GOVT-MMF"}, "of USDC"),
        ({"asset": "USDC"}, "has no end"),
    ):
        with pytest.raises(Refused, match=reason):
            check_maturity(body.model_copy(update=changes), world.terms.schedule, market)
    early = market.model_copy(update={"as_of": market.as_of.replace(hour=8)})
    with pytest.raises(Refused, match="had not matured"):
        check_maturity(body, world.terms.schedule, early)


@pytest.mark.parametrize(
    "bend",
    [
        lambda dated: dated.model_copy(update={"quantity": 9_999}),
        lambda dated: dated.model_copy(update={"pays": "GOVT-MMF"}),
    ],
    ids=["less cash", "other cash"],
)
def test_an_operator_that_books_less_is_found(world: World, tmp_path: Path, bend: Callable[[Any], Any]) -> None:
    run(world, 1, AFTER)
    dated = world.terms.schedule.dated
    right = dated[BILL]
    dated[BILL] = bend(right)
    try:
        maturities.mature(world.operator, BILL)
    finally:
        dated[BILL] = right
    with pytest.raises(ArchiveInvalid, match="units of TBILL-2027-02 pay"):
        verified(archived(world, tmp_path / "a.zip"), world.trust())


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Told:
    """An agent under terms by which what its account has, in units of `USDC`, has matured."""
    ends = {"USDC": Dated.parse({**DATED, "matures": "2026-11-20T08:00:00Z", "pays": "GOVT-MMF", "quantity": "3"})}
    monkeypatch.setitem(TERMS.schedule.__dict__, "dated", ends)
    found = Told(tmp_path)
    found.booked()
    return found


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"paid": "2"}, "pay 3000000000000 units of GOVT-MMF"),
        ({"cash": "BTC"}, "pay 3000000000000 units of GOVT-MMF"),
    ],
    ids=["right", "less", "other cash"],
)
def test_an_agent_follows_what_is_due_and_nothing_else(told: Told, changes: dict[str, str], reason: str | None) -> None:
    quantity = told.state.public.posted["USDC"]
    document = maturity(told, **{"cash": "GOVT-MMF", "paid": str(3 * quantity), **changes})
    if reason is None:
        told.enter(document)
        told.history.sync()
        assert told.history.state == told.state
    else:
        told.refuses(EntryIllegal, reason, forced(told, document))


def test_a_statement_of_the_day_shows_both_sides_of_it(world: World) -> None:
    run(world, 1, AFTER)
    maturities.mature(world.operator, BILL)
    facts = whole(world)
    for number in range(1, len(facts.steps) + 1):
        check_step(facts, number)
    stated = [
        moves_stated(step) for step in facts.steps if step.document is not None and step.document.type == "maturity"
    ]
    assert [[(move.balance, move.asset, move.quantity) for move in moves or ()] for moves in stated] == [
        [("posted", BILL, -15_000_000), ("posted", "USDC", 150_000_000_000)],
        [("free", BILL, -5_000_000), ("free", "USDC", 50_000_000_000)],
    ]

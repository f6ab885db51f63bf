"""What a submission gained, with the operator's store, the agent's code and real proofs: no cash is invented."""

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from atomic_margin.margin import Market, Portfolio, encode
from atomic_margin.margin.market.revisions import carried
from atomic_margin.margin.market.trades import Trades, booked, plain
from atomic_margin.margin.rows.gain import UNIT_EXPONENT, gained
from atomic_margin.service.errors import AgentRefused, IllegalTransition, Refused
from atomic_margin.service.operator.accounts import submissions, universes
from atomic_margin.service.operator.store.tables import Account
from atomic_margin.service.protocol.account.errors import AllowanceExceeded, WrongTick
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.statements import gains
from atomic_margin.service.protocol.submissions import Allowances

from .documents import FUND, example
from .world import World

ALLOWED = 25_000
WorldAt = Callable[[str], World]


@pytest.fixture
def world(world_at: WorldAt) -> World:
    """An account with a book in force and a tick behind it, whose books may gain what an operator usually allows."""
    found = world_at("calm-done")
    allow(found, ALLOWED)
    return found


def allow(world: World, usd: int) -> None:
    """Let the account's books gain so much a submission, as if it had been admitted so."""
    with world.operator.store.unit_of_work() as session:
        account = session.get_one(Account, FUND)
        said = Allowances.parse({"submission": str(usd), "day": str(10 * usd)}).canonical()
        account.public_state = {**account.public_state, "allowances": said}


def market(number: int = 1) -> Market:
    return Market.parse(example(f"market-{number}"))


def vector(world: World, book: Portfolio) -> tuple[int, ...]:
    return tuple(int(value) for value in encode(book, world.terms.universe, world.columns))


def traded(world: World, *trades: dict[str, str], cash: str = "0") -> Portfolio:
    """The example's book after some trades more."""
    document = {
        "format": "atomic-margin/trades/1",
        "opening": example("portfolio"),
        "trades": list(trades),
        "cash": cash,
    }
    return Trades.parse(document).net(world.terms.universe)


def at_market(side: str, lots: int, **changes: str) -> dict[str, str]:
    price = format(market().underlyings["BTC"].perpetual, "f")
    return {"instrument": "BTC-PERP", "side": side, "lots": str(lots), "price": price, "funding_index": "0", **changes}


def signed_anew(world: World, signed: SignedDocument, **changes: Any) -> SignedDocument:
    return world.funds[FUND].identity.sign("submission", {**signed.body, **changes})


def test_a_trade_at_market_needs_no_allowance(world: World) -> None:
    for side, lots in (("buy", 100), ("sell", 60), ("sell", 240)):
        book = traded(world, at_market(side, lots, fee="12.5"))
        sent = world.submit(FUND, vector(world, book))
        # Cash is rounded to lots of 256 USD here; more than that no trade at market asks for.
        assert sent.submission.gain.allowance in (0, int(world.columns.cash_lot or 0))
    public = world.account().public
    assert public.submissions == 4
    assert public.gained <= 3 * 256


def test_invented_cash_is_refused_by_agent_machine_and_proof(world: World) -> None:
    lot = world.columns.cash_lot
    assert lot is not None
    invented = traded(world, cash=format(ALLOWED + 10 * lot, "f"))
    with pytest.raises(AgentRefused, match=r"USD more than the one it replaces, and 25,000 USD are allowed"):
        world.prepare_submission(FUND, vector(world, invented))
    # One who asks for more is refused by the machine, one who asks for as much as is allowed by the proof.
    sent = world.prepare_submission(FUND, vector(world, traded(world, cash=format(10 * lot, "f"))))
    gain = sent.signed.body["gain"]
    assert gain["allowance"] == str(ALLOWED)
    more = signed_anew(world, sent.signed, gain={**gain, "allowance": str(ALLOWED + 1)})
    with pytest.raises(AllowanceExceeded, match="may have gained 25000 USD more"):
        submissions.submit(world.operator, FUND, more.to_json())
    for changes in ({"allowance": "0"}, {"allowance": str(ALLOWED - 1)}):
        less = signed_anew(world, sent.signed, gain={**gain, **changes})
        with pytest.raises(Refused) as refused:
            submissions.submit(world.operator, FUND, less.to_json())
        assert refused.value.field == "gain_proof"
    submissions.submit(world.operator, FUND, sent.signed.to_json())
    assert world.account().public.gained == ALLOWED


INVENTED = pytest.mark.parametrize(
    ("trade", "why"),
    [
        # Bought at today's prices, said to be bought 5,000 USD lower.
        (at_market("buy", 100, price="91430.1"), "price"),
        # Funding that others paid before.
        (at_market("buy", 100, funding_index="9000"), "funding"),
        # Paid outside, and taken off the account's cash a second time the other way round.
        ({"instrument": "BTC-25DEC26-100000-C", "side": "buy", "lots": "5", "price": "0"}, "premium"),
    ],
    ids=["hindsight", "funding from before the trade", "premium outside"],
)


@INVENTED
def test_what_trades_at_market_do_not_leave_is_refused(world: World, trade: dict[str, str], why: str) -> None:
    allow(world, 1000)
    with pytest.raises(AgentRefused, match="check its prices, fees and `cash`"):
        world.prepare_submission(FUND, vector(world, traded(world, trade)))


@INVENTED
def test_who_proves_it_under_a_larger_allowance_is_refused(world: World, trade: dict[str, str], why: str) -> None:
    """An institution without our agent: it says what it needs, or what it may, and has no proof of that."""
    allow(world, 10**9)
    sent = world.prepare_submission(FUND, vector(world, traded(world, trade)))
    allow(world, 1000)
    with pytest.raises(AllowanceExceeded, match="what it gained is not what trades at market leave"):
        submissions.submit(world.operator, FUND, sent.signed.to_json())
    less = signed_anew(world, sent.signed, gain={**sent.signed.body["gain"], "allowance": "1000"})
    with pytest.raises(Refused) as refused:
        submissions.submit(world.operator, FUND, less.to_json())
    assert refused.value.field == "gain_proof"


def test_a_revision_is_no_way_to_change_a_book(world: World) -> None:
    """Its reference prices are higher by 1,000: who keeps the cash of the old ones would have gained as much a lot."""
    old, document = world.terms.universe, example("universe")
    for item in document["instruments"]:
        if item["id"] == "BTC-PERP":
            item["reference_price"] = str(Decimal(item["reference_price"]) + 1000)
    allow(world, 0)
    book = Portfolio.parse(example("portfolio"))
    cash = book.cash_against(old)
    universes.announce(world.operator, {**document, "name": "the next one"}, "2027-01-01T00:00:00Z")
    new = world.terms.universe
    right = carried(book, old, new, market())
    moved = cash - right.cash_against(new)
    assert abs(moved) > 1000
    kept = {**example("portfolio"), "cash": plain(Fraction(right.cash or 0) + abs(moved))}
    with pytest.raises(AgentRefused, match="gained"):
        world.prepare_submission(FUND, vector(world, Portfolio.parse(kept)))
    # The same lots at the same trade prices gained nothing by it but what rounding leaves.
    allow(world, 256)
    assert world.submit(FUND, vector(world, right)).submission.gain.allowance in (0, 256)


def test_a_loss_cannot_be_left_behind(world: World) -> None:
    """A flat book without the cash that it owes gained what the book before had lost."""
    book = Portfolio.parse(example("portfolio"))
    reference = world.terms.model.reference(world.terms.published(market(), world.terms.universe.hash()), book, {})
    profit = reference.details["profit"]
    allow(world, 1000)
    assert profit < -1000
    universe = world.terms.universe
    with pytest.raises(AgentRefused, match="gained"):
        world.prepare_submission(FUND, vector(world, booked(universe, {}, Fraction(0))))
    owing = booked(universe, {}, Fraction(Decimal(f"{profit:.2f}")))
    sent = world.submit(FUND, vector(world, owing))
    assert sent.submission.gain.allowance == 0
    weights = gains(sent.submission, world.terms, market())
    assert gained(weights, sent.values) * 2.0**UNIT_EXPONENT <= profit


@pytest.mark.parametrize(("field", "value"), [("day", "0"), ("day", "99999")])
def test_the_day_is_that_of_the_prices(world: World, field: str, value: str) -> None:
    sent = world.prepare_submission(FUND, vector(world, traded(world)))
    other = signed_anew(world, sent.signed, gain={**sent.signed.body["gain"], field: value})
    with pytest.raises((Refused, WrongTick)) as refused:
        submissions.submit(world.operator, FUND, other.to_json())
    assert refused.value.field == "gain.day"


def test_a_proof_is_of_its_own_prices_and_book(world: World) -> None:
    sent = world.prepare_submission(FUND, vector(world, traded(world, at_market("buy", 10))))
    world.tick(2)
    with pytest.raises(WrongTick, match="the newest is 2"):
        submissions.submit(world.operator, FUND, sent.signed.to_json())
    newer = world.prepare_submission(FUND, vector(world, traded(world)))
    mixed = signed_anew(world, sent.signed, gain=newer.signed.body["gain"], nonce=newer.signed.body["nonce"])
    with pytest.raises((Refused, IllegalTransition)):
        submissions.submit(world.operator, FUND, mixed.to_json())
    other = signed_anew(world, newer.signed, gain_proof=sent.signed.body["gain_proof"])
    with pytest.raises(Refused) as refused:
        submissions.submit(world.operator, FUND, other.to_json())
    assert refused.value.field == "gain_proof"


def test_before_there_are_prices_positions_are_worth_their_reference_prices(world_at: WorldAt) -> None:
    world = world_at("enrolled")
    world.submit(FUND, vector(world, Portfolio.parse(example("portfolio"))))
    public = world.account().public
    assert (public.gained, public.gain_day) == (0, 0)
    allow(world, 0)
    bought_cheap = traded(world, at_market("buy", 10, price="1"))
    with pytest.raises(AgentRefused, match="at tick 0 the book has gained"):
        world.prepare_submission(FUND, vector(world, bought_cheap))

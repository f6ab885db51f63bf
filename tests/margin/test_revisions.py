"""Revisions of a universe: what may follow what, and that a book carried over is worth what it was."""

import copy
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atomic_margin.documents.errors import DocumentError, MalformedDocument
from atomic_margin.margin import Market, Portfolio, Universe, errors
from atomic_margin.margin.kinds import KINDS
from atomic_margin.margin.market.revisions import carried, check_revision, is_settled

from ..lines import FLAT
from .test_cash import excess, market_of, universe_of
from .test_expiry import EXPIRY, settled

Json = dict[str, Any]
SIDES = st.sampled_from(("long", "short"))


def as_json(universe: Universe) -> Json:
    found: Any = copy.deepcopy(universe.canonical())
    return dict(found)


def revised(change: Callable[[Json], object]) -> Universe:
    """The universe of one perpetual, one future and one call, changed."""
    document = as_json(universe_of(reference="100000"))
    document["name"] = "two"
    change(document)
    return Universe.parse(document)


def without_expiry(reference: str = "100000", lot: str = "0.1") -> Universe:
    def change(document: Json) -> None:
        document["instruments"] = document["instruments"][:1]
        document["instruments"][0] |= {"reference_price": reference, "lot": lot}

    return revised(change)


def lines(*held: tuple[str, str, int, int]) -> Portfolio:
    return Portfolio.parse(
        {
            **FLAT,
            "lines": [
                {
                    "instrument": name,
                    "side": side,
                    "lots": str(lots),
                    "price": str(price),
                    **({"funding_index": "2"} if name == "BTC-PERP" else {}),
                }
                for name, side, lots, price in held
            ],
            "cash": "12.5",
        }
    )


@settings(deadline=None, max_examples=40)
@given(
    lots=st.integers(0, 300),
    side=SIDES,
    price=st.integers(50_000, 200_000),
    spot=st.integers(60_000, 160_000),
    reference=st.integers(60_000, 160_000),
    index=st.integers(-500, 500),
    lot=st.sampled_from(["0.1", "0.05", "0.02", "0.001"]),
)
def test_a_carried_book_is_worth_the_same(
    lots: int, side: str, price: int, spot: int, reference: int, index: int, lot: str
) -> None:
    """Lots, reference prices and reference funding change; excess and requirement do not."""
    old = universe_of(reference="100000")

    def change(document: Json) -> None:
        document["instruments"][0] |= {
            "lot": lot,
            "reference_price": str(reference),
            "reference_funding_index": str(index),
        }
        document["instruments"][1]["reference_price"] = str(reference)

    new = revised(change)
    check_revision(old, new)
    book = lines(("BTC-PERP", side, lots, price), ("BTC-DEC", "long", 7, 99_000), ("BTC-C", "short", 9, 2_500))
    moved = carried(book, old, new, None)
    market = market_of(str(spot), funding="17")
    for kind in KINDS:
        assert excess(moved, new, market)[kind] == pytest.approx(excess(book, old, market)[kind], abs=1e-3)
    assert [line.price for line in moved.lines] == [line.price for line in book.lines]
    assert moved.lines[0].lots * Fraction(lot) == lots * Fraction("0.1")


@settings(deadline=None, max_examples=40)
@given(
    average=st.integers(60_000, 180_000),
    future=st.integers(0, 300),
    call=st.integers(0, 300),
    sides=st.tuples(SIDES, SIDES),
)
def test_what_has_expired_equals_its_payoff(average: int, future: int, call: int, sides: tuple[str, str]) -> None:
    old, new, market = universe_of(reference="100000"), without_expiry("123000"), settled(str(average))
    check_revision(old, new)
    book = lines(
        ("BTC-PERP", "long", 3, 100_000), ("BTC-DEC", sides[0], future, 97_000), ("BTC-C", sides[1], call, 2500)
    )
    moved = carried(book, old, new, market)
    assert [line.instrument for line in moved.lines] == ["BTC-PERP"]
    sign = {"long": 1, "short": -1}
    paid = sign[sides[0]] * future * (average - 97_000) + sign[sides[1]] * call * (max(0, average - 110_000) - 2500)
    assert Fraction(moved.cash or 0) == Fraction("12.5") + Fraction(paid, 10)
    for kind in KINDS:
        assert excess(moved, new, market)[kind] == pytest.approx(excess(book, old, market)[kind], abs=1e-3)


def test_a_put_pays_below_its_strike() -> None:
    def put(document: Json) -> None:
        document["instruments"][2] |= {"right": "put"}

    old = revised(put)
    for average, payoff in (("100000", 10_000), ("120000", 0)):
        moved = carried(lines(("BTC-C", "long", 10, 0)), old, without_expiry(), settled(average))
        assert Fraction(moved.cash or 0) == Fraction("12.5") + payoff


def test_what_has_not_settled_waits() -> None:
    old, new = universe_of(reference="100000"), without_expiry()
    book, running = lines(("BTC-PERP", "long", 3, 1), ("BTC-DEC", "long", 3, 1)), market_of("100000")
    assert not is_settled(book, old, new, running)
    assert is_settled(book, old, new, settled("100000"))
    for market in (None, running):
        with pytest.raises(errors.NotSettled, match=f"no settlement price of {EXPIRY}") as caught:
            carried(book, old, new, market)
        assert caught.value.field == "lines[1].instrument"
    # No lots have nothing to wait for, and neither has what both list.
    empty = lines(("BTC-PERP", "long", 3, 1), ("BTC-DEC", "long", 0, 1))
    assert is_settled(empty, old, new, running)
    assert [line.instrument for line in carried(empty, old, new, None).lines] == ["BTC-PERP"]


def test_a_window_that_is_not_over_is_no_settlement_price() -> None:
    half = Market.parse(
        {
            **as_market(market_of("100000")),
            "as_of": "2026-12-25T07:45:00Z",
        }
    )
    assert not is_settled(lines(("BTC-DEC", "long", 3, 1)), universe_of(reference="100000"), without_expiry(), half)


def as_market(market: Market) -> Json:
    document: Any = copy.deepcopy(market.canonical())
    quotes = document["underlyings"]["BTC"]["expiries"][EXPIRY]
    quotes["settlement"] = {"average": "100000", "elapsed": "0.99"}
    return dict(document)


def test_a_line_of_another_universe_is_refused() -> None:
    with pytest.raises(errors.UnknownInstrument) as caught:
        carried(lines(("BTC-OLD", "long", 3, 1)), universe_of(), without_expiry(), None)
    assert caught.value.field == "lines[0].instrument"


def other(index: int, **changes: str) -> Callable[[Json], object]:
    return lambda document: document["instruments"][index].update(changes)


@pytest.mark.parametrize(
    ("change", "field", "error", "said"),
    [
        (other(0, lot="0.03"), "instruments[0].lot", MalformedDocument, "must divide the lot"),
        (other(0, lot="0.2"), "instruments[0].lot", MalformedDocument, "must divide the lot"),
        (other(2, strike="120000"), "instruments[2].strike", MalformedDocument, "give it a new id"),
        (other(2, right="put"), "instruments[2].right", MalformedDocument, "give it a new id"),
        (other(1, expiry="2027-01-29T08:00:00Z"), "instruments[1].expiry", MalformedDocument, "give it a new id"),
        (lambda d: d["instruments"].pop(0), "instruments", errors.UnknownInstrument, "does not expire"),
        (
            lambda d: (
                d["underlyings"].update(ETH={"reference_price": "3400"}),
                d["instruments"][0].update(underlying="ETH"),
            ),
            "instruments[0].underlying",
            MalformedDocument,
            "give it a new id",
        ),
    ],
)
def test_what_no_book_can_follow_is_refused(
    change: Callable[[Json], object], field: str, error: type[DocumentError], said: str
) -> None:
    with pytest.raises(error, match=said) as caught:
        check_revision(universe_of(reference="100000"), revised(change))
    assert caught.value.field == field


def test_a_revision_changes_something() -> None:
    with pytest.raises(MalformedDocument, match="in force already"):
        check_revision(universe_of(), universe_of())


def test_new_listings_and_finer_lots_are_taken() -> None:
    def change(document: Json) -> None:
        listed = document["instruments"]
        listed[0]["lot"] = "0.025"
        listed.append({**listed[2], "id": "BTC-C2", "strike": "125000"})
        listed.reverse()

    check_revision(universe_of(reference="100000"), revised(change))

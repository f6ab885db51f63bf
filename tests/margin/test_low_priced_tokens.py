"""Tokens far below a cent: lots of 10^7 and more, options among them, beside bitcoin and at 24 bits."""

from typing import Any

import pytest

from atomic_margin.bench.gap import Desk
from atomic_margin.margin import (
    CollateralSchedule,
    EntryMap,
    Market,
    Portfolio,
    Published,
    Universe,
    check_gross_limit,
    parse_model,
)
from atomic_margin.margin.errors import GrossLimitTooLarge
from atomic_margin.margin.kinds import KINDS
from atomic_margin.margin.market.market import interpolated_quotes

from .slow import slow_excess
from .test_desk import EXPIRY, MODEL, SCHEDULE, book, case, line
from .test_desk import UNIVERSE as DESK

Json = dict[str, Any]
LIMIT = 64_000_000
NAMES = ("BTC", "DUST", "MOTE")
UNIVERSE: Json = DESK | {
    "underlyings": {
        "BTC": {"reference_price": "100000"},
        "DUST": {"reference_price": "0.00000771"},
        "MOTE": {"reference_price": "0.0000000031"},
    },
    "instruments": [
        DESK["instruments"][0],
        {"id": "DUST-PERP", "kind": "perpetual", "underlying": "DUST", "lot": "10000000",
         "reference_price": "0.0000077", "digits": "3"},
        {"id": "DUST-C", "kind": "option", "underlying": "DUST", "lot": "100000000", "reference_price": "0.0000003",
         "digits": "2", "expiry": EXPIRY, "strike": "0.0000085", "right": "call"},
        {"id": "DUST-P", "kind": "option", "underlying": "DUST", "lot": "100000000", "reference_price": "0.0000003",
         "digits": "2", "expiry": EXPIRY, "strike": "0.000007", "right": "put"},
        {"id": "MOTE-PERP", "kind": "perpetual", "underlying": "MOTE", "lot": "100000000000",
         "reference_price": "0.0000000031", "digits": "3", "reference_funding_index": "0.00000000001"},
    ],
}  # fmt: skip
PRICES: Json = {
    "format": "atomic-margin/market/1",
    "sequence": "1",
    "as_of": "2026-11-20T08:00:00Z",
    "rate": "0.03",
    "underlyings": {
        "BTC": {"spot": "100000", "perpetual": "100072", "funding_index": "31.25", "expiries": {}},
        "DUST": {"spot": "0.00000802", "perpetual": "0.00000803", "expiries": {
            EXPIRY: {"forward": "0.0000081", "volatilities": {"0.0000060": "1.9", "0.0000085": "1.4"}}}},
        "MOTE": {"spot": "0.00000000287", "perpetual": "0.0000000029", "funding_index": "0.00000000002",
                 "expiries": {}},
    },
    "collateral": {"USDC": "0.9998"},
}  # fmt: skip
SCAN: Json = MODEL | {
    "scenarios": [one | {"spot": dict.fromkeys(NAMES, one["spot"]["BTC"])} for one in MODEL["scenarios"]]
}


@pytest.mark.parametrize(("lot", "bits", "fits"), [
    ("1000000", 20, False), ("10000000", 20, False), ("100000000", 20, True),
    ("1000000", 24, True), ("10000000", 24, True), ("1000000000", 24, True),
])  # fmt: skip
def test_the_case_fits_64_million_at_24_bits(lot: str, bits: int, fits: bool) -> None:
    document: Any = case("10-shib-lot-1m-G64m", {}).published.universe.canonical()
    universe = Universe.parse(document | {"instruments": [document["instruments"][0] | {"lot": lot}]})
    columns = EntryMap.of(universe, LIMIT, bits)
    if fits:
        check_gross_limit(LIMIT, columns, bits)
    else:
        with pytest.raises(GrossLimitTooLarge, match="use larger lots or a wider profile"):
            check_gross_limit(LIMIT, columns, bits)


@pytest.mark.parametrize(
    "held",
    [
        book(line("DUST-PERP", "short", 30_000, "0.0000079", "0")),
        book(line("MOTE-PERP", "long", 32_767, "0.000000003", "0.00000000002")),
        book(line("DUST-C", "short", 1000, "0.0000005"), line("DUST-PERP", "long", 6000, "0.00000803", "0")),
        book(line("DUST-P", "long", 900, "0"), line("BTC-PERP", "short", 12, "99000", "4"), cash="-1000.5"),
        book(line("DUST-PERP", "long", 1, "0.000009", "0"), line("MOTE-PERP", "short", 1, "0.0000000000001", "0")),
    ],
)
def test_our_own_books_of_two_other_tokens(held: Json) -> None:
    posted = {"USDC": "20000000000000"}
    published = Published(Universe.parse(UNIVERSE), Market.parse(PRICES), CollateralSchedule.parse(SCHEDULE))
    rules: Any = parse_model(SCAN)
    portfolio, holdings = Portfolio.parse(held), {"USDC": int(posted["USDC"])}
    expected = slow_excess(SCAN, UNIVERSE, PRICES, SCHEDULE, held, posted)
    found = rules.reference(published, portfolio, holdings)
    measured = Desk(rules, published, holdings).measure(portfolio, LIMIT, (24,))
    for kind in KINDS:
        assert found.excess[kind] == pytest.approx(float(expected[kind]), rel=1e-12, abs=1e-6)
        # Integers never exceed it. Cash is rounded down to its lot of 16 USD, and proof rows lose next to nothing more.
        for gap, form in zip(measured.gaps(kind), measured.forms, strict=True):
            assert gap.total >= 0
            assert gap.model < 16
            assert gap.rounding < (2000 if form.place == "fhe" else 1)
    assert not measured.problem


def test_wings_of_tiny_strikes_are_interpolated() -> None:
    (wing,) = interpolated_quotes(Market.parse(PRICES), Universe.parse(UNIVERSE))
    assert (f"{wing.strike:f}", str(wing)) == ("0.000007", f"DUST {EXPIRY} 0.000007 at {wing.volatility:.4f}")
    assert 1.4 < wing.volatility < 1.9

"""Volatility moves by underlying and time to expiry: what they charge that one factor does not, and their spelling."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from atomic_margin.documents.canonical import canonical_hash
from atomic_margin.documents.errors import DocumentError, MalformedDocument, NotADecimal, OutOfRange
from atomic_margin.margin import CollateralSchedule, Market, Portfolio, Published, ScanModel, Universe, parse_model
from atomic_margin.margin.analysis import ladder
from atomic_margin.margin.errors import UnknownUnderlying
from atomic_margin.margin.kinds import KINDS
from atomic_margin.margin.models.scan.weights import compile_weights
from atomic_margin.margin.models.volatility_moves import VolatilityMove, at_days

from ..example_documents import EXAMPLES
from .slow import slow_excess
from .test_desk import MODEL, SCHEDULE, account, book, line, market
from .test_desk import UNIVERSE as DESK

Json = dict[str, Any]
AS_OF, NEAR, FAR = "2026-11-20T08:00:00Z", "2026-12-20T08:00:00Z", "2027-03-20T08:00:00Z"
PRICES = {"BTC": ("100000", "0.1"), "ETH": ("4000", "2.5")}
FREE = {"perpetual": "0", "future": "0", "option_long": "0", "option_short_minimum": "0"}


def option(name: str, expiry: str, right: str) -> Json:
    price, lot = PRICES[name]
    return {"id": f"{name}-{expiry[:4]}-{right[0].upper()}", "kind": "option", "underlying": name, "lot": lot,
            "reference_price": "1", "digits": "2", "expiry": expiry, "strike": price, "right": right}  # fmt: skip


UNIVERSE: Json = {
    "format": "atomic-margin/universe/1",
    "name": "straddles",
    "currency": "USD",
    "underlyings": {name: {"reference_price": price} for name, (price, _) in PRICES.items()},
    "instruments": [option(*of) for of in [(n, e, r) for n in PRICES for e in (NEAR, FAR) for r in ("call", "put")]],
}
MARKET: Json = {
    "format": "atomic-margin/market/1",
    "sequence": "1",
    "as_of": AS_OF,
    "rate": "0",
    "underlyings": {
        name: {"spot": price, "perpetual": price, "expiries": {
            expiry: {"forward": price, "volatilities": {price: "0.5"}} for expiry in (NEAR, FAR)}}
        for name, (price, _) in PRICES.items()
    },
    "collateral": {"USDC": "1"},
}  # fmt: skip
STILL = dict.fromkeys(PRICES, "0")
TWIST = [{"days": "30", "move": "0.2"}, {"days": "120", "move": "-0.1"}]
BACK = [{"days": "30", "move": "-0.2"}, {"days": "120", "move": "0.1"}]
LEVEL: list[Any] = ["0.35", "-0.25"]


def requirement(name: str, moves: list[Any], lines: list[Json]) -> float:
    """Maintenance requirement of a book under volatility moves alone, in one of the models that have them."""
    by_name = [move if isinstance(move, dict) else dict.fromkeys(PRICES, move) for move in moves]
    scenarios = [
        {"label": f"move {number}", "spot": STILL, "volatility": move, "basis": STILL}
        for number, move in enumerate(by_name)
    ]
    model: Json = {"format": "atomic-margin/model/1", "name": name, "initial_factor": "1.3", "charges": FREE,
                   "minimum_transfer_amount": "0", "scenarios": scenarios}  # fmt: skip
    if name == "scan":
        model["scenarios"] = [
            {**one, "volatility": move, "basis": "0", "coverage": "1"}
            for one, move in zip(scenarios, moves, strict=True)
        ]
    elif name == "expected_shortfall":
        model["tail"] = "0.01"
    else:
        listed = [item["id"] for item in UNIVERSE["instruments"]]
        venue = {"id": "one", "instruments": listed, "transfer_limit": None, "transfer_haircut": "0"}
        model |= {"venues": [venue], "offsets": [],
                  "scenarios": [one | {"source": "stress", "coverage": "1"} for one in scenarios]}  # fmt: skip
    rules: Any = parse_model(model)
    published = Published(Universe.parse(UNIVERSE), Market.parse(MARKET), CollateralSchedule.parse(SCHEDULE))
    return float(rules.reference(published, Portfolio.parse(book(*lines)), {}).requirement["maintenance"])


def straddle(name: str, expiry: str, side: str, lots: int) -> list[Json]:
    return [line(f"{name}-{expiry[:4]}-{right}", side, lots, "1") for right in "CP"]


# 30 and 120 days: the far straddle is worth twice the near one, so this book has no vega to one factor.
CALENDAR = straddle("BTC", NEAR, "long", 200) + straddle("BTC", FAR, "short", 100)
PAIR = straddle("BTC", FAR, "long", 100) + straddle("ETH", FAR, "short", 100)


@pytest.mark.parametrize("name", ["scan", "expected_shortfall", "cross_margin"])
def test_a_calendar_spread_is_charged_under_a_twist_and_free_under_one_factor(name: str) -> None:
    outright = requirement(name, LEVEL, straddle("BTC", FAR, "short", 100))
    free = requirement(name, LEVEL, CALENDAR)
    charged = requirement(name, [*LEVEL, dict.fromkeys(PRICES, TWIST), dict.fromkeys(PRICES, BACK)], CALENDAR)
    assert outright > 30_000
    assert free < 0.02 * outright
    assert charged > 0.7 * outright


@pytest.mark.parametrize("name", ["scan", "expected_shortfall", "cross_margin"])
def test_a_spread_of_two_underlyings_is_charged_where_they_part_and_free_under_one_factor(name: str) -> None:
    outright = requirement(name, LEVEL, straddle("BTC", FAR, "short", 100))
    parted: list[Any] = [{"BTC": "0.35", "ETH": "-0.25"}, {"BTC": "-0.25", "ETH": "0.35"}]
    assert requirement(name, LEVEL, PAIR) < 1e-6 * outright
    assert requirement(name, [*LEVEL, *parted], PAIR) > 1.5 * outright


def test_the_example_charges_both_and_has_24_rows() -> None:
    given_ = json.loads((EXAMPLES / "vol-surface" / "model.json").read_text())
    model = ScanModel.parse(given_)
    assert len(model.scenarios) == 24
    unmoved = [one for one in given_["scenarios"] if set(one["spot"].values()) == {"0"} and one["basis"] == "0"]
    level = [one["volatility"] for one in unmoved if "level" in one["label"]]
    for spread in (CALENDAR, PAIR):
        assert requirement("scan", level, spread) < requirement("scan", [one["volatility"] for one in unmoved], spread)


def test_the_forms_of_one_move_give_the_same_bits() -> None:
    universe, tick = Universe.parse(UNIVERSE), Market.parse(MARKET)

    def weights(volatility: Any) -> bytes:
        scenario = {"label": "one", "spot": STILL, "volatility": volatility, "basis": "0", "coverage": "1"}
        return compile_weights(ScanModel.parse(MODEL | {"scenarios": [scenario]}), universe, tick).initial.tobytes()

    flat = [{"days": days, "move": "0.35"} for days in ("1", "30", "77.5")]
    forms: list[Any] = [dict.fromkeys(PRICES, "0.35"), dict.fromkeys(PRICES, flat), {"BTC": flat[:1], "ETH": "0.35"}]
    assert {weights(form) for form in forms} == {weights("0.35")}
    assert weights(dict.fromkeys(PRICES, TWIST)) != weights("0.35")


@given(st.lists(st.tuples(st.integers(0, 3650), st.integers(-100, 1000)), min_size=1, max_size=64,
                unique_by=lambda node: node[0]), st.floats(0, 4000))  # fmt: skip
def test_a_move_is_between_its_nodes_and_does_not_step(nodes: list[tuple[int, int]], days: float) -> None:
    listed = [{"days": str(at), "move": f"{move / 100:.2f}".replace("-0.00", "0")} for at, move in sorted(nodes)]
    move: Any = TypeAdapter(VolatilityMove).validate_python(listed)
    found = at_days(move, np.array([days, days + 1e-7]))
    moves = [one / 100 for _, one in nodes]
    assert min(moves) <= found[0] <= max(moves)
    assert abs(found[1] - found[0]) < 1e-5
    assert at_days(move, np.array([float(at) for at, _ in sorted(nodes)])).tolist() == [
        m / 100 for _, m in sorted(nodes)
    ]


def test_documents_hash_as_they_are_spelled(example: Callable[[str], Json]) -> None:
    for given_ in (example("model-scan"), json.loads((EXAMPLES / "vol-surface" / "model.json").read_text())):
        assert ScanModel.parse(given_).hash() == canonical_hash("model", given_)


REFUSED: list[tuple[Any, type[DocumentError], str]] = [
    (0.35, NotADecimal, ""),
    ("10.5", OutOfRange, ""),
    ([{"days": "30", "move": "0"}], NotADecimal, ""),
    ({"BTC": "0.1", "ETH": "-2"}, OutOfRange, ".ETH"),
    ({"BTC": "0.1", "ETH": []}, MalformedDocument, ".ETH"),
    ({"BTC": "0.1", "ETH": [{"days": "30"}]}, MalformedDocument, ".ETH[0].move"),
    ({"BTC": "0.1", "ETH": [{"days": "30", "move": "0"}, {"days": "9", "move": "0"}]}, OutOfRange, ".ETH"),
    ({"BTC": "0.1", "ETH": [{"days": "-1", "move": "0"}]}, OutOfRange, ".ETH[0].days"),
    ({"BTC": "0.1", "ETH": [{"days": f"{days}", "move": "0"} for days in range(65)]}, MalformedDocument, ".ETH"),
]


@pytest.mark.parametrize(("volatility", "error", "field"), REFUSED)
def test_what_is_no_move_is_refused_by_field(volatility: Any, error: type[DocumentError], field: str) -> None:
    scenario = {"label": "one", "spot": STILL, "volatility": volatility, "basis": "0", "coverage": "1"}
    with pytest.raises(error) as caught:
        ScanModel.parse(MODEL | {"scenarios": [scenario]})
    assert caught.value.field == f"scenarios[0].volatility{field}"


@pytest.mark.parametrize("volatility", [{"BTC": "0"}, {"BTC": "0", "ETH": "0", "SOL": "0"}])
def test_a_move_names_every_underlying_and_no_other(volatility: Json) -> None:
    scenario = {"label": "one", "spot": STILL, "volatility": volatility, "basis": "0", "coverage": "1"}
    with pytest.raises(UnknownUnderlying, match=r"^scenarios\[0\]\.volatility\.(ETH|SOL): "):
        compile_weights(
            ScanModel.parse(MODEL | {"scenarios": [scenario]}), Universe.parse(UNIVERSE), Market.parse(MARKET)
        )


SURFACE = MODEL | {
    "scenarios": [
        one | {"volatility": {"BTC": move, "SHIB": "0"}}
        for one, move in zip(
            MODEL["scenarios"],
            [TWIST, BACK, [{"days": "35", "move": "0.4"}], "0.5",
             [{"days": "7", "move": "1"}, {"days": "36", "move": "0"}],
             [{"days": "60", "move": "-0.9"}, {"days": "90", "move": "0"}], [{"days": "0.5", "move": "-1"}]],
            strict=True,
        )
    ]
}  # fmt: skip


@pytest.mark.parametrize(
    "held",
    [
        book(line("BTC-100000-C", "short", 30, "5000"), line("BTC-100000-P", "short", 30, "5000")),
        book(line("BTC-90000-P", "long", 400, "1500"), line("BTC-PERP", "long", 44, "98000", "3")),
        book(line("BTC-110000-C", "short", 77, "2500"), line("BTC-DEC", "long", 40, "101500")),
        book(line("BTC-90000-P", "short", 5, "0"), line("BTC-110000-C", "long", 9, "0"), cash="-250.5"),
        book(line("SHIB-PERP", "short", 90, "0.0000083", "0"), line("BTC-100000-C", "long", 1, "9000")),
    ],
)
def test_our_own_books_under_moves_with_a_term_structure(held: Json) -> None:
    prices, posted = market("103000"), {"USDC": "400000000000"}
    found = account(prices, held, posted, model=SURFACE)
    expected = slow_excess(SURFACE, DESK, prices, SCHEDULE, held, posted)
    rungs = ladder(found).rungs
    for kind in KINDS:
        true = pytest.approx(float(expected[kind]), rel=1e-12, abs=1e-6)
        assert found.reference().excess[kind] == true
        # The ladder is of the rows.
        assert min(rung.of(kind) for rung in rungs) == true

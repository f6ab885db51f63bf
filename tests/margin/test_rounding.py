"""Rounding and units over random books, markets, models and collateral."""

from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from atomic_margin.margin import (
    BITS,
    CollateralSchedule,
    CollateralValues,
    EntryMap,
    Market,
    Portfolio,
    RunMatrices,
    ScanModel,
    TrueSurplus,
    TrueWeights,
    Universe,
    check_bounds,
    collateral_values,
    compile_run,
    compile_weights,
    encode,
    true_surplus,
)
from atomic_margin.margin.market.cash import cash_lot

from ..lines import portfolio_json
from .rounded import assert_compiled

pytestmark = pytest.mark.long

NEAR, FAR = "2026-12-25T08:00:00Z", "2027-03-26T08:00:00Z"
WIDTHS = {"fhe": (20, 18), "proof": (32, 30)}
RUNS = [(kind, place) for kind in ("maintenance", "initial") for place in ("fhe", "proof")]


class Case(NamedTuple):
    entry_map: EntryMap
    weights: TrueWeights
    collateral: CollateralValues
    gross_limit: int
    run: RunMatrices
    z: npt.NDArray[np.int64]
    report: TrueSurplus


def percent(low: int, high: int) -> st.SearchStrategy[str]:
    return st.integers(low * 100, high * 100).map(
        lambda n: "0" if n == 0 else f"{'-' if n < 0 else ''}{abs(n) // 10**4}.{abs(n) % 10**4:04d}"
    )


@st.composite
def cases(draw: st.DrawFn) -> Case:
    spots = {"BTC": draw(st.integers(10**8, 2 * 10**9)), "ETH": draw(st.integers(10**6, 10**8))}  # in 10^-4 USD
    names = [*spots][: draw(st.integers(1, 2))]
    strikes = {name: [str(max(1, spots[name] * p // 10**6)) for p in (80, 100, 125)] for name in names}

    def price(name: str, low: int, high: int) -> str:
        n = spots[name] * draw(st.integers(low, high)) // 100
        return f"{n // 10**4}.{n % 10**4:04d}"

    instruments = []
    for name in names:
        kinds = draw(st.lists(st.sampled_from(["perpetual", "future", "call", "put"]), min_size=1, max_size=4))
        for kind in kinds:
            terms: dict[str, Any] = {"kind": kind, "reference_price": price(name, 80, 125)}
            if kind != "perpetual":
                terms["expiry"] = draw(st.sampled_from([NEAR, FAR]))
            if kind in ("call", "put"):
                terms |= {"kind": "option", "right": kind, "strike": draw(st.sampled_from(strikes[name]))}
                terms["reference_price"] = price(name, 1, 25)
            terms |= {"id": f"I{len(instruments)}", "underlying": name, "digits": str(draw(st.integers(1, 3)))}
            instruments.append(terms | {"lot": "0.1" if name == "BTC" else "1"})
    universe = Universe.parse(
        {
            "format": "atomic-margin/universe/1",
            "name": "random",
            "currency": "USD",
            "underlyings": {name: {"reference_price": price(name, 90, 110)} for name in names},
            "instruments": instruments,
        }
    )
    market = Market.parse(
        {
            "format": "atomic-margin/market/1",
            "sequence": "1",
            "as_of": "2026-11-20T08:00:00Z",
            "rate": draw(percent(-2, 10)),
            "underlyings": {
                name: {
                    "spot": price(name, 60, 150),
                    "perpetual": price(name, 60, 150),
                    "expiries": {
                        expiry: {
                            "forward": price(name, 60, 150),
                            "volatilities": {k: draw(percent(0, 200)) for k in strikes[name]},
                        }
                        for expiry in (NEAR, FAR)
                    },
                }
                for name in names
            },
            "collateral": {"BILL": draw(percent(50, 100))},
        }
    )
    model = ScanModel.parse(
        {
            "format": "atomic-margin/model/1",
            "name": "scan",
            "initial_factor": draw(st.sampled_from(["1", "1.25", "1.3", "2"])),
            "minimum_transfer_amount": "100000",
            "charges": {
                key: draw(percent(0, 3)) for key in ("perpetual", "future", "option_long", "option_short_minimum")
            },
            "scenarios": [
                {
                    "label": f"row {row}",
                    "spot": {name: draw(percent(-90, 90)) for name in names},
                    "volatility": draw(percent(-90, 90)),
                    "basis": draw(percent(-5, 5)),
                    "coverage": draw(st.sampled_from(["0.35", "1"])),
                }
                for row in range(draw(st.integers(1, 5)))
            ],
        }
    )
    coin = names[0]
    schedule = CollateralSchedule.parse(
        {
            "format": "atomic-margin/collateral-schedule/2",
            "version": "1",
            "effective_from": "2020-01-01T00:00:00Z",
            "assets": [
                {
                    "id": "BILL",
                    "kind": "treasury_bill",
                    "decimals": "2",
                    "haircut": "0.01",
                    "price_source": {"quote": "collateral", "id": "BILL"},
                    "risk_underlying": None,
                    "priority": "1",
                },
                {
                    "id": coin,
                    "kind": "crypto",
                    "decimals": "8",
                    "haircut": "0.1",
                    "price_source": {"quote": "spot", "id": coin},
                    "risk_underlying": coin,
                    "priority": "2",
                },
            ],
        }
    )
    held = {"BILL": draw(st.integers(0, 10**10)), coin: draw(st.integers(0, 10**11))}
    positions = []
    for item in universe.instruments:
        for side in ("long", "short"):
            lots = draw(st.one_of(st.just(0), st.integers(0, 32**item.digits - 1)))
            positions.append((item.id, side, lots))
    gross = sum(lots * universe.gross_weight(universe.by_id[name]) for name, _, lots in positions)
    largest = max(universe.gross_weight(item) << 5 * (item.digits - 1) for item in universe.instruments)
    gross_limit = max(gross, 4 * largest) + draw(st.integers(0, 10**7))
    entry_map = EntryMap.of(universe, gross_limit, BITS)
    most = gross_limit // 2 - int(cash_lot(gross_limit, BITS)) - 1
    cash = draw(st.one_of(st.just(0), st.integers(-most, most)))
    portfolio = Portfolio.parse({**portfolio_json(*positions, universe=universe), "cash": str(cash)})
    z = encode(portfolio, universe, entry_map)
    assert entry_map.gross(z) == gross
    # Beside the lots, a unit beyond every lot loses one for each that cash owes: 10 bits of them and 7.
    assume(gross_limit < (2**19 - 1 - (2**10 - 1) - (2**7 - 1)) * min(g for g in entry_map.gross_weights if g))
    weights = compile_weights(model, universe, market).spread(entry_map)
    collateral = collateral_values(schedule, model.spot_moves, market, held)
    run = compile_run(weights, collateral, entry_map, gross_limit)
    report = true_surplus(model, universe, market, schedule, portfolio, held)
    return Case(entry_map, weights, collateral, gross_limit, run, z, report)


random_cases = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def fits(case: Case, kind: Any, exponent: int, bits: int, weight_bits: int) -> bool:
    """The published rule, one exact fraction at a time."""
    columns = case.entry_map.columns
    for row, value in zip(case.weights.of(kind).tolist(), case.collateral.of(kind).tolist(), strict=True):
        # Weights of cash are exact values; everything else may lack its last bits.
        lost = [Fraction(0) if column.is_cash else Fraction(1, 1024) for column in columns]
        A = [(Fraction(w) / Fraction(2) ** exponent - less).__floor__() for w, less in zip(row, lost, strict=True)]
        c = 0 if value == 0 else (Fraction(value) / Fraction(2) ** exponent - Fraction(1, 1024)).__floor__()
        if any(not -(2 ** (weight_bits - 1)) <= a < 2 ** (weight_bits - 1) for a in A):
            return False
        if not -(2 ** (bits - 1)) <= c < 2 ** (bits - 1):
            return False
        steepest = max(Fraction(abs(a), i.gross_weight) for a, i in zip(A, columns, strict=True) if not i.is_cash)
        full = [a * (2**i.width - 1) for a, i in zip(A, columns, strict=True) if i.is_cash]
        cash = max(sum(a for a in full if a > 0), -sum(a for a in full if a < 0))
        if abs(c) + cash + steepest * case.gross_limit >= 2 ** (bits - 1):
            return False
    return True


@random_cases
@given(cases())
def test_an_integer_surplus_never_exceeds_the_true_one_and_the_gap_is_bounded(case: Case) -> None:
    for kind, place in RUNS:
        matrix = case.run.of(kind, place)  # type: ignore[arg-type]
        true = case.report.of(kind)  # type: ignore[arg-type]
        integer = np.array([float(matrix.usd(int(units))) for units in matrix.surplus(case.z)])
        assert (integer <= true).all()
        is_cash, lot = case.entry_map.is_cash, float(case.entry_map.cash_lot or 0)
        # Cash loses less than a lot when it is encoded, and more only where a unit is coarser than its lot.
        exact = float(matrix.unit) <= lot
        entries = int(case.z[~is_cash].sum()) + (0 if exact else int(case.z[is_cash].sum()))
        bound = (entries + 1) * (1 + 2**-9) * float(matrix.unit) + lot
        assert (true - integer <= bound).all()


@random_cases
@given(cases())
def test_the_unit_is_the_smallest_that_fits(case: Case) -> None:
    for kind in ("maintenance", "initial"):
        fhe, proof = case.run.of(kind, "fhe"), case.run.of(kind, "proof")  # type: ignore[arg-type]
        e = fhe.unit_exponent
        assert proof.unit_exponent == e - 12
        assert fits(case, kind, e, 20, 18)
        assert fits(case, kind, e - 12, 32, 30)
        for finer in range(1, 5):
            assert not (fits(case, kind, e - finer, 20, 18) and fits(case, kind, e - finer - 12, 32, 30))


@random_cases
@given(cases(), st.randoms(use_true_random=False))
def test_no_book_within_the_gross_limit_overflows(case: Case, random: Any) -> None:
    g, columns = case.entry_map.gross_weights, case.entry_map.columns
    held = [i for i, column in enumerate(columns) if not column.is_cash]
    for kind, place in RUNS:
        matrix = case.run.of(kind, place)  # type: ignore[arg-type]
        bits, weight_bits = WIDTHS[place]
        check_bounds(matrix, case.entry_map, case.gross_limit, bits, weight_bits)
        for A, c in zip(matrix.weights.tolist(), matrix.collateral.tolist(), strict=True):
            by_gain = sorted(held, key=lambda i: Fraction(A[i], g[i]))
            shuffled = random.sample(held, len(held))
            # Cash as wide as its entries are, beside whatever is held: nothing proves that it is not.
            full = [A[i] * (2 ** columns[i].width - 1) for i in range(len(g)) if columns[i].is_cash]
            cash = [sum(a for a in full if a > 0), sum(a for a in full if a < 0), 0]
            for order in (by_gain, by_gain[::-1], shuffled):
                for cap in (31, case.gross_limit):  # digits, and even entries of any size
                    left, surplus = case.gross_limit, c
                    for i in order:
                        take = min(cap, left // g[i])
                        left -= take * g[i]
                        surplus += take * A[i]
                    assert all(abs(surplus + held_in_cash) < 2 ** (bits - 1) for held_in_cash in cash)


@random_cases
@given(cases())
def test_whoever_compiles_a_run_gets_the_same_bits_and_the_smallest_unit(case: Case) -> None:
    assert_compiled(case.run, case.weights, case.collateral, case.entry_map, case.gross_limit)
    again = compile_run(case.weights, case.collateral, case.entry_map, case.gross_limit)
    assert [again.of(*run).hash() for run in RUNS] == [case.run.of(*run).hash() for run in RUNS]  # type: ignore[arg-type]

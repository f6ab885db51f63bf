"""Whatever prices and collateral are: a top-up that restores initial margin can be proven in the width of its proof."""

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from atomic_margin.margin import (
    CollateralValues,
    EntryMap,
    TrueWeights,
    check_gross_limit,
    compile_run,
    compute_top_up,
    finest_exponent,
    step_units,
)
from atomic_margin.margin.market.entries import Column
from atomic_margin.margin.rows.rounding import PROOF_SHIFT
from atomic_margin.margin.rows.top_up import TOP_UP_BITS

MODEL = "ab" * 32
ROWS = 3


def columns(*gross: int) -> EntryMap:
    return EntryMap("cd" * 32, tuple(Column(f"lot{number}", "long", 0, 1, 5, g) for number, g in enumerate(gross)))


@st.composite
def limits(draw: st.DrawFn) -> tuple[EntryMap, int, Decimal, int]:
    """A universe, and any gross limit and minimum transfer amount that are accepted with it; the width of rows."""
    bits = draw(st.sampled_from([16, 20, 24]))
    smallest = draw(st.integers(1, 10**6))
    entry_map = columns(smallest, draw(st.integers(smallest, 4 * smallest)))
    low, high = 4 * max(entry_map.gross_weights), ((1 << (bits - 1)) - 1) * smallest - 1
    gross_limit = draw(st.one_of(st.sampled_from([low, high]), st.integers(low, high)))
    minimum = draw(st.sampled_from([Decimal(0), Decimal("0.01"), Decimal(gross_limit) / 256, Decimal(gross_limit)]))
    return entry_map, gross_limit, minimum, bits


def values(size: int) -> st.SearchStrategy[list[float]]:
    """Nothing at all, what a market gives, and what none would."""
    magnitudes = st.one_of(st.just(0.0), st.floats(1e-12, 1e-3), st.floats(1e-3, 1e6), st.floats(1e6, 1e15))
    signed = st.tuples(magnitudes, st.sampled_from([-1, 1])).map(lambda pair: pair[0] * pair[1])
    return st.lists(signed, min_size=size, max_size=size)


@settings(max_examples=150, deadline=None)
@given(limits(), values(2 * ROWS), values(ROWS), st.floats(0, 1))
@example((columns(1, 1), 4, Decimal(4), 20), [0.0] * 6, [0.0] * 3, 1.0)
@example((columns(3452, 9725), 64_000_000, Decimal(100_000), 20), [-1e-9] * 6, [-1e-9] * 3, 1.0)
@example((columns(1, 4), 2**19 - 2, Decimal(2**19 - 2), 20), [-1e15] * 6, [-1e15, 0.0, 1e15], 1.0)
def test_a_row_with_its_top_up_fits_the_proof(
    given_limits: tuple[EntryMap, int, Decimal, int], weights: list[float], collateral: list[float], share: float
) -> None:
    entry_map, gross_limit, minimum, bits = given_limits
    check_gross_limit(gross_limit, entry_map, bits, minimum)
    matrix, public = np.array(weights).reshape(ROWS, 2), np.array(collateral)
    true = TrueWeights(("a", "b", "c"), entry_map.labels, MODEL, entry_map.hash(), matrix, matrix)
    run = compile_run(
        true,
        CollateralValues(public, public),
        entry_map,
        gross_limit,
        minimum_transfer_amount=minimum,
        bits=bits,
        weight_bits=bits - 2,
    )
    proof, width = run.initial_proof, bits + PROOF_SHIFT
    step = step_units(proof.unit_exponent, minimum, gross_limit)
    # What no book can reach, and a step on top of it.
    assert 2 * (1 << (width - 1)) + step <= 1 << (width + TOP_UP_BITS)
    # Books at the limit: all of it in one column, and shared out.
    first, second = (gross_limit // g for g in entry_map.gross_weights)
    for z in ([first, 0], [0, second], [int(first * share), int(second * (1 - share))], [0, 0]):
        surplus = proof.weights.astype(object) @ np.array(z, dtype=object) + proof.collateral
        short = max(0, -min(surplus))
        units = max(step, -(-short // step) * step)
        assert all(row < 1 << (width - 1) for row in np.abs(surplus))
        assert all(0 <= row + units < 1 << (width + TOP_UP_BITS) for row in surplus)
        if max(z) < 32:
            call = compute_top_up(proof, np.array(z), minimum_transfer_amount=minimum, gross_limit=gross_limit)
            assert max(call.units, call.step) == units


@given(st.decimals(0, 10**12, places=4), st.integers(1, 10**15), st.integers(8, 24))
def test_the_finest_unit_is_the_finest(minimum: Decimal, gross_limit: int, bits: int) -> None:
    exponent = finest_exponent(minimum, gross_limit, bits)

    def provable(exponent: int) -> bool:
        unit = Fraction(2) ** (exponent - PROOF_SHIFT)
        step = -(-max(Fraction(minimum), Fraction(gross_limit, 256)) // unit)
        return 2 * 2 ** (bits + PROOF_SHIFT - 1) + step <= 2 ** (bits + PROOF_SHIFT + TOP_UP_BITS)

    assert provable(exponent)
    assert not provable(exponent - 1)


@pytest.mark.parametrize(("minimum", "exponent"), [("0", -3), ("250000", -3), ("250001", -3), ("64000000", 5)])
def test_the_finest_unit_of_the_example(minimum: str, exponent: int) -> None:
    assert finest_exponent(Decimal(minimum), 64_000_000, 20) == exponent


def test_without_the_floor_the_step_was_wider_than_the_proof() -> None:
    """What was seen: an account without risk has a step of 2^62 units of 2^-44 USD, in a proof of 34 bits."""
    assert step_units(-44, Decimal(100_000), 64_000_000).bit_length() == 62
    assert step_units(-3 - PROOF_SHIFT, Decimal(100_000), 64_000_000).bit_length() <= 34

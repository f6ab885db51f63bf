"""The matrix type: immutable, one canonical form, padded to a profile."""

from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atomic_margin.documents import errors as document_errors
from atomic_margin.margin import MarginMatrix, compute_top_up, errors, step_units
from atomic_margin.margin.rows.matrix import usd

MODEL, ENTRIES = "ab" * 32, "cd" * 32


def matrix(**changes: Any) -> MarginMatrix:
    given: dict[str, Any] = {
        "kind": "maintenance",
        "place": "fhe",
        "unit_exponent": -3,
        "labels": ("up", "down"),
        "weights": np.array([[3, -4, 0], [-1, 2, 2**42]]),
        "collateral": np.array([100, -7]),
        "model_hash": MODEL,
        "entry_map_hash": ENTRIES,
    }
    return MarginMatrix(**{**given, **changes})


CANONICAL = {
    "format": "atomic-margin/matrix/1",
    "kind": "maintenance",
    "place": "fhe",
    "unit_exponent": "-3",
    "labels": ["up", "down"],
    "weights": ["3,-4,0", "-1,2,4398046511104"],
    "collateral": "100,-7",
    "model": MODEL,
    "entry_map": ENTRIES,
}


def test_the_canonical_form_and_its_hash_are_frozen() -> None:
    assert matrix().to_canonical() == CANONICAL
    assert matrix().hash() == "155caa5092896943c7ba6d342b06410749310041bdf1b9fa31b42c13ca618840"
    assert matrix() == matrix()
    assert hash(matrix()) == hash(matrix())
    assert matrix() != CANONICAL


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "initial"},
        {"place": "proof"},
        {"unit_exponent": -2},
        {"labels": ("down", "up")},
        {"weights": np.array([[3, -4, 0], [-1, 2, 1]])},
        {"collateral": np.array([100, -8])},
        {"model_hash": ENTRIES},
        {"entry_map_hash": MODEL},
    ],
)
def test_everything_is_in_the_hash(changes: dict[str, Any]) -> None:
    assert matrix(**changes).hash() != matrix().hash()
    assert matrix(**changes) != matrix()


@pytest.mark.parametrize(
    ("field", "value", "reported"),
    [
        ("kind", "variation", "kind"),
        ("place", "gpu", "place"),
        ("unit_exponent", 65, "unit_exponent"),
        ("labels", ("up", "up"), "labels"),
        ("labels", ("up", "d\u00f6wn"), "labels"),
        ("labels", ("up",), "weights"),
        ("weights", [[3, -4, 0], [1, 1, 2**42 + 1]], "weights"),
        ("weights", [[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]], "weights"),
        ("weights", [[1] * 4097] * 2, "weights"),
        ("collateral", [100], "collateral"),
        ("model_hash", MODEL.upper(), "model"),
        ("entry_map_hash", None, "entry_map"),
    ],
)
def test_a_matrix_of_other_contents_is_refused(field: str, value: object, reported: str) -> None:
    with pytest.raises(document_errors.DocumentError) as caught:
        matrix(**{field: value})
    assert caught.value.field == reported


def test_arrays_are_copied_and_read_only() -> None:
    weights = np.array([[1, 2, 3], [4, 5, 6]])
    made = matrix(weights=weights)
    weights[0, 0] = 99
    assert made.weights[0, 0] == 1
    with pytest.raises(ValueError, match="read-only"):
        made.weights[0, 0] = 99
    with pytest.raises(ValueError, match="read-only"):
        made.collateral[0] = 99
    with pytest.raises(document_errors.MalformedDocument, match="signed integers"):
        matrix(weights=weights.astype(float))


def test_surplus_is_exact_at_the_extremes() -> None:
    rows, entries = 2, 4096
    made = matrix(weights=np.full((rows, entries), 2**42), collateral=np.full(rows, 2**42))
    z = np.full(entries, 31)
    assert made.surplus(z).tolist() == [4096 * 31 * 2**42 + 2**42] * 2
    # Entries have up to 16 bits; all of them at the largest weights would leave 64-bit integers.
    assert made.surplus(np.full(entries, 255)).tolist() == [4096 * 255 * 2**42 + 2**42] * 2
    with pytest.raises(errors.EntryOutOfRange, match="63 bits"):
        made.surplus(np.full(entries, 256))
    for bad in (-1, 1 << 16):
        with pytest.raises(errors.EntryOutOfRange, match="entry 4095"):
            made.surplus(np.append(z[1:], bad))


def test_padding_never_breaches() -> None:
    weights, collateral = matrix(weights=np.array([[3, -4, 0], [-1, 2, 5]])).padded(4, 5, 20)
    assert weights.tolist() == [[3, -4, 0, 0, 0], [-1, 2, 5, 0, 0], [0] * 5, [0] * 5]
    assert collateral.tolist() == [100, -7, 2**19 - 1, 2**19 - 1]
    assert weights.dtype == collateral.dtype == np.int64
    for rows, entries, bits in ((1, 5, 20), (4, 2, 20), (4, 5, 7)):
        with pytest.raises(errors.ProfileTooSmall):
            matrix().padded(rows, entries, bits)


@given(st.integers(-(2**60), 2**60), st.integers(-64, 64))
def test_amounts_in_usd_are_exact_in_any_decimal_context(units: int, exponent: int) -> None:
    with localcontext() as context:
        context.prec = 3
        amount = usd(units, exponent)
    assert Fraction(amount) == units * Fraction(2) ** exponent


@pytest.mark.parametrize(
    ("least", "minimum", "gross", "units", "amount"),
    [
        (0, "100", 25_600, 0, "0"),
        (5, "100", 25_600, 0, "0"),
        (-1, "100", 25_600, 800, "100"),
        (-800, "100", 25_600, 800, "100"),
        (-801, "100", 25_600, 1600, "200"),
        (-1, "99.99", 25_600, 800, "100"),
        (-1, "100.01", 25_600, 801, "100.125"),
        (-1, "0", 1, 1, "0.125"),
    ],
)
def test_a_call_is_the_next_multiple_of_the_step(least: int, minimum: str, gross: int, units: int, amount: str) -> None:
    made = matrix(
        kind="initial", place="proof", weights=np.zeros((2, 3), dtype=np.int64), collateral=np.array([10, least])
    )
    call = compute_top_up(
        made, np.zeros(3, dtype=np.int64), minimum_transfer_amount=Decimal(minimum), gross_limit=gross
    )
    assert (call.units, call.usd) == (units, Decimal(amount))
    assert call.step == step_units(-3, Decimal(minimum), gross)


def test_a_call_comes_from_the_initial_proof_matrix() -> None:
    with pytest.raises(errors.MatrixMismatch, match="initial-margin proof"):
        compute_top_up(matrix(), np.zeros(3, dtype=np.int64), minimum_transfer_amount=Decimal(1), gross_limit=1)

"""From true weights to the four matrices of a run: choose the unit and round down.

Operator, agent, verifier and auditor all call `compile_run` on the same signed prices and get the same integers to the
bit (see `market.elementary`), so a matrix is named by its hash and never sent. The unit of a kind is the smallest power
of two of USD, not finer than a top-up can be proven in (`rows.top_up.finest_exponent`), for which both its matrices,
FHE and proof, satisfy in every row

    |c_r| + C_r + max_i(|A_ri| / g_i) * G  <  2^(bits-1)

over the columns i of positions, with C_r what cash can move the row by (`EntryMap.cash_reach`; it has no gross weight,
so only the widths of its entries bound it), and with ``bits + proof_shift`` in place of ``bits`` for the proof matrix,
and fit their declared widths. Since g·z <= G is proven of every book, no row can overflow. The bound is checked in
integers. In a crash the unit coarsens; for a gross limit that passes `check_gross_limit` some unit always fits, so a
run is never refused.
"""

import math
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import numpy.typing as npt

from atomic_margin.margin.collateral import CollateralValues
from atomic_margin.margin.errors import (
    GrossLimitTooLarge,
    GrossLimitTooSmall,
    MarginOverflow,
    MatrixMismatch,
)
from atomic_margin.margin.kinds import KINDS, MarginKind
from atomic_margin.margin.market.entries import EntryMap
from atomic_margin.margin.market.pricing import Floats
from atomic_margin.margin.rows.matrix import MAX_ENTRY, Integers, MarginMatrix, Place, require_same
from atomic_margin.margin.rows.top_up import finest_exponent
from atomic_margin.margin.rows.weights import TrueWeights

BITS = 20
WEIGHT_BITS = 18
PROOF_SHIFT = 12

# Entries are floor(value/unit - _SLACK), where float64 has the value: what its last bits lack to the true one stays far
# below that, so no entry is above the true margin.
_SLACK = 2.0**-10
_NO_MINIMUM = Decimal(0)


@dataclass(frozen=True)
class RunMatrices:
    """The four matrices of one run.

    Attributes:
        maintenance_fhe: decides the operator's early warning.
        maintenance_proof: decides breach.
        initial_fhe: the margin statement's coarse form.
        initial_proof: sets the top-up.
    """

    maintenance_fhe: MarginMatrix
    maintenance_proof: MarginMatrix
    initial_fhe: MarginMatrix
    initial_proof: MarginMatrix

    def of(self, kind: MarginKind, place: Place) -> MarginMatrix:
        """Return one of the four."""
        matrix: MarginMatrix = getattr(self, f"{kind}_{place}")
        return matrix


def compile_run(
    weights: TrueWeights,
    collateral: CollateralValues,
    entry_map: EntryMap,
    gross_limit: int,
    *,
    minimum_transfer_amount: Decimal = _NO_MINIMUM,
    bits: int = BITS,
    weight_bits: int = WEIGHT_BITS,
    proof_shift: int = PROOF_SHIFT,
) -> RunMatrices:
    """Choose both units and compile the four matrices of a run.

    Args:
        weights: true weights, from `compile_weights`.
        collateral: posted collateral after haircut, from `collateral_values`.
        entry_map: names the columns and their gross weights.
        gross_limit: G, whole USD.
        minimum_transfer_amount: of the model, USD; 0 where no margin call rests on the matrices.
        bits: width of a row of the FHE profile, sign included.
        weight_bits: width of its weights, sign included.
        proof_shift: a proof unit is 2^proof_shift finer than the FHE unit of its kind.

    Raises:
        GrossLimitTooSmall, GrossLimitTooLarge: see `check_gross_limit`.
        MatrixMismatch: weights, collateral and entry map do not belong together.
    """
    check_gross_limit(gross_limit, entry_map, bits, minimum_transfer_amount)
    finest = finest_exponent(minimum_transfer_amount, gross_limit, bits)
    _require_together(weights, collateral, entry_map)
    found: dict[str, MarginMatrix] = {}
    for kind in KINDS:
        exponent = choose_exponent(
            weights.of(kind), collateral.of(kind), entry_map, gross_limit, finest, bits, weight_bits, proof_shift
        )
        places: tuple[tuple[Place, int], ...] = (("fhe", exponent), ("proof", exponent - proof_shift))
        for place, unit_exponent in places:
            found[f"{kind}_{place}"] = MarginMatrix(
                kind=kind,
                place=place,
                unit_exponent=unit_exponent,
                labels=weights.labels,
                weights=round_weights(weights.of(kind), entry_map, unit_exponent),
                collateral=round_collateral(collateral.of(kind), unit_exponent),
                model_hash=weights.model_hash,
                entry_map_hash=weights.entry_map_hash,
            )
    return RunMatrices(**found)


def choose_exponent(
    weights: Floats,
    collateral: Floats,
    entry_map: EntryMap,
    gross_limit: int,
    finest: int,
    bits: int = BITS,
    weight_bits: int = WEIGHT_BITS,
    proof_shift: int = PROOF_SHIFT,
) -> int:
    """Return the exponent of the smallest FHE unit, not below 2^finest USD, whose FHE and proof matrices both fit.

    The gross limit must have passed `check_gross_limit`, otherwise there may be none.
    """
    of_positions = (np.abs(weights) / entry_map.gross_divisors).max(axis=1) * gross_limit
    reach = float((np.abs(collateral) + of_positions).max())
    # Rounding takes at most 1 + 2^-10 off a magnitude and G/g < 2^(bits-1), so with reach/unit at 2^(bits+2) or more
    # the bound fails for certain: the search starts there.
    exponent = finest
    if reach > 0:
        exponent = max(exponent, floor_log2(reach) - bits - 2)
    while not all(
        _fits(weights, collateral, entry_map, gross_limit, exponent - shift, bits + shift, weight_bits + shift)
        for shift in (0, proof_shift)
    ):
        exponent += 1
    return exponent


def check_gross_limit(
    gross_limit: int, entry_map: EntryMap, bits: int = BITS, minimum_transfer_amount: Decimal = _NO_MINIMUM
) -> None:
    """Make sure a gross limit goes with universe, profile and model; independent of prices, so once a submission.

    Raises:
        GrossLimitTooSmall: G < 4 * max(g): a column the account could hardly use would force the unit up; or G below
            the minimum transfer amount: the unit in which its step can be proven would be too coarse for the account.
        GrossLimitTooLarge: G >= (2^(bits-1) - 1 - P) * min(g), with P the units that cash can owe in a unit beyond its
            lot: rounding the smallest lots could overflow in any unit.
    """
    positions = [column.gross_weight for column in entry_map.columns if not column.is_cash]
    largest, smallest = max(positions), min(positions)
    too_many = (1 << (bits - 1)) - 1 - entry_map.most_payable
    if gross_limit < 4 * largest:
        name = entry_map.labels[entry_map.gross_weights.index(largest)]
        raise GrossLimitTooSmall(
            f"the gross limit is {gross_limit} USD; {name} weighs {largest} USD, so at least {4 * largest} USD is "
            "wanted (or a universe with fewer digits)"
        )
    if gross_limit < minimum_transfer_amount:
        raise GrossLimitTooSmall(
            f"the gross limit is {gross_limit} USD, and no margin call is smaller than the minimum transfer amount of "
            f"{minimum_transfer_amount:f} USD: choose at least that as gross limit, or a model with a smaller amount"
        )
    if gross_limit >= too_many * smallest:
        name = entry_map.labels[entry_map.gross_weights.index(smallest)]
        raise GrossLimitTooLarge(
            f"the gross limit is {gross_limit} USD; with {name} at {smallest} USD a lot and {bits}-bit rows it must be "
            f"below {too_many * smallest} USD: use larger lots or a wider profile"
        )


def check_bounds(
    matrix: MarginMatrix, entry_map: EntryMap, gross_limit: int, bits: int = BITS, weight_bits: int = WEIGHT_BITS
) -> None:
    """Make sure no book within the gross limit can overflow a row, in integer arithmetic.

    For a proof matrix pass ``bits + proof_shift`` and ``weight_bits + proof_shift``.

    Raises:
        MarginOverflow: a weight or a collateral entry is wider than declared, or
            |c_r| + C_r + max_i(|A_ri| / g_i) * G >= 2^(bits-1) in some row.
        MatrixMismatch: the matrix is of another entry map.
    """
    require_same(matrix, matrix.model_hash, entry_map.hash(), (matrix.rows, len(entry_map)))
    _check_width(matrix, entry_map, bits, weight_bits)
    over = np.argwhere(_over(matrix.weights, matrix.collateral, entry_map, gross_limit, bits))
    if over.size:
        row, column = (int(i) for i in over[0])
        raise MarginOverflow(
            matrix.labels[row],
            entry_map.labels[column],
            f"a book at the gross limit of {gross_limit} USD can reach |{matrix.collateral[row]}| + "
            f"{entry_map.cash_reach(matrix.weights)[row]} of cash + |{matrix.weights[row, column]}| * "
            f"{gross_limit}/{entry_map.gross_weights[column]}, not below 2^{bits - 1}: use a coarser unit",
        )


def _require_together(weights: TrueWeights, collateral: CollateralValues, entry_map: EntryMap) -> None:
    if weights.entry_map_hash != entry_map.hash():
        raise MatrixMismatch("the weights are compiled for another entry map")
    if any(collateral.of(kind).shape != (len(weights.labels),) for kind in KINDS):
        raise MatrixMismatch("the collateral has another number of rows than the weights: value it with the same model")


def round_down(values: Floats, exponent: int) -> Integers:
    """Return floor(values / 2^exponent - 2^-10), for values in USD of any shape."""
    down: Integers = np.floor(np.ldexp(values, -exponent) - _SLACK).astype(np.int64)
    return down


def round_weights(values: Floats, entry_map: EntryMap, exponent: int) -> Integers:
    """Return weights of all columns, (R, N), rounded down; those of cash are what they are and lose nothing else."""
    exact = np.floor(np.ldexp(values, -exponent)).astype(np.int64)
    down: Integers = np.where(entry_map.is_cash, exact, round_down(values, exponent))
    return down


def round_collateral(values: Floats, exponent: int) -> Integers:
    """Return the same, but 0 for a value that is exactly 0."""
    # No collateral is exactly zero, so an empty account owes nothing. Weights get no such exception: a value that is
    # zero in float64 may be a little less in truth.
    down: Integers = np.where(values == 0, 0, round_down(values, exponent))
    return down


def floor_log2(value: float) -> int:
    """Return the largest e with 2^e <= value, for a positive float."""
    return math.frexp(value)[1] - 1


def _fits(
    weights: Floats,
    collateral: Floats,
    entry_map: EntryMap,
    gross_limit: int,
    exponent: int,
    bits: int,
    weight_bits: int,
) -> bool:
    if np.ldexp(max(np.abs(weights).max(), np.abs(collateral).max()), -exponent) >= MAX_ENTRY:
        return False
    A, c = round_weights(weights, entry_map, exponent), round_collateral(collateral, exponent)
    if _too_wide(A, weight_bits).any() or _too_wide(c, bits).any():
        return False
    return not _over(A, c, entry_map, gross_limit, bits).any()


def _too_wide(values: Integers, bits: int) -> npt.NDArray[np.bool_]:
    top = 1 << (bits - 1)
    wide: npt.NDArray[np.bool_] = (values >= top) | (values < -top)
    return wide


def _over(A: Integers, c: Integers, entry_map: EntryMap, gross_limit: int, bits: int) -> npt.NDArray[np.bool_]:
    """Return where |A_ri| * G >= (2^(bits-1) - |c_r| - C_r) * g_i, shape (R, N), without rounding."""
    top = 1 << (bits - 1)
    taken = np.abs(c) + entry_map.cash_reach(A)
    largest = max(int(np.abs(A).max()) * gross_limit, (top + int(taken.max())) * max(entry_map.gross_weights))
    exact = np.int64 if largest < 1 << 62 else object
    g = np.array(entry_map.gross_weights, dtype=exact)
    room = (top - taken).astype(exact)[:, None]
    over: npt.NDArray[np.bool_] = (np.abs(A).astype(exact) * gross_limit >= room * g).astype(np.bool_)
    # Cash weighs no gross; a row that it fills by itself is over all the same.
    return np.where(entry_map.is_cash, taken[:, None] >= top, over)


def _check_width(matrix: MarginMatrix, entry_map: EntryMap, bits: int, weight_bits: int) -> None:
    wide = np.argwhere(_too_wide(matrix.weights, weight_bits))
    if wide.size:
        row, column = (int(i) for i in wide[0])
        raise MarginOverflow(
            matrix.labels[row],
            entry_map.labels[column],
            f"weight {matrix.weights[row, column]} does not fit {weight_bits} signed bits: use a coarser unit",
        )
    wide = np.argwhere(_too_wide(matrix.collateral, bits))
    if wide.size:
        row = int(wide[0, 0])
        raise MarginOverflow(
            matrix.labels[row],
            "collateral",
            f"{matrix.collateral[row]} does not fit {bits} signed bits: use a coarser unit",
        )

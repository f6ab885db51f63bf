"""What holds of every matrix that is compiled: rounded down, no book overflows, and no smaller unit would do."""

import numpy as np

from atomic_margin.margin import CollateralValues, EntryMap, RunMatrices, TrueWeights, check_bounds
from atomic_margin.margin.kinds import KINDS
from atomic_margin.margin.market.elementary import Floats
from atomic_margin.margin.rows.matrix import Integers
from atomic_margin.margin.rows.rounding import BITS, PROOF_SHIFT, WEIGHT_BITS
from atomic_margin.margin.rows.rows import Rows
from atomic_margin.margin.rows.slack_matrix import ExactMatrix
from atomic_margin.margin.rows.slack_rounding import EXACT_BITS, ExactRun, slack_bounds


def up(value: int) -> int:
    return max(value, 0)


def down(value: int) -> int:
    return max(-value, 0)


def assert_rounded_down(entries: Integers, true: Floats, exponent: int) -> None:
    """No entry is above its true value, and none more than 1 + 2^-10 units below."""
    own = np.ldexp(true, -exponent)
    assert (entries <= own).all()
    assert (entries >= own - 1 - 2.0**-10).all()


def assert_compiled(
    run: RunMatrices,
    weights: TrueWeights,
    collateral: CollateralValues,
    entry_map: EntryMap,
    gross_limit: int,
    *,
    minimum: int = 0,
    bits: int = BITS,
    weight_bits: int = WEIGHT_BITS,
) -> None:
    """Check the four matrices of a run against the values they are made from, by other means than the compiler's."""
    columns = entry_map.columns
    is_cash = np.array([column.is_cash for column in columns])
    tops = [2**column.width - 1 for column in columns]

    def fits(values: Floats, public: Floats, exponent: int, bits: int, weight_bits: int) -> bool:
        A = np.floor(np.ldexp(values, -exponent) - np.where(is_cash, 0.0, 2.0**-10))
        c = np.where(public == 0, 0, np.floor(np.ldexp(public, -exponent) - 2.0**-10))
        if max(A.max(), -A.min() - 1) >= 2 ** (weight_bits - 1) or max(c.max(), -c.min() - 1) >= 2 ** (bits - 1):
            return False
        for row in range(len(A)):
            # Only the widths of its entries bound cash: all that is receivable, or all that is payable.
            full = [int(a) * top for a, top, cash in zip(A[row], tops, is_cash, strict=True) if cash]
            room = 2 ** (bits - 1) - abs(int(c[row])) - max(sum(map(up, full)), sum(map(down, full)))
            if room <= 0 or any(
                abs(int(a)) * gross_limit >= room * column.gross_weight
                for a, column in zip(A[row], columns, strict=True)
                if not column.is_cash
            ):
                return False
        return True

    # The finest unit in which a step and the widest row twice have 2 bits more than a row of the proof.
    finest = next(e for e in range(-60, 60) if max(minimum * 256, gross_limit) * 2.0**-e <= 256 * 3 * 2**bits)
    for kind in KINDS:
        fhe, proof = run.of(kind, "fhe"), run.of(kind, "proof")
        assert (fhe.kind, fhe.place, proof.kind, proof.place) == (kind, "fhe", kind, "proof")
        assert proof.unit_exponent == fhe.unit_exponent - PROOF_SHIFT
        for matrix, shift in ((fhe, 0), (proof, PROOF_SHIFT)):
            assert matrix.labels == weights.labels
            check_bounds(matrix, entry_map, gross_limit, bits + shift, weight_bits + shift)
            assert_rounded_down(matrix.weights, weights.of(kind), matrix.unit_exponent)
            assert_rounded_down(matrix.collateral, collateral.of(kind), matrix.unit_exponent)
            lots = weights.of(kind)[:, is_cash] / 2.0**matrix.unit_exponent
            assert (matrix.weights[:, is_cash] == np.floor(lots)).all()
        # What breaches in the fine matrix shows in the coarse one, whatever the book.
        assert (fhe.weights << PROOF_SHIFT <= proof.weights).all()
        assert (fhe.collateral << PROOF_SHIFT <= proof.collateral).all()
        assert fhe.unit_exponent >= finest
        assert fhe.unit_exponent == finest or not all(
            fits(
                weights.of(kind), collateral.of(kind), fhe.unit_exponent - 1 - shift, bits + shift, weight_bits + shift
            )
            for shift in (0, PROOF_SHIFT)
        )


def assert_compiled_exact(
    run: ExactRun,
    rows: Rows,
    collateral: CollateralValues,
    entry_map: EntryMap,
    gross_limit: int,
    *,
    bits: int = EXACT_BITS,
) -> None:
    """Check both exact matrices likewise: entries, zeros by construction, widths of slack and reach of rows."""
    slack = rows.require_slack()
    for kind in KINDS:
        given: ExactMatrix = run.of(kind)
        matrix = given.matrix
        switches = given.slack[:, len(slack.labels) :]
        assert np.array_equal(given.slack[:, : len(slack.labels)], slack.of(kind))
        for entries, true, fixed in (
            (matrix.weights, rows.weights.of(kind), ~slack.structure),
            (switches, slack.switch(kind), slack.switch(kind) == 0),
            (matrix.collateral, collateral.of(kind), np.zeros(matrix.rows, dtype=np.bool_)),
        ):
            assert_rounded_down(np.where(fixed, -1, entries), np.where(fixed, 0.0, true), matrix.unit_exponent)
            assert not entries[fixed].any()
        bounds = slack_bounds(given, slack.caps, entry_map, gross_limit)
        assert all(0 <= int(bound) < 1 << width for bound, width in zip(bounds, given.slack_widths, strict=True))
        for row in range(matrix.rows):
            held = list(zip(matrix.weights[row], entry_map.columns, strict=True))
            ratio = max(abs(int(a)) / column.gross_weight for a, column in held if not column.is_cash)
            full = [int(a) * (2**column.width - 1) for a, column in held if column.is_cash]
            cash = max(sum(map(up, full)), sum(map(down, full)))
            lift = sum(abs(int(s)) * int(bound) for s, bound in zip(given.slack[row], bounds, strict=True))
            assert abs(int(matrix.collateral[row])) + cash + ratio * gross_limit + lift < 2 ** (bits - 1)

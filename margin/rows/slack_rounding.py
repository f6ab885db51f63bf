"""From true weights with slack to exact integer matrices: unit, rounding and widths.

Everybody compiles with `compile_exact` and gets the same bits. What a slack value can need follows from the validity
rows: with reach_r = |c_r| + C_r + max_i(|A_ri| / g_i) G over all books within the gross limit G and C_r of cash
(`rounding`),

    bound(u_j)  =  max over validity rows r with S_rj > 0 of  (reach_r + sum_{k: S_rk < 0} |S_rk| bound(u_k)) / S_rj

and its declared width is that of this bound. The unit is the smallest power of two of USD for which in every row

    reach_r + sum_j |S_rj| bound(u_j)  <  2^(bits-1)

so that no book within the gross limit overflows a row with slack it may need, and not finer than a top-up can be proven
in (`rows.top_up.finest_exponent`).
"""

from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from atomic_margin.margin.collateral import CollateralValues
from atomic_margin.margin.errors import (
    MarginOverflow,
    MatrixMismatch,
    SlackUnbounded,
)
from atomic_margin.margin.kinds import KINDS, MarginKind
from atomic_margin.margin.market.elementary import Floats, ordered_product, ordered_sum
from atomic_margin.margin.market.entries import EntryMap
from atomic_margin.margin.rows.matrix import MAX_EXPONENT, Integers, MarginMatrix
from atomic_margin.margin.rows.rounding import check_gross_limit, floor_log2, round_collateral, round_weights
from atomic_margin.margin.rows.rows import Booleans, Rows
from atomic_margin.margin.rows.slack_matrix import ExactMatrix
from atomic_margin.margin.rows.top_up import finest_exponent

EXACT_BITS = 32

_FINEST_EXPONENT = -44
_NO_MINIMUM = Decimal(0)
# Reach is a product of two correctly rounded operations, so the same everywhere; this lifts it above the true value.
_LIFT = 1 + 2.0**-40


@dataclass(frozen=True)
class ExactRun:
    """The exact matrices of one run, one for each kind of margin."""

    maintenance: ExactMatrix
    initial: ExactMatrix

    def of(self, kind: MarginKind) -> ExactMatrix:
        """Return one of the two."""
        return self.maintenance if kind == "maintenance" else self.initial


def compile_exact(
    rows: Rows,
    collateral: CollateralValues,
    entry_map: EntryMap,
    gross_limit: int,
    *,
    minimum_transfer_amount: Decimal = _NO_MINIMUM,
    bits: int = EXACT_BITS,
) -> ExactRun:
    """Choose both units and compile the exact matrices of a run.

    Args:
        rows: true weights with slack.
        collateral: public part of every row, USD; for a validity row what is public of the kink.
        entry_map: names the columns and their gross weights.
        gross_limit: G, whole USD.
        minimum_transfer_amount: of the model, USD; 0 where no margin call rests on the matrices.
        bits: width of a row, sign included.

    Raises:
        GrossLimitTooSmall, GrossLimitTooLarge: see `check_gross_limit`.
        MatrixMismatch: rows, collateral and entry map do not belong together.
        RowsWithoutSlack: the rows hold no slack.
        SlackUnbounded: a slack value has neither a validity row nor a cap.
        MarginOverflow: no unit up to 2^63 USD fits.
    """
    check_gross_limit(gross_limit, entry_map, bits, minimum_transfer_amount)
    finest = max(_FINEST_EXPONENT, finest_exponent(minimum_transfer_amount, gross_limit, bits))
    _require_together(rows, collateral, entry_map)
    maintenance, initial = (_compile(rows, collateral, entry_map, gross_limit, kind, finest, bits) for kind in KINDS)
    return ExactRun(maintenance, initial)


def slack_bounds(matrix: ExactMatrix, caps: Floats, entry_map: EntryMap, gross_limit: int) -> Integers:
    """Return what each slack value may need for a book within the gross limit, int64 of shape (M + B,), in units.

    Args:
        matrix: only A, c, S and the validity flags are read.
        caps: (M,) USD, see `Slack`.
        entry_map: gives the gross weights g.
        gross_limit: G, whole USD.

    Raises:
        SlackUnbounded: a slack value has neither a validity row nor a cap, or two bound each other in a circle.
    """
    plain = matrix.matrix
    bounds = _bounds(
        matrix.slack,
        matrix.validity,
        _reach(plain.weights, plain.collateral, entry_map, gross_limit),
        _capped(caps, plain.unit_exponent, matrix.switches),
        matrix.slack_labels,
        matrix.switches,
    )
    return bounds.astype(np.int64)


def _compile(
    rows: Rows,
    collateral: CollateralValues,
    entry_map: EntryMap,
    gross_limit: int,
    kind: MarginKind,
    finest: int,
    bits: int,
) -> ExactMatrix:
    slack = rows.require_slack()
    values, switch, base = rows.weights.of(kind), slack.switch(kind), collateral.of(kind)
    labels = slack.all_labels
    largest = max(float(np.abs(item).max(initial=0.0)) for item in (values, switch, base))
    # With an entry at 2^bits units or more the bound fails for certain: the search starts there.
    exponent = finest
    if largest > 0:
        exponent = max(exponent, floor_log2(largest) - bits)
    while exponent <= MAX_EXPONENT:
        A = np.where(slack.structure, round_weights(values, entry_map, exponent), 0)
        c = round_collateral(base, exponent)
        S = np.concatenate([slack.of(kind), round_collateral(switch, exponent)], axis=1)
        reach = _reach(A, c, entry_map, gross_limit)
        switches = len(slack.switch_labels)
        bounds = _bounds(S, slack.validity, reach, _capped(slack.caps, exponent, switches), labels, switches)
        used = ordered_product(np.abs(S), bounds[:, None])[:, 0]
        if (reach + used < 2.0 ** (bits - 1)).all():
            break
        exponent += 1
    else:
        raise MarginOverflow(rows.labels[0], "slack", f"no unit up to 2^{MAX_EXPONENT} USD fits {bits} bits")
    return ExactMatrix(
        matrix=MarginMatrix(
            kind=kind,
            place="proof",
            unit_exponent=exponent,
            labels=rows.labels,
            weights=A,
            collateral=c,
            model_hash=rows.weights.model_hash,
            entry_map_hash=rows.weights.entry_map_hash,
        ),
        slack=S,
        slack_labels=labels,
        slack_widths=_widths(bounds),
        switches=len(slack.switch_labels),
        validity=slack.validity,
    )


def _reach(A: Integers, c: Integers, entry_map: EntryMap, gross_limit: int) -> Floats:
    """Return (R,) whole numbers no |A z + c| of a book within the gross limit exceeds."""
    of_positions = (np.abs(A) / entry_map.gross_divisors).max(axis=1) * gross_limit * _LIFT
    reach: Floats = np.ceil(np.abs(c) + entry_map.cash_reach(A) + of_positions)
    return reach


def _capped(caps: Floats, exponent: int, switches: int) -> Floats:
    units: Floats = np.concatenate([np.floor(np.ldexp(caps, -exponent)), np.ones(switches)])
    return units


def _bounds(
    S: Integers, validity: Booleans, reach: Floats, caps: Floats, labels: tuple[str, ...], switches: int
) -> Floats:
    """Return (M + B,) bounds in units, whole numbers."""
    lifting, lowering = (np.maximum(sign * S[validity], 0).astype(np.float64) for sign in (1, -1))
    # Only a row that bounds a plain slack value says how large that may get; a cap, or 1 for a switch, needs no row.
    rows, columns = np.nonzero(lifting)
    bounds = caps
    bounded = np.isin(np.arange(len(caps)), columns) & (np.arange(len(caps)) < len(caps) - switches)
    for _ in range(len(caps) + 1):
        # Slack that lowers a row raises what the others in it may need; in a circle this stays infinite.
        charged = ordered_sum(np.where(lowering > 0, lowering * np.where(lowering > 0, bounds, 0.0), 0.0), axis=1)
        need = np.zeros(len(caps))
        np.maximum.at(need, columns, np.ceil((reach[validity][rows] + charged[rows]) / lifting[rows, columns]))
        tighter = np.where(bounded, np.minimum(need, caps), caps)
        if np.array_equal(tighter, bounds):
            break
        bounds = tighter
    for label, bound in zip(labels, bounds, strict=True):
        if not np.isfinite(bound):
            raise SlackUnbounded(f"slack {label!r} has no validity row that bounds it: add one, or a cap in USD")
    return bounds


def _widths(bounds: Floats | Integers) -> tuple[int, ...]:
    return tuple(max(1, int(bound).bit_length()) for bound in bounds)


def _require_together(rows: Rows, collateral: CollateralValues, entry_map: EntryMap) -> None:
    if rows.weights.entry_map_hash != entry_map.hash():
        raise MatrixMismatch("the weights are compiled for another entry map")
    if any(collateral.of(kind).shape != (len(rows.labels),) for kind in KINDS):
        raise MatrixMismatch("the collateral has another number of rows than the weights: value it with the same model")

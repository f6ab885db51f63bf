"""A case compiled to rows, and the excess its integers give: what the command line, tests and measurements use.

Both models make a `CompiledCase` with their `compile_case`. An integer excess is a lower bound of the true one:

    compiled = compile_case(case, parameters, form="conservative")
    integer_margin(compiled, bits=24, place="fhe").initial_excess          # FHE matrix
    integer_margin(compiled, bits=20, place="proof").initial_excess        # proof matrix, 32-bit rows
    integer_margin(compile_case(case, parameters, form="exact"), bits=20, place="proof").initial_excess
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

import numpy as np

from atomic_margin.margin.collateral import CollateralValues
from atomic_margin.margin.errors import MatrixMismatch
from atomic_margin.margin.kinds import KINDS, Form, MarginKind
from atomic_margin.margin.market.entries import EntryMap
from atomic_margin.margin.market.portfolio import check_gross
from atomic_margin.margin.market.pricing import Floats
from atomic_margin.margin.models.portfolio_margin.conservative import conservative_rows
from atomic_margin.margin.models.portfolio_margin.exact import exact_rows
from atomic_margin.margin.models.portfolio_margin.listing import Listing, list_case
from atomic_margin.margin.models.portfolio_margin.model import RowModel
from atomic_margin.margin.models.portfolio_margin.positions import OptionKey
from atomic_margin.margin.models.portfolio_margin.split import split
from atomic_margin.margin.rows.least_slack import least_slack, true_rows
from atomic_margin.margin.rows.matrix import Integers, MarginMatrix, Place
from atomic_margin.margin.rows.rounding import BITS, PROOF_SHIFT, RunMatrices, compile_run
from atomic_margin.margin.rows.slack_matrix import ExactWeights, exact_surplus
from atomic_margin.margin.rows.slack_rounding import ExactRun, compile_exact
from atomic_margin.margin.rows.weights import TrueWeights

# The default gross limit leaves this much room above the book, and shows two digits of its size.
_ROOM = Fraction(5, 4)


@dataclass(frozen=True)
class CompiledCase:
    """One book, its universe, and the rows of one form at one market.

    Attributes:
        form: conservative (slack-free) or exact (with slack).
        listing: the instruments; ``listing.names`` and ``listing.legs`` say what a column is.
        weights: true weights, with slack in the exact form, USD.
        collateral: public part of every row, USD.
        z: the book, int64 of shape (N,), radix-32 digits of every instrument and side.
        gross: g·z, whole USD.
        gross_limit: G the rows are meant for, whole USD.
    """

    form: Form
    listing: Listing
    weights: TrueWeights | ExactWeights
    collateral: CollateralValues
    z: Integers
    gross: int
    gross_limit: int

    @property
    def entry_map(self) -> EntryMap:
        """Names the columns and their gross weights."""
        return self.listing.entry_map


@dataclass(frozen=True)
class IntegerMargin:
    """What integer rows say of a book, USD, without rounding.

    Attributes:
        labels: labels of the margin rows.
        maintenance: surplus of each margin row.
        initial: likewise.
        maintenance_unit: USD.
        initial_unit: USD.
    """

    labels: tuple[str, ...]
    maintenance: tuple[Decimal, ...]
    initial: tuple[Decimal, ...]
    maintenance_unit: Fraction
    initial_unit: Fraction

    @property
    def maintenance_excess(self) -> Decimal:
        """The least row; negative means under-margined."""
        return min(self.maintenance)

    @property
    def initial_excess(self) -> Decimal:
        """The least row; negative means under-margined."""
        return min(self.initial)


def assemble(
    model: RowModel,
    reference: RowModel,
    net: Mapping[OptionKey, Decimal],
    perpetuals: Decimal,
    reference_price: Decimal,
    form: Form,
    combinations: bool,
    gross_limit: int | None,
) -> CompiledCase:
    """Return the compiled case; for the `compile_case` of a model.

    Args:
        model: at the market of the case.
        reference: at the reference valuation; it chooses the split.
        net: net quantity of each leg of the model, without rounding, in the order of its keys.
        perpetuals: net quantity of perpetuals.
        reference_price: of the underlying; gross weights are counted at it.
        form: of the rows.
        combinations: whether combinations are listed and used.
        gross_limit: G, or None for the default: five quarters of the book's gross, rounded up to two digits, and at
            least four times the largest gross weight of a column.

    Raises:
        LotsTooLarge: a quantity has too many digits.
        GrossLimitExceeded: the book is larger than ``gross_limit``.
    """
    listing = list_case(model.legs, net, perpetuals if model.lists_perpetual else None, reference_price, combinations)
    lots = [int(Fraction(net[key]) / Fraction(listing.lots[leg])) for leg, key in enumerate(model.legs.keys)]
    long, short = split(listing, np.array(lots, dtype=np.int64), reference, reference_price)
    if model.lists_perpetual:
        held = int(Fraction(perpetuals) / Fraction(listing.lots[-1]))
        long[-1], short[-1] = max(held, 0), max(-held, 0)
    z = listing.encode(long, short)
    gross = listing.entry_map.gross(z)
    limit = gross_limit or max(4 * max(listing.entry_map.gross_weights), _two_digits(math.ceil(gross * _ROOM)))
    check_gross(z, listing.entry_map, limit)
    weights: TrueWeights | ExactWeights
    if form == "exact":
        weights, collateral = exact_rows(model, listing, limit)
    else:
        weights, collateral = conservative_rows(model, listing)
    return CompiledCase(form, listing, weights, collateral, z, gross, limit)


def model_rows(compiled: CompiledCase, kind: MarginKind) -> Floats:
    """Return the margin rows of one kind before rounding, with the least slack, USD; the least is the form's margin."""
    if isinstance(compiled.weights, ExactWeights):
        return true_rows(compiled.weights, compiled.collateral, kind, compiled.z)
    rows: Floats = compiled.weights.of(kind) @ compiled.z + compiled.collateral.of(kind)
    return rows


def integer_matrices(compiled: CompiledCase, bits: int = BITS) -> RunMatrices | ExactRun:
    """Return the integer matrices: the four of a run with FHE rows of ``bits``, or the two exact proof matrices.

    Proof rows have ``bits + 12`` bits, sign included.

    Raises:
        GrossLimitTooSmall, GrossLimitTooLarge: the gross limit does not go with the profile.
    """
    common = (compiled.collateral, compiled.entry_map, compiled.gross_limit)
    if isinstance(compiled.weights, ExactWeights):
        return compile_exact(compiled.weights, *common, bits=bits + PROOF_SHIFT)
    return compile_run(compiled.weights, *common, bits=bits, weight_bits=bits - 2)


def integer_margin(compiled: CompiledCase, bits: int = BITS, place: Place = "proof") -> IntegerMargin:
    """Return the integer surplus of every margin row, in USD.

    Args:
        compiled: the case.
        bits: width of a row of the FHE profile, sign included.
        place: "fhe", or "proof" with rows of ``bits + 12`` bits. The exact form has proof rows only.

    Raises:
        MatrixMismatch: FHE rows are asked of the exact form.
        GrossLimitTooSmall, GrossLimitTooLarge: the gross limit does not go with the profile.
    """
    run = integer_matrices(compiled, bits)
    found: dict[MarginKind, tuple[MarginMatrix, tuple[Decimal, ...]]] = {}
    labels: tuple[str, ...] = ()
    for kind in KINDS:
        if isinstance(run, ExactRun):
            if place != "proof":
                raise MatrixMismatch("the exact form has slack, which FHE rows cannot take: use the conservative form")
            exact = run.of(kind)
            matrix = exact.matrix
            surplus = exact_surplus(exact, compiled.z, least_slack(exact, compiled.z))[exact.margin_rows]
            labels = tuple(matrix.labels[row] for row in exact.margin_rows)
        else:
            matrix = run.of(kind, place)
            surplus, labels = matrix.surplus(compiled.z), matrix.labels
        found[kind] = matrix, tuple(matrix.usd(units) for units in surplus.tolist())
    return IntegerMargin(
        labels=labels,
        maintenance=found["maintenance"][1],
        initial=found["initial"][1],
        maintenance_unit=found["maintenance"][0].unit,
        initial_unit=found["initial"][0].unit,
    )


def _two_digits(number: int) -> int:
    """Return the least number with two significant digits that is not below."""
    step = int("1" + "0" * max(0, len(str(number)) - 2))
    return -(-number // step) * step

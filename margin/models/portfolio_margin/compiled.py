"""A case compiled to rows, and the excess its integers give: what the command line, tests and measurements use.

Both models make a `CompiledCase` with their `compile_case`. An integer excess is a lower bound of the true one:

    compiled = compile_case(case, parameters, form="conservative")
    integer_excess(compiled, bits=24, place="fhe").initial_excess          # FHE matrix
    integer_excess(compiled, bits=20, place="proof").initial_excess        # proof matrix, 32-bit rows
    integer_excess(compile_case(case, parameters, form="exact"), bits=20, place="proof").initial_excess
"""

import math
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

import numpy as np

from atomic_margin.margin.collateral import CollateralValues
from atomic_margin.margin.kinds import KINDS, Form, MarginKind
from atomic_margin.margin.market.entries import EntryMap
from atomic_margin.margin.market.portfolio import check_gross
from atomic_margin.margin.market.pricing import Floats
from atomic_margin.margin.models.portfolio_margin.conservative import MOST_ROWS, SpentRows, conservative_rows
from atomic_margin.margin.models.portfolio_margin.exact import exact_rows
from atomic_margin.margin.models.portfolio_margin.listing import Listing, list_case
from atomic_margin.margin.models.portfolio_margin.model import RowModel
from atomic_margin.margin.models.portfolio_margin.positions import CaseBook
from atomic_margin.margin.models.portfolio_margin.split import split
from atomic_margin.margin.rows.least_slack import least_slack, true_rows
from atomic_margin.margin.rows.matrix import Integers, MarginMatrix, Place
from atomic_margin.margin.rows.rounding import BITS, PROOF_SHIFT, RunMatrices, compile_run
from atomic_margin.margin.rows.rows import Rows
from atomic_margin.margin.rows.slack_matrix import exact_surplus
from atomic_margin.margin.rows.slack_rounding import ExactRun, compile_exact

# The default gross limit leaves this much room above the book, and shows two digits of its size.
_ROOM = Fraction(5, 4)


@dataclass(frozen=True)
class CompiledCase:
    """One book, its universe, and the rows of one form at one market.

    Attributes:
        form: conservative (slack-free) or exact (with slack).
        listing: the instruments; ``listing.names`` and ``listing.legs`` say what a column is.
        rows: true weights, with slack in the exact form, USD.
        collateral: public part of every row, USD.
        z: the book, int64 of shape (N,), radix-32 digits of every instrument and side.
        gross: g·z, whole USD.
        gross_limit: G the rows are meant for, whole USD.
    """

    form: Form
    listing: Listing
    rows: Rows
    collateral: CollateralValues
    z: Integers
    gross: int
    gross_limit: int

    @property
    def entry_map(self) -> EntryMap:
        """Names the columns and their gross weights."""
        return self.listing.entry_map


@dataclass(frozen=True)
class IntegerExcess:
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
    book: CaseBook,
    reference_price: Decimal,
    form: Form,
    combinations: bool,
    gross_limit: int | None,
    most_rows: int = MOST_ROWS,
) -> CompiledCase:
    """Return the compiled case; for the `compile_case` of a model.

    Args:
        model: at the market of the case.
        reference: at the reference valuation; it chooses the split.
        book: net quantity of each leg of the model, without rounding, and of perpetuals.
        reference_price: of the underlying; gross weights are counted at it.
        form: of the rows.
        combinations: whether combinations are listed and used.
        gross_limit: G, or None for the default: five quarters of the book's gross, rounded up to two digits, and at
            least four times the largest gross weight of a column.
        most_rows: of the conservative form; the split goes by it too.

    Raises:
        GrossLimitExceeded: the book is larger than ``gross_limit``.
    """
    perpetuals = book.perpetuals if model.lists_perpetual else None
    listing = list_case(model.legs, book.options, perpetuals, reference_price, combinations)
    z = encode_book(listing, book, reference, reference_price, most_rows)
    gross = listing.entry_map.gross(z)
    limit = gross_limit or default_gross_limit(listing.entry_map, z)
    check_gross(z, listing.entry_map, limit)
    if form == "exact":
        rows, collateral = exact_rows(model, listing, limit)
    else:
        rows, collateral = conservative_rows(model, listing, most_rows)
    return CompiledCase(form, listing, rows, collateral, z, gross, limit)


def encode_book(
    listing: Listing, book: CaseBook, reference: RowModel, reference_price: Decimal, most_rows: int = MOST_ROWS
) -> Integers:
    """Return z of a book, int64 of shape (N,), split into combinations where that loses little.

    Quantities that are no whole number of lots are rounded down, see `lots`.

    Raises:
        LotsTooLarge: a quantity has too many digits for the listing.
    """
    keys = reference.legs.keys
    lots = [math.floor(Fraction(book.options[key]) / Fraction(listing.lots[leg])) for leg, key in enumerate(keys)]
    held = math.floor(Fraction(book.perpetuals) / Fraction(listing.lots[-1])) if reference.lists_perpetual else 0
    spent = SpentRows.of(reference, most_rows)
    long, short = split(listing, np.array(lots, dtype=np.int64), spent, reference_price, held)
    if reference.lists_perpetual:
        long[-1], short[-1] = max(held, 0), max(-held, 0)
    return listing.encode(long, short)


def default_gross_limit(entry_map: EntryMap, z: Integers) -> int:
    """Return five quarters of a book's gross in two digits, at least four times the largest gross weight; whole USD."""
    room = _two_digits(math.ceil(entry_map.gross(z) * _ROOM))
    return max(4 * max(entry_map.gross_weights), room)


def model_rows(compiled: CompiledCase, kind: MarginKind) -> Floats:
    """Return the margin rows of one kind before rounding, with the least slack, USD; the least is the form's margin."""
    return true_rows(compiled.rows, compiled.collateral, kind, compiled.z)


def run_matrices(compiled: CompiledCase, bits: int = BITS) -> RunMatrices:
    """Return the four integer matrices of a run with FHE rows of ``bits``; proof rows have 12 bits more.

    Raises:
        RowsWithSlack: of the exact form there are none.
        GrossLimitTooSmall, GrossLimitTooLarge: the gross limit does not go with the profile.
    """
    given = (compiled.collateral, compiled.entry_map, compiled.gross_limit)
    return compile_run(compiled.rows.slack_free(), *given, bits=bits, weight_bits=bits - 2)


def exact_matrices(compiled: CompiledCase, bits: int = BITS) -> ExactRun:
    """Return the two exact proof matrices, with rows of ``bits + 12`` bits, sign included.

    Raises:
        RowsWithoutSlack: of the conservative form there are none.
        GrossLimitTooSmall, GrossLimitTooLarge: the gross limit does not go with the profile.
    """
    given = (compiled.collateral, compiled.entry_map, compiled.gross_limit)
    return compile_exact(compiled.rows, *given, bits=bits + PROOF_SHIFT)


def integer_excess(compiled: CompiledCase, bits: int = BITS, place: Place = "proof") -> IntegerExcess:
    """Return the integer surplus of every margin row, in USD.

    Args:
        compiled: the case.
        bits: width of a row of the FHE profile, sign included.
        place: "fhe", or "proof" with rows of ``bits + 12`` bits. The exact form has proof rows only.

    Raises:
        RowsWithSlack: FHE rows are asked of the exact form.
        GrossLimitTooSmall, GrossLimitTooLarge: the gross limit does not go with the profile.
    """
    found: dict[MarginKind, tuple[MarginMatrix, tuple[Decimal, ...]]] = {}
    if place == "proof" and compiled.rows.slack is not None:
        exact = exact_matrices(compiled, bits)
        labels = tuple(exact.maintenance.matrix.labels[row] for row in exact.maintenance.margin_rows)
        for kind in KINDS:
            matrix = exact.of(kind)
            surplus = exact_surplus(matrix, compiled.z, least_slack(matrix, compiled.z))[matrix.margin_rows]
            found[kind] = matrix.matrix, tuple(matrix.matrix.usd(units) for units in surplus.tolist())
    else:
        run, labels = run_matrices(compiled, bits), compiled.rows.labels
        for kind in KINDS:
            plain = run.of(kind, place)
            found[kind] = plain, tuple(plain.usd(units) for units in plain.surplus(compiled.z).tolist())
    return IntegerExcess(
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

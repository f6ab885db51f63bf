"""What the integers of one form say of a book, and how far that lies below the true margin.

For this package; callers use `cases`, `accounts` and `table`. A gap has two parts, both in USD and never negative:

    rounding gap    excess of the form before rounding, less excess of its integer rows
    model gap       excess of the plain reference, less excess of the form before rounding

>>> form = FormMargin("exact", "proof", 32, 2, 4, 1, both(Fraction(1, 2)), both(10.0), both(Decimal("9.5")))
>>> form.gap("initial", 12.0)
Gap(rounding=0.5, model=2.0)
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import TypeVar

from atomic_margin.margin.collateral import CollateralValues
from atomic_margin.margin.errors import NegativeGap
from atomic_margin.margin.kinds import KINDS, Form, MarginKind
from atomic_margin.margin.market.entries import EntryMap
from atomic_margin.margin.rows.least_slack import least_slack, true_rows
from atomic_margin.margin.rows.matrix import Integers, Place
from atomic_margin.margin.rows.rounding import PROOF_SHIFT, RunMatrices, compile_run
from atomic_margin.margin.rows.slack_matrix import ExactMatrix, ExactWeights, exact_surplus
from atomic_margin.margin.rows.slack_rounding import ExactRun, compile_exact
from atomic_margin.margin.rows.weights import TrueWeights

T = TypeVar("T")

# Floating-point noise of the references, as a share of what a book is about; far below any unit.
_NOISE = 1e-9


@dataclass(frozen=True)
class Gap:
    """How far integers lie below the true excess, USD.

    Attributes:
        rounding: lost by rounding A and c down.
        model: lost by what the form puts in place of the model.
    """

    rounding: float
    model: float

    @property
    def total(self) -> float:
        """Both parts."""
        return self.rounding + self.model


@dataclass(frozen=True)
class FormMargin:
    """Excess of a book in one form, at one width of rows.

    Attributes:
        form: conservative (slack-free) or exact (with slack).
        place: which matrix, fhe or proof.
        bits: width of a row, sign included.
        rows: R of the matrix, rows that bound slack included.
        entries: N.
        slack: number of slack values, switches included.
        units: unit of each kind of margin, USD.
        model: excess before rounding, of each kind, USD.
        integer: excess of the integer rows, of each kind, USD, without rounding.
    """

    form: Form
    place: Place
    bits: int
    rows: int
    entries: int
    slack: int
    units: Mapping[MarginKind, Fraction]
    model: Mapping[MarginKind, float]
    integer: Mapping[MarginKind, Decimal]

    def gap(self, kind: MarginKind, true: float, size: float = 1.0) -> Gap:
        """Return the gap to the ``true`` excess of one kind.

        Args:
            kind: of margin.
            true: excess of the plain reference, USD.
            size: gross of the book, USD; floating-point noise is measured against it.

        Raises:
            NegativeGap: the form exceeds the reference, or the integers exceed either.
        """
        noise = _NOISE * max(1.0, abs(true), size)
        rounding, model = self.model[kind] - float(self.integer[kind]), true - self.model[kind]
        for name, part in (("rounding", rounding), ("model", model)):
            if not part >= -noise:
                raise NegativeGap(f"{self.form} rows of {self.bits} bits, {kind}: the {name} gap is {part} USD")
        if self.integer[kind] > Decimal(true + noise):
            raise NegativeGap(f"{self.form} rows of {self.bits} bits, {kind}: {self.integer[kind]} is above {true} USD")
        return Gap(max(rounding, 0.0), max(model, 0.0))


@dataclass(frozen=True)
class Reference:
    """Margin of an account in plain floating point.

    Attributes:
        model: name of the margin model.
        margin: of each kind, USD; negative means under-margined.
        requirement: what the positions require, of each kind, USD; the module that measures says how it is counted.
        worst: what binds, of each kind.
        mark_to_market: value of the account now, USD.
        details: further figures by name, USD, or plain numbers for factors.
    """

    model: str
    margin: Mapping[MarginKind, float]
    requirement: Mapping[MarginKind, float]
    worst: Mapping[MarginKind, str]
    mark_to_market: float
    details: Mapping[str, float]


@dataclass(frozen=True)
class AccountMargin:
    """True and integer margin of one account.

    Attributes:
        reference: the true margin.
        gross: g·z, whole USD; None where there are no integers.
        gross_limit: G, whole USD; likewise.
        forms: integer margins.
        problem: why a form has no integers, if one has none.
    """

    reference: Reference
    gross: int | None
    gross_limit: int | None
    forms: tuple[FormMargin, ...]
    problem: str | None = None

    def gaps(self, kind: MarginKind = "initial") -> tuple[Gap, ...]:
        """Return the gap of each form.

        Raises:
            NegativeGap: a form, or integers, exceed the reference, or the conservative form the exact one.
        """
        size, true = float(self.gross or 0), self.reference.margin[kind]
        noise = _NOISE * max(1.0, abs(true), size)
        exact = [item.model[kind] for item in self.forms if item.form == "exact"]
        if any(item.model[kind] > least + noise for item in self.forms for least in exact):
            raise NegativeGap(f"{self.reference.model}, {kind}: the conservative form is above the exact one")
        return tuple(item.gap(kind, true, size) for item in self.forms)


def _true_least(weights: ExactWeights, collateral: CollateralValues, kind: MarginKind, z: Integers) -> float:
    return float(true_rows(weights, collateral, kind, z).min())


@dataclass(frozen=True)
class Rows:
    """Rows of one form at one market; its matrices are compiled once for each gross limit and width.

    Attributes:
        weights: true weights, with slack in the exact form.
        collateral: public part of every row, USD.
        entry_map: names the columns.
        slack: finds the least slack of a book; for the exact form.
        true: excess before rounding with the least slack, USD; for the exact form.
    """

    weights: TrueWeights | ExactWeights
    collateral: CollateralValues
    entry_map: EntryMap
    slack: Callable[[ExactMatrix, Integers], Integers] = least_slack
    true: Callable[[ExactWeights, CollateralValues, MarginKind, Integers], float] = _true_least
    _compiled: dict[tuple[int, int], RunMatrices | ExactRun] = field(default_factory=dict, compare=False, repr=False)

    def compiled(self, gross_limit: int, bits: int) -> RunMatrices | ExactRun:
        """Return the matrices; proof rows have ``bits + 12`` bits.

        Raises:
            GrossLimitTooSmall, GrossLimitTooLarge: the gross limit does not go with the width.
        """
        key = gross_limit, bits
        if key not in self._compiled:
            given = (self.collateral, self.entry_map, gross_limit)
            self._compiled[key] = (
                compile_exact(self.weights, *given, bits=bits + PROOF_SHIFT)
                if isinstance(self.weights, ExactWeights)
                else compile_run(self.weights, *given, bits=bits, weight_bits=bits - 2)
            )
        return self._compiled[key]

    def margins(self, z: Integers, gross_limit: int, bits: int) -> Iterator[FormMargin]:
        """Yield what the rows say of a book: FHE and proof for slack-free rows, proof for rows with slack.

        Raises:
            GrossLimitTooSmall, GrossLimitTooLarge: the gross limit does not go with the width.
        """
        run, weights, entries = self.compiled(gross_limit, bits), self.weights, len(self.entry_map)
        if isinstance(weights, ExactWeights) and isinstance(run, ExactRun):
            integer = {}
            for kind in KINDS:
                exact = run.of(kind)
                surplus = exact_surplus(exact, z, self.slack(exact, z))[exact.margin_rows]
                integer[kind] = exact.matrix.usd(int(surplus.min()))
            yield FormMargin(
                form="exact",
                place="proof",
                bits=bits + PROOF_SHIFT,
                rows=len(weights.weights.labels),
                entries=entries,
                slack=len(weights.slack_labels) + len(weights.switch_labels),
                units={kind: run.of(kind).matrix.unit for kind in KINDS},
                model={kind: self.true(weights, self.collateral, kind, z) for kind in KINDS},
                integer=integer,
            )
        elif isinstance(weights, TrueWeights) and isinstance(run, RunMatrices):
            model = {kind: float((weights.of(kind) @ z + self.collateral.of(kind)).min()) for kind in KINDS}
            places: tuple[tuple[Place, int], ...] = (("fhe", bits), ("proof", bits + PROOF_SHIFT))
            for place, width in places:
                matrices = {kind: run.of(kind, place) for kind in KINDS}
                yield FormMargin(
                    form="conservative",
                    place=place,
                    bits=width,
                    rows=len(weights.labels),
                    entries=entries,
                    slack=0,
                    units={kind: matrix.unit for kind, matrix in matrices.items()},
                    model=model,
                    integer={kind: matrix.usd(int(matrix.surplus(z).min())) for kind, matrix in matrices.items()},
                )


def both(value: T) -> dict[MarginKind, T]:
    """Return one value for both kinds of margin."""
    return dict.fromkeys(KINDS, value)

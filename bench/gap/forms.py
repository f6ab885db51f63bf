"""What the integers of one form say of a book, and how far that lies below the true margin.

For this package; callers use `desk` and `table`. A gap has two parts, both in USD and never negative:

    rounding gap    excess of the form before rounding, less excess of its integer rows
    model gap       excess of the plain reference, less excess of the form before rounding

>>> unit, model, integer = ({"initial": value} for value in (Fraction(1, 2), 10.0, Decimal("9.5")))
>>> form = FormExcess("exact", "proof", 32, 2, 4, 1, unit, model, integer)
>>> form.gap("initial", 12.0)
Gap(rounding=0.5, model=2.0)
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Any

from atomic_margin.margin.errors import NegativeGap
from atomic_margin.margin.kinds import KINDS, Form, MarginKind
from atomic_margin.margin.market.entries import EntryMap
from atomic_margin.margin.models.interface import AccountRows, MarginModel, Reference
from atomic_margin.margin.rows.matrix import Integers, MarginMatrix, Place
from atomic_margin.margin.rows.rounding import PROOF_SHIFT, RunMatrices, compile_run
from atomic_margin.margin.rows.slack_matrix import exact_surplus
from atomic_margin.margin.rows.slack_rounding import ExactRun, compile_exact

# A requirement below this share of gross is next to nothing, and a percentage of it says nothing.
_NOTHING = 1e-6
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
class FormExcess:
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
class AccountExcess:
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
    forms: tuple[FormExcess, ...]
    problem: str | None = None

    def percent_of_requirement(self, kind: MarginKind, amount: float) -> float | None:
        """Return an amount of USD in % of what is required, None where that is next to nothing."""
        need = self.reference.requirement[kind]
        return 100 * amount / need if need > _NOTHING * max(1.0, float(self.gross or 0)) else None

    def gaps(self, kind: MarginKind = "initial") -> tuple[Gap, ...]:
        """Return the gap of each form.

        Raises:
            NegativeGap: a form, or integers, exceed the reference, or the conservative form the exact one.
        """
        size, true = float(self.gross or 0), self.reference.excess[kind]
        noise = _NOISE * max(1.0, abs(true), size)
        exact = [item.model[kind] for item in self.forms if item.form == "exact"]
        if any(item.model[kind] > least + noise for item in self.forms for least in exact):
            raise NegativeGap(f"{self.reference.model}, {kind}: the conservative form is above the exact one")
        return tuple(item.gap(kind, true, size) for item in self.forms)


@dataclass(frozen=True)
class CompiledForm:
    """Rows of one form for one account; its matrices are compiled once for each gross limit and width.

    Attributes:
        model: finds the least slack.
        form: conservative or exact.
        given: rows and collateral.
        entry_map: names the columns.
    """

    model: MarginModel[Any, Any, Any, Any]
    form: Form
    given: AccountRows
    entry_map: EntryMap
    _runs: dict[tuple[int, int], RunMatrices] = field(default_factory=dict, compare=False, repr=False)
    _exact: dict[tuple[int, int], ExactRun] = field(default_factory=dict, compare=False, repr=False)

    def margins(self, z: Integers, gross_limit: int, bits: int) -> Iterator[FormExcess]:
        """Yield what the rows say of a book: FHE and proof for slack-free rows, proof for rows with slack.

        Proof rows have ``bits + 12`` bits.

        Raises:
            GrossLimitTooSmall, GrossLimitTooLarge: the gross limit does not go with the width.
        """
        model = {kind: self.model.true_excess(self.given, kind, z) for kind in KINDS}
        if self.given.rows.slack is None:
            run = self._run(gross_limit, bits)
            places: tuple[tuple[Place, int], ...] = (("fhe", bits), ("proof", bits + PROOF_SHIFT))
            for place, width in places:
                plain = {kind: run.of(kind, place) for kind in KINDS}
                integer = {kind: matrix.usd(int(matrix.surplus(z).min())) for kind, matrix in plain.items()}
                yield self._margin(place, width, plain, model, integer)
        else:
            exact, integer = self._exact_run(gross_limit, bits), {}
            for kind in KINDS:
                matrix = exact.of(kind)
                surplus = exact_surplus(matrix, z, self.model.least_slack(matrix, z))[matrix.margin_rows]
                integer[kind] = matrix.matrix.usd(int(surplus.min()))
            matrices = {kind: exact.of(kind).matrix for kind in KINDS}
            yield self._margin("proof", bits + PROOF_SHIFT, matrices, model, integer)

    def _margin(
        self,
        place: Place,
        bits: int,
        matrices: Mapping[MarginKind, MarginMatrix],
        model: Mapping[MarginKind, float],
        integer: Mapping[MarginKind, Decimal],
    ) -> FormExcess:
        slack = self.given.rows.slack
        return FormExcess(
            form=self.form,
            place=place,
            bits=bits,
            rows=len(self.given.rows.labels),
            entries=len(self.entry_map),
            slack=0 if slack is None else len(slack.all_labels),
            units={kind: matrix.unit for kind, matrix in matrices.items()},
            model=model,
            integer=integer,
        )

    def _run(self, gross_limit: int, bits: int) -> RunMatrices:
        key, given = (gross_limit, bits), (self.given.collateral, self.entry_map, gross_limit)
        if key not in self._runs:
            weights = self.given.rows.slack_free()
            self._runs[key] = compile_run(weights, *given, bits=bits, weight_bits=bits - 2)
        return self._runs[key]

    def _exact_run(self, gross_limit: int, bits: int) -> ExactRun:
        key, given = (gross_limit, bits), (self.given.collateral, self.entry_map, gross_limit)
        if key not in self._exact:
            self._exact[key] = compile_exact(self.given.rows, *given, bits=bits + PROOF_SHIFT)
        return self._exact[key]

"""True and integer margin of the books of one model at one time, whatever the model.

The requirement is what the model's plain reference says it is: for models of a universe that of the positions alone,
without collateral; for cases mark to market less the excess, which holds the loss on collateral too.

    desk = Desk(parse_model(document), Published(universe, market, schedule), posted)
    desk.measure(portfolio, gross_limit=64_000_000, bits=(20, 24)).gaps("initial")
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic

from atomic_margin.bench.gap.forms import AccountExcess, CompiledForm, FormExcess
from atomic_margin.documents.errors import DocumentsError
from atomic_margin.margin.errors import GrossLimitError, MarginError, TooManyCuts
from atomic_margin.margin.kinds import Form
from atomic_margin.margin.market.entries import EntryMap
from atomic_margin.margin.market.portfolio import check_gross
from atomic_margin.margin.models.interface import B, H, MarginModel, P
from atomic_margin.margin.rows.matrix import Integers

_Key = tuple[Form, int, str]


@dataclass(frozen=True)
class Desk(Generic[P, B, H]):
    """A model at one time with collateral posted, for any number of books; rows are compiled once a gross limit.

    Attributes:
        model: the margin model.
        published: what is public.
        posted: what the ledger holds.
    """

    model: MarginModel[Any, P, B, H]
    published: P
    posted: H
    _forms: dict[tuple[Form, int, str], CompiledForm | TooManyCuts] = field(
        default_factory=dict, compare=False, repr=False
    )

    def measure(self, book: B, gross_limit: int | None = None, bits: Sequence[int] = (20,)) -> AccountExcess:
        """Return true and integer margin of a book.

        Args:
            book: the book.
            gross_limit: G, whole USD; None for one that suits the book.
            bits: widths of FHE rows.

        Raises:
            UnknownInstrument, LotsTooLarge: the book does not fit the universe.
            GrossLimitExceeded: the book is larger than ``gross_limit``.
            GrossLimitTooSmall, GrossLimitTooLarge: the gross limit does not go with a width. Where an account brings
                its own universe, all these are the `problem` of an account that has no integers; only a gross limit
                that was asked for is kept.
        """
        reference = self.model.reference(self.published, book, self.posted)
        try:
            limit = gross_limit or self.model.gross_limit(self.published, book)
            gross = 0
            forms: list[FormExcess] = []
            problems: list[str] = []
            for width in bits:
                columns = self.model.columns(self.published, limit, width)
                z = self.model.encode(self.published, book, columns)
                check_gross(z, columns, limit)
                gross = columns.gross(z)
                forms += self._margins(z, columns, limit, width, problems)
        except (DocumentsError, MarginError) as error:
            asked = isinstance(error, GrossLimitError) and gross_limit is not None
            if asked or not self.model.OWN_UNIVERSE:
                raise
            return AccountExcess(reference, None, None, (), _said(error))
        return AccountExcess(reference, gross, limit, tuple(forms), "; ".join(problems) or None)

    def _margins(
        self, z: Integers, columns: EntryMap, limit: int, width: int, problems: list[str]
    ) -> Iterator[FormExcess]:
        """Yield what every form says; a form that takes too many rows is a problem, and the others stand."""
        for form in self.model.FORMS:
            compiled = self._form(form, columns, limit)
            if isinstance(compiled, TooManyCuts):
                problems += [] if _said(compiled) in problems else [_said(compiled)]
                continue
            yield from compiled.margins(z, limit, width)

    def _form(self, form: Form, columns: EntryMap, limit: int) -> CompiledForm | TooManyCuts:
        key = form, limit, columns.hash()
        if key not in self._forms:
            try:
                given = self.model.account_rows(self.published, self.posted, columns, limit, form)
                self._forms[key] = CompiledForm(self.model, form, given, columns)
            except TooManyCuts as error:
                self._forms[key] = error
        return self._forms[key]


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"

"""What an institution can prove of its own book: rows that show coverage, or those that a top-up is counted in.

Rows with slack come first wherever the model has them, also where those without would do: what the form of an answer
told would be that a row without slack is negative. Rows without slack are taken where there are no others at this tick,
and for the book that only they cover, which rounding alone makes.
"""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from atomic_margin.margin.collateral.agreement import Agreed
from atomic_margin.margin.errors import MarginError
from atomic_margin.margin.kinds import Form, MarginKind
from atomic_margin.margin.market.market import Market
from atomic_margin.margin.rows.matrix import Integers
from atomic_margin.margin.rows.rounding import RunMatrices
from atomic_margin.margin.rows.top_up import TopUp
from atomic_margin.service.protocol.proof_rows import NO_SLACK, ProofRows
from atomic_margin.service.protocol.terms import Columned, Terms

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Shown:
    """Rows with the slack that leaves a book most.

    Attributes:
        rows: of one kind and form.
        slack: values for the rows, in units.
        least: the least margin row, in units.
    """

    rows: ProofRows
    slack: Integers
    least: int

    @property
    def form(self) -> Form:
        """Which form the rows are of."""
        return self.rows.form

    @property
    def said(self) -> dict[str, str]:
        """What a claim says of the form."""
        return {} if self.form == "conservative" else {"form": self.form}

    def top_up(self, terms: Terms, account: Columned, agreed: Agreed | None = None) -> TopUp:
        """Return the top-up that restores margin in these rows, a multiple of its step; 0 where none is missing."""
        step = terms.call_step(agreed, account)
        return TopUp.of(max(0, -self.least), self.rows.matrix.unit_exponent, step, account.gross_limit)


@dataclass(frozen=True)
class Position:
    """A book at one tick, with what is public of its account then.

    Attributes:
        terms: that the account is under.
        market: prices.
        posted: collateral that counts, smallest units by asset.
        account: the submission's public part.
        matrices: without slack, that follow.
        z: entries of the book, int64 of shape (N,).
        agreed: figures of the account's agreement, if it has one.
    """

    terms: Terms
    market: Market
    posted: Mapping[str, int]
    account: Columned
    matrices: RunMatrices
    z: Integers
    agreed: Agreed | None = None

    def coverage(self) -> Shown | None:
        """Return the rows that show that the book has maintenance margin; None if it has not."""
        return next((rows for rows in self.rows("maintenance") if rows.least >= 0), None)

    def initial(self) -> Shown:
        """Return the rows that a top-up is counted in."""
        return next(self.rows("initial"))

    def rows(self, kind: MarginKind) -> Iterator[Shown]:
        """Yield the rows of every form that there is, those with slack first."""
        if self.terms.has_exact:
            try:
                exact = self.terms.proof_rows(kind, "exact", self.market, self.posted, self.account, self.agreed)
                yield _shown(self.terms, exact, self.z)
            except MarginError as error:
                _log.warning("tick %s: no rows with slack, so those without count: %s", self.market.sequence, error)
        yield _shown(self.terms, ProofRows.of(self.matrices.of(kind, "proof")), self.z)


def _shown(terms: Terms, rows: ProofRows, z: Integers) -> Shown:
    slack = NO_SLACK if rows.exact is None else terms.model.least_slack(rows.exact, z)
    return Shown(rows, slack, int(rows.margin_rows(z, slack).min()))

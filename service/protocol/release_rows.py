"""The rows that the proof of a release is about: initial margin with what remains, with declared gains counted as zero.

A book could say that it gained, which is cash that nobody paid. So collateral leaves only where every initial row is
enough by itself and without E, what the book has gained so far (`margin.rows.gain`):

    row  >=  0    and    row - E  >=  0

One value u >= 0 with u - E >= 0, taken from every row, says both at once: row - u >= 0. That is a row and a slack value
more than a proof of coverage has, and not twice as many rows. E is rounded up to the rows' unit, column by column.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from atomic_margin.documents.canonical import canonical_hash
from atomic_margin.margin.collateral.agreement import Agreed
from atomic_margin.margin.kinds import Form
from atomic_margin.margin.market.market import Market
from atomic_margin.margin.rows.gain import UNIT_EXPONENT, gained
from atomic_margin.margin.rows.matrix import Integers
from atomic_margin.margin.rows.rounding import PROOF_SHIFT
from atomic_margin.service.protocol.account.release_documents import ReleaseClaim
from atomic_margin.service.protocol.proof_rows import ProofRows
from atomic_margin.service.protocol.statements import gains
from atomic_margin.service.protocol.submissions import SubmissionClaim
from atomic_margin.service.protocol.terms import Columned, Terms
from atomic_margin.zk.statements.sufficiency import SufficiencyStatement


@dataclass(frozen=True)
class ReleaseRows:
    """Initial rows of one form, and what one unit of each column has gained.

    Attributes:
        rows: of initial margin, with the collateral that remains.
        gains: of each column, in the rows' unit, rounded up.
    """

    rows: ProofRows
    gains: tuple[int, ...]

    @classmethod
    def of(cls, rows: ProofRows, weights: Sequence[int]) -> "ReleaseRows":
        """Return the rows with gains in their unit, by weights in units of 2^UNIT_EXPONENT USD.

        >>> [in_unit(5, exponent) for exponent in (UNIT_EXPONENT - 1, UNIT_EXPONENT, UNIT_EXPONENT + 2)]
        [10, 5, 2]
        >>> in_unit(-5, UNIT_EXPONENT + 2)
        -1
        """
        return cls(rows, tuple(in_unit(weight, rows.matrix.unit_exponent) for weight in weights))

    def hash(self) -> str:
        """Return the hash that a proof is bound to."""
        return canonical_hash("release-rows", {"rows": self.rows.hash(), "gains": ",".join(map(str, self.gains))})

    def gained(self, z: Integers) -> int:
        """Return u: what the book has gained, at least 0, in the rows' unit."""
        return max(0, gained(self.gains, [int(value) for value in z]))

    def statement(self, commitments: tuple[bytes, ...], bits: int, context: Mapping[str, str]) -> SufficiencyStatement:
        """Return the statement that no row is negative, with u taken from those that are margin.

        Args:
            commitments: to the entries of the book.
            bits: width of a row, and of u.
            context: what else the proof is bound to.

        Raises:
            StatementError: more rows, slack or bits than a proof takes.
        """
        matrix, exact = self.rows.matrix, self.rows.exact
        slack = np.zeros((matrix.rows, 0), dtype=np.int64) if exact is None else exact.slack
        bounds = np.zeros(matrix.rows, dtype=np.bool_) if exact is None else exact.validity
        taken = np.where(bounds, 0, -1).astype(np.int64)[:, None]
        bound = np.zeros((1, slack.shape[1] + 1), dtype=np.int64)
        bound[0, -1] = 1
        return SufficiencyStatement(
            commitments=commitments,
            weights=np.vstack([matrix.weights, np.array([[-weight for weight in self.gains]], dtype=np.int64)]),
            offsets=(*(int(value) for value in matrix.collateral), 0),
            top_up=0,
            bits=bits,
            context=context,
            slack=np.vstack([np.hstack([slack, taken]), bound]),
            slack_widths=(*(() if exact is None else exact.slack_widths), bits),
        )


def in_unit(weight: int, unit_exponent: int) -> int:
    """Return a gain of 2^UNIT_EXPONENT USD in units of 2^unit_exponent USD, rounded up: against the holder."""
    shift = UNIT_EXPONENT - unit_exponent
    return weight << shift if shift >= 0 else -(-weight >> -shift)


def release_rows(
    terms: Terms,
    form: Form,
    market: Market,
    remaining: Mapping[str, int],
    submission: Columned,
    agreed: Agreed | None = None,
) -> ReleaseRows:
    """Return the rows of a release. Everyone compiles the same ones.

    Args:
        terms: that the account is under.
        form: with slack or without.
        market: prices.
        remaining: collateral that stays posted, smallest units by asset.
        submission: the book in force.
        agreed: figures of the account's agreement, if it has one.

    Raises:
        MarginError: there are no such rows at this tick, or a gain does not fit its row.
    """
    rows = terms.proof_rows("initial", form, market, remaining, submission, agreed, "release")
    return ReleaseRows.of(rows, gains(submission, terms, market))


def release_statement(
    claim: ReleaseClaim, terms: Terms, submission: SubmissionClaim, rows: ReleaseRows
) -> SufficiencyStatement:
    """Return what the proof of a release, or of a substitution, must show.

    Args:
        claim: what the institution says.
        terms: that the account is under.
        submission: the book in force.
        rows: of the claim's form and tick, with the collateral that remains.

    Raises:
        StatementError: more rows, slack or bits than a proof takes.
    """
    balances = {"posted": claim.posted, "taken": claim.taken, "given": claim.given or {}, "remaining": claim.remaining}
    return rows.statement(
        tuple(bytes.fromhex(point) for point in submission.commitments),
        terms.profile.bits + PROOF_SHIFT,
        {
            **({} if claim.form is None else {"form": claim.form}),
            **({} if claim.agreed is None else {"agreed": canonical_hash("agreed", claim.agreed.canonical())}),
            **{name: canonical_hash(name, _text(held)) for name, held in balances.items()},
            "document": "release",
            "institution": claim.institution,
            "operator": claim.operator,
            "sequence": str(claim.sequence),
            "entry": claim.entry,
            "submission": claim.submission or "none",
            "price_sequence": str(claim.price_sequence),
            "tick": claim.tick,
            "matrix": rows.hash(),
            "universe": submission.universe,
            "entry_map": submission.entry_map,
            **terms.hashes,
        },
    )


def _text(held: Mapping[str, int]) -> dict[str, str]:
    return {asset: str(quantity) for asset, quantity in sorted(held.items())}

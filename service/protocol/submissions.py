"""Submissions: an encrypted and committed book, its columns, and what is said of its gain."""

from pydantic import model_validator

from atomic_margin.documents.errors import MalformedDocument
from atomic_margin.documents.fields import BodiesHex, Counter, Hash, Nonce, PointHex, ProofHex, PublicKey
from atomic_margin.documents.strict import Identifier, ListOf, Part, Quantity
from atomic_margin.margin.market.columns import ColumnChoice
from atomic_margin.service.protocol.bodies import Body, DocumentClaim
from atomic_margin.service.protocol.dealings import BookSharing


class SubmissionClaim(DocumentClaim):
    """An encrypted portfolio: ciphertext bodies, and commitments to the same entries.

    The masks are expanded from fresh bytes of both sides; `ciphertext` is the hash of the whole words that result.

    Attributes:
        entry: hash of the account's last entry that the institution saw.
        nonce: 32 bytes the operator issued for it.
        randomness: 32 random bytes of the institution, drawn for this submission.
        entry_map: hash of the columns that gross limit and choice give; the commitments are to their entries, in order.
        gross_limit: G, whole USD.
        columns: what the commitments cover of the universe; left out for all of it.
    """

    institution: Identifier
    operator: PublicKey
    sequence: Counter
    entry: Hash
    nonce: Nonce
    randomness: Nonce
    profile: Hash
    universe: Hash
    entry_map: Hash
    evaluation_keys: Hash
    key_commitments: Hash
    generators: Hash
    gross_limit: Counter
    columns: ColumnChoice | None = None
    bodies: BodiesHex
    ciphertext: Hash
    commitments: ListOf[PointHex]

    def proof_context(self) -> dict[str, str]:
        """Return everything the portfolio and encryption proofs are bound to besides their statements."""
        return {
            "institution": self.institution,
            "operator": self.operator,
            "submission_sequence": str(self.sequence),
            "entry": self.entry,
            "nonce": self.nonce,
            "randomness": self.randomness,
            "profile": self.profile,
            "universe": self.universe,
            "entry_map": self.entry_map,
            "evaluation_keys": self.evaluation_keys,
            "key_commitments": self.key_commitments,
            "generators": self.generators,
            "ciphertext": self.ciphertext,
        }


def repeated_columns(claim: SubmissionClaim) -> dict[str, object]:
    """Return, as JSON, what a submission says of its columns and a record of a run on it repeats."""
    said: dict[str, object] = {
        "universe": claim.universe,
        "entry_map": claim.entry_map,
        "gross_limit": str(claim.gross_limit),
    }
    return said if claim.columns is None else {**said, "columns": claim.columns.canonical()}


class Allowances(Part):
    """By how much books may have gained more, when they come, than those they replace; whole USD.

    Attributes:
        submission: one of them.
        day: all of one day of prices together.
    """

    submission: Counter
    day: Counter


USUAL_ALLOWANCES = Allowances.model_construct(submission=25_000, day=250_000)
"""Where an operator says nothing else."""


class Settles(Part):
    """Losses that a book has no more, and what is paid for them: posted collateral that leaves to the operator.

    Attributes:
        asset: of the collateral schedule.
        quantity: that leaves, in smallest units.
        usd: whole USD of losses, at most what the quantity is worth at the prices that the gain is counted by.
    """

    asset: Identifier
    quantity: Quantity
    usd: Counter

    @model_validator(mode="after")
    def _check(self) -> "Settles":
        for name in ("quantity", "usd"):
            if getattr(self, name) == 0:
                raise MalformedDocument(name, "more than 0; leave `settles` out where no losses are settled")
        return self


class Gain(Part):
    """By how much a book may have gained more so far than the one it is compared with, `margin.rows.gain`.

    Attributes:
        before: hash of the submission it is compared with; left out for none, whose gain is 0.
        price_sequence: number of the newest tick with a market, whose prices count; 0 before there is one.
        tick: its hash.
        day: of its prices, whole days since 1970-01-01; 0 likewise.
        allowance: whole USD that it may have gained more.
        settles: losses that are settled by this book, which it may have gained more besides; left out for none.
    """

    before: Hash | None = None
    price_sequence: Counter
    tick: Hash
    day: Counter
    allowance: Counter
    settles: Settles | None = None

    @property
    def usd(self) -> int:
        """Whole USD that the book may have gained more: its allowance, and the losses that are paid for."""
        return self.allowance + (0 if self.settles is None else self.settles.usd)


class Submission(Body, SubmissionClaim):
    """The claim with the three proofs about it. It is taken wherever the claim is.

    Attributes:
        gain: what its gain is compared with. Not among what the other two proofs are bound to: it names the newest
            tick, and they take longer than a tick may.
        gain_proof: proof that it gained at most its allowance more than the book it is compared with.
        sharing: the deal that custodians have shares of, and their receipts; absent where there are no custodians. It
            was dealt before the gain was proven, and the other proofs are not about it.
    """

    TYPE = "submission"
    portfolio_proof: ProofHex
    encryption_proof: ProofHex
    gain: Gain
    gain_proof: ProofHex
    sharing: BookSharing | None = None

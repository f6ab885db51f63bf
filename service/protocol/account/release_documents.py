"""The document by which posted collateral comes back, or other collateral takes its place. Pure."""

from typing import Literal

from pydantic import model_validator

from atomic_margin.documents.errors import MalformedDocument
from atomic_margin.documents.fields import Counter, Hash, ProofHex, PublicKey
from atomic_margin.documents.strict import Identifier, IdMap, Quantity
from atomic_margin.margin.collateral.agreement import Agreed
from atomic_margin.service.protocol.bodies import Body, DocumentClaim


class ReleaseClaim(DocumentClaim):
    """Posted collateral becomes free; of a substitution, other collateral that was free is posted before.

    It is about one moment: the account's last entry, the newest tick, and absolute balances. After another event or
    tick it is about nothing any more.

    Attributes:
        institution: its name.
        operator: public key.
        sequence: number among the institution's collateral instructions.
        entry: hash of the account's last entry.
        submission: the book in force; absent where there is none.
        price_sequence: number of the newest tick with a market; 0 before there is one.
        tick: its hash.
        posted: collateral that is posted before, in smallest units.
        taken: what becomes free.
        given: what is posted for it; absent in a release.
        remaining: collateral that is posted after it.
        agreed: figures of the account's agreement that the rows count; absent where there is none.
        form: `exact` where the proof is of rows with slack; else absent.
        matrix: hash of the rows that the proof is about; absent where there is no proof.
    """

    institution: Identifier
    operator: PublicKey
    sequence: Counter
    entry: Hash
    submission: Hash | None = None
    price_sequence: Counter
    tick: Hash
    posted: IdMap[Quantity]
    taken: IdMap[Quantity]
    given: IdMap[Quantity] | None = None
    remaining: IdMap[Quantity]
    agreed: Agreed | None = None
    form: Literal["exact"] | None = None
    matrix: Hash | None = None

    @model_validator(mode="after")
    def _check_moves(self) -> "ReleaseClaim":
        for name, moves in (("taken", self.taken), ("given", self.given)):
            if moves is not None and (not moves or not all(moves.values())):
                raise MalformedDocument(name, "assets with quantities above 0, at least one")
        both = sorted(set(self.taken) & set(self.given or {}))
        if both:
            raise MalformedDocument(f"given.{both[0]}", "an asset is taken or given, not both")
        if self.form is not None and self.matrix is None:
            raise MalformedDocument("form", "leave it out where there is no proof")
        return self


class Release(Body, ReleaseClaim):
    """The claim with its proof: with what remains, the book has initial margin, whatever it says that it gained.

    Attributes:
        sufficiency_proof: that no initial row is negative, nor would be without what the book has gained so far. Absent
            where no book is in force, and in a substitution by collateral that is worth at least as much in every row.
    """

    TYPE = "release"
    sufficiency_proof: ProofHex | None = None

    @model_validator(mode="after")
    def _check_proof(self) -> "Release":
        if (self.matrix is None) != (self.sufficiency_proof is None):
            missing = "matrix" if self.matrix is None else "sufficiency_proof"
            raise MalformedDocument(missing, "missing: the proof and the hash of its rows go together")
        if self.submission is None and self.matrix is not None:
            raise MalformedDocument("submission", "missing: a proof is about the book in force")
        return self

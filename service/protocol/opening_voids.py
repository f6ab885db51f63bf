"""What makes a finding of a custodian void: a proof that a row which the computation named is not negative. Pure.

The custodian that opened the row proves it of the institution's own commitments, and each other verifies that against
the matrices it made itself. No value of a row is in it, and nobody has to be believed: so it is not signed, and who
carries it cannot make one.
"""

from typing import ClassVar, Literal

from atomic_margin.documents.fields import Counter, Hash, ProofHex, PublicKey
from atomic_margin.documents.strict import Identifier
from atomic_margin.service.protocol.bodies import DocumentClaim
from atomic_margin.service.protocol.dealings import Point


class VoidClaim(DocumentClaim):
    """A row that a computation named as negative is not.

    Attributes:
        institution: whose book.
        operator: at whom.
        request: hash of the request to open.
        run: hash of the run's record.
        submission: the book that the run is on.
        session: in which the row was opened; sessions count from 1.
        closer: point of the custodian that opened it.
        kind: of margin.
        row: which, of the matrix of the kind; rows count from 0.
    """

    TAG: ClassVar[str] = "opening-void"
    institution: Identifier
    operator: PublicKey
    request: Hash
    run: Hash
    submission: Hash
    session: Counter
    closer: Point
    kind: Literal["maintenance", "initial"]
    row: Counter

    def proof_context(self, matrix: str, certificate: str) -> dict[str, str]:
        """Return everything the proof is bound to besides its statement.

        Args:
            matrix: hash of the matrix of the kind.
            certificate: of models with slack, hash of what makes the row a combined one; `none` of others.
        """
        return {
            "document": self.TAG,
            "institution": self.institution,
            "operator": self.operator,
            "request": self.request,
            "run": self.run,
            "submission": self.submission,
            "session": str(self.session),
            "closer": str(self.closer),
            "kind": self.kind,
            "row": str(self.row),
            "matrix": matrix,
            "certificate": certificate,
        }


class OpeningVoid(VoidClaim):
    """The claim with its proof.

    Attributes:
        institution: whose book.
        operator: at whom.
        request: hash of the request to open.
        run: hash of the run's record.
        submission: the book that the run is on.
        session: in which the row was opened; sessions count from 1.
        closer: point of the custodian that opened it.
        kind: of margin.
        row: which, of the matrix of the kind; rows count from 0.
        proof: that the row v is 0 or more, as a lack proof of -v - 1.
    """

    proof: ProofHex

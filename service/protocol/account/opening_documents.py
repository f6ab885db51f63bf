"""Documents by which custodians open the book of a silent institution: request, verdict, result, lapse. Pure."""

from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import model_validator

from atomic_margin.documents.canonical import canonical_hash
from atomic_margin.documents.errors import MalformedDocument
from atomic_margin.documents.fields import AmountText, Counter, Hash, ProofHex, PublicKey, Time
from atomic_margin.documents.strict import Identifier, ListOf, Part, integer_in
from atomic_margin.margin.rows.certificate import BOUND, Certificate
from atomic_margin.service.protocol.bodies import Body, DocumentClaim
from atomic_margin.service.protocol.dealings import JsonObject, Point
from atomic_margin.service.protocol.documents import Outcome


class OpeningRequest(Body):
    """The operator asks custodians to open the book of a run that is owed.

    Attributes:
        institution: whose account.
        operator: who asks.
        sequence: number among the account's requests.
        entry: hash of the account's last entry.
        run_id: of the open run, whose time is over.
        run: hash of its record.
        submission: the book that it is on.
        policy: hash of the custody policy that the book was dealt under.
        deal: hash of the deal.
        requested_at: time.
    """

    TYPE = "opening-request"
    institution: Identifier
    operator: PublicKey
    sequence: Counter
    entry: Hash
    run_id: Identifier
    run: Hash
    submission: Hash
    policy: Hash
    deal: Hash
    requested_at: Time


class OpeningLapse(Body):
    """The operator ends an opening of which nothing came: too few custodians answered, or refused.

    Attributes:
        institution: whose account.
        operator: who ends it.
        request: hash of the request.
        reason: why nothing came of it.
        lapsed_at: time.
    """

    TYPE = "opening-lapse"
    institution: Identifier
    operator: PublicKey
    request: Hash
    reason: Literal["too few custodians", "refused", "took too long"]
    lapsed_at: Time


Factor: TypeAlias = Annotated[int, integer_in(1, BOUND - 1)]


class MultipliedRow(Part):
    """A validity row that is added to a margin row.

    Attributes:
        row: which; rows of the exact matrix count from 0.
        times: how often.
    """

    row: Counter
    times: Factor


class SlackCertificate(Part):
    """Why no slack saves a row of a model with slack: what is added to it until no slack is left that could lift it.

    Attributes:
        row: of the exact matrix of the kind, from 0.
        scale: how often it is taken itself.
        added: validity rows, ascending.
    """

    row: Counter
    scale: Factor
    added: ListOf[MultipliedRow]

    @classmethod
    def of(cls, certificate: Certificate) -> "SlackCertificate":
        """Return a certificate as documents spell it."""
        added = [{"row": str(row), "times": str(times)} for row, times in certificate.multipliers]
        return cls.parse({"row": str(certificate.row), "scale": str(certificate.scale), "added": added})

    @property
    def certificate(self) -> Certificate:
        """The same, to be held against a matrix."""
        return Certificate(self.row, self.scale, tuple((one.row, one.times) for one in self.added))


class OpenedClaim(DocumentClaim):
    """What custodians found.

    Attributes:
        institution: whose book.
        operator: at whom.
        request: hash of the request.
        run_id: of the run.
        run: hash of its record.
        submission: the book that it is on.
        price_sequence: number of its tick.
        outcome: whether a maintenance row is negative.
        initial_row: on a breach, which initial row the top-up is of; rows count from 0.
        maintenance_certificate: of models with slack, on a breach, which maintenance row is negative and why.
        initial_certificate: likewise, why no slack makes what the initial row lacks less.
        top_up: X in units of the initial proof rows; what that row lacks, rounded up to the step. 0 when covered.
        top_up_usd: the same in currency.
    """

    institution: Identifier
    operator: PublicKey
    request: Hash
    run_id: Identifier
    run: Hash
    submission: Hash
    price_sequence: Counter
    outcome: Outcome
    initial_row: Counter | None = None
    maintenance_certificate: SlackCertificate | None = None
    initial_certificate: SlackCertificate | None = None
    top_up: Counter
    top_up_usd: AmountText

    def proof_context(self, matrix: str) -> dict[str, str]:
        """Return everything the proofs are bound to besides their statements; `matrix` is a matrix's hash."""
        certificates = {
            name: canonical_hash("slack-certificate", one.canonical())
            for name, one in (
                ("maintenance_certificate", self.maintenance_certificate),
                ("initial_certificate", self.initial_certificate),
            )
            if one is not None
        }
        return certificates | {
            "document": "opened",
            "institution": self.institution,
            "operator": self.operator,
            "request": self.request,
            "run_id": self.run_id,
            "run": self.run,
            "submission": self.submission,
            "price_sequence": str(self.price_sequence),
            "matrix": matrix,
            "outcome": self.outcome,
            "initial_row": "none" if self.initial_row is None else str(self.initial_row),
            "top_up": str(self.top_up),
        }


class Finding(OpenedClaim):
    """The claim with its proofs, which the closer makes and every custodian verifies before it signs.

    Attributes:
        institution: whose book.
        operator: at whom.
        request: hash of the request.
        run_id: of the run.
        run: hash of its record.
        submission: the book that it is on.
        price_sequence: number of its tick.
        outcome: whether a maintenance row is negative.
        initial_row: on a breach, which initial row the top-up is of; rows count from 0.
        maintenance_certificate: of models with slack, on a breach, which maintenance row is negative and why.
        initial_certificate: likewise, why no slack makes what the initial row lacks less.
        top_up: X in units of the initial proof rows; what that row lacks, rounded up to the step. 0 when covered.
        top_up_usd: the same in currency.
        breach_proof: that some row of the maintenance proof matrix is negative.
        lack_proof: that the initial row lacks just the top-up, rounded up.
    """

    TAG: ClassVar[str] = "finding"
    breach_proof: ProofHex | None = None
    lack_proof: ProofHex | None = None

    @model_validator(mode="after")
    def _check(self) -> "Finding":
        breach = self.outcome == "breach"
        for name in ("initial_row", "breach_proof", "lack_proof"):
            if (getattr(self, name) is not None) != breach:
                raise MalformedDocument(
                    name, f"{'missing: ' if breach else ''}comes with a breach, and with nothing else"
                )
        if (self.top_up > 0, self.top_up_usd != "0") != (breach, breach):
            raise MalformedDocument("top_up", "more than 0 on a breach, and 0 otherwise")
        maintenance, initial = self.maintenance_certificate, self.initial_certificate
        if (maintenance is None) != (initial is None) or (initial is not None and not breach):
            raise MalformedDocument("initial_certificate", "comes with the other one, on a breach")
        if initial is not None and initial.row != self.initial_row:
            raise MalformedDocument("initial_certificate.row", "the row that the top-up is of")
        return self


class OpeningVerdict(Body):
    """A custodian's word that the computation found this, and that it is about the tick, terms and matrices it made.

    Attributes:
        institution: whose book.
        operator: at whom.
        request: hash of the request.
        finding: hash of what was found, proofs included.
        point: of the custodian.
        custodian: who signs.
    """

    TYPE = "opening-verdict"
    institution: Identifier
    operator: PublicKey
    request: Hash
    finding: Hash
    point: Point
    custodian: PublicKey


class Opened(Body, Finding):
    """What custodians found, with the verdicts of as many of them as have the book together.

    Attributes:
        verdicts: of custodians, signed, each about this finding.
        opened_at: time.
    """

    TYPE = "opened"
    TAG: ClassVar[str] = "body"
    verdicts: ListOf[JsonObject]
    opened_at: Time

    @property
    def finding(self) -> Finding:
        """What was found, without who says so."""
        said = self.canonical()
        if not isinstance(said, dict):
            raise TypeError("a body is a JSON object")
        return Finding.parse({name: value for name, value in said.items() if name in Finding.model_fields})


def finding_hash(finding: Finding) -> str:
    """Return what verdicts name: the hash of claim and proofs."""
    return canonical_hash(Finding.TAG, finding.canonical())

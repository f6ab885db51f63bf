"""What happens to an account: signed documents, read into events. Pure.

Most documents are those of `protocol.documents`. The ones here are the operator's own acts, which had no document, and
the institution's proof that nobody asked for, and its question to give a book up.
"""

from typing import Literal, NamedTuple

from pydantic import model_validator

from atomic_margin.documents.errors import MalformedDocument
from atomic_margin.documents.fields import Counter, Hash, ProofHex, PublicKey, Time
from atomic_margin.documents.strict import Identifier, IdMap, Label, ListOf, Part, Quantity, require_unique
from atomic_margin.margin.collateral.agreement import Agreed, CollateralAgreement
from atomic_margin.service.errors import MalformedRequest
from atomic_margin.service.protocol.account.amendments import AgreementAmendment, CustodyAmendment
from atomic_margin.service.protocol.account.default_documents import (
    CloseOut,
    FundContribution,
    FundDraw,
    LossAgreement,
    Sale,
    Segregation,
)
from atomic_margin.service.protocol.account.halt_documents import Halt, Resume
from atomic_margin.service.protocol.account.kinds import EventKind as EventKind
from atomic_margin.service.protocol.account.maturity_documents import Maturity
from atomic_margin.service.protocol.account.netting_documents import Netting, Obligation, PartyNaming
from atomic_margin.service.protocol.account.opening_documents import Opened, OpeningLapse, OpeningRequest
from atomic_margin.service.protocol.account.release_documents import Release
from atomic_margin.service.protocol.account.resharing_documents import Resharing
from atomic_margin.service.protocol.account.rotation_documents import IdentityRotation
from atomic_margin.service.protocol.bodies import Body, DocumentClaim, parse_signed
from atomic_margin.service.protocol.custody import CustodyPolicy
from atomic_margin.service.protocol.disputes import Dispute, DisputeLapse, DisputeResolution, DisputeWithdrawal
from atomic_margin.service.protocol.documents import (
    Answer,
    CollateralInstruction,
    Enrolment,
    EnrolmentConfirmation,
    MatrixHashes,
    RunRecord,
    Settlement,
)
from atomic_margin.service.protocol.evidence import Evidence, NoteText
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.submissions import Allowances, Submission


class AdmissionRecord(Body):
    """The operator admits an institution under its identity and the terms, and opens its account.

    Attributes:
        terms: hash of everything that stays as it is.
        universe: hash of the universe that its first book is in.
        allowances: by how much books that it submits may have gained more than those they replace.
        agreement: terms of collateral between both sides, if there are any.
        custody: who is to hold shares of its books, if anybody is.
    """

    TYPE = "admission"
    institution: Identifier
    operator: PublicKey
    identity: PublicKey
    terms: Hash
    universe: Hash
    allowances: Allowances
    admitted_at: Time
    agreement: CollateralAgreement | None = None
    custody: CustodyPolicy | None = None


class UniverseRevision(Body):
    """The operator lists another universe; both are in force until the old one's end.

    It is one document for all accounts, and every account has an entry about it.

    Attributes:
        operator: public key.
        before: hash of the newest universe so far.
        universe: hash of the new one.
        until: the last moment, by the time of prices, at which a book in an older universe is taken. What is open or
            owed stays where it is beyond that.
        announced_at: time.
    """

    TYPE = "universe-revision"
    operator: PublicKey
    before: Hash
    universe: Hash
    until: Time
    announced_at: Time


class DepositRecord(Body):
    """Collateral arrived for an institution; it is free. `reference` is the custodian's."""

    TYPE = "deposit"
    institution: Identifier
    operator: PublicKey
    asset: Identifier
    quantity: Quantity
    reference: Label
    booked_at: Time


class RunOpened(Body):
    """A run's turn came: what it will be evaluated on is fixed from here."""

    TYPE = "run-opened"
    run_id: Identifier
    operator: PublicKey
    institution: Identifier
    submission: Hash
    price_sequence: Counter
    tick: Hash
    instructions: Counter
    posted: IdMap[Quantity]
    agreed: Agreed | None = None
    matrices: MatrixHashes
    opened_at: Time


class RunVoid(Body):
    """A run could not be evaluated, too often. Nothing is owed on it."""

    TYPE = "run-void"
    run_id: Identifier
    operator: PublicKey
    institution: Identifier
    reason: Label
    ended_at: Time


class Overdue(Body):
    """The time to answer a run is over.

    Attributes:
        run: hash of its record.
        begins: that the entry which has the record is in a checkpoint that enough witnesses cosigned; absent where
            none are asked for.
        ends: a later checkpoint, cosigned when the time was over (`service.log.clock`); absent likewise.
    """

    TYPE = "overdue"
    run_id: Identifier
    run: Hash
    operator: PublicKey
    institution: Identifier
    begins: Evidence | None = None
    ends: NoteText | None = None
    declared_at: Time

    @model_validator(mode="after")
    def _check(self) -> "Overdue":
        if (self.begins is None) != (self.ends is None):
            missing = "begins" if self.begins is None else "ends"
            raise MalformedDocument(missing, "missing: begins and ends go together")
        return self


class Reader(Part):
    """Whom an institution lets read its bundles: a name that it chose, and what opens them, one of the two.

    Attributes:
        name: it has no meaning to anybody else.
        token_sha256: hash of a bearer token.
        public_key: Ed25519 key that signs requests.
    """

    name: Identifier
    token_sha256: Hash | None = None
    public_key: PublicKey | None = None

    @model_validator(mode="after")
    def _check(self) -> "Reader":
        if (self.token_sha256 is None) == (self.public_key is None):
            raise MalformedDocument("token_sha256", "a reader has a token or a public key, one of the two")
        return self


class Readers(Body):
    """The institution names who may read its bundles. The whole list: who is not in it, may not any more."""

    TYPE = "readers"
    institution: Identifier
    operator: PublicKey
    sequence: Counter
    entry: Hash
    readers: ListOf[Reader]

    @model_validator(mode="after")
    def _check(self) -> "Readers":
        if len(self.readers) > MAX_READERS:
            raise MalformedDocument("readers", f"at most {MAX_READERS} readers")
        require_unique([reader.name for reader in self.readers], "readers[{}].name".format)
        return self


MAX_READERS = 64


class CoverageClaim(DocumentClaim):
    """The book in force is covered at a tick that no run of the operator is at: an owed account's own way out.

    Attributes:
        entry: hash of the last entry that the institution saw.
        submission: the book in force.
        price_sequence: number of the newest tick with a market.
        tick: its hash.
        posted: collateral that counts, in smallest units.
        instructions: number of the last collateral instruction in it.
        agreed: figures of the agreement that the rows count; absent where there is none.
        form: `exact` where that is of rows with slack; else absent.
        matrix: hash of the fine maintenance rows, which the proof is about.
    """

    institution: Identifier
    operator: PublicKey
    entry: Hash
    submission: Hash
    price_sequence: Counter
    tick: Hash
    posted: IdMap[Quantity]
    instructions: Counter
    agreed: Agreed | None = None
    form: Literal["exact"] | None = None
    matrix: Hash


class Coverage(Body, CoverageClaim):
    """The claim with its proof: none of the fine maintenance rows is negative."""

    TYPE = "coverage"
    sufficiency_proof: ProofHex


class GivingUp(Body):
    """The institution gives up the books of its account, because it can open them no more.

    It asks by this; the operator agrees by the entry that it makes of it, or makes none. Once the book was proven
    covered, or another one came, it is about nothing any more.

    Attributes:
        entry: hash of the last entry that the institution saw.
        submission: the book in force.
        waiting: the book that waits, if one does.
        covered: the newest tick at which the one in force was proven covered, or made so, if it ever was.
        reason: in the institution's words.
    """

    TYPE = "giving-up"
    institution: Identifier
    operator: PublicKey
    entry: Hash
    submission: Hash
    waiting: Hash | None = None
    covered: Counter | None = None
    reason: Label


class Event(NamedTuple):
    """A signed document as the machine takes it.

    Attributes:
        kind: what happens.
        document: hash of the document's body.
        signer: whose signature it has; checked.
        body: what it says.
    """

    kind: EventKind
    document: str
    signer: str
    body: Body


_BODIES: dict[str, type[Body]] = {
    body.TYPE: body
    for body in (
        AdmissionRecord, UniverseRevision, DepositRecord, Enrolment, EnrolmentConfirmation, Submission,
        CollateralInstruction, RunOpened, RunRecord, RunVoid, Overdue, Answer, Settlement, Coverage, Readers, GivingUp,
        Dispute, DisputeResolution, DisputeWithdrawal, DisputeLapse,
        PartyNaming, Obligation, Netting,
        Sale, LossAgreement, CloseOut, FundContribution, FundDraw,
        Release,
        Maturity,
        AgreementAmendment,
        Halt, Resume,
        Segregation,
        IdentityRotation,
        OpeningRequest, OpeningLapse, Opened,
        CustodyAmendment, Resharing,
    )
}  # fmt: skip

_KINDS = {
    "admission": EventKind.ADMITTED,
    "universe-revision": EventKind.UNIVERSE_REVISED,
    "deposit": EventKind.DEPOSITED,
    "enrolment": EventKind.KEYS_ENROLLED,
    "enrolment-confirmation": EventKind.KEYS_CONFIRMED,
    "run-opened": EventKind.RUN_OPENED,
    "run": EventKind.RUN_RECORDED,
    "run-void": EventKind.RUN_VOID,
    "coverage": EventKind.COVERED_UNASKED,
    "readers": EventKind.READERS_NAMED,
    "giving-up": EventKind.BOOK_GIVEN_UP,
    "dispute": EventKind.DISPUTED,
    "dispute-resolution": EventKind.DISPUTE_RESOLVED,
    "dispute-withdrawal": EventKind.DISPUTE_WITHDRAWN,
    "dispute-lapse": EventKind.DISPUTE_LAPSED,
    "party": EventKind.PARTY_NAMED,
    "netting": EventKind.NETTED,
    "sale": EventKind.COLLATERAL_SOLD,
    "loss-agreement": EventKind.LOSS_AGREED,
    "close-out": EventKind.DEFAULT_CLOSED,
    "fund-contribution": EventKind.FUND_CONTRIBUTED,
    "fund-draw": EventKind.FUND_DRAWN,
    "agreement-amendment": EventKind.AGREEMENT_AMENDED,
    "halt": EventKind.HALTED,
    "resume": EventKind.RESUMED,
    "segregation": EventKind.COLLATERAL_SEGREGATED,
    "identity-rotation": EventKind.IDENTITY_ROTATED,
    "opening-request": EventKind.OPENING_REQUESTED,
    "opening-lapse": EventKind.OPENING_LAPSED,
    "custody-amendment": EventKind.CUSTODY_AMENDED,
    "resharing": EventKind.RESHARED,
}


def read_event(signed: SignedDocument, owes: bool = True, *, verified: str | None = None) -> Event:
    """Return the event that a signed document is.

    Args:
        signed: the document; that its signature is its signer's is checked here, who may sign it is in the machine.
        owes: whether the open run is owed when its time is over, `OpenRun.owes`.
        verified: hash of its body, of whoever has verified the signature before; it is not verified again then.

    Raises:
        MalformedRequest: it is no event of an account.
        SignatureInvalid, DocumentError: it does not hold.
    """
    body_type = _BODIES.get(signed.type)
    if body_type is None:
        raise MalformedRequest(f"a document of type {signed.type!r} is no event of an account", "type")
    if verified is None:
        signed.verify(frozenset({signed.signer}))
    _, body = parse_signed(signed, body_type)
    return Event(_kind(body, owes), verified or signed.body_hash(), signed.signer, body)


def _kind(body: Body, owes: bool) -> EventKind:
    if isinstance(body, CollateralInstruction):
        return EventKind.POSTED if body.action == "post" else EventKind.WITHDRAWN
    if isinstance(body, Obligation):
        return EventKind.DELIVERY_PROMISED if body.direction == "delivery" else EventKind.RETURN_PROMISED
    if isinstance(body, Maturity):
        return EventKind.MATURED if body.pool == "posted" else EventKind.FREE_MATURED
    if isinstance(body, Submission):
        return EventKind.SUBMITTED if body.gain.settles is None else EventKind.LOSSES_SETTLED
    if isinstance(body, Answer):
        return EventKind.COVERED if body.outcome == "covered" else EventKind.BREACH_PROVEN
    if isinstance(body, Settlement):
        return EventKind.MARGIN_CALLED if body.kind == "margin_call" else EventKind.LIQUIDATED
    if isinstance(body, Release):
        return EventKind.RELEASED if body.given is None else EventKind.SUBSTITUTED
    if isinstance(body, Opened):
        return EventKind.OPENED_COVERED if body.outcome == "covered" else EventKind.OPENED_IN_BREACH
    if isinstance(body, Overdue):
        return EventKind.ANSWER_OVERDUE if owes else EventKind.PROOF_OVERDUE
    return _KINDS[body.TYPE]

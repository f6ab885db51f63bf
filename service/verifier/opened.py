"""What custodians found of a book, and the receipts for its shares, held against the policies of a trust file."""

from atomic_margin.documents.errors import DocumentsError
from atomic_margin.service.errors import Refused, RequestError
from atomic_margin.service.protocol.account.entries import Entry, salted_hash
from atomic_margin.service.protocol.account.events import EventKind
from atomic_margin.service.protocol.account.opening_documents import Opened, OpeningRequest
from atomic_margin.service.protocol.account.resharing_documents import Resharing
from atomic_margin.service.protocol.account.state import PublicState
from atomic_margin.service.protocol.account.values import commitments_hash
from atomic_margin.service.protocol.bodies import parse_signed
from atomic_margin.service.protocol.custody import CustodyPolicy
from atomic_margin.service.protocol.dealings import check_receipts
from atomic_margin.service.protocol.documents import Answer
from atomic_margin.service.protocol.opening_claims import OpeningGround, check_verdicts
from atomic_margin.service.protocol.resharings import check_reshared
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.submissions import Submission
from atomic_margin.service.protocol.trust import TrustFile
from atomic_margin.service.protocol.verification import VerifiedBreach, VerifiedCoverage, verify_opened
from atomic_margin.service.verifier.history import History
from atomic_margin.zk.groups import Group


def parse_answered(value: object) -> tuple[SignedDocument, Answer | Opened]:
    """Return what ended a run, signed and typed: the institution's answer, or what custodians found in its place.

    Raises:
        MalformedRequest, DocumentError: it is neither.
    """
    if isinstance(value, dict) and value.get("type") == Opened.TYPE:
        return parse_signed(value, Opened)
    return parse_signed(value, Answer)


def pinned_policy(trust: TrustFile, institution: str, named: str) -> CustodyPolicy:
    """Return the custody policy of that hash.

    Raises:
        Refused: the trust file pins no such policy for the institution.
    """
    for policy in (trust.custody or {}).get(institution, ()):
        if policy.hash() == named:
            return policy
    raise Refused(
        f"the trust file pins no custody policy {named} for {institution!r}: have it from the institution, and pin it "
        "with `trust --custody NAME=FILE`",
        "custody",
    )


def pinned_if_any(trust: TrustFile, institution: str, named: str) -> CustodyPolicy | None:
    """Return the custody policy of that hash; None where the trust file pins none at all of the institution.

    Raises:
        Refused: the trust file pins others of the institution.
    """
    return pinned_policy(trust, institution, named) if (trust.custody or {}).get(institution) else None


def check_sharing(submission: Submission, trust: TrustFile) -> None:
    """Check the receipts of a submission, where the trust file pins custodians of the institution.

    That there are as many as it takes, the account machine says.

    Raises:
        Refused: a receipt does not hold, or the policy is another.
    """
    sharing = submission.sharing
    policy = None if sharing is None else pinned_if_any(trust, submission.institution, sharing.policy)
    if sharing is None or policy is None:
        return
    try:
        check_receipts(
            sharing,
            policy,
            institution=submission.institution,
            operator=submission.operator,
            book=commitments_hash(submission),
        )
    except (RequestError, DocumentsError) as error:
        raise Refused(f"the book was not shared so: {error}", "sharing.receipts") from error


def check_resharing(resharing: Resharing, trust: TrustFile) -> None:
    """Check the receipts of a re-sharing, where the trust file pins custodians of the institution.

    Raises:
        Refused: a receipt does not hold, or the policy is another.
    """
    policy = pinned_if_any(trust, resharing.institution, resharing.policy)
    if policy is not None:
        try:
            check_reshared(resharing, policy)
        except (RequestError, DocumentsError) as error:
            raise Refused(f"the book was not re-shared so: {error}", "receipts") from error


def check_verdicts_of(opened: Opened, policy: CustodyPolicy) -> None:
    """Check who signed what was found. What is proven of the book is looked at in bundles and archives.

    Raises:
        Refused: a verdict does not hold, or there are too few.
    """
    try:
        check_verdicts(opened.verdicts, opened.finding, policy)
    except (RequestError, DocumentsError) as error:
        raise Refused(str(error), "verdicts") from error


def check_requested(history: History, opened: Opened, operator: str) -> None:
    """Make sure that the account which custodians read is the one that has the run.

    Verdicts name the request by hash. The request names the account's last entry, up to which each of them replayed it,
    and that entry the pseudonym. So the operator cannot show entries of an account that it keeps beside it.

    Args:
        history: what a bundle shows of the account; that the run is in `recorded` is checked before.
        opened: what was found.
        operator: public key of the operator.

    Raises:
        Refused: no request is shown, or one that others were asked by, of another account or run, or out of order.
        SignatureInvalid, MalformedRequest, DocumentError: request or entries are not the operator's.
    """
    shown, trusted = history.opening, frozenset({operator})
    if shown is None:
        raise Refused(
            "the bundle does not show the request by which custodians opened the book, so it may be of another account "
            "than they read: ask the operator for a bundle that a newer version made",
            "history.opening",
        )
    signed, request = parse_signed(shown.request, OpeningRequest)
    signed.verify(trusted)
    if signed.body_hash() != opened.request:
        raise Refused("custodians were asked by another request than is shown", "history.opening.request")
    for name in ("institution", "operator", "run_id", "run", "submission"):
        if getattr(request, name) != getattr(opened, name):
            raise Refused(f"the request is about another {name} than what was found", f"history.opening.request.{name}")
    (last, before), (_, entered) = parse_signed(shown.before, Entry), parse_signed(shown.entered, Entry)
    for entry in (shown.before, shown.entered):
        SignedDocument.parse(entry).verify(trusted)
    if last.body_hash() != request.entry:
        raise Refused("the request names another entry than is shown before it", "history.opening.before")
    follows = (entered.account, entered.number, entered.previous, entered.kind) == (
        before.account,
        before.number + 1,
        request.entry,
        EventKind.OPENING_REQUESTED,
    )
    if not follows or entered.document != salted_hash(shown.salt, signed.canonical()):
        raise Refused("the entry of the request does not follow the one that it names", "history.opening.entered")
    named, recorded = parse_signed(history.recorded.entry, Entry)
    if before.account != recorded.account:
        raise Refused("custodians read another account than the one that has the run", "history.opening.before")
    if before.number < recorded.number or (before.number == recorded.number and last.body_hash() != named.body_hash()):
        raise Refused("the request came before the run was recorded", "history.opening.before")
    if history.liquidation is not None:
        _, settled = parse_signed(history.liquidation.settled, Entry)
        # What was found is entered after the request, and settled after that.
        if settled.number <= entered.number + 1:
            raise Refused("the account was liquidated before custodians can have found anything", "history.liquidation")


def check_opened(
    signed: SignedDocument, opened: Opened, ground: OpeningGround, public: PublicState, trust: TrustFile, group: Group
) -> VerifiedCoverage | VerifiedBreach:
    """Check what custodians found of the book of a run.

    Args:
        signed: the document.
        opened: its body.
        ground: the run, all of which was verified before.
        public: the account with that run; its book says under which policy it was dealt.
        trust: pins that policy.
        group: backend of the proofs.

    Raises:
        Refused: the book was not shared, or what was found does not hold.
        SignatureInvalid, MalformedRequest, DocumentError: a verdict does not hold.
    """
    shared = None if public.book is None else public.book.shared
    if shared is None:
        raise Refused("no custodian had shares of this book", "answer")
    policy = pinned_policy(trust, ground.record.institution, shared.policy)
    return verify_opened(signed, opened, ground=ground, policy=policy, group=group)

"""Re-sharings: the operator asks, dealers pass on, new custodians receipt, and the account is shared by another deal.

It carries boxes that it cannot open, and checks that the new deal is the sum of the dealers'. A re-sharing takes as
long as deals of the policy do; then, or with too many complaints, it is over, and another one may be asked for, of
other dealers. One of an account at a time.
"""

from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from atomic_margin.documents.fields import instant_text, now_text
from atomic_margin.service.errors import Conflict, DealingOver, Refused
from atomic_margin.service.operator.custody.policies import policy_named, policy_of
from atomic_margin.service.operator.custody.resharing_rows import (
    as_json,
    deal_before,
    dealers_of,
    holders_of,
    row_of,
    standing_of,
)
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.store import entries
from atomic_margin.service.operator.store.custody_tables import (
    ResharingDealerRow,
    ResharingHolderRow,
    ResharingRow,
)
from atomic_margin.service.operator.store.database import now
from atomic_margin.service.operator.store.tables import Account
from atomic_margin.service.operator.store.told import tell
from atomic_margin.service.protocol.account.resharing_documents import (
    PassedOn,
    Resharing,
    ResharingRequest,
)
from atomic_margin.service.protocol.bodies import parse_signed
from atomic_margin.service.protocol.custody import CustodyPolicy
from atomic_margin.service.protocol.dealings import ShareComplaint, ShareReceipt
from atomic_margin.service.protocol.resharing_messages import (
    DealShown,
    PassedOnUpload,
    ResharingAsked,
    ResharingStanding,
    shown,
)
from atomic_margin.service.protocol.resharings import check_boxes, check_passed_on, resharing_of
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.zk.errors import ProofError


def ask(operator: Operator, asked: ResharingAsked) -> ResharingStanding:
    """Ask custodians of the book in force to pass their shares on to those of the policy in force.

    Raises:
        NotFound: there is no such account.
        Conflict: no book is in force that custodians have shares of, or it is being opened.
        Refused: dealers are not as many holders as have the book together.
    """
    institution = operator.account(asked.institution).institution
    with operator.store.unit_of_work() as session:
        account = session.get_one(Account, institution)
        public = entries.state_of(account).public
        book = public.book
        if public.custody is None or book is None or book.shared is None:
            raise Conflict("no book is in force that custodians have shares of", "institution")
        if public.custody.opening is not None:
            raise Conflict("custodians open the book: re-share it after that", "institution")
        for row in session.scalars(
            select(ResharingRow).where(ResharingRow.institution == institution, ResharingRow.stage == "open")
        ):
            row.stage = "over"
        before, after = policy_named(session, institution, book.shared.policy), policy_of(session, institution)
        deal, moment = deal_before(session, operator, institution, book.shared.deal), now()
        dealers = _dealers(session, before, book.shared.deal) if asked.dealers is None else asked.dealers
        body = ResharingRequest.parse(
            {
                "institution": institution,
                "operator": operator.identity.public_key,
                "book": book.commitments,
                "before": {"policy": book.shared.policy, "deal": book.shared.deal},
                "policy": after.hash(),
                "dealers": [str(point) for point in dealers],
                "requested_at": instant_text(moment),
            }
        )
        try:
            resharing_of(body, deal, after)
        except ProofError as error:
            raise Refused(str(error), "dealers") from error
        signed = body.signed_by(operator.identity)
        row = ResharingRow(
            request=signed.body_hash(),
            institution=institution,
            deal=book.shared.deal,
            document=signed.to_json(),
            before=as_json(shown(deal)),
            stage="open",
            asked_at=instant_text(moment),
            expires_at=instant_text(moment + timedelta(seconds=after.deal_seconds)),
        )
        session.add(row)
        session.flush()
        for point in body.dealers:
            identity = before.by_point[point].identity
            session.add(ResharingDealerRow(request=row.request, point=point, identity=identity, blamed=False))
        for one in after.custodians:
            session.add(ResharingHolderRow(request=row.request, point=one.point, identity=one.identity))
        session.flush()
        tell(session, "re-sharing asked for", institution=institution, dealers=len(body.dealers))
        return standing_of(session, row)


def pass_on(operator: Operator, identity: str, request: str, upload: PassedOnUpload) -> ResharingStanding:
    """Take what a dealer passes on; with that of the last one the new deal is known.

    Raises:
        SignatureInvalid, Refused, Conflict, DocumentError: what is wrong with it; nothing is stored.
    """
    signed, body = parse_signed(upload.passed_on, PassedOn)
    signed.verify(frozenset({identity}))
    with operator.store.unit_of_work() as session:
        row, policy = _open(session, request)
        asked = ResharingRequest.parse(row.document["body"])
        dealers = dealers_of(session, row)
        dealer = next((one for one in dealers if one.identity == identity), None)
        if dealer is None:
            raise Refused("the re-sharing has other dealers", "point")
        if dealer.upload is not None:
            if dealer.upload["passed_on"]["body"] == signed.body:
                return standing_of(session, row)
            raise Conflict("the dealer has passed its shares on, with another document", "state")
        plan = resharing_of(asked, DealShown.parse(row.before).deal(row.deal), policy)
        boxes = [bytes.fromhex(box) for box in upload.boxes]
        deals = {dealer.point: check_passed_on(plan, body, asked, dealer.point, upload.coefficients, operator.group)}
        check_boxes(body, boxes, policy, plan.statement.entries)
        dealer.upload = as_json(upload)
        if all(one.upload is not None for one in dealers):
            for one in dealers:
                other = PassedOnUpload.parse(one.upload)
                _, said = parse_signed(other.passed_on, PassedOn)
                deals[one.point] = check_passed_on(plan, said, asked, one.point, other.coefficients, operator.group)
            new = plan.combined(deals, operator.group)
            row.new_deal, row.after = new.hash.hex(), as_json(shown(new))
        session.flush()
        tell(session, "shares passed on", institution=row.institution, point=dealer.point)
        return standing_of(session, row)


def take_receipt(operator: Operator, identity: str, request: str, document: object) -> ResharingStanding:
    """Take a new custodian's receipt. With enough of them the re-sharing is entered; later ones are kept too.

    Raises:
        SignatureInvalid, Refused, Conflict, DocumentError: what is wrong with it.
        DealingOver: it comes too late.
    """
    signed, receipt = parse_signed(document, ShareReceipt)
    signed.verify(frozenset({identity}))
    with operator.store.unit_of_work() as session:
        row, policy = _open(session, request, "entered")
        holder = _holder(session, row, identity)
        if row.new_deal is None:
            raise Conflict("dealers have not passed their shares on yet", "state")
        asked = ResharingRequest.parse(row.document["body"])
        wanted = {"dealing": request, "deal": row.new_deal, "policy": asked.policy, "book": asked.book}
        _require_about(receipt, asked, holder, wanted)
        if holder.receipt is not None and holder.receipt["body"] != signed.body:
            # A process that was started anew says it with another time: one receipt is as good as the other.
            return standing_of(session, row)
        holder.receipt, holder.complaint = signed.to_json(), None
        session.flush()
        tell(session, "shares receipted", institution=row.institution, point=holder.point)
        receipts = [one.receipt for one in holders_of(session, row) if one.receipt is not None]
        if row.stage == "open" and len(receipts) >= policy.receipts:
            account = session.get_one(Account, row.institution)
            said = dict(row.document["body"])
            said |= {"entry": account.head, "deal": row.new_deal, "receipts": receipts, "reshared_at": now_text()}
            entries.enter(session, operator.book, account, Resharing.parse(said).signed_by(operator.identity))
            row.stage = "entered"
        return standing_of(session, row)


def take_complaint(operator: Operator, identity: str, request: str, document: object) -> ResharingStanding:
    """Take a new custodian's complaint about a dealer; with too many the re-sharing is over.

    Raises:
        SignatureInvalid, Refused, Conflict, DocumentError: what is wrong with it.
        DealingOver: it comes too late.
    """
    signed, complaint = parse_signed(document, ShareComplaint)
    signed.verify(frozenset({identity}))
    with operator.store.unit_of_work() as session:
        row, policy = _open(session, request)
        holder = _holder(session, row, identity)
        named = {
            SignedDocument.parse(one.upload["passed_on"]).body_hash(): one
            for one in dealers_of(session, row)
            if one.upload is not None
        }
        dealer = named.get(complaint.dealing)
        if dealer is None or dealer.upload is None:
            raise Refused("the complaint is about what no dealer of this re-sharing passed on", "dealing")
        asked = ResharingRequest.parse(row.document["body"])
        _require_about(complaint, asked, holder, {"deal": dealer.upload["passed_on"]["body"]["deal"]})
        if holder.receipt is not None:
            raise Conflict("the custodian has receipted its shares; it cannot complain about them", "state")
        holder.complaint, dealer.blamed = signed.to_json(), True
        session.flush()
        tell(
            session, "shares passed on complained about",
            institution=row.institution, point=holder.point, dealer=dealer.point,
        )  # fmt: skip
        there = holders_of(session, row)
        if sum(one.complaint is None for one in there) < policy.receipts:
            row.stage = "over"
        return standing_of(session, row)


def _open(session: Session, request: str, *more: str) -> tuple[ResharingRow, CustodyPolicy]:
    """Return a re-sharing that goes on, or is in one of the other states, with the policy it is to."""
    row = row_of(session, request)
    if row.stage not in ("open", *more) or row.expires_at <= now_text():
        raise DealingOver("the re-sharing is over; the account's entries say what came of it", "request")
    return row, policy_named(session, row.institution, str(row.document["body"]["policy"]))


def _holder(session: Session, row: ResharingRow, identity: str) -> ResharingHolderRow:
    for one in holders_of(session, row):
        if one.identity == identity:
            return one
    raise Refused("the policy that the book goes over to does not name the custodian", "point")


def _require_about(
    document: ShareReceipt | ShareComplaint, asked: ResharingRequest, holder: ResharingHolderRow, more: dict[str, str]
) -> None:
    wanted: dict[str, object] = {
        "institution": asked.institution,
        "operator": asked.operator,
        "point": holder.point,
        "custodian": holder.identity,
        **more,
    }
    for name, value in wanted.items():
        if getattr(document, name) != value:
            raise Refused(f"it is about another {name} than this re-sharing's", name)


def _dealers(session: Session, policy: CustodyPolicy, deal: str) -> tuple[int, ...]:
    """Choose who passes on: those that kept fewest re-sharings of this deal from their end, then by points."""
    query = (
        select(ResharingDealerRow)
        .join(ResharingRow, ResharingRow.request == ResharingDealerRow.request)
        .where(ResharingRow.deal == deal, ResharingRow.stage != "entered")
    )
    failed = dict.fromkeys(policy.by_point, 0)
    for row in session.scalars(query):
        failed[row.point] += row.blamed or row.upload is None
    chosen = sorted(policy.by_point, key=lambda point: (failed[point], point))[: policy.threshold]
    return tuple(sorted(chosen))

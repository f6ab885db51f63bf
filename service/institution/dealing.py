"""Deal a book to custodians before it is submitted, in steps: each looks how far the deal is, and nothing waits here.

Institution only. A deal is kept before it is sent, so that after a crash the same one is sent again; it is of one book,
and the next submission of that book goes on with it. What is kept of it are secrets, as are the blindings beside it.
"""

import hashlib
import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import NamedTuple

from atomic_margin.documents.fields import instant_text
from atomic_margin.documents.strict import instant
from atomic_margin.service.errors import AgentRefused, DealFailed, DealOpen, RemoteError
from atomic_margin.service.institution.party import Party
from atomic_margin.service.institution.share_boxes import seal_shares
from atomic_margin.service.institution.store import OwnDealing
from atomic_margin.service.institution.submissions import CommittedBook
from atomic_margin.service.protocol.account.state import Account
from atomic_margin.service.protocol.account.values import book_hash
from atomic_margin.service.protocol.bodies import parse_signed
from atomic_margin.service.protocol.custodian_messages import DealingStanding
from atomic_margin.service.protocol.custody import CustodyPolicy
from atomic_margin.service.protocol.dealings import (
    BookSharing,
    Dealing,
    PublishedShares,
    ShareComplaint,
    check_receipts,
    sharing_statement,
)
from atomic_margin.service.protocol.share_boxes import BoxAddress, read_encryption_key
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.terms import Columned
from atomic_margin.zk.sharing.deal import SharingWitness, deal_shares
from atomic_margin.zk.sharing.messages import Deal

RECEIPT_SECONDS = 1.0
"""Between two looks at a deal that receipts are missing of."""

_log = logging.getLogger(__name__)


class _Here(NamedTuple):
    """What a deal is about."""

    policy: CustodyPolicy
    sequence: int
    book: str


def sharing_of(
    party: Party, state: Account, sequence: int, book: CommittedBook, account: Columned
) -> BookSharing | None:
    """Return what a submission of a book says of its shares; None where the account has no custodians.

    Args:
        party: the institution.
        state: the account at the operator's last entry.
        sequence: of the submission.
        book: its entries, committed to.
        account: gross limit and columns.

    Raises:
        DealOpen: receipts are missing yet; look again.
        DealFailed: the deal came to nothing, and says whose receipts are missing; the next step deals anew.
        AgentRefused: the trust file pins no such policy, or the operator shows what no custodian signed.
        RemoteError: the operator refuses, or does not answer.
    """
    custody = state.public.custody
    if custody is None:
        return None
    commitments = tuple(point.hex() for point in book.commitments)
    named = book_hash(commitments, party.terms.columns(account).hash(), account.gross_limit)
    for before in (state.public.book, state.public.waiting):
        if before is not None and before.commitments == named and before.shared is not None:
            # Under new keys, or at new prices: custodians have their shares.
            return BookSharing(policy=before.shared.policy, deal=before.shared.deal)
    here = _Here(_pinned(party, custody.policy), sequence, named)
    row = _kept(party, here) or _dealt(party, here, book)
    try:
        return _advanced(party, here, row)
    except DealFailed as error:
        _end(party, row, str(error))
        raise


def committed(party: Party, sequence: int, values: tuple[int, ...]) -> CommittedBook | None:
    """Return a book that was dealt for a submission that was not made: it goes on under the same commitments.

    None where none with these entries is kept, or its deal came to nothing.
    """
    with party.store.unit_of_work() as session:
        kept = session.query(OwnDealing).filter_by(sequence=sequence, over=None).order_by(OwnDealing.id.desc()).first()
    if kept is None or kept.values != [str(value) for value in values]:
        return None
    points = kept.upload["dealing"]["body"]["commitments"]
    blindings = tuple(int(blinding) for blinding in kept.blindings)
    return CommittedBook(values, tuple(bytes.fromhex(point) for point in points), blindings)


def receipted(
    step: Callable[[], BookSharing | None], lock: AbstractContextManager[bool], stage: Callable[[str], None]
) -> BookSharing | None:
    """Return what a step returns once custodians have receipted the deal.

    Args:
        step: looks how far it is, `sharing_of`.
        lock: of the agent; it is free between two steps, so that runs are answered meanwhile.
        stage: told what is missing.

    Raises:
        DealFailed, AgentRefused, RemoteError: as the step.
    """
    while True:
        try:
            with lock:
                return step()
        except DealOpen as waiting:
            stage(str(waiting))
        time.sleep(RECEIPT_SECONDS)


def standing(party: Party) -> str | None:
    """Return how far the last deal is, for people; None if there was none."""
    with party.store.unit_of_work() as session:
        row = session.query(OwnDealing).order_by(OwnDealing.id.desc()).first()
    return (
        None if row is None else f"deal for submission {row.sequence}: {row.over or row.said or 'kept, not sent yet'}"
    )


def _pinned(party: Party, policy: str) -> CustodyPolicy:
    found = (party.settings.trust.custody or {}).get(party.settings.institution, ())
    for one in found:
        if one.hash() == policy:
            return one
    raise AgentRefused(f"the trust file pins no custody policy {policy}; pin what you agreed to (`trust --custody`)")


def _kept(party: Party, here: _Here) -> OwnDealing | None:
    with party.store.unit_of_work() as session:
        found = session.query(OwnDealing).filter_by(book=here.book, policy=here.policy.hash(), over=None)
        return found.order_by(OwnDealing.id.desc()).first()


def _dealt(party: Party, here: _Here, book: CommittedBook) -> OwnDealing:
    """Deal a book and keep what is sent, before it is."""
    party.stage("dealing the book to custodians")
    policy, own, operator = here.policy, party.settings.institution, party.settings.trust.operator
    about: dict[str, object] = {
        "institution": own,
        "operator": operator,
        "policy": policy.hash(),
        "sequence": str(here.sequence),
        "book": here.book,
        "commitments": [point.hex() for point in book.commitments],
    }
    # What is dealt does not depend on the deal's hash, nor on the boxes.
    statement = sharing_statement(Dealing.parse({**about, "deal": "00" * 32, "boxes": []}), policy)
    deal, shares = deal_shares(statement, SharingWitness(book.values, book.blindings))
    boxes = []
    for keys, holder, part in zip(policy.custodians, policy.holders, shares, strict=True):
        address = BoxAddress(operator, own, deal.hash, holder)
        boxes.append(seal_shares(part, address, read_encryption_key(keys.encryption_key)))
    row = OwnDealing(
        deal=deal.hash.hex(),
        sequence=here.sequence,
        book=here.book,
        policy=policy.hash(),
        upload=_upload(party, about, deal, boxes),
        values=[str(value) for value in book.values],
        blindings=[str(blinding) for blinding in book.blindings],
        shares=[part.to_bytes().hex() for part in shares],
        stored_at=instant_text(party.settings.clock()),
        sent=False,
    )
    with party.store.unit_of_work() as session:
        # Shares of deals that came to nothing are of no use; those of books in force are with custodians.
        session.query(OwnDealing).filter(OwnDealing.sequence < here.sequence).delete()
        session.add(row)
    return row


def _upload(party: Party, about: dict[str, object], deal: Deal, boxes: list[bytes]) -> dict[str, object]:
    hashes = [hashlib.sha256(box).hexdigest() for box in boxes]
    dealing = Dealing.parse({**about, "deal": deal.hash.hex(), "boxes": hashes})
    return {
        "dealing": dealing.signed_by(party.identity).to_json(),
        "coefficients": deal.to_bytes().hex(),
        "boxes": [box.hex() for box in boxes],
    }


def _advanced(party: Party, here: _Here, row: OwnDealing) -> BookSharing:
    """Send a deal, answer complaints, and return it with its receipts once there are enough."""
    policy, ends = here.policy, instant(row.stored_at) + timedelta(seconds=here.policy.deal_seconds)
    over = party.settings.clock() >= ends
    if not row.sent and not over:
        shown = party.client.bring_dealing(row.upload)
        _note(party, row, sent=True)
    else:
        shown = _shown(party, row)
    complaints = _complaints(party, here, row, shown)
    if len(complaints) > policy.absent:
        names = ", ".join(policy.by_point[point].name for point in sorted(complaints))
        raise DealFailed(f"{names} complain of their shares, more than may be away: ask them, and submit again")
    answered = {int(str(one["body"]["point"])) for one in shown.answers}
    for point, signed in sorted(complaints.items()):
        if point not in answered:
            shown = _answer(party, row, policy, point, signed)
    sharing = BookSharing(policy=row.policy, deal=row.deal, receipts=shown.receipts)
    own, operator = party.settings.institution, party.settings.trust.operator
    points = check_receipts(sharing, policy, institution=own, operator=operator, book=here.book)
    if len(points) >= policy.receipts:
        _note(party, row, said=f"{len(points)} custodians have receipted their shares")
        return sharing
    missing = ", ".join(one.name for one in policy.custodians if one.point not in points)
    said = f"{len(points)} of {policy.receipts} receipts; missing: {missing}"
    if over:
        raise DealFailed(f"the time of the deal is over with {said}: ask these custodians, and submit again")
    _note(party, row, said=said)
    raise DealOpen(f"waiting for custodians: {said}")


def _shown(party: Party, row: OwnDealing) -> DealingStanding:
    try:
        return party.client.dealing(row.deal)
    except RemoteError as error:
        if error.status == 404:
            raise DealFailed("the operator keeps the deal no longer: submit again") from error
        raise


def _complaints(party: Party, here: _Here, row: OwnDealing, shown: DealingStanding) -> dict[int, SignedDocument]:
    """Return the complaints that custodians signed about this very deal, by their points."""
    found: dict[int, SignedDocument] = {}
    dealing = SignedDocument.parse(row.upload["dealing"]).body_hash()
    for value in shown.complaints:
        signed, complaint = parse_signed(value, ShareComplaint)
        keys = here.policy.by_point.get(complaint.point)
        if keys is None:
            raise AgentRefused(f"the operator shows a complaint of point {complaint.point}, where no custodian is")
        signed.verify(frozenset({keys.identity}))
        named = (complaint.institution, complaint.operator, complaint.dealing, complaint.deal, complaint.custodian)
        own = (party.settings.institution, party.settings.trust.operator, dealing, row.deal, keys.identity)
        if named != own:
            raise AgentRefused(f"the operator shows a complaint of {keys.name} that is about another deal")
        found[complaint.point] = signed
    return found


def _answer(
    party: Party, row: OwnDealing, policy: CustodyPolicy, point: int, complaint: SignedDocument
) -> DealingStanding:
    """Publish the share that a custodian complains of."""
    place = [one.point for one in policy.custodians].index(point)
    _log.error(
        "custodian %s complains of its shares (%s): they are published to the custodians",
        policy.by_point[point].name,
        complaint.body["reason"],
    )
    published = PublishedShares.parse(
        {
            "institution": party.settings.institution,
            "operator": party.settings.trust.operator,
            "dealing": SignedDocument.parse(row.upload["dealing"]).body_hash(),
            "deal": row.deal,
            "point": str(point),
            "complaint": complaint.body_hash(),
            "shares": row.shares[place],
        }
    )
    return party.client.publish_shares(row.deal, published.signed_by(party.identity).to_json())


def _note(party: Party, row: OwnDealing, *, sent: bool | None = None, said: str | None = None) -> None:
    with party.store.unit_of_work() as session:
        kept = session.get_one(OwnDealing, row.id)
        kept.sent, kept.said = kept.sent if sent is None else sent, kept.said if said is None else said


def _end(party: Party, row: OwnDealing, why: str) -> None:
    with party.store.unit_of_work() as session:
        kept = session.get_one(OwnDealing, row.id)
        kept.over, kept.values, kept.blindings, kept.shares = why, [], [], []

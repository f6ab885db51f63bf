"""Disputes at the operator: taken, shown, resolved by what both sides sign, withdrawn, and let lapse.

An institution's dispute and its withdrawal are entered as they come. What it offers to end one stays a question until
the operator's people agree: the entry is what both sides sign. What they propose themselves binds nobody.
"""

from datetime import timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from atomic_margin.documents.fields import instant_text, now_text
from atomic_margin.documents.strict import instant
from atomic_margin.service.errors import Conflict, IllegalTransition, NotFound
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.store import entries
from atomic_margin.service.operator.store.market_chain import newest_market
from atomic_margin.service.operator.store.tables import Account, EntryRow, ResolutionRow, Tick
from atomic_margin.service.protocol.account.events import EventKind
from atomic_margin.service.protocol.account.state import OpenDispute
from atomic_margin.service.protocol.bodies import parse_signed
from atomic_margin.service.protocol.dispute_messages import (
    AccountDisputes,
    DisputeEntry,
    Offer,
    OpenDisputes,
    OpenDisputeView,
    Proposal,
)
from atomic_margin.service.protocol.disputes import (
    LONGEST_SECONDS,
    Dispute,
    DisputeLapse,
    DisputeResolution,
    DisputeWithdrawal,
    about_a_dispute,
)
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.ticks import PriceTick

SHOWN = 100
"""Entries about disputes of one account that are shown, the newest."""


def dispute(operator: Operator, institution: str, document: object) -> SignedDocument:
    """Enter a dispute; return the signed entry. The same one again gets the same entry.

    Raises:
        SignatureInvalid, Conflict, DocumentError: what is wrong; nothing is stored.
    """
    account = operator.account(institution)
    signed, body = parse_signed(document, Dispute)
    signed.verify(frozenset({account.identity}))
    with operator.store.unit_of_work() as session:
        earlier = entries.entry_of(session, institution, signed.body_hash())
        if earlier is not None:
            return SignedDocument.parse(earlier.entry)
        entries.require_known(session, institution, body.entry)
        _require_subject(session, institution, body)
        _require_prices(session, body)
        return entries.enter(session, operator.book, session.get_one(Account, institution), signed)


def withdraw(operator: Operator, institution: str, document: object) -> SignedDocument:
    """Enter that a dispute is withdrawn; return the signed entry. The same one again gets the same entry.

    Raises:
        SignatureInvalid, Conflict, DocumentError: what is wrong; nothing is stored.
    """
    account = operator.account(institution)
    signed, body = parse_signed(document, DisputeWithdrawal)
    signed.verify(frozenset({account.identity}))
    with operator.store.unit_of_work() as session:
        earlier = entries.entry_of(session, institution, signed.body_hash())
        if earlier is not None:
            return SignedDocument.parse(earlier.entry)
        entries.require_known(session, institution, body.entry)
        return _end(session, operator, institution, signed)


def offer(operator: Operator, institution: str, document: object) -> AccountDisputes:
    """Keep what an institution offers to end its dispute by; nothing of the account changes. The same again is once.

    Raises:
        SignatureInvalid, Conflict, DocumentError: it could not be entered now; nothing is stored.
    """
    account = operator.account(institution)
    signed, body = parse_signed(document, DisputeResolution)
    signed.verify(frozenset({account.identity}))
    with operator.store.unit_of_work() as session:
        sha256 = signed.body_hash()
        offered = session.get(ResolutionRow, institution)
        known = offered is not None and offered.sha256 == sha256
        if not known and entries.entry_of(session, institution, sha256) is None:
            entries.check(session, session.get_one(Account, institution), signed)
            entries.require_known(session, institution, body.entry)
            row = _row(session, institution, body.dispute)
            row.sha256, row.document, row.offered_at = sha256, signed.to_json(), now_text()
    return shown(operator, institution)


def propose(operator: Operator, institution: str, disputed: str, proposal: Proposal) -> AccountDisputes:
    """Keep what the operator would agree to; the institution sees it, and signs it or does not.

    Raises:
        NotFound: the institution is not admitted, or disputes nothing.
        Conflict: another dispute is open.
        DocumentError: no resolution could say that.
    """
    operator.account(institution)
    with operator.store.unit_of_work() as session:
        account = session.get_one(Account, institution)
        said = proposal.model_dump(include={"outcome", "amount", "words"}, exclude_none=True)
        # What it would be as a document has to hold.
        DisputeResolution.parse(
            {
                "institution": institution,
                "operator": operator.identity.public_key,
                "entry": account.head,
                "dispute": _open(account, disputed).dispute,
                "until": "0",
                **said,
            }
        )
        _row(session, institution, disputed).proposed = said
    return shown(operator, institution)


def agree(operator: Operator, institution: str, resolution: str) -> SignedDocument:
    """Enter what an institution offered to end its dispute by; return the signed entry. Twice is once.

    Args:
        operator: who agrees.
        institution: who offered it.
        resolution: hash of the document that is agreed to.

    Raises:
        NotFound: the institution is not admitted, or offered nothing.
        Conflict: it offered something else, or the dispute is over.
    """
    operator.account(institution)
    with operator.store.unit_of_work() as session:
        earlier = entries.entry_of(session, institution, resolution)
        if earlier is not None and earlier.kind == EventKind.DISPUTE_RESOLVED:
            return SignedDocument.parse(earlier.entry)
        row = session.get(ResolutionRow, institution)
        if row is None or row.document is None or row.sha256 is None:
            raise NotFound(f"institution {institution!r} offered nothing that ends a dispute", "institution")
        if row.sha256 != resolution:
            raise Conflict(f"the institution offers {row.sha256[:16]}… now; look at it again", "resolution")
        return _end(session, operator, institution, SignedDocument.parse(row.document))


def lapse(operator: Operator, institution: str, disputed: str) -> SignedDocument:
    """End a dispute that stood for the longest time, by the time of prices; return the signed entry.

    Raises:
        NotFound: the institution is not admitted, or disputes nothing.
        Conflict: another dispute is open, or its time is not over.
    """
    operator.account(institution)
    with operator.store.unit_of_work() as session:
        opened = _open(session.get_one(Account, institution), disputed)
        newest = newest_market(session)
        if newest is None:
            raise TypeError("a dispute was entered without a market")
        body = DisputeLapse.parse(
            {
                "institution": institution,
                "operator": operator.identity.public_key,
                "dispute": disputed,
                "begins": _priced(session.get_one(Tick, opened.price_sequence)),
                "ends": _priced(newest),
                "declared_at": now_text(),
            }
        )
        return _end(session, operator, institution, body.signed_by(operator.identity))


def all_open(operator: Operator) -> OpenDisputes:
    """Return every dispute that holds an account."""
    with operator.store.reading() as session:
        accounts = session.scalars(select(Account).order_by(Account.institution))
        views = [_view(session, account) for account in accounts]
    return OpenDisputes(disputes=tuple(view for view in views if view is not None))


def shown(operator: Operator, institution: str) -> AccountDisputes:
    """Return the disputes of an account."""
    with operator.store.reading() as session:
        query = select(EntryRow).where(EntryRow.institution == institution, EntryRow.kind.in_(_KINDS))
        rows = list(session.scalars(query.order_by(EntryRow.number.desc()).limit(SHOWN)))
        history = [
            DisputeEntry(number=row.number, kind=row.kind, entry=row.entry, document=entries.document_of(session, row))
            for row in reversed(rows)
        ]
        return AccountDisputes(open=_view(session, session.get_one(Account, institution)), history=tuple(history))


_KINDS = [str(kind) for kind in EventKind if about_a_dispute(str(kind))]


def _end(session: Session, operator: Operator, institution: str, signed: SignedDocument) -> SignedDocument:
    entry = entries.enter(session, operator.book, session.get_one(Account, institution), signed)
    row = session.get(ResolutionRow, institution)
    if row is not None:
        session.delete(row)
    session.flush()
    return entry


def _row(session: Session, institution: str, disputed: str) -> ResolutionRow:
    """Return what is kept about the open dispute of an account; what was kept about another one goes."""
    row = session.get(ResolutionRow, institution)
    if row is None:
        row = ResolutionRow(institution=institution, dispute=disputed)
        session.add(row)
    elif row.dispute != disputed:
        row.dispute, row.proposed, row.sha256, row.document, row.offered_at = disputed, None, None, None, None
    return row


def _open(account: Account, disputed: str) -> OpenDispute:
    found = entries.state_of(account).public.disputes
    if found is None or found.open is None:
        raise NotFound(f"institution {account.institution!r} disputes nothing", "institution")
    if found.open.dispute != disputed:
        raise Conflict(f"dispute {found.open.dispute[:16]}… is open now; look at it again", "dispute")
    return found.open


def _require_subject(session: Session, institution: str, body: Dispute) -> None:
    """Make sure that what is disputed is an entry of the account, of that number, and not one about a dispute."""
    row = session.scalar(
        select(EntryRow).where(EntryRow.institution == institution, EntryRow.sha256 == body.subject).limit(1)
    )
    if row is None or row.number != body.number:
        raise Conflict("what is disputed is no entry of this account, or has another number in it", "subject")
    if about_a_dispute(row.kind):
        raise Conflict("an entry about a dispute is disputed no further", "subject")


def _require_prices(session: Session, body: Dispute) -> None:
    tick = session.get(Tick, body.price_sequence)
    if tick is None or _priced(tick) != {name: _said(body)[name] for name in ("price_sequence", "tick", "priced_at")}:
        raise Conflict("the tick that the dispute names is none of this operator, or of another time", "priced_at")


def _said(body: Dispute) -> dict[str, Any]:
    return {"price_sequence": str(body.price_sequence), "tick": body.tick, "priced_at": body.priced_at}


def _priced(tick: Tick) -> dict[str, Any] | None:
    """Return a tick with a market as documents about disputes name it."""
    market = PriceTick.parse(tick.document["body"]).market
    if market is None:
        return None
    return {"price_sequence": str(tick.sequence), "tick": tick.sha256, "priced_at": instant_text(market.as_of)}


def _view(session: Session, account: Account) -> OpenDisputeView | None:
    found = entries.state_of(account).public.disputes
    if found is None or found.open is None:
        return None
    opened = found.open
    entry = entries.entry_of(session, account.institution, opened.dispute)
    begins, newest = _priced(session.get_one(Tick, opened.price_sequence)), newest_market(session)
    ends = None if newest is None else _priced(newest)
    if entry is None or begins is None or ends is None:
        raise TypeError("a dispute was entered without a market")
    lapses = instant(begins["priced_at"]) + timedelta(seconds=LONGEST_SECONDS)
    row = session.get(ResolutionRow, account.institution)
    kept = row is not None and row.dispute == opened.dispute
    return OpenDisputeView(
        institution=account.institution,
        dispute=opened.dispute,
        document=entries.document_of(session, entry),
        lapses_from=instant_text(lapses),
        lapses=instant(ends["priced_at"]) >= lapses,
        proposed=None if row is None or not kept or row.proposed is None else Proposal.model_validate(row.proposed),
        offered=None if row is None or not kept else _offer(session, account, row),
    )


def _offer(session: Session, account: Account, row: ResolutionRow) -> Offer | None:
    if row.sha256 is None or row.document is None or row.offered_at is None:
        return None
    try:
        entries.check(session, account, SignedDocument.parse(row.document))
        problem = None
    except IllegalTransition as error:
        problem = str(error)
    return Offer(resolution=row.sha256, document=row.document, offered_at=row.offered_at, problem=problem)

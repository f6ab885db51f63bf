"""Enter documents into accounts: the one way in which an account changes.

`enter` runs the account machine, stores the state it returns, signs the entry about it, and appends the entry to the
log, all in the caller's unit of work. The state in the row is a cache of what the entries give; `replay` rebuilds it.
"""

import logging
from collections.abc import Iterator
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, literal, select
from sqlalchemy.orm import Session

from atomic_margin.documents.fields import now_text
from atomic_margin.service.errors import Conflict, NotFound
from atomic_margin.service.log.notes import NoteKey
from atomic_margin.service.operator.store import log
from atomic_margin.service.operator.store.custody_tables import CustodianRow
from atomic_margin.service.operator.store.market_chain import newest_named
from atomic_margin.service.operator.store.prices import is_receipted
from atomic_margin.service.operator.store.tables import (
    Account,
    AnswerRow,
    EntryRow,
    ReplacedKey,
    Run,
    SettlementRow,
    SubmissionRow,
)
from atomic_margin.service.operator.store.told import tell, tell_entry
from atomic_margin.service.protocol.account import machine
from atomic_margin.service.protocol.account.amendments import CustodyAmendment
from atomic_margin.service.protocol.account.entries import Chain, Salts, extended
from atomic_margin.service.protocol.account.events import AdmissionRecord, EventKind, read_event
from atomic_margin.service.protocol.account.state import NOTHING, PrivateState, PublicState
from atomic_margin.service.protocol.account.state import Account as AccountValue
from atomic_margin.service.protocol.account.values import At
from atomic_margin.service.protocol.custody import CustodyPolicy
from atomic_margin.service.protocol.leaves import entry_leaf
from atomic_margin.service.protocol.signing import Identity, SignedDocument

JsonObject = dict[str, Any]

# The tables that have the documents of these events already.
_ELSEWHERE = frozenset(
    {
        EventKind.SUBMITTED, EventKind.LOSSES_SETTLED, EventKind.RUN_RECORDED, EventKind.COVERED,
        EventKind.BREACH_PROVEN, EventKind.OPENED_COVERED, EventKind.OPENED_IN_BREACH, EventKind.MARGIN_CALLED,
        EventKind.LIQUIDATED,
    }
)  # fmt: skip

_ANSWERS = (EventKind.COVERED, EventKind.BREACH_PROVEN, EventKind.OPENED_COVERED, EventKind.OPENED_IN_BREACH)

FOR_ALL = frozenset({"halt", "resume"})
"""Types of documents that every account has, or none."""


class Book(NamedTuple):
    """What entries are made with.

    Attributes:
        identity: of the operator.
        log_key: names the log.
    """

    identity: Identity
    log_key: NoteKey


class StoredEntry(NamedTuple):
    """An entry and its document, both signed."""

    entry: SignedDocument
    document: SignedDocument


def state_of(account: Account) -> AccountValue:
    """Return what an account is."""
    return AccountValue.model_construct(
        public=PublicState.parse(account.public_state), private=PrivateState.parse(account.private_state)
    )


def chain_of(account: Account) -> Chain:
    """Return an account's entries so far."""
    return Chain(account.entries, account.head, state_of(account))


def newest(session: Session, head: str = NOTHING) -> At:
    """Return where an event stands that comes now."""
    last, market = newest_named(session)
    tick = 0 if last is None else last.sequence
    return At(
        tick=tick,
        tick_hash=NOTHING if last is None else last.sha256,
        market=0 if market is None else market.sequence,
        market_hash=NOTHING if market is None else market.sha256,
        head=head,
        receipted=tick + is_receipted(session, tick + 1),
    )


def check(session: Session, account: Account, document: SignedDocument) -> AccountValue:
    """Return what an account would be after a document. Nothing is changed: a look before an expensive verification.

    Raises:
        IllegalTransition: the document is no legal event now.
        SignatureInvalid, DocumentError: it does not hold.
    """
    state = state_of(account)
    run = state.public.run
    event = read_event(document, owes=run is None or run.owes)
    return machine.apply(state, event, newest(session, account.head))


def enter(session: Session, book: Book, account: Account, document: SignedDocument) -> SignedDocument:
    """Enter a document into an account, inside the caller's unit of work; return the signed entry.

    What the document proves is verified before.

    Raises:
        IllegalTransition: the document is no legal event now.
        SignatureInvalid, DocumentError: it does not hold.
    """
    if document.type in FOR_ALL:
        raise Conflict(f"a {document.type} is of every account, or of none: it is not entered in one alone", "type")
    return _append(session, book, account, chain_of(account), document)


def enter_in_all(session: Session, book: Book, document: SignedDocument) -> None:
    """Enter one document into every account, inside the caller's unit of work.

    Raises:
        IllegalTransition: it is no legal event of one of them; then it is entered nowhere.
    """
    accounts = 0
    for account in session.scalars(select(Account).order_by(Account.institution)):
        _append(session, book, account, chain_of(account), document, told=False)
        accounts += 1
    level = logging.WARNING if document.type == "halt" else logging.INFO
    tell(session, document.type.replace("-", " "), level=level, accounts=accounts)


def enter_in_new(session: Session, book: Book, account: Account, document: SignedDocument) -> None:
    """Enter what all accounts have into one that was just opened.

    Raises:
        Conflict: something happened to it before.
    """
    if account.entries != 1:
        raise Conflict(f"account {account.institution!r} is not new: it has what all accounts have", "institution")
    _append(session, book, account, chain_of(account), document)


def open_account(session: Session, book: Book, account: Account, admission: SignedDocument) -> SignedDocument:
    """Enter the first document into a new account, which is added; return the signed entry."""
    return _append(session, book, account, Chain(), admission)


def _append(
    session: Session, book: Book, account: Account, before: Chain, document: SignedDocument, *, told: bool = True
) -> SignedDocument:
    chain, entry = extended(
        before, document, newest(session), Salts(account.seed), book.log_key.name, book.identity, now_text()
    )
    store(session, account, chain, entry, document)
    if told:
        tell_entry(session, account.institution, chain.number, EventKind(entry.body["kind"]), document)
    return entry


def store(session: Session, account: Account, chain: Chain, entry: SignedDocument, document: SignedDocument) -> None:
    """Store an account with one more entry, which was computed: what `enter` does with it, and `taking_back`."""
    state = chain.state
    if state is None:
        raise TypeError("a chain with an entry has a state")
    kind = EventKind(entry.body["kind"])
    account.entries, account.head, account.state = chain.number, chain.head, state.public.status
    account.public_state, account.private_state = as_object(state.public), as_object(state.private)
    before, account.identity = account.identity, state.public.identity
    session.add(account)
    # The row of an account comes before those that name it.
    session.flush()
    if before != account.identity:
        session.add(ReplacedKey(key=before, institution=account.institution))
    if kind is EventKind.ADMITTED:
        _name_custodians(session, account.institution, AdmissionRecord.parse(document.body).custody)
    if kind is EventKind.CUSTODY_AMENDED:
        _name_custodians(session, account.institution, CustodyAmendment.parse(document.body).custody)
    session.add(
        EntryRow(
            institution=account.institution,
            number=chain.number,
            sha256=chain.head,
            kind=str(kind),
            subject=document.body_hash(),
            entry=entry.to_json(),
            document=None if kind in _ELSEWHERE else document.to_json(),
            leaf=log.append(session, entry_leaf(entry).to_bytes()),
        )
    )


def _name_custodians(session: Session, institution: str, policy: CustodyPolicy | None) -> None:
    if policy is not None:
        named = policy.hash()
        for one in policy.custodians:
            # An account may come back to a policy that it was under before.
            session.merge(CustodianRow(institution=institution, policy=named, point=one.point, identity=one.identity))


def as_object(part: PublicState | PrivateState) -> JsonObject:
    """Return a part of a state as JSON."""
    value = part.canonical()
    if not isinstance(value, dict):
        raise TypeError("a part of a state is a JSON object")
    return value


def entry_of(session: Session, institution: str, subject: str) -> EntryRow | None:
    """Return the entry about the document with that hash, if there is one."""
    return session.scalar(
        select(EntryRow).where(EntryRow.institution == institution, EntryRow.subject == subject).limit(1)
    )


def rotations(session: Session, institution: str, before: int) -> list[JsonObject]:
    """Return how an institution's identity key was replaced before an entry: signed documents, in order."""
    query = select(EntryRow.document).where(
        EntryRow.institution == institution,
        EntryRow.kind == str(EventKind.IDENTITY_ROTATED),
        EntryRow.number < before,
    )
    return [document for document in session.scalars(query.order_by(EntryRow.number)) if document is not None]


def require_known(session: Session, institution: str, entry: str) -> None:
    """Make sure that an entry which a document names is one of the account's.

    Raises:
        Conflict: it is not.
    """
    row = session.scalar(select(EntryRow.number).where(EntryRow.institution == institution, EntryRow.sha256 == entry))
    if row is None:
        raise Conflict("the document names an entry that is none of this account's; read its entries again", "entry")


def entries_after(session: Session, institution: str, number: int, limit: int) -> Iterator[StoredEntry]:
    """Yield up to `limit` entries of an account after the one with that number."""
    # As wide as what a caller may send, whatever the column holds.
    later = EntryRow.number > literal(number, BigInteger)
    query = select(EntryRow).where(EntryRow.institution == institution, later)
    for row in session.scalars(query.order_by(EntryRow.number).limit(limit)):
        yield StoredEntry(SignedDocument.parse(row.entry), SignedDocument.parse(document_of(session, row)))


def document_of(session: Session, row: EntryRow) -> JsonObject:
    """Return the signed document that an entry is about.

    Raises:
        NotFound: it is not stored any more.
    """
    kind = EventKind(row.kind)
    found: JsonObject | None
    if kind in (EventKind.SUBMITTED, EventKind.LOSSES_SETTLED):
        found = session.scalar(select(SubmissionRow.document).where(SubmissionRow.sha256 == row.subject))
    elif kind is EventKind.RUN_RECORDED:
        found = session.scalar(select(Run.record).where(Run.record_hash == row.subject))
    elif kind in _ANSWERS:
        found = session.scalar(select(AnswerRow.document).where(AnswerRow.sha256 == row.subject))
    elif kind in (EventKind.MARGIN_CALLED, EventKind.LIQUIDATED):
        found = session.scalar(select(SettlementRow.document).where(SettlementRow.sha256 == row.subject))
    else:
        found = row.document
    if found is None:
        raise NotFound(f"the document of entry {row.number} of {row.institution!r} is not stored")
    return found

"""What an agent checks of a run that ends with a settlement, or with what custodians found of its book.

Institution only. The account machine has said that they come in the right place.
"""

from decimal import Decimal

from sqlalchemy.orm import Session

from atomic_margin.documents.errors import DocumentsError
from atomic_margin.margin.errors import MarginError
from atomic_margin.service.errors import AgentRefused, Refused, RequestError
from atomic_margin.service.institution.chain import MarketChain
from atomic_margin.service.institution.delays import warn_if_late
from atomic_margin.service.institution.store import InstitutionStore, OwnEntry, find_sent
from atomic_margin.service.protocol.account.agreements import eligible_assets
from atomic_margin.service.protocol.account.errors import EntryIllegal
from atomic_margin.service.protocol.account.opening_documents import Opened
from atomic_margin.service.protocol.account.state import Account
from atomic_margin.service.protocol.bodies import parse_signed
from atomic_margin.service.protocol.documents import Answer, RunRecord, Settlement
from atomic_margin.service.protocol.opening_claims import OpeningGround
from atomic_margin.service.protocol.settlements import check_settled, rightful_transfers
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.submissions import Submission
from atomic_margin.service.protocol.terms import Terms
from atomic_margin.service.protocol.trust import TrustFile
from atomic_margin.service.verifier.opened import check_opened
from atomic_margin.zk.groups import load_group


def check_settlement(
    store: InstitutionStore, chain: MarketChain, terms: Terms, trust: TrustFile, before: Account, settlement: Settlement
) -> None:
    """Check what a settlement moves against the account as it is just before.

    Args:
        store: the institution's database.
        chain: ticks that the agent has seen.
        terms: pinned.
        trust: pins the rules of breakers.
        before: the account; its run is in breach.
        settlement: of that run.

    Raises:
        EntryIllegal: it moves something else than it must.
        AgentRefused: it cannot be told.
    """
    run = before.public.run
    if run is None:
        raise TypeError("a settlement was followed without a run")
    with store.unit_of_work() as session:
        proven = _proven(session, settlement.answer)
        warn_if_late(session, trust.breakers, settlement)
    try:
        check_settled(settlement, proven)
        wanted = rightful_transfers(
            terms,
            chain.market_of(run.price_sequence, run.tick),
            Decimal(proven.top_up_usd),
            counted=run.posted,
            free=before.private.free,
            posted=before.public.posted,
            eligible=eligible_assets(before.public),
        )
    except Refused as error:
        raise EntryIllegal(str(error)) from error
    except MarginError as error:
        raise AgentRefused(f"what settles run {run.run_id} cannot be told: {error}") from error
    if (settlement.kind, settlement.transfers) != (wanted.kind, wanted.transfers):
        moved = ", ".join(f"{move.quantity} {move.asset} to {move.destination}" for move in wanted.transfers)
        raise EntryIllegal(f"a {wanted.kind} has to settle this breach, which moves {moved}; it is another one")


def check_found(
    store: InstitutionStore,
    chain: MarketChain,
    terms: Terms,
    trust: TrustFile,
    before: Account,
    document: SignedDocument,
) -> None:
    """Verify what custodians found of the institution's own book.

    Args:
        store: the institution's database.
        chain: ticks that the agent has seen.
        terms: pinned.
        trust: pins the custody policy.
        before: the account; its run is owed.
        document: of type `opened`.

    Raises:
        EntryIllegal: too few custodians signed it, it is about something else, or a proof does not hold.
        AgentRefused: it cannot be told.
    """
    run = before.public.run
    if run is None or run.record is None:
        raise TypeError("what custodians found was followed without a run")
    with store.unit_of_work() as session:
        recorded = session.query(OwnEntry).filter_by(document_hash=run.record).one()
        sent = find_sent(session, run.submission)
    if recorded.document is None or sent is None or sent.document is None:
        raise AgentRefused(f"what custodians found of run {run.run_id} cannot be told: its book is not stored here")
    record = RunRecord.parse(recorded.document["body"])
    try:
        market = chain.market_of(run.price_sequence, run.tick)
        matrices = terms.matrices_of(record, market)
    except MarginError as error:
        raise AgentRefused(f"what custodians found of run {run.run_id} cannot be told: {error}") from error
    ground = OpeningGround(record, run.record, Submission.parse(sent.document["body"]), matrices, terms, market)
    try:
        check_opened(*parse_signed(document.to_json(), Opened), ground, before.public, trust, load_group())
    except (RequestError, DocumentsError) as error:
        raise EntryIllegal(f"custodians are said to have opened the book, and that does not hold: {error}") from error


def _proven(session: Session, answer: str) -> Answer | Opened:
    """Return what proved a breach: the institution's answer, or what custodians found."""
    sent = find_sent(session, answer)
    if sent is not None and sent.document is not None:
        return Answer.parse(sent.document["body"])
    entry = session.query(OwnEntry).filter_by(document_hash=answer).one_or_none()
    if entry is None or entry.document is None:
        raise TypeError("what proved a breach was followed, and is not stored")
    return Opened.parse(entry.document["body"])

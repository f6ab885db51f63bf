"""Take the proof that nobody asked for: a book is covered at the newest tick, without a run of the operator's."""

from sqlalchemy import select

from atomic_margin.service.errors import Conflict
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.store import entries
from atomic_margin.service.operator.store.tables import Account, Run, Tick
from atomic_margin.service.operator.store.transitions import move_run
from atomic_margin.service.protocol.account.events import Coverage
from atomic_margin.service.protocol.bodies import parse_signed
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.states import RunEvent, RunState
from atomic_margin.service.protocol.unasked import verify_coverage


def take_coverage(operator: Operator, institution: str, document: object) -> SignedDocument:
    """Verify a proof of coverage and enter it; return the signed entry. The same again gets the same entry.

    Raises:
        SignatureInvalid, Refused, Conflict, DocumentError, MarginError: what is wrong; nothing is stored.
    """
    account = operator.account(institution)
    signed, coverage = parse_signed(document, Coverage)
    signed.verify(frozenset({account.identity}))
    with operator.store.reading() as session:
        row = session.get_one(Account, institution)
        earlier = entries.entry_of(session, institution, signed.body_hash())
        if earlier is not None:
            return SignedDocument.parse(earlier.entry)
        entries.check(session, row, signed)
        stored = operator.parsed.submission(session, coverage.submission)
        tick = session.get_one(Tick, coverage.price_sequence)
    if tick.void:
        raise Conflict(f"tick {tick.sequence} is void", "price_sequence")
    verify_coverage(
        signed,
        coverage,
        submission=stored.submission,
        submission_hash=stored.sha256,
        market=operator.compiled_ticks.of(tick).market,
        terms=operator.terms,
        identity=account.identity,
        group=operator.group,
        queue=operator.proofs,
    )
    with operator.store.unit_of_work() as session:
        earlier = entries.entry_of(session, institution, signed.body_hash())
        if earlier is not None:
            # The same document came twice at once.
            return SignedDocument.parse(earlier.entry)
        row = session.get_one(Account, institution)
        entry = entries.enter(session, operator.book, row, signed)
        # No run at this tick, or before, is wanted any more.
        waiting = select(Run).where(Run.institution == institution, Run.state == RunState.SCHEDULED)
        for run in session.scalars(waiting):
            move_run(run, RunEvent.COVERED_UNASKED)
    return entry

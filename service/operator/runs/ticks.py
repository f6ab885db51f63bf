"""Combine signed prices into ticks and schedule one run for every account that is watched."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from atomic_margin.documents.fields import instant_text
from atomic_margin.service.errors import Conflict
from atomic_margin.service.feed.tick import make_tick
from atomic_margin.service.operator.accounts.submissions import latest_submission
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.store import log
from atomic_margin.service.operator.store.database import now
from atomic_margin.service.operator.store.tables import Account, Run, Tick
from atomic_margin.service.protocol.leaves import tick_leaf
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.states import WATCHED
from atomic_margin.service.protocol.ticks import PriceSet


def take_tick(operator: Operator, document: object) -> list[str]:
    """Combine and store what sources signed for a tick; return the identifiers of the runs it scheduled.

    Raises:
        SignatureInvalid: a document is not signed by a source of the price rules.
        PricesRefused: too few sources are fresh and agree, or a price moved too far.
        Conflict: the sequence number or the time does not advance.
        MarginError: the prices do not fit the universe, named by field. Nothing is stored.
    """
    prices, received_at = PriceSet.parse(document), now()
    with operator.store.unit_of_work() as session:
        last = _last(session)
    before = None if last is None else SignedDocument.parse(last.document)
    tick = make_tick(prices, operator.settings.prices, received_at, before)
    operator.terms.check_market(tick.market)
    signed = tick.signed_by(operator.identity)
    # Refuses a tick whose weights would not be finite, before anything depends on it.
    compiled = operator.compiled_ticks.compile(tick.sequence, signed, tick.market)
    with operator.store.unit_of_work() as session:
        meanwhile = _last(session)
        if (meanwhile and meanwhile.sequence) != (last and last.sequence):
            raise Conflict("another tick arrived meanwhile; look at it and send yours again", "sequence")
        session.add(Tick(sequence=tick.sequence, document=signed.to_json(), received_at=instant_text(received_at)))
        log.append(session, tick_leaf(signed, before).to_bytes())
        session.flush()
        scheduled = _schedule(session, tick.sequence)
    operator.compiled_ticks.keep(compiled)
    return scheduled


def _last(session: Session) -> Tick | None:
    return session.scalar(select(Tick).order_by(Tick.sequence.desc()).limit(1))


def _schedule(session: Session, sequence: int) -> list[str]:
    scheduled = []
    for account in session.scalars(select(Account).where(Account.state.in_(WATCHED)).order_by(Account.institution)):
        submission = latest_submission(session, account.institution)
        if submission is None:
            continue
        run_id = f"{account.institution}.{sequence}"
        session.add(
            Run(
                run_id=run_id,
                institution=account.institution,
                submission_id=submission.id,
                price_sequence=sequence,
            )
        )
        scheduled.append(run_id)
    return scheduled

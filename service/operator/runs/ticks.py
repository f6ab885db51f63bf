"""Combine signed prices into ticks and schedule one run for every account that is watched; declare ticks void."""

import logging
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from atomic_margin.documents.fields import instant_text
from atomic_margin.margin.market.market import Market
from atomic_margin.service.errors import Conflict, TooFewSources
from atomic_margin.service.feed.combine import require_signed
from atomic_margin.service.feed.tick import make_tick, make_void
from atomic_margin.service.operator.disk import require_room
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.runs.prices import with_receipted
from atomic_margin.service.operator.runs.rules import InForce, beginning, in_force
from atomic_margin.service.operator.store import entries, log
from atomic_margin.service.operator.store.database import now
from atomic_margin.service.operator.store.market_chain import newest_market, newest_tick
from atomic_margin.service.operator.store.prices import prune, receipt, receipted
from atomic_margin.service.operator.store.tables import Account, PriceRow, Run, SubmissionRow, Tick
from atomic_margin.service.operator.store.told import tell
from atomic_margin.service.operator.store.transitions import move_run
from atomic_margin.service.protocol.account.state import PublicState
from atomic_margin.service.protocol.account.values import is_due
from atomic_margin.service.protocol.leaves import tick_leaf
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.states import RUNS, WATCHED, RunEvent, RunState
from atomic_margin.service.protocol.ticks import PriceSet, PriceTick, place_after

AT_ONCE = 500
"""Hashes that one query asks for."""
TOLD = 20
"""Interpolated volatilities that a line of the operator's own record names; the others it counts."""

_log = logging.getLogger(__name__)


class _Before(NamedTuple):
    """What a tick is made after: the newest tick, the newest with a market, and what is receipted for the next one."""

    signed: SignedDocument | None
    last: PriceTick | None
    last_market: PriceTick | None
    receipted: Sequence[PriceRow]
    in_force: InForce


def take_tick(operator: Operator, document: object) -> list[str]:
    """Combine and store what sources signed for a tick; return the identifiers of the runs it scheduled.

    Everything that was receipted for its number goes into it. A set that is refused does not use up the number: other
    sources may still sign. See `void_tick`.

    Raises:
        SignatureInvalid: a document is not signed by a source of the price rules.
        PricesRefused: too few sources are fresh and agree, a price moved too far, or the time does not advance.
        Conflict: the number is not the next one.
        MarginError: the prices do not fit the universe, named by field. Nothing is stored.
        OutOfSpace: there is too little room for the runs that would follow. Nothing is stored.
    """
    require_room(operator.settings)
    while True:
        before, prices, received_at = _gathered(operator, document)
        rules, changes = before.in_force
        try:
            tick = make_tick(prices, rules, received_at, before.last, before.last_market, changes, before.signed)
        except TooFewSources:
            # The refusal names what is wrong with documents that go into no tick, too.
            make_tick(_with_all(prices, document), rules, received_at, before.last, before.last_market, changes)
            raise
        signed = tick.signed_by(operator.identity)
        if tick.staged is not None:
            operator.check_market(tick.staged.market)
            with operator.store.unit_of_work() as session:
                if not _store(session, before, tick, signed, received_at):
                    continue
            _log.warning(
                "tick %d: staged, %s moved beyond the bound; a second window of %d sources may confirm it",
                tick.sequence, tick.staged.quote, rules.required,
            )  # fmt: skip
            return []
        if tick.market is None:
            raise TypeError("make_tick makes no void tick")
        operator.check_market(tick.market)
        # Refuses a tick whose weights would not be finite, before anything depends on it.
        compiled = operator.compiled_ticks.compile(tick.sequence, signed, tick.market)
        with operator.store.unit_of_work() as session:
            if not _store(session, before, tick, signed, received_at):
                continue
            scheduled = _schedule(session, tick.sequence)
            tell(session, "tick taken", tick=tick.sequence, runs=len(scheduled), sources=len(tick.prices))
        operator.compiled_ticks.keep(compiled)
        _log_interpolated(operator, tick.sequence, tick.market)
        return scheduled


def _log_interpolated(operator: Operator, sequence: int, market: Market) -> None:
    """Say what the tick's sources did not quote; anybody can find the same in the signed tick."""
    found = operator.interpolated(market)
    if found:
        told = "; ".join(map(str, found[:TOLD])) + ("; …" if len(found) > TOLD else "")
        _log.warning("tick %d: %d volatilities are interpolated, no quote: %s", sequence, len(found), told)


def void_tick(operator: Operator, document: object) -> SignedDocument:
    """Use up the next number without prices: of what sources signed, no tick can be made. Nothing is scheduled.

    Raises:
        SignatureInvalid: a document is not signed by a source of the price rules.
        Conflict: the number is not the next one, or the documents make a tick.
    """
    while True:
        before, prices, received_at = _gathered(operator, document)
        rules, changes = before.in_force
        tick = make_void(prices, rules, received_at, before.last, before.last_market, changes)
        signed = tick.signed_by(operator.identity)
        with operator.store.unit_of_work() as session:
            if _store(session, before, tick, signed, received_at):
                tell(session, "tick void", level=logging.WARNING, tick=tick.sequence)
                return signed


def _gathered(operator: Operator, document: object) -> tuple[_Before, PriceSet, datetime]:
    """Return what comes before, and what was receipted together with what was sent."""
    sent, received_at = PriceSet.parse(document), now()
    with operator.store.reading() as session:
        rows = (newest_tick(session), newest_market(session))
        last = _parsed(rows[0])
        # Nearly always the newest tick has a market: then it is the same row, and parsed once.
        market = last if rows[1] is rows[0] else _parsed(rows[1])
        rules, _ = under = in_force(operator, session, last)
        number = place_after(last, rules).sequence
        signed = None if rows[0] is None else SignedDocument.parse(rows[0].document)
        before = _Before(signed, last, market, receipted(session, number), under)
    require_signed(sent.prices, rules)
    # Of another number it is refused as a whole; what is receipted has nothing to do with that.
    documents = with_receipted(before.receipted if sent.sequence == number else (), sent.prices, number, rules.hash())
    return before, sent.model_copy(update={"prices": documents}), received_at


def _parsed(row: Tick | None) -> PriceTick | None:
    return None if row is None else PriceTick.parse(row.document["body"])


def _with_all(prices: PriceSet, document: object) -> PriceSet:
    """Return a set with everything that was sent, also what is no prices of its number."""
    left_out = (sent for sent in PriceSet.parse(document).prices if sent not in prices.prices)
    return prices.model_copy(update={"prices": (*prices.prices, *left_out)})


def _store(session: Session, before: _Before, tick: PriceTick, signed: SignedDocument, received_at: datetime) -> bool:
    """Store a tick and its leaf, and before that the leaves its documents lack; False if another document came in."""
    meanwhile = newest_tick(session)
    if (meanwhile and meanwhile.sequence) != (before.last and before.last.sequence):
        raise Conflict("another tick arrived meanwhile; look at it and send yours again", "sequence")
    # A document or a change of rules came in since: the tick is made once more, with it.
    waiting = beginning(session, tick.sequence)
    waited = (before.last and before.last.changes) or ()
    if len(receipted(session, tick.sequence)) != len(before.receipted):
        return False
    if (waiting is not None) != (len(tick.changes or ()) > len(waited)):
        return False
    for document in tick.prices[len(before.receipted) :]:
        receipt(session, document, instant_text(received_at))
    row = Tick(
        sequence=tick.sequence,
        void=tick.market is None,
        sha256=signed.body_hash(),
        document=signed.to_json(),
        received_at=instant_text(received_at),
    )
    session.add(row)
    log.append(session, tick_leaf(signed).to_bytes())
    prune(session, tick.sequence)
    session.flush()
    return True


def _schedule(session: Session, sequence: int) -> list[str]:
    """Schedule a run for every account whose book came before these prices; older ones whose turn did not come end."""
    at = entries.newest(session)
    watched = select(Account).where(Account.state.in_(WATCHED)).order_by(Account.institution)
    due: dict[str, PublicState] = {}
    for account in session.scalars(watched):
        state = entries.state_of(account)
        if state.public.book is not None and is_due(state, at):
            due[account.institution] = state.public
    _supersede(session, due)
    books = {public.book.submission for public in due.values() if public.book is not None}
    of_book = _submissions(session, books)
    rows = [
        {
            "run_id": f"{institution}.{sequence}",
            "institution": institution,
            "submission_id": of_book[public.book.submission],
            "price_sequence": sequence,
            "second": False,
            "state": RUNS.first,
            "attempts": 0,
        }
        for institution, public in due.items()
        if public.book is not None
    ]
    if rows:
        session.execute(insert(Run), rows)
    return [str(row["run_id"]) for row in rows]


def _submissions(session: Session, books: Collection[str]) -> dict[str, int]:
    """Return the rows of submissions, by hash. Their documents are not read."""
    wanted, found = sorted(books), dict[str, int]()
    for first in range(0, len(wanted), AT_ONCE):
        query = select(SubmissionRow.sha256, SubmissionRow.id).where(
            SubmissionRow.sha256.in_(wanted[first : first + AT_ONCE])
        )
        found.update((row.sha256, row.id) for row in session.execute(query))
    return found


def _supersede(session: Session, due: Mapping[str, PublicState]) -> None:
    """End scheduled runs of older ticks; not one that has begun, or follows one that was not proven."""
    waiting = select(Run).where(Run.state == RunState.SCHEDULED, Run.second.is_(False))
    for run in session.scalars(waiting):
        public = due.get(run.institution)
        if public is not None and (public.run is None or public.run.run_id != run.run_id):
            move_run(run, RunEvent.NEWER_TICK)
    session.flush()

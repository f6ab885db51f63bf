"""The account machine: the only place where the state of an account is made. Pure: no clock, no store, no secret.

`apply` takes a state, an event, and where in the log's history the event stands, and returns the state after it or
raises an error that names the rule. What a document proves is verified before (`protocol.verification`); here it is
checked that it is the right document at this moment:

- A run is on the book that came before the first document of its tick was receipted, at the newest tick there is, with
  all collateral posted by then. A run that follows one which was not proven is the same run: tick, book, keys,
  collateral and matrices.
- Another book that comes while a run is open, due or owed, or was void, or prices of the next tick are receipted,
  waits: until the one in force was proven at a tick that is not older than itself, or no run of that one had begun
  when a later tick came. No book that comes after such a tick takes its place. The same commitments under new keys do
  not wait.
- No answer in time: the book is owed, and the account frozen, until the same commitments are proven covered or the
  breach is settled.
- Nothing is posted while a run is open, unless its time is over: what its breach takes is counted from what it
  counts.
- Free collateral leaves when the book in force was proven covered since it came, and nothing is open, due or waiting,
  nor was void since.
- Posted collateral becomes free, or is substituted, at the last entry and the newest tick, before anybody has seen the
  next one's prices, when the book in force was proven covered at a tick after it came; a release comes with a proof of
  initial margin with what remains. What is received counts before what is released.
- Posted collateral leaves for losses together with the book that has them no more, which is in force at once, at the
  newest tick, before anybody has seen the next one's prices.
- A book that its institution can open no more goes by an entry that both sides sign, with whatever is open or owed on
  it; nothing leaves until another one was proven covered.
- While a dispute is open nothing leaves but by a call or a liquidation.
- A book is in a listed universe. One that was replaced takes books until its end, and afterwards only the same
  commitments under new keys.
- Segregated collateral is sold in stages up to what was proven, or to a loss that both sides signed. Such a loss ends a
  default, and nobody else bears any of it before the defaulter has nothing left: of what was segregated, and of what
  became free since.
- A run counts the figures of the collateral agreement in force; threshold and minimum transfer are 0 for an account
  that is frozen, owed or in default. The agreement is amended by a document that both sides sign, between runs.
- An institution's documents are signed by its key in force. The key goes by a document that it signs itself, with a
  signature of the one in its place, at the account's last entry; it never comes back.
- While the operator's halt is in force, what is in its scope does not happen, and no time to answer is over.
- A book of an account with custodians comes with receipts for its shares. One that is owed is opened by as many of
  them as have it together, if its institution stays silent: what they find ends the run like an answer.
- Custodians change by a document that both sides sign, between runs: who owes a proof does not get rid of them. A book
  stays with those it was dealt to until it is dealt to others, or their shares of it are re-shared.
- An event is under the ticks of the one before, or under newer ones.
"""

from collections.abc import Callable, Mapping

from atomic_margin.service.protocol.account import (
    agreements,
    books,
    custody,
    defaults,
    disputes,
    halts,
    holdings,
    identities,
    maturity,
    netting,
    openings,
    releases,
    runs,
)
from atomic_margin.service.protocol.account.errors import WrongSigner, WrongTick
from atomic_margin.service.protocol.account.events import AdmissionRecord, Event, EventKind
from atomic_margin.service.protocol.account.state import Account, Listed, Newest, PrivateState, PublicState
from atomic_margin.service.protocol.account.table import next_status
from atomic_margin.service.protocol.account.values import At, body_of, made, updated, with_public


def apply(state: Account | None, event: Event, at: At) -> Account:
    """Return the state after an event.

    Args:
        state: before it; None before an account is opened.
        event: what happens.
        at: where it stands.

    Raises:
        IllegalTransition: the status does not allow it.
        IllegalEvent: something else in the state does not; its class names the rule.
        InsufficientFunds: it moves more than the account has.
    """
    status = next_status(None if state is None else state.public.status, event.kind)
    newest = _newest(Newest() if state is None else state.public.newest, at)
    if state is None:
        return with_public(_opened(event), newest=newest)
    _check_signer(state.public, event)
    halts.require_not_halted(state, event.kind, at)
    state = _with_entry(state, at)
    after = _APPLY[event.kind](state, event, at)
    if (after.public.status, after.public.newest) == (status, newest):
        return after
    return with_public(after, status=status, newest=newest)


def _opened(event: Event) -> Account:
    body = body_of(event, AdmissionRecord)
    if event.signer != body.operator:
        raise WrongSigner("an admission is signed by the operator that it names", "signer")
    public = PublicState.model_construct(
        institution=body.institution,
        identity=body.identity,
        operator=body.operator,
        terms=body.terms,
        universes=(made(Listed, universe=body.universe),),
        allowances=body.allowances,
        agreement=agreements.agreement_in_force(body.agreement),
        custody=custody.custody_in_force(body.custody),
        status=next_status(None, event.kind),
    )
    return Account(public=public, private=PrivateState())


def _check_signer(public: PublicState, event: Event) -> None:
    wanted = public.identity if event.kind in OF_INSTITUTION else public.operator
    if event.signer != wanted:
        party = "institution" if event.kind in OF_INSTITUTION else "operator"
        raise WrongSigner(f"'{event.kind}' is signed by the {party} of the account, and by nobody else", "signer")
    for name in ("operator", "institution"):
        # What is about all accounts names none.
        if getattr(event.body, name, public.institution) != getattr(public, name):
            raise WrongSigner(f"the document names another {name} than the account's", name)


OF_INSTITUTION = frozenset(
    {
        EventKind.KEYS_ENROLLED, EventKind.KEYS_CONFIRMED, EventKind.SUBMITTED, EventKind.LOSSES_SETTLED,
        EventKind.POSTED, EventKind.WITHDRAWN, EventKind.COVERED, EventKind.BREACH_PROVEN, EventKind.READERS_NAMED,
        EventKind.DISPUTED, EventKind.DISPUTE_RESOLVED, EventKind.DISPUTE_WITHDRAWN,
        EventKind.DELIVERY_PROMISED, EventKind.RETURN_PROMISED,
        EventKind.LOSS_AGREED,
        EventKind.RELEASED, EventKind.SUBSTITUTED,
        EventKind.COVERED_UNASKED, EventKind.BOOK_GIVEN_UP, EventKind.AGREEMENT_AMENDED,
        EventKind.CUSTODY_AMENDED,
        EventKind.IDENTITY_ROTATED,
    }
)  # fmt: skip
"""Events that are the institution's own documents. All others are the operator's."""


def _newest(before: Newest, at: At) -> Newest:
    """Return the ticks that an event is under: those of the event before, or newer ones."""
    newest = (at.tick, at.tick_hash, at.market, at.market_hash)
    if newest != (before.tick, before.tick_hash, before.market, before.market_hash):
        _check_later(before, at)
    elif at.receipted == before.receipted:
        return before
    _check_receipted(before, at)
    return made(
        Newest,
        tick=at.tick,
        tick_hash=at.tick_hash,
        market=at.market,
        market_hash=at.market_hash,
        receipted=at.receipted,
    )


def _check_later(before: Newest, at: At) -> None:
    if at.tick <= before.tick:
        raise WrongTick(f"it is at tick {at.tick}, the one before at {before.tick}, and not at the same", "tick")
    market = (at.market, at.market_hash)
    # Of the ticks that are new any may have a market; those that are not keep theirs.
    same = market in ((at.tick, at.tick_hash), (before.market, before.market_hash))
    between = before.tick < at.market < at.tick
    if not (same or between):
        raise WrongTick(f"tick {at.market} cannot be the newest one with a market at tick {at.tick}", "market")


def _check_receipted(before: Newest, at: At) -> None:
    """Make sure that what is receipted is for the next tick alone, and stays so until that tick comes."""
    if at.receipted not in (at.tick, at.tick + 1):
        raise WrongTick(f"at tick {at.tick} no document is receipted for tick {at.receipted}", "receipted")
    if at.receipted < before.receipted:
        raise WrongTick(f"a document for tick {before.receipted} was receipted before the entry before", "receipted")


def _with_entry(state: Account, at: At) -> Account:
    """Name the entry that has the run's record: the one before the first event after it."""
    run = state.public.run
    if run is None or run.record is None or run.entry is not None:
        return state
    return with_public(state, run=updated(run, entry=at.head))


_APPLY: Mapping[EventKind, Callable[[Account, Event, At], Account]] = {
    EventKind.UNIVERSE_REVISED: books.universe_revised,
    EventKind.DEPOSITED: holdings.deposited,
    EventKind.KEYS_ENROLLED: books.keys_enrolled,
    EventKind.KEYS_CONFIRMED: books.keys_confirmed,
    EventKind.SUBMITTED: books.submitted,
    EventKind.LOSSES_SETTLED: books.losses_settled,
    EventKind.POSTED: holdings.posted,
    EventKind.WITHDRAWN: holdings.withdrawn,
    EventKind.RUN_OPENED: runs.run_opened,
    EventKind.RUN_RECORDED: runs.run_recorded,
    EventKind.RUN_VOID: runs.run_void,
    EventKind.PROOF_OVERDUE: runs.proof_overdue,
    EventKind.ANSWER_OVERDUE: runs.answer_overdue,
    EventKind.COVERED: runs.covered,
    EventKind.BREACH_PROVEN: runs.breach_proven,
    EventKind.MARGIN_CALLED: runs.margin_called,
    EventKind.LIQUIDATED: runs.liquidated,
    EventKind.READERS_NAMED: books.readers_named,
    EventKind.COVERED_UNASKED: runs.covered_unasked,
    EventKind.BOOK_GIVEN_UP: books.book_given_up,
    EventKind.DISPUTED: disputes.disputed,
    EventKind.DISPUTE_RESOLVED: disputes.resolved,
    EventKind.DISPUTE_WITHDRAWN: disputes.withdrawn,
    EventKind.DISPUTE_LAPSED: disputes.lapsed,
    EventKind.PARTY_NAMED: netting.party_named,
    EventKind.DELIVERY_PROMISED: netting.promised,
    EventKind.RETURN_PROMISED: netting.promised,
    EventKind.NETTED: netting.netted,
    EventKind.COLLATERAL_SOLD: defaults.collateral_sold,
    EventKind.LOSS_AGREED: defaults.loss_agreed,
    EventKind.DEFAULT_CLOSED: defaults.default_closed,
    EventKind.FUND_CONTRIBUTED: defaults.fund_contributed,
    EventKind.FUND_DRAWN: defaults.fund_drawn,
    EventKind.RELEASED: releases.released,
    EventKind.SUBSTITUTED: releases.released,
    EventKind.MATURED: maturity.matured,
    EventKind.FREE_MATURED: maturity.matured,
    EventKind.AGREEMENT_AMENDED: agreements.agreement_amended,
    EventKind.HALTED: halts.halted,
    EventKind.RESUMED: halts.resumed,
    EventKind.COLLATERAL_SEGREGATED: defaults.collateral_segregated,
    EventKind.IDENTITY_ROTATED: identities.identity_rotated,
    EventKind.OPENING_REQUESTED: openings.opening_requested,
    EventKind.OPENING_LAPSED: openings.opening_lapsed,
    EventKind.OPENED_COVERED: runs.opened_covered,
    EventKind.OPENED_IN_BREACH: runs.opened_in_breach,
    EventKind.CUSTODY_AMENDED: custody.custody_amended,
    EventKind.RESHARED: custody.reshared,
}

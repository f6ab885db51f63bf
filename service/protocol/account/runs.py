"""Runs in the account machine: how one begins, what its record and its answer must be, and how it ends. Pure."""

from typing import Any

from atomic_margin.service.protocol.account.agreements import agreed_in_force, called, require_eligible
from atomic_margin.service.protocol.account.defaults import segregated
from atomic_margin.service.protocol.account.errors import (
    RunNotOver,
    WrongAgreement,
    WrongBook,
    WrongCollateral,
    WrongKeys,
    WrongRun,
    WrongTick,
)
from atomic_margin.service.protocol.account.events import Coverage, Event, Overdue, RunOpened, RunVoid
from atomic_margin.service.protocol.account.holdings import moved
from atomic_margin.service.protocol.account.openings import found, require_no_opening, with_opening_over
from atomic_margin.service.protocol.account.state import Account, OpenRun, Stage
from atomic_margin.service.protocol.account.values import (
    At,
    body_of,
    in_force,
    is_due,
    made,
    updated,
    with_book_at,
    with_public,
)
from atomic_margin.service.protocol.documents import Answer, RunRecord, Settlement, second_run_of


def run_opened(state: Account, event: Event, at: At) -> Account:
    """Begin a run that is evaluated."""
    return _begun(state, body_of(event, RunOpened), "evaluating", at)


def run_recorded(state: Account, event: Event, at: At) -> Account:
    """Take the record of a run, which opens it for its answer."""
    body, run = body_of(event, RunRecord), state.public.run
    evaluated = body.outputs is not None
    # Custodians need no evaluation. Or whoever makes its evaluations fail would never be opened.
    failed = not evaluated and run is not None and run.stage == "evaluating" and in_force(state).shared is not None
    if not evaluated and not failed:
        # It is to be proven first: nothing came before, and what it is on is fixed by the record itself.
        state = _begun(state, body, "awaiting", at)
        run = state.public.run
    if run is None or run.run_id != body.run_id or (evaluated and run.stage != "evaluating"):
        raise WrongRun(f"run {body.run_id} is not the one that is being evaluated", "run_id")
    for name, wanted in _fixed(run).items():
        if getattr(body, name) != wanted:
            raise WrongRun(f"the record of run {run.run_id} has another {name} than the run began with", name)
    if body.key_commitments != run.key_commitments or body.evaluation_keys != run.evaluation_keys:
        raise WrongKeys(f"the record of run {run.run_id} names other keys than its submission", "evaluation_keys")
    recorded = updated(run, stage="awaiting", record=event.document, evaluated=evaluated, failed=failed)
    return with_public(state, run=recorded)


def _begun(state: Account, body: RunOpened | RunRecord, stage: Stage, at: At) -> Account:
    """Begin a run, evaluated or not: at the newest tick, on the book in force, with what is posted."""
    require_no_opening(state.public)
    state = with_book_at(state, at)
    public, book, before = state.public, in_force(state), state.public.run
    first = made(
        OpenRun,
        run_id=f"{public.institution}.{at.market}",
        price_sequence=at.market,
        tick=at.market_hash,
        submission=book.submission,
        commitments=book.commitments,
        evaluation_keys=book.evaluation_keys,
        key_commitments=book.key_commitments,
        instructions=public.instructions,
        posted=public.posted,
        agreed=agreed_in_force(public),
        matrices=body.matrices,
        second=False,
        stage="evaluating",
    )
    if before is not None and before.stage == "not_proven":
        # The same run again, this time evaluated: whatever changed meanwhile counts from the next tick on.
        wanted = updated(
            before, run_id=second_run_of(before.run_id), second=True, record=None, entry=None, evaluated=False
        )
        if stage != "evaluating":
            raise WrongRun(f"run {before.run_id} was not proven in time; its tick is evaluated now", "run_id")
    elif before is not None and before.stage != "unproven":
        raise RunNotOver(f"run {before.run_id} is not over", "run_id")
    else:
        wanted = first
        if not is_due(state, at):
            raise WrongTick(
                f"tick {at.market} is no tick to run: it had a run, or the book came with its prices or after",
                "price_sequence",
            )
    _compare(body, wanted)
    return with_public(state, run=updated(wanted, stage=stage), last_run=wanted.price_sequence)


def _compare(body: RunOpened | RunRecord, wanted: OpenRun) -> None:
    for name, error in (
        ("price_sequence", WrongTick),
        ("tick", WrongTick),
        ("run_id", WrongRun),
        ("submission", WrongBook),
        ("instructions", WrongCollateral),
        ("posted", WrongCollateral),
        ("agreed", WrongAgreement),
        ("matrices", WrongRun),
    ):
        if getattr(body, name) != getattr(wanted, name):
            shown = getattr(wanted, name)
            raise error(f"the run has another {name} than it must have ({shown})", name)


def _fixed(run: OpenRun) -> dict[str, Any]:
    names = ("run_id", "price_sequence", "tick", "submission", "instructions", "posted", "agreed", "matrices")
    return {name: getattr(run, name) for name in names}


def run_void(state: Account, event: Event, at: At) -> Account:
    """End a run that could not be evaluated."""
    body, run = body_of(event, RunVoid), state.public.run
    if run is None or run.run_id != body.run_id or run.stage != "evaluating":
        raise WrongRun(f"run {body.run_id} is not being evaluated", "run_id")
    # Nothing was proven at its tick: a book that waits goes on waiting, and so will one that comes now. Or an account
    # whose evaluation fails whenever there is a breach would get rid of it.
    return with_public(state, run=None, book=updated(in_force(state), void=run.price_sequence))


def proof_overdue(state: Account, event: Event, at: At) -> Account:
    """End the time of a run that was not evaluated; the same run is evaluated next."""
    run = _awaiting(state, body_of(event, Overdue))
    if run.owes:
        raise WrongRun(f"run {run.run_id} is evaluated, or custodians can open it: it is owed", "run_id")
    return with_public(state, run=updated(run, stage="not_proven"))


def answer_overdue(state: Account, event: Event, at: At) -> Account:
    """End the time of an evaluated run: its book is owed."""
    run = _awaiting(state, body_of(event, Overdue))
    if not run.owes:
        raise WrongRun(f"run {run.run_id} is not evaluated: nothing is owed on it", "run_id")
    return with_public(state, run=updated(run, stage="unproven"), owed=run.commitments)


def _awaiting(state: Account, body: Overdue) -> OpenRun:
    run = state.public.run
    if run is None or run.stage != "awaiting" or (run.run_id, run.record) != (body.run_id, body.run):
        raise WrongRun(f"run {body.run_id} does not wait for an answer", "run_id")
    return run


def covered(state: Account, event: Event, at: At) -> Account:
    """End a run whose answer proved coverage."""
    run = _answered(state, body_of(event, Answer))
    return _proven(state, run.commitments, run.price_sequence)


def breach_proven(state: Account, event: Event, at: At) -> Account:
    """Take an answer that proved a breach; its settlement follows."""
    body = body_of(event, Answer)
    run = _answered(state, body)
    if not run.evaluated:
        raise WrongRun(f"run {run.run_id} was not evaluated; no breach can be answered", "outcome")
    # An answer that comes before what custodians find takes its place.
    state = with_opening_over(state)
    return with_public(state, run=updated(run, stage="breach", answer=event.document, top_up=body.top_up))


def opened_covered(state: Account, event: Event, at: At) -> Account:
    """End a run whose book custodians opened and found covered, which nothing proves."""
    state, run, _ = found(state, event)
    # One of them that deviates can deny a breach. So it is worth as much as a void run: whoever was silent takes out
    # nothing, and gets no other book in force, before a proof.
    return with_public(state, run=None, owed=None, book=updated(in_force(state), void=run.price_sequence))


def opened_in_breach(state: Account, event: Event, at: At) -> Account:
    """Take a breach that custodians proved; its settlement follows."""
    state, run, body = found(state, event)
    breach = updated(run, stage="breach", answer=event.document, top_up=body.top_up)
    return with_public(state, run=breach)


def _answered(state: Account, body: Answer) -> OpenRun:
    run = state.public.run
    if run is None or run.run_id != body.run_id or run.stage not in ("awaiting", "unproven"):
        raise WrongRun(f"run {body.run_id} takes no answer", "run_id")
    if (body.run, body.submission, body.price_sequence) != (run.record, run.submission, run.price_sequence):
        raise WrongRun(f"the answer is about another record than that of run {run.run_id}", "run")
    if body.entry != run.entry:
        raise WrongRun(f"the answer names another entry than the one that has run {run.run_id}", "entry")
    return run


def margin_called(state: Account, event: Event, at: At) -> Account:
    """End a run whose breach was settled from free collateral."""
    run, moves = _settled(state, event)
    if any(source != "free" or target != "posted" for _, _, source, target in moves):
        raise WrongCollateral("a margin call moves free to posted collateral, and nothing else", "transfers")
    require_eligible(state.public, (asset for asset, *_ in moves))
    after = called(moved(state, moves), run.price_sequence)
    return _proven(after, run.commitments, run.price_sequence)


def liquidated(state: Account, event: Event, at: At) -> Account:
    """End a run whose breach was settled with all there is."""
    _, moves = _settled(state, event)
    default = segregated(body_of(event, Settlement), event.document)
    if any(target is not None for _, _, _, target in moves):
        raise WrongCollateral("a liquidation moves to the liquidation account, and nowhere else", "transfers")
    after = moved(state, moves)
    if after.private.free or after.public.posted:
        raise WrongCollateral("a liquidation takes all of the account's collateral", "transfers")
    return with_public(after, run=None, owed=None, waiting=None, default=default)


def _settled(state: Account, event: Event) -> tuple[OpenRun, list[tuple[str, int, str | None, str | None]]]:
    body, run = body_of(event, Settlement), state.public.run
    if run is None or run.stage != "breach" or run.run_id != body.run_id:
        raise WrongRun(f"no breach of run {body.run_id} waits for its settlement", "run_id")
    if (body.run, body.answer, body.top_up) != (run.record, run.answer, run.top_up):
        raise WrongRun(f"the settlement is of another answer than that to run {run.run_id}", "answer")
    moves: list[tuple[str, int, str | None, str | None]] = [
        (move.asset, move.quantity, move.source, None if move.destination == "liquidation" else move.destination)
        for move in body.transfers
    ]
    return run, moves


def covered_unasked(state: Account, event: Event, at: At) -> Account:
    """Take a proof that nobody asked for, in place of a run."""
    # Else the book before could be proven in place of the one that a run would be on.
    state = with_book_at(state, at)
    body, public, book = body_of(event, Coverage), state.public, in_force(state)
    if public.run is not None and not _may_be_passed(public.run, at):
        raise RunNotOver(f"run {public.run.run_id} is open; answer it", "state")
    if body.submission != book.submission:
        raise WrongBook("the proof is about another book than the one in force", "submission")
    if (body.price_sequence, body.tick) != (at.market, at.market_hash):
        raise WrongTick(f"the proof is not at the newest tick, {at.market}", "price_sequence")
    if not is_due(state, at) and (public.run, public.owed, book.void) == (None, None, None):
        raise WrongTick("nothing is owed or due at this tick", "price_sequence")
    if (body.posted, body.instructions) != (public.posted, public.instructions):
        raise WrongCollateral("the proof counts other collateral than is posted", "posted")
    if body.agreed != agreed_in_force(public):
        raise WrongAgreement("the proof counts other figures of the agreement than are in force", "agreed")
    if body.entry != at.head:
        raise WrongRun("the proof names another entry than the account's last", "entry")
    return _proven(with_public(state, last_run=at.market), book.commitments, at.market)


def _may_be_passed(run: OpenRun, at: At) -> bool:
    """Return whether a proof that nobody asked for takes the place of a run: one that nobody can answer now.

    An evaluation that goes on for longer than a tick is one of them: an operator could let an account wait for ever.
    """
    return run.stage in ("unproven", "not_proven") or (run.stage == "evaluating" and at.market > run.price_sequence)


def _proven(state: Account, commitments: str, tick: int) -> Account:
    """End a run, or what takes its place: these commitments are covered at a tick, or made so.

    A book that waits comes in force, unless ticks came before it at which the one in force was not run. One more run is
    enough then: at a tick after it.
    """
    book, waiting = in_force(state), state.public.waiting
    if book.commitments != commitments:
        raise WrongBook("what is proven is not the book in force", "submission")
    state = with_opening_over(state)
    state = with_public(state, run=None, owed=None, given_up=None, book=updated(book, covered=tick, void=None))
    if waiting is None or waiting.tick > tick:
        return state
    return with_public(state, book=waiting, waiting=None)

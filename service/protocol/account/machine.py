"""The account machine: the only place where the state of an account is made. Pure: no clock, no store, no secret.

`apply` takes a state, an event, and where in the log's history the event stands, and returns the state after it or
raises an error that names the rule. What a document proves is verified before (`protocol.verification`); here it is
checked that it is the right document at this moment:

- A run is on the book that came before its tick, at the newest tick there is, with all collateral posted by then. A
  run that follows one which was not proven is the same run: tick, book, keys, collateral and matrices.
- Another book that comes while a run is open, due or owed, or was void, waits: until the one in force was proven at a
  tick that is not older than itself. The same commitments under new keys do not wait.
- No answer in time: the book is owed, and the account frozen, until the same commitments are proven covered or the
  breach is settled.
- Free collateral leaves when the book in force was proven covered since it came, and nothing is open, due or waiting,
  nor was void since.
- An event is under the ticks of the one before, or under newer ones.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

from atomic_margin.documents.canonical import canonical_hash
from atomic_margin.documents.strict import Part
from atomic_margin.service.errors import InsufficientFunds
from atomic_margin.service.protocol.account.errors import (
    NotCovered,
    OutOfSequence,
    RunNotOver,
    WrongBook,
    WrongCollateral,
    WrongKeys,
    WrongRun,
    WrongSigner,
    WrongTick,
)
from atomic_margin.service.protocol.account.events import (
    AdmissionRecord,
    Coverage,
    DepositRecord,
    Event,
    EventKind,
    Overdue,
    Readers,
    RunOpened,
    RunVoid,
)
from atomic_margin.service.protocol.account.state import (
    NOTHING,
    Account,
    Book,
    Newest,
    OpenRun,
    PrivateState,
    PublicState,
    Stage,
)
from atomic_margin.service.protocol.account.table import next_status
from atomic_margin.service.protocol.documents import (
    Answer,
    Body,
    CollateralInstruction,
    Enrolment,
    EnrolmentConfirmation,
    RunRecord,
    Settlement,
    Submission,
    second_run_of,
)


class At(NamedTuple):
    """Where an event stands.

    Attributes:
        tick: number of the newest tick, void or not; 0 for none.
        tick_hash: its hash.
        market: number of the newest tick with a market; 0 for none.
        market_hash: its hash.
        head: hash of the account's entry before.
    """

    tick: int = 0
    tick_hash: str = NOTHING
    market: int = 0
    market_hash: str = NOTHING
    head: str = NOTHING


def commitments_hash(submission: Submission) -> str:
    """Return what makes two submissions the same book: their commitments, and the gross limit they are proven under."""
    value = {"commitments": list(submission.commitments), "gross_limit": str(submission.gross_limit)}
    return canonical_hash("book", value)


def is_due(state: Account, at: At) -> bool:
    """Return whether the newest tick is one that the book in force has to be run at, and was not."""
    book = state.public.book
    return book is not None and at.market > max(state.public.last_run, book.tick)


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
        return _public(_opened(event), newest=newest)
    _check_signer(state.public, event)
    state = _with_entry(state, at)
    after = _APPLY[event.kind](state, event, at)
    return _public(after, status=status, newest=newest)


P = TypeVar("P", bound=Part)
B = TypeVar("B", bound=Body)


def _updated(part: P, **changes: Any) -> P:
    return part.model_copy(update=changes)


def _public(state: Account, **changes: Any) -> Account:
    return _updated(state, public=_updated(state.public, **changes))


def _body(event: Event, kind: type[B]) -> B:
    if not isinstance(event.body, kind):
        raise TypeError(f"the event {event.kind} is a {kind.__name__}, got {type(event.body).__name__}")
    return event.body


def _opened(event: Event) -> Account:
    body = _body(event, AdmissionRecord)
    if event.signer != body.operator:
        raise WrongSigner("an admission is signed by the operator that it names", "signer")
    public = PublicState.model_construct(
        institution=body.institution,
        identity=body.identity,
        operator=body.operator,
        terms=body.terms,
        status=next_status(None, event.kind),
    )
    return Account(public=public, private=PrivateState())


def _check_signer(public: PublicState, event: Event) -> None:
    wanted = public.identity if event.kind in OF_INSTITUTION else public.operator
    if event.signer != wanted:
        party = "institution" if event.kind in OF_INSTITUTION else "operator"
        raise WrongSigner(f"'{event.kind}' is signed by the {party} of the account, and by nobody else", "signer")
    for name in ("operator", "institution"):
        if getattr(event.body, name) != getattr(public, name):
            raise WrongSigner(f"the document names another {name} than the account's", name)


OF_INSTITUTION = frozenset(
    {
        EventKind.KEYS_ENROLLED, EventKind.KEYS_CONFIRMED, EventKind.SUBMITTED, EventKind.POSTED, EventKind.WITHDRAWN,
        EventKind.COVERED, EventKind.BREACH_PROVEN, EventKind.READERS_NAMED, EventKind.COVERED_UNASKED,
    }
)  # fmt: skip
"""Events that are the institution's own documents. All others are the operator's."""


def _newest(before: Newest, at: At) -> Newest:
    """Return the ticks that an event is under: those of the event before, or newer ones."""
    after = (at.tick, at.tick_hash, at.market, at.market_hash)
    if after == (before.tick, before.tick_hash, before.market, before.market_hash):
        return before
    if at.tick <= before.tick:
        raise WrongTick(f"it is at tick {at.tick}, the one before at {before.tick}, and not at the same", "tick")
    market = (at.market, at.market_hash)
    # Of the ticks that are new any may have a market; those that are not keep theirs.
    same = market in ((at.tick, at.tick_hash), (before.market, before.market_hash))
    between = before.tick < at.market < at.tick
    if not (same or between):
        raise WrongTick(f"tick {at.market} cannot be the newest one with a market at tick {at.tick}", "market")
    return Newest.model_construct(tick=at.tick, tick_hash=at.tick_hash, market=at.market, market_hash=at.market_hash)


def _with_entry(state: Account, at: At) -> Account:
    """Name the entry that has the run's record: the one before the first event after it."""
    run = state.public.run
    if run is None or run.record is None or run.entry is not None:
        return state
    return _public(state, run=_updated(run, entry=at.head))


# Collateral


def _deposited(state: Account, event: Event, at: At) -> Account:
    body = _body(event, DepositRecord)
    return _moved(state, [(body.asset, body.quantity, None, "free")])


def _posted(state: Account, event: Event, at: At) -> Account:
    body = _instruction(state, event)
    after = _moved(state, [(body.asset, body.quantity, "free", "posted")])
    return _public(after, instructions=body.sequence)


def _withdrawn(state: Account, event: Event, at: At) -> Account:
    body, public = _instruction(state, event), state.public
    if public.run is not None or is_due(state, at):
        raise RunNotOver("a run of the account is open or due; withdraw after it is answered", "state")
    if public.waiting is not None:
        raise NotCovered("a book waits; withdraw after it came in force and was proven covered", "state")
    if public.book is not None and public.book.covered is None:
        raise NotCovered("the book was not proven covered since it came; withdraw after its first run", "state")
    if public.book is not None and public.book.void is not None:
        raise NotCovered(
            f"the run of tick {public.book.void} was void; withdraw after the next one, or a proof", "state"
        )
    after = _moved(state, [(body.asset, body.quantity, "free", None)])
    return _public(after, instructions=body.sequence)


def _instruction(state: Account, event: Event) -> CollateralInstruction:
    body = _body(event, CollateralInstruction)
    _next(body.sequence, state.public.instructions, "instruction")
    return body


def _moved(state: Account, moves: list[tuple[str, int, str | None, str | None]]) -> Account:
    """Move quantities of assets between free, posted, and the world outside (None)."""
    held = {"free": dict(state.private.free), "posted": dict(state.public.posted)}
    for asset, quantity, source, target in moves:
        if source is not None:
            left = held[source].get(asset, 0) - quantity
            if left < 0:
                raise InsufficientFunds(f"the account has {-left} units of {source} {asset} less than that", "quantity")
            held[source][asset] = left
        if target is not None:
            held[target][asset] = held[target].get(asset, 0) + quantity
    after = _public(state, posted=_nonzero(held["posted"]))
    return _updated(after, private=_updated(after.private, free=_nonzero(held["free"])))


def _nonzero(balances: Mapping[str, int]) -> dict[str, int]:
    return {asset: quantity for asset, quantity in sorted(balances.items()) if quantity}


# Keys and books


def _keys_enrolled(state: Account, event: Event, at: At) -> Account:
    body = _body(event, Enrolment)
    if body.key_sequence <= state.public.key_sequence:
        last = state.public.key_sequence
        raise OutOfSequence(f"the last key sequence number was {last}, got {body.key_sequence}", "key_sequence")
    return _public(state, key_sequence=body.key_sequence, pending=body.evaluation_keys)


def _keys_confirmed(state: Account, event: Event, at: At) -> Account:
    body, pending = _body(event, EnrolmentConfirmation), state.public.pending
    if pending is None or pending != body.evaluation_keys:
        raise WrongKeys("no known-answer test is open for these keys; enrol first", "evaluation_keys")
    return _public(state, keys=pending, pending=None)


def _submitted(state: Account, event: Event, at: At) -> Account:
    body, public = _body(event, Submission), state.public
    if body.evaluation_keys != public.keys:
        raise WrongKeys("the submission names other evaluation keys than the enrolled ones", "evaluation_keys")
    _next(body.sequence, public.submissions, "submission")
    book = Book.model_construct(
        submission=event.document,
        sequence=body.sequence,
        commitments=commitments_hash(body),
        evaluation_keys=body.evaluation_keys,
        key_commitments=body.key_commitments,
        tick=at.market,
    )
    state = _public(state, submissions=body.sequence)
    before, waiting = public.book, public.waiting
    if before is not None and before.commitments == book.commitments:
        # The same book under new keys. Who goes back to it while another one waits commits anew.
        return _public(state, book=_updated(book, tick=before.tick, covered=before.covered, void=before.void))
    void = before is not None and before.void is not None
    if public.run is None and public.owed is None and not void and not is_due(state, at):
        return _public(state, book=book, waiting=None)
    if waiting is not None and waiting.commitments == book.commitments:
        book = _updated(book, tick=waiting.tick)
    return _public(state, waiting=book)


# Runs


def _run_opened(state: Account, event: Event, at: At) -> Account:
    return _begun(state, _body(event, RunOpened), "evaluating", at)


def _run_recorded(state: Account, event: Event, at: At) -> Account:
    body, run = _body(event, RunRecord), state.public.run
    evaluated = body.outputs is not None
    if not evaluated:
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
    return _public(state, run=_updated(run, stage="awaiting", record=event.document, evaluated=evaluated))


def _begun(state: Account, body: RunOpened | RunRecord, stage: Stage, at: At) -> Account:
    """Begin a run, evaluated or not: at the newest tick, on the book in force, with what is posted."""
    public, book, before = state.public, _in_force(state), state.public.run
    first = OpenRun.model_construct(
        run_id=f"{public.institution}.{at.market}",
        price_sequence=at.market,
        tick=at.market_hash,
        submission=book.submission,
        commitments=book.commitments,
        evaluation_keys=book.evaluation_keys,
        key_commitments=book.key_commitments,
        instructions=public.instructions,
        posted=public.posted,
        matrices=body.matrices,
        second=False,
        stage="evaluating",
    )
    if before is not None and before.stage == "not_proven":
        # The same run again, this time evaluated: whatever changed meanwhile counts from the next tick on.
        wanted = _updated(
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
                f"tick {at.market} is no tick to run: it had a run, or the book came with it or after", "price_sequence"
            )
    _compare(body, wanted)
    return _public(state, run=_updated(wanted, stage=stage), last_run=wanted.price_sequence)


def _compare(body: RunOpened | RunRecord, wanted: OpenRun) -> None:
    for name, error in (
        ("price_sequence", WrongTick),
        ("tick", WrongTick),
        ("run_id", WrongRun),
        ("submission", WrongBook),
        ("instructions", WrongCollateral),
        ("posted", WrongCollateral),
        ("matrices", WrongRun),
    ):
        if getattr(body, name) != getattr(wanted, name):
            shown = getattr(wanted, name)
            raise error(f"the run has another {name} than it must have ({shown})", name)


def _fixed(run: OpenRun) -> dict[str, Any]:
    names = ("run_id", "price_sequence", "tick", "submission", "instructions", "posted", "matrices")
    return {name: getattr(run, name) for name in names}


def _run_void(state: Account, event: Event, at: At) -> Account:
    body, run = _body(event, RunVoid), state.public.run
    if run is None or run.run_id != body.run_id or run.stage != "evaluating":
        raise WrongRun(f"run {body.run_id} is not being evaluated", "run_id")
    # Nothing was proven at its tick: a book that waits goes on waiting, and so will one that comes now. Or an account
    # whose evaluation fails whenever there is a breach would get rid of it.
    return _public(state, run=None, book=_updated(_in_force(state), void=run.price_sequence))


def _proof_overdue(state: Account, event: Event, at: At) -> Account:
    run = _awaiting(state, _body(event, Overdue))
    if run.evaluated:
        raise WrongRun(f"run {run.run_id} is evaluated: it is owed", "run_id")
    return _public(state, run=_updated(run, stage="not_proven"))


def _answer_overdue(state: Account, event: Event, at: At) -> Account:
    run = _awaiting(state, _body(event, Overdue))
    if not run.evaluated:
        raise WrongRun(f"run {run.run_id} is not evaluated: nothing is owed on it", "run_id")
    return _public(state, run=_updated(run, stage="unproven"), owed=run.commitments)


def _awaiting(state: Account, body: Overdue) -> OpenRun:
    run = state.public.run
    if run is None or run.stage != "awaiting" or (run.run_id, run.record) != (body.run_id, body.run):
        raise WrongRun(f"run {body.run_id} does not wait for an answer", "run_id")
    return run


def _covered(state: Account, event: Event, at: At) -> Account:
    run = _answered(state, _body(event, Answer))
    return _proven(state, run.commitments, run.price_sequence)


def _breach_proven(state: Account, event: Event, at: At) -> Account:
    body = _body(event, Answer)
    run = _answered(state, body)
    if not run.evaluated:
        raise WrongRun(f"run {run.run_id} was not evaluated; no breach can be answered", "outcome")
    return _public(state, run=_updated(run, stage="breach", answer=event.document, top_up=body.top_up))


def _answered(state: Account, body: Answer) -> OpenRun:
    run = state.public.run
    if run is None or run.run_id != body.run_id or run.stage not in ("awaiting", "unproven"):
        raise WrongRun(f"run {body.run_id} takes no answer", "run_id")
    if (body.run, body.submission, body.price_sequence) != (run.record, run.submission, run.price_sequence):
        raise WrongRun(f"the answer is about another record than that of run {run.run_id}", "run")
    if body.entry != run.entry:
        raise WrongRun(f"the answer names another entry than the one that has run {run.run_id}", "entry")
    return run


def _margin_called(state: Account, event: Event, at: At) -> Account:
    run, moves = _settled(state, event)
    if any(source != "free" or target != "posted" for _, _, source, target in moves):
        raise WrongCollateral("a margin call moves free to posted collateral, and nothing else", "transfers")
    return _proven(_moved(state, moves), run.commitments, run.price_sequence)


def _liquidated(state: Account, event: Event, at: At) -> Account:
    _, moves = _settled(state, event)
    if any(target is not None for _, _, _, target in moves):
        raise WrongCollateral("a liquidation moves to the liquidation account, and nowhere else", "transfers")
    after = _moved(state, moves)
    if after.private.free or after.public.posted:
        raise WrongCollateral("a liquidation takes all of the account's collateral", "transfers")
    return _public(after, run=None, owed=None, waiting=None)


def _settled(state: Account, event: Event) -> tuple[OpenRun, list[tuple[str, int, str | None, str | None]]]:
    body, run = _body(event, Settlement), state.public.run
    if run is None or run.stage != "breach" or run.run_id != body.run_id:
        raise WrongRun(f"no breach of run {body.run_id} waits for its settlement", "run_id")
    if (body.run, body.answer, body.top_up) != (run.record, run.answer, run.top_up):
        raise WrongRun(f"the settlement is of another answer than that to run {run.run_id}", "answer")
    moves: list[tuple[str, int, str | None, str | None]] = [
        (move.asset, move.quantity, move.source, None if move.destination == "liquidation" else move.destination)
        for move in body.transfers
    ]
    return run, moves


def _readers_named(state: Account, event: Event, at: At) -> Account:
    body = _body(event, Readers)
    _next(body.sequence, state.public.readers, "list of readers")
    return _public(state, readers=body.sequence)


def _covered_unasked(state: Account, event: Event, at: At) -> Account:
    body, public, book = _body(event, Coverage), state.public, _in_force(state)
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
    if body.entry != at.head:
        raise WrongRun("the proof names another entry than the account's last", "entry")
    return _proven(_public(state, last_run=at.market), book.commitments, at.market)


def _may_be_passed(run: OpenRun, at: At) -> bool:
    """Return whether a proof that nobody asked for takes the place of a run: one that nobody can answer now.

    An evaluation that goes on for longer than a tick is one of them: an operator could let an account wait for ever.
    """
    return run.stage in ("unproven", "not_proven") or (run.stage == "evaluating" and at.market > run.price_sequence)


# The end of a run


def _proven(state: Account, commitments: str, tick: int) -> Account:
    """End a run, or what takes its place: these commitments are covered at a tick, or made so.

    A book that waits comes in force, unless ticks came before it at which the one in force was not run. One more run is
    enough then: at a tick after it.
    """
    book, waiting = _in_force(state), state.public.waiting
    if book.commitments != commitments:
        raise WrongBook("what is proven is not the book in force", "submission")
    state = _public(state, run=None, owed=None, book=_updated(book, covered=tick, void=None))
    if waiting is None or waiting.tick > tick:
        return state
    return _public(state, book=waiting, waiting=None)


def _in_force(state: Account) -> Book:
    if state.public.book is None:
        raise WrongBook("the account has no book in force", "submission")
    return state.public.book


def _next(number: int, last: int, what: str) -> None:
    if number != last + 1:
        raise OutOfSequence(f"the next {what} sequence number is {last + 1}, got {number}", "sequence")


_APPLY: Mapping[EventKind, Callable[[Account, Event, At], Account]] = {
    EventKind.DEPOSITED: _deposited,
    EventKind.KEYS_ENROLLED: _keys_enrolled,
    EventKind.KEYS_CONFIRMED: _keys_confirmed,
    EventKind.SUBMITTED: _submitted,
    EventKind.POSTED: _posted,
    EventKind.WITHDRAWN: _withdrawn,
    EventKind.RUN_OPENED: _run_opened,
    EventKind.RUN_RECORDED: _run_recorded,
    EventKind.RUN_VOID: _run_void,
    EventKind.PROOF_OVERDUE: _proof_overdue,
    EventKind.ANSWER_OVERDUE: _answer_overdue,
    EventKind.COVERED: _covered,
    EventKind.BREACH_PROVEN: _breach_proven,
    EventKind.MARGIN_CALLED: _margin_called,
    EventKind.LIQUIDATED: _liquidated,
    EventKind.READERS_NAMED: _readers_named,
    EventKind.COVERED_UNASKED: _covered_unasked,
}

"""Sign and chain the records of runs, evaluated or not."""

import hashlib
import logging
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from atomic_margin.documents.fields import instant_text
from atomic_margin.documents.strict import instant
from atomic_margin.fhe.worker import Evaluation
from atomic_margin.margin.collateral.agreement import Agreed
from atomic_margin.margin.errors import MarginError
from atomic_margin.margin.rows.rounding import RunMatrices
from atomic_margin.service.errors import Conflict, IllegalTransition
from atomic_margin.service.operator.compiled_ticks import CompiledTick
from atomic_margin.service.operator.measures import timed
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.store import entries
from atomic_margin.service.operator.store.claims import Claim, let_go, require
from atomic_margin.service.operator.store.database import now
from atomic_margin.service.operator.store.tables import Account, Run, Tick
from atomic_margin.service.operator.store.transitions import move_run
from atomic_margin.service.protocol.account.agreements import agreed_in_force
from atomic_margin.service.protocol.account.errors import Halted, WrongAgreement, WrongCollateral
from atomic_margin.service.protocol.account.events import RunOpened
from atomic_margin.service.protocol.account.state import OpenRun
from atomic_margin.service.protocol.account.values import book_at
from atomic_margin.service.protocol.documents import MatrixHashes, OutputHashes, RunRecord
from atomic_margin.service.protocol.policy import Policy
from atomic_margin.service.protocol.states import RunEvent, RunState
from atomic_margin.service.protocol.submissions import Submission, repeated_columns
from atomic_margin.service.protocol.terms import matrix_hashes

_log = logging.getLogger(__name__)

GENESIS = "0" * 64
"""What the first record of the chain names as the one before it."""


class NotDue(Conflict):
    """A run whose turn came is not wanted any more: a newer tick came, or the account moved on."""


class Plan(NamedTuple):
    """What a run is on: what its documents say, and what it is evaluated with.

    Attributes:
        run_id: its name.
        institution: whose.
        submission_id: row of its portfolio.
        submission_hash: hash of that document.
        submission: the portfolio.
        tick: its prices.
        posted: posted collateral that counts, by asset, in smallest units.
        instructions: number of the last collateral instruction that is part of it.
        agreed: figures of the account's agreement, if it has one.
        matrices: of the run.
    """

    run_id: str
    institution: str
    submission_id: int
    submission_hash: str
    submission: Submission
    tick: CompiledTick
    posted: dict[str, int]
    instructions: int
    agreed: Agreed | None
    matrices: RunMatrices


class TimedEvaluation(NamedTuple):
    """An evaluation, and when it began and ended."""

    evaluation: Evaluation
    started: datetime
    ended: datetime


@timed("plan")
def begin(operator: Operator, run_id: str) -> Plan:
    """Enter that a run begins to be evaluated: what it is on is fixed by that. One that has begun goes on.

    Raises:
        NotDue: it is not wanted any more.
        MarginError: no unit fits, or the prices do not value the collateral.
    """
    while True:
        plan = _planned(operator, run_id)
        opened = RunOpened.parse({**_fields(operator, plan), "opened_at": instant_text(now())})
        with operator.store.unit_of_work() as session:
            account = session.get_one(Account, plan.institution)
            state = entries.state_of(account)
            if state.public.run is not None and state.public.run.run_id == run_id:
                return plan
            if state.public.custody is not None and state.public.custody.opening is not None:
                # Asked for since the run was due: it waits, and is not lost.
                raise Halted("custodians open the book of the account")
            try:
                entries.enter(session, operator.book, account, opened.signed_by(operator.identity))
            except (WrongAgreement, WrongCollateral):
                # Some was posted meanwhile, or other terms were agreed to.
                continue
            except Halted:
                raise
            except IllegalTransition as error:
                raise NotDue(str(error)) from error
            session.get_one(Run, run_id).submission_id = plan.submission_id
        return plan


def open_due(operator: Operator, institution: str) -> None:
    """Begin the run that an account has due, because another book comes.

    If it waited for its turn until the next tick, no run would be on the book that was there at this one. Only where
    runs are evaluated: one that is to be proven first begins with its record.
    """
    if operator.settings.policy is not Policy.ALWAYS:
        return
    with operator.store.reading() as session:
        waiting = select(Run.run_id).where(
            Run.institution == institution, Run.state == RunState.SCHEDULED, Run.second.is_(False)
        )
        run_id = session.scalar(waiting.limit(1))
        free = entries.state_of(session.get_one(Account, institution)).public.run is None
    if run_id is None or not free:
        return
    try:
        begin(operator, run_id)
    except (NotDue, Halted, MarginError) as reason:
        _log.warning("run %s did not begin before another book came: %s", run_id, reason)


def ask(operator: Operator, claim: Claim) -> None:
    """Sign and chain the record of a run that is to be proven first, without evaluating it, and open it for its answer.

    Raises:
        NotDue: it is not wanted any more.
        MarginError: no unit fits, or the prices do not value the collateral.
    """
    while True:
        plan = _planned(operator, claim.run_id)
        try:
            _record(operator, plan, claim, None)
        except (WrongAgreement, WrongCollateral):
            continue
        except Halted:
            raise
        except IllegalTransition as error:
            raise NotDue(str(error)) from error
        return


def _planned(operator: Operator, run_id: str) -> Plan:
    with operator.store.reading() as session:
        row = session.get_one(Run, run_id)
        state = entries.state_of(session.get_one(Account, row.institution))
        public, begun = state.public, state.public.run
        if begun is not None and (begun.run_id == run_id or row.second):
            # It has begun, or is the same run again after one that was not proven.
            book, posted, instructions = begun.submission, begun.posted, begun.instructions
            agreed = begun.agreed
        else:
            wanted = book_at(state, entries.newest(session))
            if wanted is None:
                raise NotDue("the account has no book in force")
            book, posted, instructions = wanted.submission, public.posted, public.instructions
            agreed = agreed_in_force(public)
        stored = operator.parsed.submission(session, book)
        tick = tick_of(operator, session, row.price_sequence)
    return Plan(
        run_id=run_id,
        institution=row.institution,
        submission_id=stored.id,
        submission_hash=stored.sha256,
        submission=stored.submission,
        tick=tick,
        posted=dict(posted),
        instructions=instructions,
        agreed=agreed,
        matrices=tick.matrices(posted, stored.submission, agreed),
    )


def _fields(operator: Operator, plan: Plan) -> dict[str, Any]:
    return _said(
        operator,
        plan.institution,
        run_id=plan.run_id,
        submission=plan.submission_hash,
        price_sequence=plan.tick.sequence,
        tick=plan.tick.hash,
        posted=plan.posted,
        instructions=plan.instructions,
        agreed=plan.agreed,
        matrices=matrix_hashes(plan.matrices),
    )


def _said(
    operator: Operator,
    institution: str,
    *,
    run_id: str,
    submission: str,
    price_sequence: int,
    tick: str,
    posted: Mapping[str, int],
    instructions: int,
    agreed: Agreed | None,
    matrices: MatrixHashes,
) -> dict[str, Any]:
    """Return what documents say of what a run is on."""
    return {
        "run_id": run_id,
        "operator": operator.identity.public_key,
        "institution": institution,
        "submission": submission,
        "price_sequence": str(price_sequence),
        "tick": tick,
        "instructions": str(instructions),
        "posted": {asset: str(quantity) for asset, quantity in posted.items()},
        "matrices": matrices.model_dump(),
        **({} if agreed is None else {"agreed": agreed.canonical()}),
    }


def recorded_matrices(operator: Operator, record: RunRecord) -> RunMatrices:
    """Return the matrices of a run that is recorded, compiled anew from its tick and the collateral it names."""
    return compiled_tick(operator, record).matrices(record.posted, record, record.agreed)


def compiled_tick(operator: Operator, record: RunRecord) -> CompiledTick:
    """Return the tick of a run that is recorded."""
    kept = operator.compiled_ticks.kept(record.price_sequence)
    if kept is not None:
        return kept
    with operator.store.reading() as session:
        return tick_of(operator, session, record.price_sequence)


def tick_of(operator: Operator, session: Session, sequence: int) -> CompiledTick:
    """Return a stored tick by its number; its row is read only if it is not kept."""
    kept = operator.compiled_ticks.kept(sequence)
    return operator.compiled_ticks.of(session.get_one(Tick, sequence)) if kept is None else kept


@timed("record")
def record(operator: Operator, plan: Plan, claim: Claim, evaluated: TimedEvaluation) -> None:
    """Sign and chain the record of a run that was evaluated, and open it for its answer.

    Args:
        operator: who signs.
        plan: what the run began on.
        claim: whose run it is.
        evaluated: what was evaluated.

    Raises:
        ClaimLost: the run is not this caller's any more.
    """
    operator.measures.evaluated(plan.run_id, evaluated.started, evaluated.ended)
    _record(operator, plan, claim, evaluated)
    operator.measures.recorded(instant(plan.tick.received_at), now())


def _record(operator: Operator, plan: Plan, claim: Claim, evaluated: TimedEvaluation | None) -> None:
    settings = operator.settings
    seconds = settings.proof_seconds if evaluated is None else settings.answer_seconds
    fields, recorded_at = _fields(operator, plan), now()

    def work(session: Session) -> None:
        run = session.get_one(Run, plan.run_id)
        require(run, claim.owner, f"run {run.run_id}")
        evidence = {} if evaluated is None else _evidence(evaluated.evaluation)
        _enter(operator, session, run, plan.submission, {**fields, **evidence}, recorded_at, seconds)
        run.submission_id = plan.submission_id
        if evaluated is not None:
            evaluation = evaluated.evaluation
            run.surplus_output, run.breach_output = evaluation.outputs["surplus"], evaluation.outputs["breach"]
            run.seconds = {name: f"{spent:.3f}" for name, spent in evaluation.seconds.items()}
            run.evaluation = {"started_at": _precise(evaluated.started), "ended_at": _precise(evaluated.ended)}
        run.problem = None
        let_go(run)

    operator.store.run(work)


def record_failed(operator: Operator, session: Session, run: Run, begun: OpenRun) -> None:
    """Sign and chain the record of a run whose evaluation failed, of a book that custodians have: they can open it.

    Args:
        operator: who signs.
        session: of the caller's unit of work.
        run: which failed; nobody has it in hand.
        begun: the same in the account.
    """
    stored = operator.parsed.submission(session, begun.submission)
    fields = _said(
        operator,
        run.institution,
        run_id=begun.run_id,
        submission=begun.submission,
        price_sequence=begun.price_sequence,
        tick=begun.tick,
        posted=begun.posted,
        instructions=begun.instructions,
        agreed=begun.agreed,
        matrices=begun.matrices,
    )
    _enter(operator, session, run, stored.submission, fields, now(), operator.settings.answer_seconds)


def _enter(
    operator: Operator,
    session: Session,
    run: Run,
    submission: Submission,
    fields: dict[str, Any],
    recorded_at: datetime,
    seconds: int,
) -> None:
    """Sign, chain and enter a record; `fields` are what the run is on, and what its evaluation gave."""
    last = session.execute(
        select(Run.number, Run.record_hash).where(Run.number.is_not(None)).order_by(Run.number.desc()).limit(1)
    ).one_or_none()
    deadline = instant_text(recorded_at + timedelta(seconds=seconds))
    body = RunRecord.parse(
        {
            **fields,
            "number": str(1 if last is None else last.number + 1),
            "previous": GENESIS if last is None else last.record_hash,
            "submission_sequence": str(submission.sequence),
            **operator.terms.hashes,
            **repeated_columns(submission),
            "evaluation_keys": submission.evaluation_keys,
            "key_commitments": submission.key_commitments,
            "ciphertext": submission.ciphertext,
            "evaluated_at": instant_text(recorded_at),
            "deadline": deadline,
        }
    )
    signed = body.signed_by(operator.identity)
    account = session.get_one(Account, run.institution)
    entries.enter(session, operator.book, account, signed)
    run.public_state = account.public_state
    run.number = body.number
    run.record = signed.to_json()
    run.record_hash = signed.body_hash()
    run.deadline = deadline
    move_run(run, RunEvent.RECORDED)


def _evidence(evaluation: Evaluation) -> dict[str, Any]:
    outputs = {name: hashlib.sha256(data).hexdigest() for name, data in evaluation.outputs.items()}
    return {"outputs": OutputHashes(**outputs).model_dump(), "fft_plan": evaluation.fingerprint}


def _precise(instant: datetime) -> str:
    return instant.astimezone(timezone.utc).isoformat(timespec="milliseconds")

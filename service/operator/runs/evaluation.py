"""Evaluate scheduled runs, and freeze accounts whose runs are not answered in time.

Runs of one account are evaluated one after the other, each after the answer to the one before (or its deadline), so
that collateral moved by a settlement counts in the next run and no shortfall is called twice.
"""

import logging
from collections.abc import Callable
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from atomic_margin.documents.fields import instant_text, now_text
from atomic_margin.service.operator.deadlines import Clock, clock
from atomic_margin.service.operator.faults import fault_point
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.runs.records import NotDue, TimedEvaluation, ask, begin, record
from atomic_margin.service.operator.store import entries, halted
from atomic_margin.service.operator.store.database import now
from atomic_margin.service.operator.store.tables import Account, Run
from atomic_margin.service.operator.store.transitions import move_run
from atomic_margin.service.protocol.account.errors import Halted
from atomic_margin.service.protocol.account.events import Overdue, RunVoid
from atomic_margin.service.protocol.documents import RunRecord, second_run_of
from atomic_margin.service.protocol.policy import Policy
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.states import ENDED, OPEN, RunEvent, RunState


class DueRun(NamedTuple):
    """What is looked at of a scheduled run before it is taken."""

    run_id: str
    institution: str
    second: bool


FUNCTIONS = ("surplus", "breach")
"""What is evaluated in a run."""
MAX_ATTEMPTS = 3

_log = logging.getLogger(__name__)


def evaluate_next(operator: Operator) -> str | None:
    """Evaluate the oldest run that is due and to be evaluated; return its identifier, or None when none is.

    Several threads may call it: a run is claimed by one of them, and an account's next run waits for it.
    """
    always = operator.settings.policy is Policy.ALWAYS
    run = claim(operator, lambda run: always or run.second)
    if run is None:
        return None
    run_id = run.run_id
    try:
        plan = begin(operator, run_id)
        terms, submission, matrices = operator.terms, plan.submission, plan.matrices
        A, c = matrices.maintenance_fhe.padded(terms.profile.rows, terms.profile.entries, terms.profile.bits)
        started = now()
        evaluation = operator.evaluator.evaluate(
            operator.key_file(operator.enrolled_keys(submission.institution, submission.evaluation_keys)),
            operator.blobs.get(submission.ciphertext),
            A,
            c,
            FUNCTIONS,
        )
        record(operator, plan, TimedEvaluation(evaluation, started, now()), operator.settings.answer_seconds)
    except NotDue as reason:
        _end(operator, run_id, reason)
        return run_id
    except Halted as reason:
        _wait(operator, run_id, reason)
        return run_id
    except Exception as error:
        # Whatever it was must not leave the run half-way, nor stop the other accounts' runs.
        _log.exception("run %s was not evaluated (attempt %d)", run_id, run.attempts)
        give_back(operator, run_id, f"{type(error).__name__}: {error}")
        return run_id
    fault_point("run-evaluated")
    return run_id


def ask_next(operator: Operator) -> str | None:
    """Record the oldest due run that is to be proven first, without evaluating it; return its identifier, or None.

    The institution has `Settings.proof_seconds` to prove it covered. `sweep_deadlines` schedules the run that is
    evaluated when it does not.
    """
    if operator.settings.policy is not Policy.UNLESS_PROVEN:
        return None
    run = claim(operator, lambda run: not run.second)
    if run is None:
        return None
    run_id = run.run_id
    try:
        ask(operator, run_id)
    except NotDue as reason:
        _end(operator, run_id, reason)
    except Halted as reason:
        _wait(operator, run_id, reason)
    except Exception as error:
        _log.exception("run %s was not recorded (attempt %d)", run_id, run.attempts)
        give_back(operator, run_id, f"{type(error).__name__}: {error}")
    return run_id


def sweep_deadlines(operator: Operator) -> list[str]:
    """Mark runs without an answer at their deadline as unproven and freeze their accounts; return their identifiers.

    With witnesses, the time is over when it is by their clocks, which begin when they first see the run's entry. A run
    that was not evaluated ends as not proven instead, and one that is evaluated takes its place.
    """
    late = select(Run.run_id).where(Run.state == RunState.AWAITING_ANSWER, Run.deadline < instant_text(now()))
    with operator.store.reading() as session:
        candidates = list(session.scalars(late.order_by(Run.run_id)))
    swept = []
    for run_id in candidates:
        try:
            # Each by itself: what keeps one from ending does not keep the others open.
            with operator.store.unit_of_work() as session:
                run = session.scalar(select(Run).where(Run.run_id == run_id, Run.state == RunState.AWAITING_ANSWER))
                if run is not None and _overdue(operator, session, run):
                    swept.append(run_id)
        except Exception:
            _log.exception("run %s is late and could not be ended; it is tried again", run_id)
    return swept


def _overdue(operator: Operator, session: Session, run: Run) -> bool:
    """Enter that the time to answer a run is over, if it is by the witnesses' clocks too; return whether it is."""
    account = session.get_one(Account, run.institution)
    if halted.stops(session, account):
        return False
    begins, ends = None, None
    if operator.settings.policy_of_log.needed:
        elapsed = _elapsed(operator, session, run)
        if elapsed is None:
            return False
        begins, ends = elapsed
    overdue = Overdue(
        run_id=run.run_id,
        run=run.record_hash or "",
        operator=operator.identity.public_key,
        institution=run.institution,
        begins=begins,
        ends=ends,
        declared_at=now_text(),
    )
    entries.enter(session, operator.book, account, overdue.signed_by(operator.identity))
    # By its record: words of a run that was evaluated may be lost, see `taking_back`.
    if RunRecord.parse(SignedDocument.parse(run.record).body).outputs is None:
        move_run(run, RunEvent.PROOF_OVERDUE)
        session.add(_second_run(run))
    else:
        move_run(run, RunEvent.ANSWER_OVERDUE)
    return True


def _elapsed(operator: Operator, session: Session, run: Run) -> Clock | None:
    record = RunRecord.parse(SignedDocument.parse(run.record).body)
    entry = entries.entry_of(session, run.institution, run.record_hash or "")
    return None if entry is None else clock(session, operator, entry.leaf, record.answer_seconds)


def recover(operator: Operator) -> list[str]:
    """Schedule again what a crash interrupted; return the identifiers."""
    with operator.store.unit_of_work() as session:
        interrupted = list(session.scalars(select(Run).where(Run.state == RunState.EVALUATING)))
        for run in interrupted:
            # The process died, not the evaluation: it is not the run's fault.
            move_run(run, RunEvent.INTERRUPTED)
            run.attempts = max(0, run.attempts - 1)
        return [run.run_id for run in interrupted]


def latest_evaluated(session: Session, institution: str) -> Run | None:
    """Return the account's run with the highest record number, if any was evaluated."""
    query = select(Run).where(Run.institution == institution, Run.number.is_not(None))
    return session.scalar(query.order_by(Run.number.desc()).limit(1))


def claim(operator: Operator, wanted: Callable[[DueRun], bool]) -> Run | None:
    """Take the oldest run that is due and `wanted`; one unit of work, so that no two callers take the same."""
    with operator.store.reading() as session:
        # Most looks find nothing, and must not keep anybody from writing.
        if not any(_next_due(session, wanted)):
            return None
    return operator.store.run(lambda session: _claim(session, wanted))


def _claim(session: Session, wanted: Callable[[DueRun], bool]) -> Run | None:
    pointless, due = _next_due(session, wanted)
    for run_id in pointless:
        ended = session.get_one(Run, run_id)
        move_run(ended, RunEvent.ACCOUNT_IN_DEFAULT)
        ended.problem = "the account is in default"
    if due is None:
        return None
    run = session.get_one(Run, due.run_id)
    move_run(run, RunEvent.TAKEN)
    run.attempts += 1
    return run


def _next_due(session: Session, wanted: Callable[[DueRun], bool]) -> tuple[list[str], DueRun | None]:
    """Return the runs before it whose accounts are in default, and the oldest that is due and wanted."""
    busy = select(Run.institution).where(Run.state.in_(OPEN))
    query = select(Run.run_id, Run.institution, Run.second).where(
        Run.state == RunState.SCHEDULED, Run.institution.not_in(busy)
    )
    passed: set[str] = set()
    pointless = []
    for run in map(DueRun._make, session.execute(query.order_by(Run.price_sequence, Run.institution))):
        if run.institution in passed:
            continue
        account = session.get_one(Account, run.institution)
        if account.state in ENDED:
            pointless.append(run.run_id)
            continue
        if wanted(run) and not halted.stops(session, account, "runs"):
            return pointless, run
        # Its later runs wait for this one, whoever takes it.
        passed.add(run.institution)
    return pointless, None


def _second_run(run: Run) -> Run:
    return Run(
        run_id=second_run_of(run.run_id),
        institution=run.institution,
        submission_id=run.submission_id,
        price_sequence=run.price_sequence,
        second=True,
    )


def give_back(operator: Operator, run_id: str, problem: str) -> None:
    """Schedule a run again, or end it as failed, void and nothing owed, when it has failed too often."""

    def work(session: Session) -> None:
        run = session.get_one(Run, run_id)
        run.problem = problem
        if run.attempts < MAX_ATTEMPTS:
            move_run(run, RunEvent.RETRIED)
            return
        move_run(run, RunEvent.FAILED)
        account = session.get_one(Account, run.institution)
        begun = entries.state_of(account).public.run
        if begun is None or begun.run_id != run_id:
            return
        void = RunVoid.parse(
            {
                "run_id": run_id,
                "operator": operator.identity.public_key,
                "institution": run.institution,
                "reason": f"not evaluated in {run.attempts} attempts",
                "ended_at": now_text(),
            }
        )
        entries.enter(session, operator.book, account, void.signed_by(operator.identity))

    operator.store.run(work)


def _wait(operator: Operator, run_id: str, reason: Halted) -> None:
    """Give back a run that a halt came before; that was no attempt."""

    def work(session: Session) -> None:
        run = session.get_one(Run, run_id)
        run.problem = str(reason)
        run.attempts = max(0, run.attempts - 1)
        move_run(run, RunEvent.RETRIED)

    operator.store.run(work)


def _end(operator: Operator, run_id: str, reason: NotDue) -> None:
    def work(session: Session) -> None:
        run = session.get_one(Run, run_id)
        run.problem = str(reason)
        move_run(run, RunEvent.RETRIED)
        move_run(run, RunEvent.NEWER_TICK)

    operator.store.run(work)

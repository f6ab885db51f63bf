"""Evaluate scheduled runs, and freeze accounts whose runs are not answered in time.

Runs of one account are evaluated one after the other, each after the answer to the one before (or its deadline), so
that collateral moved by a settlement counts in the next run and no shortfall is called twice.
"""

import logging
from collections.abc import Callable

from sqlalchemy import select
from sqlalchemy.orm import Session

from atomic_margin.documents.fields import instant_text
from atomic_margin.service.operator.faults import fault_point
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.runs.records import Claimed, TimedEvaluation, matrices_of, record
from atomic_margin.service.operator.settlement import ledger
from atomic_margin.service.operator.store.database import now
from atomic_margin.service.operator.store.tables import Account, Run, SubmissionRow, Tick
from atomic_margin.service.operator.store.transitions import move_account, move_run
from atomic_margin.service.protocol.documents import Submission, second_run_of
from atomic_margin.service.protocol.policy import Policy
from atomic_margin.service.protocol.states import OPEN, AccountEvent, AccountState, RunEvent, RunState

FUNCTIONS = ("surplus", "breach")
"""What is evaluated in a run."""
MAX_ATTEMPTS = 3

_log = logging.getLogger(__name__)


def evaluate_next(operator: Operator) -> str | None:
    """Evaluate the oldest run that is due and to be evaluated; return its identifier, or None when none is.

    Several threads may call it: a run is claimed by one of them, and an account's next run waits for it.
    """
    always = operator.settings.policy is Policy.ALWAYS
    claimed = claim(operator, lambda run: always or run.second)
    if claimed is None:
        return None
    run_id = claimed.run.run_id
    try:
        terms, submission = operator.terms, claimed.submission
        matrices = matrices_of(operator, claimed)
        A, c = matrices.maintenance_fhe.padded(terms.profile.rows, terms.profile.entries, terms.profile.bits)
        started = now()
        evaluation = operator.evaluator.evaluate(
            operator.key_file(operator.enrolled_keys(submission.institution, submission.evaluation_keys)),
            operator.blobs.get(submission.ciphertext),
            A,
            c,
            FUNCTIONS,
        )
        record(
            operator, claimed, matrices, TimedEvaluation(evaluation, started, now()), operator.settings.answer_seconds
        )
    except Exception as error:
        # Whatever it was must not leave the run half-way, nor stop the other accounts' runs.
        _log.exception("run %s was not evaluated (attempt %d)", run_id, claimed.run.attempts)
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
    claimed = claim(operator, lambda run: not run.second)
    if claimed is None:
        return None
    run_id = claimed.run.run_id
    try:
        matrices = matrices_of(operator, claimed)
        record(operator, claimed, matrices, None, operator.settings.proof_seconds)
    except Exception as error:
        _log.exception("run %s was not recorded (attempt %d)", run_id, claimed.run.attempts)
        give_back(operator, run_id, f"{type(error).__name__}: {error}")
    return run_id


def sweep_deadlines(operator: Operator) -> list[str]:
    """Mark runs without an answer at their deadline as unproven and freeze their accounts; return their identifiers.

    A run that was not evaluated ends as not proven instead, and one that is evaluated takes its place.
    """
    with operator.store.unit_of_work() as session:
        query = select(Run).where(Run.state == RunState.AWAITING_ANSWER, Run.deadline < instant_text(now()))
        late = list(session.scalars(query))
        for run in late:
            if run.breach_output is None:
                move_run(run, RunEvent.PROOF_OVERDUE)
                session.add(_second_run(run))
                continue
            move_run(run, RunEvent.ANSWER_OVERDUE)
            move_account(session.get_one(Account, run.institution), AccountEvent.ANSWER_OVERDUE)
        return [run.run_id for run in late]


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


def claim(operator: Operator, wanted: Callable[[Run], bool]) -> Claimed | None:
    """Take the oldest run that is due and `wanted`; one unit of work, so that no two callers take the same."""
    with operator.store.unit_of_work() as session:
        run = _next_due(session, wanted)
        if run is None:
            return None
        move_run(run, RunEvent.TAKEN)
        run.attempts += 1
        submission = session.get_one(SubmissionRow, run.submission_id)
        return Claimed(
            run=run,
            submission=Submission.parse(submission.document["body"]),
            submission_hash=submission.sha256,
            tick=session.get_one(Tick, run.price_sequence),
            posted=ledger.balances(session, ledger.posted(run.institution)),
            instructions=session.get_one(Account, run.institution).instruction_sequence,
        )


def _next_due(session: Session, wanted: Callable[[Run], bool]) -> Run | None:
    busy = select(Run.institution).where(Run.state.in_(OPEN))
    query = select(Run).where(Run.state == RunState.SCHEDULED, Run.institution.not_in(busy))
    passed = set()
    for run in session.scalars(query.order_by(Run.price_sequence, Run.institution)):
        if session.get_one(Account, run.institution).state is AccountState.IN_DEFAULT:
            move_run(run, RunEvent.ACCOUNT_IN_DEFAULT)
            run.problem = "the account is in default"
            continue
        if run.institution not in passed and wanted(run):
            return run
        # Its later runs wait for this one, whoever takes it.
        passed.add(run.institution)
    return None


def _second_run(run: Run) -> Run:
    return Run(
        run_id=second_run_of(run.run_id),
        institution=run.institution,
        submission_id=run.submission_id,
        price_sequence=run.price_sequence,
        second=True,
    )


def give_back(operator: Operator, run_id: str, problem: str) -> None:
    """Schedule a run again, or end it as failed and freeze the account when it has failed too often."""
    with operator.store.unit_of_work() as session:
        run = session.get_one(Run, run_id)
        run.problem = problem
        if run.attempts < MAX_ATTEMPTS:
            move_run(run, RunEvent.RETRIED)
            return
        move_run(run, RunEvent.GIVEN_UP)
        move_account(session.get_one(Account, run.institution), AccountEvent.RUN_FAILED)

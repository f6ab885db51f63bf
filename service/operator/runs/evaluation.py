"""Evaluate scheduled runs, and freeze accounts whose runs are not answered in time.

Runs of one account are evaluated one after the other, each after the answer to the one before (or its deadline), so
that collateral moved by a settlement counts in the next run and no shortfall is called twice.
"""

import logging
from collections.abc import Callable

from sqlalchemy import select
from sqlalchemy.orm import Session

from atomic_margin.documents.fields import instant_text, now_text
from atomic_margin.fhe.executors.port import Job
from atomic_margin.service.errors import ClaimLost
from atomic_margin.service.operator.deadlines import Clock, clock
from atomic_margin.service.operator.faults import fault_point
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.runs.claims import claim, give_back, hand_back
from atomic_margin.service.operator.runs.records import NotDue, TimedEvaluation, ask, begin, record
from atomic_margin.service.operator.store import entries, halted
from atomic_margin.service.operator.store.claims import Claim
from atomic_margin.service.operator.store.database import now
from atomic_margin.service.operator.store.tables import Account, Run
from atomic_margin.service.operator.store.transitions import move_run
from atomic_margin.service.protocol.account.errors import Halted
from atomic_margin.service.protocol.account.events import Overdue
from atomic_margin.service.protocol.documents import RunRecord, second_run_of
from atomic_margin.service.protocol.policy import Policy
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.states import RunEvent, RunState

FUNCTIONS = ("surplus", "breach")
"""What is evaluated in a run."""

_log = logging.getLogger(__name__)


def evaluate_next(operator: Operator) -> str | None:
    """Evaluate the run that comes next of those to be evaluated; return its identifier, or None when none is due.

    Several threads may call it: a run is claimed by one of them, and an account's next run waits for it.
    """
    always = operator.settings.policy is Policy.ALWAYS
    taken = claim(operator, operator.line, lambda run: always or run.second)
    if taken is not None:
        with operator.claims.working(taken):
            _worked(operator, taken, lambda: _evaluate(operator, taken))
        fault_point("run-evaluated")
    return None if taken is None else taken.run_id


def ask_next(operator: Operator) -> str | None:
    """Record the due run that comes next and is to be proven first, without evaluating it; return its identifier.

    The institution has `Settings.proof_seconds` to prove it covered. `sweep_deadlines` schedules the run that is
    evaluated when it does not.
    """
    if operator.settings.policy is not Policy.UNLESS_PROVEN:
        return None
    taken = claim(operator, operator.line_to_ask, lambda run: not run.second)
    if taken is not None:
        with operator.claims.working(taken):
            _worked(operator, taken, lambda: ask(operator, taken))
    return None if taken is None else taken.run_id


def _evaluate(operator: Operator, taken: Claim) -> None:
    plan = begin(operator, taken.run_id)
    terms, submission, matrices = operator.terms, plan.submission, plan.matrices
    A, c = matrices.maintenance_fhe.padded(terms.profile.rows, terms.profile.entries, terms.profile.bits)
    started = now()
    keys = operator.key_file(operator.enrolled_keys(submission.institution, submission.evaluation_keys))
    evaluation = operator.evaluator.evaluate(Job(keys, operator.blobs.get(submission.ciphertext), A, c, FUNCTIONS))
    evaluated = TimedEvaluation(evaluation, started, now())
    record(operator, plan, taken, evaluated)
    _log.info("run %s recorded", taken.run_id)


def _worked(operator: Operator, taken: Claim, work: Callable[[], None]) -> None:
    """Do what a run was taken for. Whatever it was that failed must not leave it half-way, nor stop other runs."""
    try:
        try:
            work()
        except NotDue as reason:
            hand_back(operator, taken, reason, RunEvent.NEWER_TICK)
        except Halted as reason:
            hand_back(operator, taken, reason)
        except ClaimLost:
            raise
        except Exception as error:
            # When not even this can be written, the claim ends by itself.
            give_back(operator, taken, error)
    except ClaimLost as lost:
        _log.warning("run %s: %s", taken.run_id, lost)


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
    # By the account: words of a run that was evaluated may be lost, see `taking_back`, and there may have been none.
    open_run = entries.state_of(account).public.run
    entries.enter(session, operator.book, account, overdue.signed_by(operator.identity))
    if open_run is not None and open_run.owes:
        move_run(run, RunEvent.ANSWER_OVERDUE)
    else:
        move_run(run, RunEvent.PROOF_OVERDUE)
        session.add(_second_run(run))
    return True


def _elapsed(operator: Operator, session: Session, run: Run) -> Clock | None:
    record = RunRecord.parse(SignedDocument.parse(run.record).body)
    entry = entries.entry_of(session, run.institution, run.record_hash or "")
    return None if entry is None else clock(session, operator, entry.leaf, record.answer_seconds)


def latest_evaluated(session: Session, institution: str) -> Run | None:
    """Return the account's run with the highest record number, if any was evaluated."""
    query = select(Run).where(Run.institution == institution, Run.number.is_not(None))
    return session.scalar(query.order_by(Run.number.desc()).limit(1))


def _second_run(run: Run) -> Run:
    return Run(
        run_id=second_run_of(run.run_id),
        institution=run.institution,
        submission_id=run.submission_id,
        price_sequence=run.price_sequence,
        second=True,
    )

"""Evaluate scheduled runs, and freeze accounts whose runs are not answered in time.

Runs of one account are evaluated one after the other, each after the answer to the one before (or its deadline), so
that collateral moved by a settlement counts in the next run and no shortfall is called twice.
"""

import hashlib
import logging
from datetime import timedelta
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from atomic_margin.fhe.worker import Evaluation
from atomic_margin.margin.units import RunMatrices
from atomic_margin.service.documents import OutputHashes, RunRecord, Submission
from atomic_margin.service.errors import Conflict
from atomic_margin.service.fields import instant_text
from atomic_margin.service.operator import ledger
from atomic_margin.service.operator.faults import fault_point
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.store import Account, AccountState, Run, RunState, SubmissionRow, Tick, now
from atomic_margin.service.operator.ticks import market_of
from atomic_margin.service.signing import SignedDocument
from atomic_margin.service.terms import matrices_to_json, matrix_hashes

GENESIS = "0" * 64
"""What the first record of the chain names as the one before it."""
MAX_ATTEMPTS = 3

# While a run of the account is in one of these, its next run waits.
OPEN = (RunState.EVALUATING.value, RunState.AWAITING_ANSWER.value, RunState.BREACH_VERIFIED.value)

_log = logging.getLogger(__name__)


class Collateral(NamedTuple):
    """Posted collateral when an evaluation begins, and the last instruction that is part of it."""

    posted: dict[str, int]
    instructions: int


def evaluate_next(operator: Operator) -> str | None:
    """Evaluate the oldest run that is due; return its identifier, or None when none is."""
    with operator.store.unit_of_work() as session:
        run = _next_due(session)
        if run is None:
            return None
        run.state, run.attempts = RunState.EVALUATING.value, run.attempts + 1
        submission_row = session.get_one(SubmissionRow, run.submission_id)
        submission = Submission.parse(submission_row.document["body"])
        account = session.get_one(Account, run.institution)
        tick = session.get_one(Tick, run.price_sequence)
        posted = ledger.balances(session, ledger.posted(run.institution))
        instructions = account.instruction_sequence
    terms = operator.terms
    try:
        matrices = terms.compile(market_of(tick), posted, submission.gross_limit)
        A, c = matrices.maintenance_fhe.padded(terms.profile.rows, terms.profile.entries, terms.profile.bits)
        evaluation = operator.evaluator.evaluate(
            operator.key_file(operator.enrolled_keys(submission.institution, submission.evaluation_keys)),
            operator.blobs.get(submission.ciphertext),
            A,
            c,
            ("surplus", "breach"),
        )
        collateral = Collateral(posted, instructions)
        _record(operator, run.run_id, submission, submission_row.sha256, tick, collateral, matrices, evaluation)
    except Exception as error:
        # Whatever it was must not leave the run half-way, nor stop the other accounts' runs.
        _log.exception("run %s was not evaluated (attempt %d)", run.run_id, run.attempts)
        _give_back(operator, run.run_id, f"{type(error).__name__}: {error}")
        return run.run_id
    fault_point("run-evaluated")
    return run.run_id


def sweep_deadlines(operator: Operator) -> list[str]:
    """Mark runs without an answer at their deadline as unproven and freeze their accounts; return their identifiers."""
    with operator.store.unit_of_work() as session:
        query = select(Run).where(Run.state == RunState.AWAITING_ANSWER.value, Run.deadline < instant_text(now()))
        late = list(session.scalars(query))
        for run in late:
            run.state = RunState.UNPROVEN.value
            account = session.get_one(Account, run.institution)
            if account.state == AccountState.ACTIVE.value:
                account.state = AccountState.FROZEN.value
        return [run.run_id for run in late]


def recover(operator: Operator) -> list[str]:
    """Schedule again what a crash interrupted; return the identifiers."""
    with operator.store.unit_of_work() as session:
        interrupted = list(session.scalars(select(Run).where(Run.state == RunState.EVALUATING.value)))
        for run in interrupted:
            # The process died, not the evaluation: it is not the run's fault.
            run.state, run.attempts = RunState.SCHEDULED.value, max(0, run.attempts - 1)
        return [run.run_id for run in interrupted]


def latest_evaluated(session: Session, institution: str) -> Run | None:
    """Return the account's run with the highest record number, if any was evaluated."""
    query = select(Run).where(Run.institution == institution, Run.number.is_not(None))
    return session.scalar(query.order_by(Run.number.desc()).limit(1))


def _next_due(session: Session) -> Run | None:
    busy = select(Run.institution).where(Run.state.in_(OPEN))
    query = select(Run).where(Run.state == RunState.SCHEDULED.value, Run.institution.not_in(busy))
    for run in session.scalars(query.order_by(Run.price_sequence, Run.institution)):
        if session.get_one(Account, run.institution).state == AccountState.IN_DEFAULT.value:
            run.state, run.problem = RunState.FAILED.value, "the account is in default"
            continue
        return run
    return None


def _give_back(operator: Operator, run_id: str, problem: str) -> None:
    """Schedule a run again, or end it as failed and freeze the account when it has failed too often."""
    with operator.store.unit_of_work() as session:
        run = session.get_one(Run, run_id)
        run.problem = problem
        if run.attempts < MAX_ATTEMPTS:
            run.state = RunState.SCHEDULED.value
            return
        run.state = RunState.FAILED.value
        account = session.get_one(Account, run.institution)
        if account.state == AccountState.ACTIVE.value:
            account.state = AccountState.FROZEN.value


def _record(
    operator: Operator,
    run_id: str,
    submission: Submission,
    submission_hash: str,
    tick: Tick,
    collateral: Collateral,
    matrices: RunMatrices,
    evaluation: Evaluation,
) -> None:
    """Sign and chain the record of an evaluated run, and open it for its answer."""
    evaluated_at = now()
    deadline = instant_text(evaluated_at + timedelta(seconds=operator.settings.answer_seconds))
    outputs = {name: hashlib.sha256(data).hexdigest() for name, data in evaluation.outputs.items()}
    with operator.store.unit_of_work() as session:
        run = session.get_one(Run, run_id)
        if run.state != RunState.EVALUATING.value:
            raise Conflict(f"run {run_id} is {run.state}; another process evaluates it", "run_id")
        last = session.scalar(select(Run).where(Run.number == select(func.max(Run.number)).scalar_subquery()))
        record = RunRecord.parse(
            {
                "run_id": run_id,
                "number": str(1 if last is None or last.number is None else last.number + 1),
                "previous": GENESIS if last is None else last.record_hash,
                "operator": operator.identity.public_key,
                "institution": run.institution,
                "submission_sequence": str(submission.sequence),
                "submission": submission_hash,
                "price_sequence": str(tick.sequence),
                "tick": SignedDocument.parse(tick.document).body_hash(),
                **operator.terms.hashes,
                "gross_limit": str(submission.gross_limit),
                "instructions": str(collateral.instructions),
                "posted": {asset: str(quantity) for asset, quantity in collateral.posted.items()},
                "matrices": matrix_hashes(matrices).model_dump(),
                "evaluation_keys": submission.evaluation_keys,
                "key_commitments": submission.key_commitments,
                "ciphertext": submission.ciphertext,
                "outputs": OutputHashes(**outputs).model_dump(),
                "fft_plan": evaluation.fingerprint,
                "evaluated_at": instant_text(evaluated_at),
                "deadline": deadline,
            }
        )
        signed = record.signed_by(operator.identity)
        run.number = record.number
        run.record = signed.to_json()
        run.record_hash = signed.body_hash()
        run.matrices = dict(matrices_to_json(matrices))
        run.surplus_output, run.breach_output = evaluation.outputs["surplus"], evaluation.outputs["breach"]
        run.seconds = {name: f"{seconds:.3f}" for name, seconds in evaluation.seconds.items()}
        run.deadline = deadline
        run.state = RunState.AWAITING_ANSWER.value

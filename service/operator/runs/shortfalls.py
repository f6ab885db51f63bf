"""The encrypted shortfall of a settled breach, evaluated, signed and kept for the institution alone.

Nothing that the operator does depends on it: the breach is settled by then, and only the institution can decrypt it. So
one is evaluated at a time, by the workers that evaluate runs, when `background` gives it a turn. A row is added by the
settlement's own transaction, and words and record are stored in one; what is interrupted in between waits again.
"""

import hashlib
import logging

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from atomic_margin.documents.fields import instant_text, now_text
from atomic_margin.fhe.executors.port import Job
from atomic_margin.fhe.worker import Evaluation
from atomic_margin.service.errors import ClaimLost
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.runs.failures import Failure, count, failure_of, interrupted
from atomic_margin.service.operator.runs.records import recorded_matrices
from atomic_margin.service.operator.store.claims import Claim, expired_shortfalls, let_go, require, take
from atomic_margin.service.operator.store.database import now
from atomic_margin.service.operator.store.tables import SHORTFALL_FUNCTION, Run, ShortfallRow
from atomic_margin.service.operator.store.transitions import move_shortfall
from atomic_margin.service.protocol.documents import RunRecord, ShortfallRecord
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.states import ShortfallEvent, ShortfallState

_log = logging.getLogger(__name__)


def evaluate_shortfall(operator: Operator) -> bool:
    """Evaluate the shortfall of the oldest run that waits for it; return False when none does."""
    taken = _take(operator)
    if taken is None:
        return False
    with operator.claims.working(taken):
        try:
            try:
                _evaluate(operator, taken)
            except ClaimLost:
                raise
            except Exception as error:
                # Whatever it was must not leave the row half-way, nor stop the other shortfalls.
                failure = failure_of(error, stopping=operator.stopping.is_set())
                _log.warning("the shortfall of run %s was not evaluated: %s", taken.run_id, failure)
                _log.debug("the shortfall of run %s", taken.run_id, exc_info=error)
                _give_back(operator, taken, failure)
        except ClaimLost as lost:
            _log.warning("the shortfall of run %s: %s", taken.run_id, lost)
    return True


def recover_shortfalls(operator: Operator) -> list[str]:
    """Let what a crash interrupted wait again; return the identifiers of the runs. At the start."""
    with operator.store.unit_of_work() as session:
        query = select(ShortfallRow).where(ShortfallRow.state == ShortfallState.EVALUATING)
        left = list(session.scalars(query))
        for row in left:
            # The process died, not the evaluation: it is not the run's fault.
            move_shortfall(row, ShortfallEvent.INTERRUPTED)
            let_go(row)
            row.attempts = max(0, row.attempts - 1)
        return [row.run_id for row in left]


def reclaim_shortfalls(operator: Operator) -> list[str]:
    """Take back shortfalls whose claim nobody renewed in time; return the identifiers of the runs."""
    with operator.store.reading() as session:
        if not expired_shortfalls(session, operator.claims.owners(), now()):
            return []
    with operator.store.unit_of_work() as session:
        late = expired_shortfalls(session, operator.claims.owners(), now())
        for row in late:
            _again_or_failed(row, interrupted("nobody has it in hand any more"))
        return [row.run_id for row in late]


def recorded(session: Session, institution: str, limit: int) -> list[str]:
    """Return the institution's newest runs, oldest first, whose shortfall is recorded."""
    query = select(Run.run_id).join(ShortfallRow, ShortfallRow.run_id == Run.run_id)
    query = query.where(Run.institution == institution, ShortfallRow.state == ShortfallState.RECORDED)
    return list(session.scalars(query.order_by(Run.number.desc()).limit(limit)))[::-1]


def _take(operator: Operator) -> Claim | None:
    """Take the shortfall of the oldest run that waits for it in hand."""
    due = or_(ShortfallRow.retry_at.is_(None), ShortfallRow.retry_at <= instant_text(now()))
    waiting = select(ShortfallRow.run_id).where(ShortfallRow.state == ShortfallState.WAITING, due)
    oldest = waiting.join(Run, Run.run_id == ShortfallRow.run_id).order_by(Run.number).limit(1)
    with operator.store.reading() as session:
        if session.scalar(oldest) is None:
            return None

    def work(session: Session) -> Claim | None:
        run_id = session.scalar(oldest)
        if run_id is None:
            return None
        row = session.get_one(ShortfallRow, run_id)
        move_shortfall(row, ShortfallEvent.TAKEN)
        return take(row, now())

    return operator.store.run(work)


def _evaluate(operator: Operator, taken: Claim) -> None:
    with operator.store.reading() as session:
        signed = SignedDocument.parse(session.get_one(Run, taken.run_id).record)
    record, profile = RunRecord.parse(signed.body), operator.terms.profile
    matrix = recorded_matrices(operator, record).maintenance_fhe
    A, c = matrix.padded(profile.rows, profile.entries, profile.bits)
    keys = operator.key_file(operator.enrolled_keys(record.institution, record.evaluation_keys))
    job = Job(keys, operator.blobs.get(record.ciphertext), A, c, (SHORTFALL_FUNCTION,))
    _record(operator, taken, signed.body_hash(), record.ciphertext, operator.evaluator.evaluate(job))
    _log.info("shortfall of run %s recorded", taken.run_id)


def _record(operator: Operator, taken: Claim, run: str, ciphertext: str, evaluation: Evaluation) -> None:
    """Sign and store the record of an evaluation together with its words.

    Raises:
        ClaimLost: it is not this caller's any more.
    """
    words = evaluation.outputs[SHORTFALL_FUNCTION]
    record = ShortfallRecord(
        run=run,
        operator=operator.identity.public_key,
        ciphertext=ciphertext,
        output=hashlib.sha256(words).hexdigest(),
        fft_plan=evaluation.fingerprint,
        evaluated_at=now_text(),
    )
    signed = record.signed_by(operator.identity)

    def work(session: Session) -> None:
        row = session.get_one(ShortfallRow, taken.run_id)
        require(row, taken.owner, f"the shortfall of run {taken.run_id}")
        row.record, row.output = signed.to_json(), words
        row.seconds = {name: f"{seconds:.3f}" for name, seconds in evaluation.seconds.items()}
        row.problem = None
        let_go(row)
        move_shortfall(row, ShortfallEvent.RECORDED)

    operator.store.run(work)


def _give_back(operator: Operator, taken: Claim, failure: Failure) -> None:
    """Let a shortfall wait again, or give it up when it has failed too often. The account is not touched."""

    def work(session: Session) -> None:
        row = session.get_one(ShortfallRow, taken.run_id)
        require(row, taken.owner, f"the shortfall of run {taken.run_id}")
        _again_or_failed(row, failure)

    operator.store.run(work)


def _again_or_failed(row: ShortfallRow, failure: Failure) -> None:
    let_go(row)
    given_up = count(row, failure, now())
    row.problem = str(failure) if given_up is None else f"{given_up}; {failure}"
    move_shortfall(row, ShortfallEvent.RETRIED if given_up is None else ShortfallEvent.FAILED)

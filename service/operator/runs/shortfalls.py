"""The encrypted shortfall of a settled breach, evaluated, signed and kept for the institution alone.

Nothing that the operator does depends on it: the breach is settled by then, and only the institution can decrypt it. So
it is evaluated in a process of its own of the lowest priority, and no run waits for it. A row is added by the
settlement's own transaction, and words and record are stored in one; what a crash interrupts in between is found again
at the next start.
"""

import hashlib
import logging
import multiprocessing
import os
import threading
from concurrent.futures import Executor

from sqlalchemy import select
from sqlalchemy.orm import Session

from atomic_margin.circuits.profile import Profile
from atomic_margin.documents.fields import now_text
from atomic_margin.fhe import worker
from atomic_margin.fhe.evaluator import Evaluator, WorkerProcess
from atomic_margin.fhe.worker import Evaluation
from atomic_margin.service.errors import Conflict
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.runs.evaluation import MAX_ATTEMPTS
from atomic_margin.service.operator.runs.records import recorded_matrices
from atomic_margin.service.operator.store.tables import SHORTFALL_FUNCTION, Run, ShortfallRow
from atomic_margin.service.operator.store.transitions import move_shortfall
from atomic_margin.service.protocol.documents import RunRecord, ShortfallRecord
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.states import ShortfallEvent, ShortfallState

LONGEST_SECONDS = 3600.0
"""Longest time of one evaluation: on a busy machine the process gets little of the cores."""

_log = logging.getLogger(__name__)


class ShortfallWork:
    """Evaluates shortfalls one after the other, in the order of their runs, for one thread at a time."""

    def __init__(self, operator: Operator) -> None:
        """Prepare; the process starts when a shortfall waits, and ends when none does."""
        self._operator = operator
        self._evaluator: Evaluator | None = None
        self._process: int | None = None
        self._stopping = threading.Event()

    def evaluate_next(self) -> bool:
        """Evaluate the shortfall of the oldest run that waits for it; return False when none does.

        One that is stopped half-way counts as interrupted; `recover_shortfalls` finds it at the next start.
        """
        run = None if self._stopping.is_set() else _take(self._operator)
        if run is None:
            self._end_process()
            return False
        try:
            signed = SignedDocument.parse(run.record)
            record, profile = RunRecord.parse(signed.body), self._operator.terms.profile
            matrix = recorded_matrices(self._operator, record).maintenance_fhe
            A, c = matrix.padded(profile.rows, profile.entries, profile.bits)
            keys = self._operator.enrolled_keys(record.institution, record.evaluation_keys)
            evaluation = self._started().evaluate(
                self._operator.key_file(keys), self._operator.blobs.get(record.ciphertext), A, c, (SHORTFALL_FUNCTION,)
            )
            _record(self._operator, run.run_id, signed.body_hash(), record.ciphertext, evaluation)
        except Exception as error:
            if self._stopping.is_set():
                _log.info("the shortfall of run %s was interrupted", run.run_id)
                return False
            # Whatever it was must not leave the row half-way, nor stop the other shortfalls.
            _log.exception("the shortfall of run %s was not evaluated", run.run_id)
            _give_back(self._operator, run.run_id, f"{type(error).__name__}: {error}")
        return True

    def stop(self) -> None:
        """End the evaluation in hand at once; callable from another thread."""
        self._stopping.set()
        for process in multiprocessing.active_children():
            if process.pid == self._process:
                process.kill()

    def _started(self) -> Evaluator:
        """Return the evaluator, its process running."""
        shared = self._operator.shared_evaluator
        if shared is not None:
            return shared
        if self._evaluator is None:
            self._evaluator = Evaluator(
                self._operator.terms.profile, seconds=LONGEST_SECONDS, make_executor=self._make_executor
            )
        self._evaluator.start()
        if self._stopping.is_set():
            raise Conflict("the operator is being stopped")
        return self._evaluator

    def _make_executor(self) -> Executor:
        executor = WorkerProcess(_start_patiently, self._operator.terms.profile, self._operator.settings.memory_bytes)
        self._process = executor.submit(os.getpid).result()
        return executor

    def _end_process(self) -> None:
        self._process = None
        if self._evaluator is not None:
            self._evaluator.close()
            self._evaluator = None


def recover_shortfalls(operator: Operator) -> list[str]:
    """Let what a crash interrupted wait again; return the identifiers of the runs."""
    with operator.store.unit_of_work() as session:
        query = select(ShortfallRow).where(ShortfallRow.state == ShortfallState.EVALUATING)
        interrupted = list(session.scalars(query))
        for row in interrupted:
            # The process died, not the evaluation: it is not the run's fault.
            move_shortfall(row, ShortfallEvent.INTERRUPTED)
            row.attempts = max(0, row.attempts - 1)
        return [row.run_id for row in interrupted]


def recorded(session: Session, institution: str, limit: int) -> list[str]:
    """Return the institution's newest runs, oldest first, whose shortfall is recorded."""
    query = select(Run.run_id).join(ShortfallRow, ShortfallRow.run_id == Run.run_id)
    query = query.where(Run.institution == institution, ShortfallRow.state == ShortfallState.RECORDED)
    return list(session.scalars(query.order_by(Run.number.desc()).limit(limit)))[::-1]


def _start_patiently(profile: Profile, memory_bytes: int) -> None:
    """Initialise a worker process that leaves the cores to every other."""
    os.nice(19)
    worker.start(profile, memory_bytes)


def _take(operator: Operator) -> Run | None:
    """Take the shortfall of the oldest run that waits for it in hand; return the run."""
    waiting = select(ShortfallRow.run_id).where(ShortfallRow.state == ShortfallState.WAITING)
    oldest = waiting.join(Run, Run.run_id == ShortfallRow.run_id).order_by(Run.number).limit(1)
    with operator.store.reading() as session:
        if session.scalar(oldest) is None:
            return None

    def work(session: Session) -> Run | None:
        run_id = session.scalar(oldest)
        if run_id is None:
            return None
        row = session.get_one(ShortfallRow, run_id)
        move_shortfall(row, ShortfallEvent.TAKEN)
        row.attempts += 1
        return session.get_one(Run, run_id)

    return operator.store.run(work)


def _record(operator: Operator, run_id: str, run: str, ciphertext: str, evaluation: Evaluation) -> None:
    """Sign and store the record of an evaluation together with its words."""
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
        row = session.get_one(ShortfallRow, run_id)
        if row.state is not ShortfallState.EVALUATING:
            raise Conflict(f"the shortfall of run {run_id} is {row.state}; another process evaluates it", "run_id")
        row.record, row.output = signed.to_json(), words
        row.seconds = {name: f"{seconds:.3f}" for name, seconds in evaluation.seconds.items()}
        row.problem = None
        move_shortfall(row, ShortfallEvent.RECORDED)

    operator.store.run(work)


def _give_back(operator: Operator, run_id: str, problem: str) -> None:
    """Let a shortfall wait again, or give it up when it has failed too often. The account is not touched."""

    def work(session: Session) -> None:
        row = session.get_one(ShortfallRow, run_id)
        row.problem = problem
        failed = row.attempts >= MAX_ATTEMPTS
        move_shortfall(row, ShortfallEvent.FAILED if failed else ShortfallEvent.RETRIED)

    operator.store.run(work)

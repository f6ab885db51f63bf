"""Sign and chain the records of runs, evaluated or not."""

import hashlib
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

from sqlalchemy import func, select

from atomic_margin.documents.fields import instant_text
from atomic_margin.fhe.worker import Evaluation
from atomic_margin.margin.rows.rounding import RunMatrices
from atomic_margin.service.errors import Conflict
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.store.database import now
from atomic_margin.service.operator.store.tables import Run, Tick
from atomic_margin.service.operator.store.transitions import move_run
from atomic_margin.service.protocol.documents import OutputHashes, RunRecord, Submission
from atomic_margin.service.protocol.states import RunEvent, RunState
from atomic_margin.service.protocol.terms import matrix_hashes

GENESIS = "0" * 64
"""What the first record of the chain names as the one before it."""


class Claimed(NamedTuple):
    """A run whose turn came, and what its record is made from.

    Attributes:
        run: as it was when it was claimed.
        submission: its portfolio.
        submission_hash: hash of that document.
        tick: its prices.
        posted: posted collateral at that moment, by asset, in smallest units.
        instructions: number of the last collateral instruction that is part of it.
    """

    run: Run
    submission: Submission
    submission_hash: str
    tick: Tick
    posted: dict[str, int]
    instructions: int


class TimedEvaluation(NamedTuple):
    """An evaluation, and when it began and ended."""

    evaluation: Evaluation
    started: datetime
    ended: datetime


def matrices_of(operator: Operator, claimed: Claimed) -> RunMatrices:
    """Return a run's matrices: the tick's weights and the account's collateral, rounded for its gross limit.

    Raises:
        MarginError: no unit fits, or the prices do not value the collateral.
    """
    tick, terms = operator.compiled_ticks.of(claimed.tick), operator.terms
    collateral = terms.collateral(tick.market, claimed.posted)
    return terms.matrices(tick.weights, collateral, claimed.submission.gross_limit)


def recorded_matrices(operator: Operator, record: RunRecord) -> RunMatrices:
    """Return the matrices of a run that is recorded, compiled anew from its tick and the collateral it names."""
    with operator.store.unit_of_work() as session:
        row = session.get_one(Tick, record.price_sequence)
    tick, terms = operator.compiled_ticks.of(row), operator.terms
    return terms.matrices(tick.weights, terms.collateral(tick.market, record.posted), record.gross_limit)


def record(
    operator: Operator, claimed: Claimed, matrices: RunMatrices, evaluated: TimedEvaluation | None, seconds: int
) -> None:
    """Sign and chain the record of a claimed run, and open it for its answer.

    Args:
        operator: who signs.
        claimed: the run.
        matrices: of the run.
        evaluated: what was evaluated, None for a record without outputs.
        seconds: time for the answer.

    Raises:
        Conflict: the run is not this caller's any more.
    """
    submission, tick, recorded_at = claimed.submission, claimed.tick, now()
    deadline = instant_text(recorded_at + timedelta(seconds=seconds))
    with operator.store.unit_of_work() as session:
        run = session.get_one(Run, claimed.run.run_id)
        if run.state is not RunState.EVALUATING:
            raise Conflict(f"run {run.run_id} is {run.state}; another process evaluates it", "run_id")
        last = session.scalar(select(Run).where(Run.number == select(func.max(Run.number)).scalar_subquery()))
        body = RunRecord.parse(
            {
                "run_id": run.run_id,
                "number": str(1 if last is None or last.number is None else last.number + 1),
                "previous": GENESIS if last is None else last.record_hash,
                "operator": operator.identity.public_key,
                "institution": run.institution,
                "submission_sequence": str(submission.sequence),
                "submission": claimed.submission_hash,
                "price_sequence": str(tick.sequence),
                "tick": operator.compiled_ticks.of(tick).hash,
                **operator.terms.hashes,
                "gross_limit": str(submission.gross_limit),
                "instructions": str(claimed.instructions),
                "posted": {asset: str(quantity) for asset, quantity in claimed.posted.items()},
                "matrices": matrix_hashes(matrices).model_dump(),
                "evaluation_keys": submission.evaluation_keys,
                "key_commitments": submission.key_commitments,
                "ciphertext": submission.ciphertext,
                **({} if evaluated is None else _evidence(evaluated.evaluation)),
                "evaluated_at": instant_text(recorded_at),
                "deadline": deadline,
            }
        )
        signed = body.signed_by(operator.identity)
        run.number = body.number
        run.record = signed.to_json()
        run.record_hash = signed.body_hash()
        if evaluated is not None:
            evaluation = evaluated.evaluation
            run.surplus_output, run.breach_output = evaluation.outputs["surplus"], evaluation.outputs["breach"]
            run.seconds = {name: f"{spent:.3f}" for name, spent in evaluation.seconds.items()}
            run.evaluation = {"started_at": _precise(evaluated.started), "ended_at": _precise(evaluated.ended)}
        run.deadline = deadline
        move_run(run, RunEvent.RECORDED)


def _evidence(evaluation: Evaluation) -> dict[str, Any]:
    outputs = {name: hashlib.sha256(data).hexdigest() for name, data in evaluation.outputs.items()}
    return {"outputs": OutputHashes(**outputs).model_dump(), "fft_plan": evaluation.fingerprint}


def _precise(instant: datetime) -> str:
    return instant.astimezone(timezone.utc).isoformat(timespec="milliseconds")

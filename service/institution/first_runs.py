"""Runs that the operator has not evaluated, by its policy, and the run of the same tick that may follow.

To a run without outputs the agent says `covered`, with the proof, or nothing. Nothing is decrypted for it, so the run
that is evaluated in its place may be answered too, although it has the same price sequence number. Silence says what a
breach answer would say seconds later.
"""

from typing import Any

from sqlalchemy import ColumnElement, and_
from sqlalchemy.orm import Session

from atomic_margin.service.errors import AgentRefused
from atomic_margin.service.institution.store import OwnAnswer
from atomic_margin.service.protocol.documents import RunRecord
from atomic_margin.service.protocol.policy import Policy

JsonObject = dict[str, Any]


def followed_by(run_id: str, price_sequence: int) -> ColumnElement[bool]:
    """Return the condition on an `OwnAnswer` that another run of its tick may still be answered in its place.

    It must be about a run without evaluation, and the operator must not have taken an answer to it.
    """
    return and_(
        OwnAnswer.price_sequence == price_sequence,
        OwnAnswer.run_id != run_id,
        OwnAnswer.counted.is_not(None),
        OwnAnswer.receipt.is_(None),
    )


def counted(record: RunRecord) -> JsonObject | None:
    """Return what the record of a run without evaluation counts as collateral, None for an evaluated run."""
    if record.outputs is not None:
        return None
    posted = {asset: str(quantity) for asset, quantity in sorted(record.posted.items())}
    return {"posted": posted, "instructions": str(record.instructions)}


def make_way(session: Session, answer: OwnAnswer) -> None:
    """Remove what was decided before the run of this answer was evaluated, and nothing else."""
    before = session.get(OwnAnswer, answer.price_sequence)
    if before is not None and before.counted is not None and before.receipt is None:
        session.delete(before)
        session.flush()


def check(session: Session, record: RunRecord, policy: Policy) -> None:
    """Check that a run may come without evaluation, or after one that did.

    Args:
        session: on the agent's own database.
        record: of the run, checked otherwise.
        policy: the operator's policy as it shows it now.

    Raises:
        AgentRefused: the operator's policy is to evaluate every run; the tick had a run without evaluation already; or
            the run counts other collateral than the one before it without an instruction in between.
    """
    before = session.get(OwnAnswer, record.price_sequence)
    if record.outputs is None:
        if policy is not Policy.UNLESS_PROVEN:
            raise AgentRefused(
                f"run {record.run_id!r} was not evaluated, but the operator's policy is {policy.value!r}; talk to it"
            )
        if before is not None:
            raise AgentRefused(f"run {record.run_id!r} was not evaluated, and run {before.run_id!r} came before it")
    elif before is not None and before.counted is not None:
        posted = {asset: str(quantity) for asset, quantity in record.posted.items()}
        same_instructions = before.counted["instructions"] == str(record.instructions)
        if same_instructions and before.counted["posted"] != posted:
            # Two answers about two collaterals at one price would tell more than one answer does.
            raise AgentRefused(
                f"run {record.run_id!r} counts other collateral than {before.run_id!r}, with no instruction in between"
            )

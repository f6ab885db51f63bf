"""What the operator has signed for as this institution's posted collateral, and whether a run counts all of it.

A run that left some out would show a breach that is none, and the institution would sign it. So the agent keeps the
operator's receipts, and refuses a run that counts less than they add up to.
"""

from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from atomic_margin.service.errors import AgentRefused
from atomic_margin.service.institution.store import OwnAnswer, OwnPosting, OwnSubmission
from atomic_margin.service.protocol.documents import CollateralInstruction, RunRecord, Settlement, parse_signed
from atomic_margin.service.protocol.signing import SignedDocument

JsonObject = dict[str, Any]


def remember_instruction(session: Session, instruction: CollateralInstruction, receipt: SignedDocument) -> None:
    """Keep a booked instruction. A withdrawal is of free collateral, so it counts for nothing here but its number."""
    session.add(
        OwnPosting(
            asset=instruction.asset,
            quantity=instruction.quantity if instruction.action == "post" else 0,
            instruction=instruction.sequence,
            evidence=receipt.to_json(),
        )
    )


def remember_settlement(session: Session, document: JsonObject | None, answer: SignedDocument, operator: str) -> None:
    """Keep what the settlement of an answered breach moved to posted collateral.

    Raises:
        AgentRefused: there is none, or it is of another answer: ask again, a breach that was taken is settled.
        SignatureInvalid, DocumentError: it is no settlement signed by the operator.
    """
    if document is None:
        raise AgentRefused(f"the operator took the answer to {answer.body['run_id']!r} but shows no settlement yet")
    signed, settlement = parse_signed(document, Settlement)
    signed.verify(frozenset({operator}))
    if settlement.answer != answer.body_hash():
        raise AgentRefused(f"the settlement of {settlement.run_id!r} is of another answer than this agent's")
    for move in settlement.transfers:
        if move.destination == "posted":
            session.add(
                OwnPosting(
                    asset=move.asset,
                    quantity=move.quantity,
                    price_sequence=int(answer.body["price_sequence"]),
                    evidence=signed.to_json(),
                )
            )


def booked_instructions(session: Session) -> int:
    """Return the sequence number of the last instruction this agent holds a receipt for, 0 for none."""
    return session.scalar(select(func.max(OwnPosting.instruction))) or 0


def check_posted(session: Session, record: RunRecord) -> None:
    """Check that a run counts all that the operator has signed for.

    A run begins after its submission was accepted and after the run before it was answered, so every instruction whose
    receipt the agent held by then must be part of it.

    Raises:
        AgentRefused: it leaves some out.
    """
    before = OwnAnswer.price_sequence < record.price_sequence
    held = [
        session.scalar(select(OwnSubmission.instructions).where(OwnSubmission.sequence == record.submission_sequence)),
        session.scalar(select(func.max(OwnAnswer.instructions)).where(before)),
    ]
    least = max(number or 0 for number in held)
    if record.instructions < least:
        raise AgentRefused(
            f"run {record.run_id!r} counts collateral instructions up to {record.instructions}, but the operator had "
            f"signed for {least}"
        )
    counted = (OwnPosting.instruction <= record.instructions) | (OwnPosting.price_sequence < record.price_sequence)
    query = select(OwnPosting.asset, func.sum(OwnPosting.quantity)).where(counted).group_by(OwnPosting.asset)
    for asset, quantity in session.execute(query):
        if record.posted.get(asset, 0) < quantity:
            raise AgentRefused(
                f"run {record.run_id!r} counts {record.posted.get(asset, 0)} units of posted {asset}, but the operator "
                f"has signed for {quantity}"
            )

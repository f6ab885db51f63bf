"""Publish the bundle of every verified answer."""

from sqlalchemy.orm import Session

from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.store.market_chain import last_market_of
from atomic_margin.service.operator.store.tables import (
    AnswerRow,
    AttestationRow,
    EnrolledKeys,
    Run,
    SettlementRow,
    SubmissionRow,
    Tick,
)
from atomic_margin.service.verifier.attestation import bundle_body


def attest(operator: Operator, session: Session, run: Run) -> None:
    """Sign and store the bundle of a run that ended, inside the caller's unit of work."""
    if run.record is None:
        raise ValueError(f"run {run.run_id} has no record")
    settlement = session.get(SettlementRow, run.run_id)
    submission = session.get_one(SubmissionRow, run.submission_id).document
    flag_words = None if settlement is None or run.breach_output is None else run.breach_output.hex()
    tick = session.get_one(Tick, run.price_sequence)
    body = bundle_body(
        operator.terms,
        tick=tick.document,
        last_market=last_market_of(session, tick),
        enrolment=session.get_one(EnrolledKeys, submission["body"]["evaluation_keys"]).document,
        submission=submission,
        run=run.record,
        answer=session.get_one(AnswerRow, run.run_id).document,
        flag_words=flag_words,
        settlement=None if settlement is None else settlement.document,
    )
    signed = operator.identity.sign("attestation", body)
    session.add(AttestationRow(run_id=run.run_id, document=signed.to_json()))

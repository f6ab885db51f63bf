"""Take the institution's answer to a run: verify it, store it, then settle what it proves.

The answer and the run's new state are committed before the settlement begins, so a crash between the two is finished at
the next start from the stored answer, verified anew.
"""

import logging

from sqlalchemy import select
from sqlalchemy.orm import Session

from atomic_margin.documents.fields import now_text
from atomic_margin.service.errors import Conflict, NotFound
from atomic_margin.service.operator.attestations import attest
from atomic_margin.service.operator.faults import fault_point
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.runs.evaluation import latest_evaluated
from atomic_margin.service.operator.runs.records import recorded_matrices
from atomic_margin.service.operator.settlement.hook import settle
from atomic_margin.service.operator.store.tables import Account, AnswerRow, Run, SubmissionRow
from atomic_margin.service.operator.store.transitions import move_account, move_run
from atomic_margin.service.protocol.documents import Answer, Receipt, RunRecord, Submission, parse_signed
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.states import ANSWERABLE, AccountEvent, RunEvent, RunState
from atomic_margin.service.protocol.verification import VerifiedBreach, VerifiedCoverage, verify_answer

_log = logging.getLogger(__name__)


def take_answer(operator: Operator, run_id: str, document: object) -> SignedDocument:
    """Verify an answer and carry out what follows from it; return the operator's signed receipt.

    The same answer again gets the same receipt.

    Raises:
        NotFound: no such run was evaluated.
        Conflict: the run has another answer, or a later run of the account was evaluated.
        SignatureInvalid, Refused, DocumentError: the answer does not hold; the run stays as it was.
    """
    signed, answer = parse_signed(document, Answer)
    with operator.store.unit_of_work() as session:
        run = session.get(Run, run_id)
        if run is None or run.record is None:
            raise NotFound(f"no run {run_id!r} was evaluated")
        stored = session.get(AnswerRow, run_id)
        account = session.get_one(Account, run.institution)
        if stored is None:
            _require_answerable(session, run)
    if stored is not None:
        signed.verify(frozenset({account.identity}))
        if stored.sha256 != signed.body_hash():
            raise Conflict(f"run {run_id} has another answer already", "run_id")
        # Whatever kept the settlement from following at once is made good before the receipt goes out again.
        if run.state is RunState.BREACH_VERIFIED:
            _settle_stored(operator, run, stored)
        return SignedDocument.parse(stored.receipt)
    verified = _verify(operator, run, signed, answer)
    receipt = Receipt(
        document=signed.body_hash(),
        operator=operator.identity.public_key,
        result=answer.outcome,
        received_at=now_text(),
    ).signed_by(operator.identity)
    with operator.store.unit_of_work() as session:
        run = session.get_one(Run, run_id)
        _require_answerable(session, run)
        session.add(
            AnswerRow(run_id=run_id, sha256=signed.body_hash(), document=signed.to_json(), receipt=receipt.to_json())
        )
        session.flush()
        if isinstance(verified, VerifiedCoverage):
            move_run(run, RunEvent.COVERED)
            move_account(session.get_one(Account, run.institution), AccountEvent.COVERED)
            attest(operator, session, run)
        else:
            move_run(run, RunEvent.BREACH_VERIFIED)
    fault_point("answer-stored")
    if isinstance(verified, VerifiedBreach):
        settle(operator, verified)
    return receipt


def settle_unfinished(operator: Operator) -> list[str]:
    """Settle breaches whose answer is stored but whose settlement did not follow; return their runs.

    A crash or a full disk comes between the two commits. One that cannot be settled does not keep the others waiting.
    """
    with operator.store.unit_of_work() as session:
        runs = list(session.scalars(select(Run).where(Run.state == RunState.BREACH_VERIFIED)))
        answers = {run.run_id: session.get_one(AnswerRow, run.run_id) for run in runs}
    settled = []
    for run in runs:
        try:
            _settle_stored(operator, run, answers[run.run_id])
        except Exception:
            # Logged and tried again in the next round; the account takes no other run meanwhile.
            _log.exception("run %s could not be settled", run.run_id)
        else:
            settled.append(run.run_id)
    return settled


def _settle_stored(operator: Operator, run: Run, stored: AnswerRow) -> None:
    """Verify a stored answer anew and settle what it proves."""
    verified = _verify(operator, run, *parse_signed(stored.document, Answer))
    if not isinstance(verified, VerifiedBreach):
        raise Conflict(f"the stored answer of {run.run_id} is no breach; restore the database from a backup")
    settle(operator, verified)


def _verify(operator: Operator, run: Run, signed: SignedDocument, answer: Answer) -> VerifiedCoverage | VerifiedBreach:
    with operator.store.unit_of_work() as session:
        submission = session.get_one(SubmissionRow, run.submission_id).document
        identity = session.get_one(Account, run.institution).identity
    keys = operator.enrolled_keys(run.institution, submission["body"]["evaluation_keys"])
    signed_run = SignedDocument.parse(run.record)
    record = RunRecord.parse(signed_run.body)
    return verify_answer(
        signed,
        answer,
        record=record,
        run_hash=signed_run.body_hash(),
        submission=Submission.parse(submission["body"]),
        matrices=recorded_matrices(operator, record),
        terms=operator.terms,
        identity=identity,
        keys=operator.key_pair(keys),
        flag_words=run.breach_output,
        group=operator.group,
    )


def _require_answerable(session: Session, run: Run) -> None:
    if run.state not in ANSWERABLE:
        raise Conflict(f"run {run.run_id} is {run.state}; it takes no answer", "run_id")
    evaluating = select(Run.run_id).where(Run.institution == run.institution, Run.state == RunState.EVALUATING)
    other = session.scalar(evaluating)
    if other is not None:
        # Its collateral is already read: a settlement now would be called a second time by that run.
        raise Conflict(f"run {other} is being evaluated; answer that one", "run_id")
    latest = latest_evaluated(session, run.institution)
    if latest is not None and latest.run_id != run.run_id:
        raise Conflict(f"run {latest.run_id} was evaluated since; answer that one", "run_id")

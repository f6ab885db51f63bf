"""Take the institution's answer to a run: verify it, store it, then settle what it proves.

The answer and the run's new state are committed before the settlement begins, so a crash between the two is finished at
the next start from the stored answer, verified anew.
"""

import logging
from collections.abc import Callable
from functools import partial

from sqlalchemy.orm import Session

from atomic_margin.service.errors import Conflict, NotFound, RequestError
from atomic_margin.service.operator.attestations import attest
from atomic_margin.service.operator.faults import fault_point
from atomic_margin.service.operator.measures import timed
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.runs import opened
from atomic_margin.service.operator.runs.records import compiled_tick
from atomic_margin.service.operator.settlement import queue
from atomic_margin.service.operator.settlement.hook import settle
from atomic_margin.service.operator.store import entries
from atomic_margin.service.operator.store.tables import Account, AnswerRow, Run
from atomic_margin.service.operator.store.transitions import move_run
from atomic_margin.service.protocol.account.opening_documents import Opened
from atomic_margin.service.protocol.bodies import parse_signed
from atomic_margin.service.protocol.documents import Answer, RunRecord
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.states import RunEvent, RunState
from atomic_margin.service.protocol.verification import VerifiedBreach, VerifiedCoverage, verify_answer

_log = logging.getLogger(__name__)


def take_answer(operator: Operator, run_id: str, document: object) -> SignedDocument:
    """Verify an answer and carry out what follows from it; return the signed entry, the operator's receipt.

    The same answer again gets the same entry.

    Raises:
        NotFound: no such run was evaluated.
        Conflict: the run has another answer, or is not the account's open one.
        SignatureInvalid, Refused, DocumentError: the answer does not hold; the run stays as it was.
    """
    signed, answer = parse_signed(document, Answer)
    with operator.store.reading() as session:
        run = session.get(Run, run_id)
        if run is None or run.record is None:
            raise NotFound(f"no run {run_id!r} was evaluated")
        stored = session.get(AnswerRow, run_id)
        account = session.get_one(Account, run.institution)
        signed.verify(frozenset({account.identity}))
        if stored is None:
            entries.check(session, account, signed)
        elif stored.sha256 != signed.body_hash():
            raise Conflict(f"run {run_id} has another answer already", "run_id")
    if stored is not None:
        # Whatever kept the settlement from following at once is made good before the entry goes out again.
        if run.state is RunState.BREACH_VERIFIED:
            settle_in_turn(operator, run_id, partial(_settle_stored, operator, run, stored))
        return _entry(operator, run, stored.sha256)
    verified = _verify(operator, run, signed, answer)
    if isinstance(verified, VerifiedBreach):
        operator.rail.require_carriable(run_id, answer)
    with operator.store.unit_of_work() as session:
        run, account = session.get_one(Run, run_id), session.get_one(Account, run.institution)
        meanwhile = entries.entry_of(session, run.institution, signed.body_hash())
        if meanwhile is not None:
            # The same answer came twice at once; whoever took the other one settles it.
            return SignedDocument.parse(meanwhile.entry)
        entry = entries.enter(session, operator.book, account, signed)
        session.add(AnswerRow(run_id=run_id, sha256=signed.body_hash(), document=signed.to_json()))
        session.flush()
        if isinstance(verified, VerifiedCoverage):
            move_run(run, RunEvent.COVERED)
            attest(operator, session, run)
        else:
            move_run(run, RunEvent.BREACH_VERIFIED)
    fault_point("answer-stored")
    if isinstance(verified, VerifiedBreach):
        settle_in_turn(operator, run_id, partial(settle, operator, verified))
    return entry


def settle_in_turn(operator: Operator, run_id: str, settle_it: Callable[[], bool]) -> None:
    """Settle a breach if none that came before it waits; else all whose turn it is, in their order."""
    with operator.store.reading() as session:
        first = [one.run_id for one in queue.waiting(session)][:1]
    if first != [run_id]:
        settle_unfinished(operator)
        return
    try:
        settle_it()
    except RequestError:
        # The answer is stored, and its receipt is what the institution asks for; the background tries again.
        _log.exception("run %s could not be settled", run_id)


def _entry(operator: Operator, run: Run, answer: str) -> SignedDocument:
    with operator.store.reading() as session:
        row = entries.entry_of(session, run.institution, answer)
    if row is None:
        raise NotFound(f"the answer to run {run.run_id} has no entry; restore the database from a backup")
    return SignedDocument.parse(row.entry)


def settle_unfinished(operator: Operator) -> list[str]:
    """Settle breaches whose answer is stored but whose settlement did not follow; return their runs.

    A crash or a full disk comes between the two commits, or they had to wait. They settle in the order of the log; one
    that cannot be settled does not keep the others waiting.
    """
    with operator.store.reading() as session:
        # Those that wait are not verified again and again.
        runs = [session.get_one(Run, run_id) for run_id in _due(operator, session)]
        answers = {run.run_id: session.get_one(AnswerRow, run.run_id) for run in runs}
    settled = []
    for run in runs:
        try:
            done = _settle_stored(operator, run, answers[run.run_id])
        except Exception:
            # Logged and tried again in the next round; the account takes no other run meanwhile.
            _log.exception("run %s could not be settled", run.run_id)
        else:
            settled += [run.run_id] if done else []
    return settled


def _due(operator: Operator, session: Session) -> list[str]:
    """Return the runs to settle: whose turn it is and that are not on their way, and those that are final there."""
    under_way, finals = operator.rail.under_way(session), operator.rail.finals(session)
    found = [run_id for run_id in queue.may_settle(operator, session) if run_id not in under_way]
    late = [one.run_id for one in queue.waiting(session) if one.run_id in finals] if finals else []
    return found + [run_id for run_id in late if run_id not in found]


def _settle_stored(operator: Operator, run: Run, stored: AnswerRow) -> bool:
    """Verify a stored answer anew and settle what it proves; return whether it is settled."""
    verified: VerifiedCoverage | VerifiedBreach
    if stored.document["type"] == Opened.TYPE:
        verified = opened.verify(operator, run, *parse_signed(stored.document, Opened))
    else:
        verified = _verify(operator, run, *parse_signed(stored.document, Answer))
    if not isinstance(verified, VerifiedBreach):
        raise Conflict(f"the stored answer of {run.run_id} is no breach; restore the database from a backup")
    return settle(operator, verified)


@timed("verify")
def _verify(operator: Operator, run: Run, signed: SignedDocument, answer: Answer) -> VerifiedCoverage | VerifiedBreach:
    signed_run = SignedDocument.parse(run.record)
    record = RunRecord.parse(signed_run.body)
    with operator.store.reading() as session:
        submission = operator.parsed.submission(session, record.submission).submission
        identity = session.get_one(Account, run.institution).identity
    keys = operator.enrolled_keys(run.institution, submission.evaluation_keys)
    tick = compiled_tick(operator, record)
    return verify_answer(
        signed,
        answer,
        record=record,
        run_hash=signed_run.body_hash(),
        submission=submission,
        market=tick.market,
        matrices=tick.matrices(record.posted, record, record.agreed),
        terms=operator.terms,
        identity=identity,
        keys=operator.key_pair(keys),
        flag_words=run.breach_output,
        group=operator.group,
        queue=operator.proofs,
    )

"""Take what custodians found: once as many signed one finding as have the book together, it is entered and settled.

The document is stored and the run moved before the settlement begins, as with an answer: a crash between the two is
finished at the next start from what is stored, verified anew. An answer of the institution that is entered before wins.
"""

from functools import partial

from atomic_margin.documents.fields import now_text
from atomic_margin.service.errors import Conflict, OpeningOver, Refused
from atomic_margin.service.operator.attestations import attest
from atomic_margin.service.operator.custody.openings import open_one, parts_of, require_session
from atomic_margin.service.operator.faults import fault_point
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.runs import opened
from atomic_margin.service.operator.runs.answers import settle_in_turn
from atomic_margin.service.operator.settlement.hook import settle
from atomic_margin.service.operator.store import entries
from atomic_margin.service.operator.store.custody_tables import OpeningPartRow
from atomic_margin.service.operator.store.tables import Account, AnswerRow, Run
from atomic_margin.service.operator.store.told import tell
from atomic_margin.service.operator.store.transitions import move_run
from atomic_margin.service.protocol.account.opening_documents import Finding, Opened, OpeningVerdict, finding_hash
from atomic_margin.service.protocol.bodies import parse_signed
from atomic_margin.service.protocol.custodian_messages import FindingBrought
from atomic_margin.service.protocol.states import RunEvent
from atomic_margin.service.protocol.verification import VerifiedBreach, VerifiedCoverage


def take_finding(operator: Operator, identity: str, request: str, brought: FindingBrought) -> None:
    """Keep a custodian's verdict; with enough of them, enter what was found and carry out what follows from it.

    The closer of the session brings the finding first. The same again changes nothing.

    Raises:
        OpeningOver: the opening is over.
        SignatureInvalid, Refused, Conflict, DocumentError: what is wrong with it.
    """
    finding = Finding.parse(brought.finding)
    signed, verdict = parse_signed(brought.verdict, OpeningVerdict)
    signed.verify(frozenset({identity}))
    named = finding_hash(finding)
    with operator.store.unit_of_work() as session:
        opening, policy = open_one(session, request)
        present, point = require_session(session, opening, policy, identity, None)
        for name, wanted in (
            ("institution", opening.institution),
            ("operator", operator.identity.public_key),
            ("request", request),
            ("finding", named),
            ("point", point),
            ("custodian", identity),
        ):
            if getattr(verdict, name) != wanted:
                raise Refused(f"the verdict is about another {name} than it is brought for", f"verdict.{name}")
        if finding.request != request:
            raise Refused("the finding is about another opening", "finding.request")
        parts = parts_of(session, opening)
        if opening.finding_hash != named:
            _require_new(present.closer, point, parts)
            opening.finding, opening.finding_hash = dict(brought.finding), named
            for part in parts:
                part.verdict = None
        own = next(part for part in parts if part.point == point)
        own.verdict = signed.to_json()
        verdicts = [part.verdict for part in parts if part.verdict is not None]
        run_id, enough = opening.run_id, len(verdicts) >= policy.threshold
    if enough:
        _enter(operator, request, run_id, finding, verdicts)


def _require_new(closer: int, point: int, parts: list[OpeningPartRow]) -> None:
    if point != closer:
        raise Conflict(f"the custodian at point {closer} closes this session, and brings the finding first", "finding")
    if any(part.verdict is not None and part.point != closer for part in parts):
        raise Conflict("others have signed another finding in this session", "finding")


def _enter(operator: Operator, request: str, run_id: str, finding: Finding, verdicts: list[dict[str, object]]) -> None:
    """Verify what was found, enter it as the run's answer, and settle what it proves."""
    said = finding.canonical()
    if not isinstance(said, dict):
        raise TypeError("a finding is a JSON object")
    document = Opened.parse({**said, "verdicts": verdicts, "opened_at": now_text()})
    signed = document.signed_by(operator.identity)
    with operator.store.reading() as session:
        run = session.get_one(Run, run_id)
    verified = opened.verify(operator, run, signed, document)
    with operator.store.unit_of_work() as session:
        opening, _ = open_one(session, request)
        run, account = session.get_one(Run, run_id), session.get_one(Account, opening.institution)
        if session.get(AnswerRow, run_id) is not None:
            raise OpeningOver("the run has an answer already", "request")
        entries.enter(session, operator.book, account, signed)
        opening.open = False
        session.add(AnswerRow(run_id=run_id, sha256=signed.body_hash(), document=signed.to_json()))
        session.flush()
        if isinstance(verified, VerifiedCoverage):
            move_run(run, RunEvent.COVERED)
            attest(operator, session, run)
        else:
            move_run(run, RunEvent.BREACH_VERIFIED)
        tell(session, "book opened", institution=opening.institution, run=run_id, outcome=finding.outcome)
    fault_point("opening-stored")
    if isinstance(verified, VerifiedBreach):
        settle_in_turn(operator, run_id, partial(settle, operator, verified))

"""Publish the bundle of every verified answer, and make that of a breach which waits for its settlement."""

from typing import Any, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from atomic_margin.service.errors import Conflict
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.store import bundles, checkpoints
from atomic_margin.service.operator.store.entries import document_of, entry_of, rotations
from atomic_margin.service.operator.store.market_chain import last_market_of
from atomic_margin.service.operator.store.tables import (
    Account,
    AnswerRow,
    EnrolledKeys,
    EntryRow,
    Run,
    SettlementRow,
    SubmissionRow,
    Tick,
    UniverseRow,
)
from atomic_margin.service.protocol.account.entries import Salts
from atomic_margin.service.protocol.account.opening_documents import Opened
from atomic_margin.service.protocol.documents import Answer
from atomic_margin.service.protocol.evidence import Evidence
from atomic_margin.service.protocol.states import RunState
from atomic_margin.service.protocol.submissions import Gain
from atomic_margin.service.verifier.attestation import bundle_body

JsonObject = dict[str, Any]


def attest(operator: Operator, session: Session, run: Run) -> None:
    """Sign and store the bundle of a run that ended, inside the caller's unit of work."""
    bundles.save(session, run, operator.identity.sign("attestation", _body(operator, session, run)))


def unsettled_bundle(operator: Operator, session: Session, run: Run) -> JsonObject | None:
    """Return the bundle of a verified breach before its settlement, as published: for who attests it elsewhere.

    It is signed and not stored; the same run gets another one once it is settled. None as long as too few witnesses
    cosigned a checkpoint with its entries.

    Raises:
        Conflict: the run has no verified breach, or that is settled.
    """
    if run.state is not RunState.BREACH_VERIFIED or session.get(SettlementRow, run.run_id) is not None:
        raise Conflict(f"run {run.run_id} is {run.state}: only a verified breach waits for its settlement", "run_id")
    evidence = evidence_of(session, run)
    if evidence is None:
        return None
    signed = operator.identity.sign("attestation", _body(operator, session, run))
    return {**signed.to_json(), "log": evidence.to_json()}


def _body(operator: Operator, session: Session, run: Run) -> JsonObject:
    """Return what the operator signs as the bundle of a run, from what is stored of it."""
    if run.record is None:
        raise ValueError(f"run {run.run_id} has no record")
    settlement = session.get(SettlementRow, run.run_id)
    submitted = session.get_one(SubmissionRow, run.submission_id)
    submission, answer = submitted.document, session.get_one(AnswerRow, run.run_id)
    # What custodians found comes without a flag.
    breached = answer.document["type"] == Answer.TYPE and answer.document["body"]["outcome"] == "breach"
    flag_words = run.breach_output.hex() if breached and run.breach_output is not None else None
    tick = session.get_one(Tick, run.price_sequence)
    universe = operator.terms.universe_of(run.record["body"]["universe"])
    revisions = session.scalars(select(UniverseRow.revision).order_by(UniverseRow.number)).all()
    return bundle_body(
        operator.terms,
        universe=universe,
        revisions=list(revisions),
        tick=tick.document,
        last_market=last_market_of(session, tick),
        enrolment=session.get_one(EnrolledKeys, submission["body"]["evaluation_keys"]).document,
        submission=submission,
        run=run.record,
        history=_history(session, run, submitted, settlement),
        answer=answer.document,
        flag_words=flag_words,
        settlement=None if settlement is None else settlement.document,
        gain=_gain(operator, session, submission["body"]),
        rotations=rotations(session, run.institution, _entry(session, run, answer.sha256).number),
    )


def evidence_of(session: Session, run: Run) -> Evidence | None:
    """Return what shows the entries of a run's bundle in the log, as soon as enough witnesses cosigned them."""
    settlement = session.get(SettlementRow, run.run_id)
    submitted = session.get_one(SubmissionRow, run.submission_id)
    return checkpoints.evidence(session, _entries(session, run, submitted, settlement).leaves())


def recorded_evidence(session: Session, run: Run) -> Evidence | None:
    """Return what shows the entry with a run's record in the log, as soon as enough witnesses cosigned it."""
    return checkpoints.evidence(session, [_entry(session, run, run.record_hash or "").leaf])


def _gain(operator: Operator, session: Session, submission: JsonObject) -> JsonObject:
    """Return what a submission's gain is counted from, as a bundle has it."""
    gain = Gain.parse(submission["gain"])
    found: JsonObject = {}
    if gain.before is not None:
        query = select(SubmissionRow.document).where(SubmissionRow.sha256 == gain.before)
        found["before"] = session.execute(query).scalar_one()
        universe = found["before"]["body"]["universe"]
        if universe != submission["universe"]:
            found["universe"] = operator.terms.universe_of(universe).canonical()
    if gain.price_sequence:
        tick = session.get_one(Tick, gain.price_sequence)
        last_market = last_market_of(session, tick)
        found |= {"tick": tick.document} | ({} if last_market is None else {"last_market": last_market})
    return found


class _Entries(NamedTuple):
    """The entries that a bundle has.

    Attributes:
        submitted: the one before the submission, and its own.
        recorded: the one with the record.
        opening: the one before the request by which custodians opened the book, and its own; none where they did not.
        liquidation: the one before a liquidation, and its own; none where there was none.
    """

    submitted: tuple[EntryRow, EntryRow]
    recorded: EntryRow
    opening: tuple[EntryRow, EntryRow] | None
    liquidation: tuple[EntryRow, EntryRow] | None

    def leaves(self) -> list[int]:
        """Return where they stand in the log, in the order of `History.leaves`."""
        rows = [*self.submitted, self.recorded, *(self.opening or ()), *(self.liquidation or ())]
        return [row.leaf for row in rows]


def _entries(session: Session, run: Run, submitted: SubmissionRow, settlement: SettlementRow | None) -> _Entries:
    def around(subject: str) -> tuple[EntryRow, EntryRow]:
        entered = _entry(session, run, subject)
        return session.get_one(EntryRow, (run.institution, entered.number - 1)), entered

    answer = session.get_one(AnswerRow, run.run_id).document
    liquidated = settlement is not None and settlement.document["body"]["kind"] == "liquidation"
    return _Entries(
        around(submitted.sha256),
        _entry(session, run, run.record_hash or ""),
        around(answer["body"]["request"]) if answer["type"] == Opened.TYPE else None,
        around(settlement.sha256) if settlement is not None and liquidated else None,
    )


def _entry(session: Session, run: Run, subject: str) -> EntryRow:
    row = entry_of(session, run.institution, subject)
    if row is None:
        raise ValueError(f"run {run.run_id} has no entry about {subject}")
    return row


def _history(session: Session, run: Run, submitted: SubmissionRow, settlement: SettlementRow | None) -> JsonObject:
    salts = Salts(session.get_one(Account, run.institution).seed)
    rows = _entries(session, run, submitted, settlement)
    (earlier, entered), recorded = rows.submitted, rows.recorded

    def opened(row: EntryRow, public: JsonObject | None) -> JsonObject:
        return {"entry": row.entry, "salt": salts.of("public", row.number), "public": public}

    history: JsonObject = {
        "submitted": {
            "before": opened(earlier, submitted.public_before),
            "entered": opened(entered, submitted.public_after),
            "salt": salts.of("document", entered.number),
        },
        "recorded": opened(recorded, run.public_state),
    }
    if rows.opening is not None:
        before, requested = rows.opening
        history["opening"] = {
            "before": before.entry,
            "entered": requested.entry,
            "salt": salts.of("document", requested.number),
            "request": document_of(session, requested),
        }
    if rows.liquidation is not None and settlement is not None:
        before, settled = rows.liquidation
        history["liquidation"] = {
            "before": {
                **opened(before, settlement.public_before),
                "private_salt": salts.of("private", before.number),
                "private": settlement.private_before,
            },
            "settled": settled.entry,
            "salt": salts.of("document", settled.number),
        }
    return history

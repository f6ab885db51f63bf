"""What the agent asks of the log before it answers, and before it believes that its time to answer is over.

A trust file that names no log asks for nothing: then the operator's word alone stands for what others are shown, and
the operator's clock for the deadline, and the agent says so when it starts.
"""

import logging
from typing import Any

from atomic_margin.documents.errors import DocumentsError
from atomic_margin.service.errors import AgentRefused
from atomic_margin.service.institution.log_watch import LogWatch, NotLogged
from atomic_margin.service.institution.settings import AgentSettings
from atomic_margin.service.institution.store import InstitutionStore, OwnAccount, OwnEntry
from atomic_margin.service.log.clock import Elapsed, check_deadline
from atomic_margin.service.log.errors import LogError
from atomic_margin.service.log.evidence import check_evidence
from atomic_margin.service.protocol.account.entries import Salts
from atomic_margin.service.protocol.account.errors import EntryIllegal
from atomic_margin.service.protocol.account.events import Overdue
from atomic_margin.service.protocol.account.state import OpenRun
from atomic_margin.service.protocol.documents import RunRecord
from atomic_margin.service.protocol.evidence import Evidence
from atomic_margin.service.protocol.leaves import entry_leaf
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.verifier.errors import MonitorError

_log = logging.getLogger(__name__)


class NotCosignedYet(AgentRefused):
    """The run is not in a checkpoint that enough witnesses cosigned recently; it is answered once it is."""


def say_what_is_asked(settings: AgentSettings) -> None:
    """Log, once, whose word the agent takes for the operator's history."""
    log = settings.trust.log
    if log is None:
        _log.warning("the trust file names no log: runs are answered on the operator's word for its history and clock")
    else:
        _log.info("runs are answered inside checkpoints of %s that %d witnesses cosigned", log.origin, log.threshold)


def require_cosigned(
    settings: AgentSettings, store: InstitutionStore, run: OpenRun, evidence: dict[str, Any] | None
) -> None:
    """Make sure the entry of a run is in a checkpoint that the trust file believes, and a recent one.

    Raises:
        NotCosignedYet: it is not, or not yet.
    """
    log = settings.trust.log
    if log is None:
        return
    leaf = _leaf_of(store, run.record or "")
    if evidence is None:
        raise NotCosignedYet(f"run {run.run_id!r} is in no checkpoint yet that enough witnesses cosigned")
    try:
        check_evidence(Evidence.parse(evidence), [leaf], log, int(settings.clock().timestamp()))
    except (LogError, DocumentsError) as error:
        raise NotCosignedYet(f"run {run.run_id!r} is in no checkpoint that the trust file believes: {error}") from error


def require_alone(watch: LogWatch | None, store: InstitutionStore, run: OpenRun) -> None:
    """Make sure the log has the account as it was followed, up to the entry of a run, and no other entry of a number.

    Raises:
        NotCosignedYet: it does not have that entry yet, has more than was followed, or is not to be believed or read.
        LogContradicts: it has another one, or contradicts itself.
    """
    if watch is None:
        return
    with store.unit_of_work() as session:
        account = Salts(session.get_one(OwnAccount, 1).seed).account
        number = session.query(OwnEntry).filter_by(document_hash=run.record).one().number

    def leaf_of(number: int) -> bytes | None:
        with store.unit_of_work() as session:
            row = session.get(OwnEntry, number)
        return None if row is None else entry_leaf(SignedDocument.parse(row.entry)).to_bytes()

    try:
        watch.require(account, number, leaf_of)
    except (NotLogged, LogError, MonitorError) as error:
        raise NotCosignedYet(f"run {run.run_id!r}: {error}") from error


def check_overdue(
    settings: AgentSettings, store: InstitutionStore, overdue: Overdue, record: RunRecord
) -> Elapsed | None:
    """Make sure that the time to answer a run is over, by the witnesses' clocks or, without any, by the operator's.

    Returns:
        When it began and ended by the witnesses' clocks; None where none are asked.

    Raises:
        EntryIllegal: it is not.
    """
    log = settings.trust.log
    if log is None:
        if overdue.declared_at < record.deadline:
            raise EntryIllegal(f"run {overdue.run_id} was declared overdue before {record.deadline}, its deadline")
        return None
    try:
        leaf = _leaf_of(store, overdue.run)
        return check_deadline(overdue.begins, overdue.ends, leaf, record.answer_seconds, log)
    except LogError as error:
        raise EntryIllegal(
            f"run {overdue.run_id} was declared overdue, and the witnesses do not say so: {error}"
        ) from error


def _leaf_of(store: InstitutionStore, document: str) -> bytes:
    with store.unit_of_work() as session:
        row = session.query(OwnEntry).filter_by(document_hash=document).one()
    return entry_leaf(SignedDocument.parse(row.entry)).to_bytes()

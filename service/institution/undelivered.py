"""Runs that are declared overdue although a witness had the answer in time: evidence against the operator, kept.

Institution only.
"""

from atomic_margin.service.institution.contradictions import Contradictions
from atomic_margin.service.institution.deliveries import read_receipts
from atomic_margin.service.institution.settings import AgentSettings
from atomic_margin.service.institution.store import InstitutionStore, OwnAnswer
from atomic_margin.service.log.clock import Elapsed, check_undelivered
from atomic_margin.service.log.errors import DeliveredInTime
from atomic_margin.service.protocol.account.events import Overdue
from atomic_margin.service.protocol.documents import RunRecord


def keep_undelivered(
    settings: AgentSettings,
    store: InstitutionStore,
    contradictions: Contradictions,
    record: RunRecord,
    overdue: Overdue,
    elapsed: Elapsed,
) -> None:
    """Keep such a run, if this is one.

    The entry is followed all the same. An operator that really never got the answer still takes it late, and the
    account is free again; to refuse to go on would help nobody.

    Args:
        settings: of the agent.
        store: has the answer, if there is one.
        contradictions: where it is kept.
        record: of the run.
        overdue: what the operator declared.
        elapsed: the time that is over by the witnesses' clocks.
    """
    with store.unit_of_work() as session:
        answer = session.query(OwnAnswer).filter_by(run_hash=overdue.run).first()
    if answer is None or answer.sha256 is None or settings.trust.log is None:
        return
    receipts = read_receipts(settings.directory, settings.trust.log, answer.sha256)
    try:
        check_undelivered(elapsed, record.answer_seconds, [receipt for _, receipt in receipts])
    except DeliveredInTime as refusal:
        evidence = {
            "overdue": overdue.canonical(),
            "answer": answer.document,
            "receipts": [signed.to_json() for signed, _ in receipts],
        }
        contradictions.keep(f"overdue-{overdue.run[:24]}", f"run {overdue.run_id}: {refusal}", evidence)

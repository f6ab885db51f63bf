"""Take runs in hand, give them back, and take back what nobody has in hand any more.

`evaluation` claims; `background` renews and reclaims. What a row of claims means is in `store.claims`, and whose fault
a failure is in `failures`.
"""

import logging
from collections.abc import Callable
from functools import partial

from sqlalchemy import select
from sqlalchemy.orm import Session

from atomic_margin.documents.fields import now_text
from atomic_margin.service.errors import Conflict, NotFound
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.runs.failures import Failure, count, failure_of, forget, interrupted
from atomic_margin.service.operator.runs.priority import Waiting, due, is_free
from atomic_margin.service.operator.runs.records import record_failed
from atomic_margin.service.operator.store import entries
from atomic_margin.service.operator.store.claims import Claim, expired_runs, let_go, require, take
from atomic_margin.service.operator.store.database import now
from atomic_margin.service.operator.store.line import Line
from atomic_margin.service.operator.store.tables import Account, Run, ShortfallRow
from atomic_margin.service.operator.store.transitions import move_run, move_shortfall
from atomic_margin.service.protocol.account.events import RunVoid
from atomic_margin.service.protocol.states import RunEvent, RunState, ShortfallEvent, ShortfallState

_log = logging.getLogger(__name__)


def claim(operator: Operator, line: Line, wanted: Callable[[Waiting], bool]) -> Claim | None:
    """Take the run that comes next of those `wanted`.

    It is looked for, in a line of their own, without keeping anybody from writing. Who takes it looks, in one unit of
    work, whether it still waits, so no two callers take the same.
    """
    while (run_id := line.next(lambda: _due(operator, wanted))) is not None:
        taken = operator.store.run(partial(_take, run_id))
        if taken is not None:
            return taken
    return None


def _due(operator: Operator, wanted: Callable[[Waiting], bool]) -> list[str]:
    """Return the runs that are due, after ending those that are pointless."""
    with operator.store.reading() as session:
        found = due(session, now(), wanted)
    if found.pointless:
        operator.store.run(partial(_end, found.pointless))
    return found.next


def _end(pointless: list[str], session: Session) -> None:
    for run_id in pointless:
        run = session.get_one(Run, run_id)
        if run.state is RunState.SCHEDULED:
            move_run(run, RunEvent.ACCOUNT_IN_DEFAULT)
            run.problem = "the account is in default"


def _take(run_id: str, session: Session) -> Claim | None:
    run = session.get_one(Run, run_id)
    if not is_free(session, run):
        return None
    move_run(run, RunEvent.TAKEN)
    return take(run, now())


def give_back(operator: Operator, claim: Claim, error: Exception) -> None:
    """Schedule a run again, or end it when it has failed too often: void, or as what custodians can open.

    Raises:
        ClaimLost: it is another caller's by now.
    """
    failure = failure_of(error, stopping=operator.stopping.is_set())
    # The line says enough; the trace of a worker that died, or of a full disk, says nothing more.
    _log.warning("run %s was not evaluated: %s", claim.run_id, failure)
    _log.debug("run %s", claim.run_id, exc_info=error)

    def work(session: Session) -> None:
        run = session.get_one(Run, claim.run_id)
        require(run, claim.owner, f"run {claim.run_id}")
        _again_or_failed(operator, session, run, failure)

    operator.store.run(work)


def hand_back(operator: Operator, claim: Claim, reason: Exception, event: RunEvent | None = None) -> None:
    """Give back a run that something came before, which was no attempt; `event` is what became of it instead.

    Raises:
        ClaimLost: it is another caller's by now.
    """

    def work(session: Session) -> None:
        run = session.get_one(Run, claim.run_id)
        require(run, claim.owner, f"run {claim.run_id}")
        let_go(run)
        run.problem = str(reason)
        run.attempts = max(0, run.attempts - 1)
        move_run(run, RunEvent.RETRIED)
        if event is not None:
            move_run(run, event)

    operator.store.run(work)


def recover(operator: Operator) -> list[str]:
    """Schedule again what a crash interrupted; return the identifiers. At the start, when no caller can be left."""
    with operator.store.unit_of_work() as session:
        left = list(session.scalars(select(Run).where(Run.state == RunState.EVALUATING)))
        for run in left:
            # The process died, not the evaluation: it is not the run's fault.
            move_run(run, RunEvent.INTERRUPTED)
            let_go(run)
            run.attempts = max(0, run.attempts - 1)
        return [run.run_id for run in left]


def reclaim(operator: Operator) -> list[str]:
    """Take back runs whose claim nobody renewed in time; return their identifiers."""
    with operator.store.reading() as session:
        if not expired_runs(session, operator.claims.owners(), now()):
            return []
    with operator.store.unit_of_work() as session:
        late = expired_runs(session, operator.claims.owners(), now())
        for run in late:
            _again_or_failed(operator, session, run, interrupted("nobody has it in hand any more"))
        found = [run.run_id for run in late]
    for run_id in found:
        _log.warning("run %s was in nobody's hand any more and waits again", run_id)
    return found


def run_again(operator: Operator, run_id: str) -> None:
    """Try a run that waits after a failure again now, or a shortfall that was given up; what was counted is forgotten.

    Raises:
        NotFound: there is no such run.
        Conflict: there is nothing of it to be tried again.
    """
    with operator.store.unit_of_work() as session:
        run, shortfall = session.get(Run, run_id), session.get(ShortfallRow, run_id)
        if run is None:
            raise NotFound(f"there is no run {run_id!r}")
        if run.state is RunState.SCHEDULED:
            forget(run)
        elif shortfall is not None and shortfall.state is ShortfallState.FAILED:
            move_shortfall(shortfall, ShortfallEvent.WANTED_AGAIN)
            forget(shortfall)
        elif shortfall is not None and shortfall.state is ShortfallState.WAITING:
            forget(shortfall)
        elif run.state is RunState.FAILED:
            raise Conflict(f"run {run_id} is void, and its tick is used up; the next tick runs the book again", "state")
        else:
            raise Conflict(f"run {run_id} is {run.state}; nothing of it waits or was given up", "state")
    _log.info("run %s is tried again: what failed before is forgotten", run_id)


def _again_or_failed(operator: Operator, session: Session, run: Run, failure: Failure) -> None:
    let_go(run)
    given_up = count(run, failure, now())
    run.problem = str(failure) + (f" (tried again from {run.retry_at})" if run.retry_at else "")
    if given_up is None:
        move_run(run, RunEvent.RETRIED)
        return
    run.problem = f"{given_up}; {failure}"
    account = session.get_one(Account, run.institution)
    public = entries.state_of(account).public
    begun = public.run
    at_custodians = public.book is not None and public.book.shared is not None
    if at_custodians and begun is not None and (begun.run_id, begun.stage) == (run.run_id, "evaluating"):
        record_failed(operator, session, run, begun)
        return
    move_run(run, RunEvent.FAILED)
    if begun is None or begun.run_id != run.run_id:
        return
    void = RunVoid.parse(
        {
            "run_id": run.run_id,
            "operator": operator.identity.public_key,
            "institution": run.institution,
            "reason": given_up,
            "ended_at": now_text(),
        }
    )
    entries.enter(session, operator.book, account, void.signed_by(operator.identity))

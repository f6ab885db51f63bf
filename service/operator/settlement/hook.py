"""The settlement hook: a `VerifiedBreach` and nothing else fires it, and at most once.

One transaction books the margin call and the transfer of the proven top-up from free to posted collateral; if free
collateral is too small, the same transaction moves all of the account's ledger collateral to its liquidation
account, apart from everybody else's, and puts the account in default. If anything fails, nothing has moved.

Where collateral is on a chain, the hook's word goes to the rail first, and the ledger follows once it is final there.
"""

from atomic_margin.documents.fields import now_text
from atomic_margin.service.errors import Conflict
from atomic_margin.service.operator.attestations import attest
from atomic_margin.service.operator.faults import fault_point
from atomic_margin.service.operator.measures import timed
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.rail import Instruction
from atomic_margin.service.operator.settlement import ledger, queue
from atomic_margin.service.operator.store import entries
from atomic_margin.service.operator.store.tables import (
    SHORTFALL_FUNCTION,
    Account,
    Run,
    SettlementRow,
    ShortfallRow,
    Tick,
)
from atomic_margin.service.operator.store.transitions import move_run
from atomic_margin.service.protocol.account.agreements import eligible_assets
from atomic_margin.service.protocol.documents import Settlement
from atomic_margin.service.protocol.settlements import rightful_transfers
from atomic_margin.service.protocol.states import RunEvent, RunState
from atomic_margin.service.protocol.verification import VerifiedBreach


@timed("settle")
def settle(operator: Operator, breach: VerifiedBreach) -> bool:
    """Settle a verified breach; return whether it is settled, or has to wait. One that is settled stays as it is.

    Raises:
        TypeError: anything but a VerifiedBreach.
        Conflict: the run is settled on another answer, or is not one whose breach was verified.
    """
    if not isinstance(breach, VerifiedBreach):
        raise TypeError(f"the settlement hook takes a VerifiedBreach, not {type(breach).__name__}")
    with operator.store.unit_of_work() as session:
        run = session.get_one(Run, breach.record.run_id)
        earlier = session.get(SettlementRow, run.run_id)
        if earlier is not None and earlier.document["body"]["answer"] == breach.answer_hash:
            # Somebody else finished it meanwhile, on the same answer.
            return True
        if run.state is not RunState.BREACH_VERIFIED or run.record_hash != breach.run_hash:
            raise Conflict(f"run {run.run_id} is {run.state}; only a verified breach settles, and once", "run_id")
        account = session.get_one(Account, run.institution)
        if run.run_id not in operator.rail.finals(session) and run.run_id not in queue.may_settle(operator, session):
            # The answer is stored: the background settles it once its turn comes, or the halt is over.
            return False
        state = entries.state_of(account)
        market = operator.compiled_ticks.of(session.get_one(Tick, run.price_sequence)).market
        due = rightful_transfers(
            operator.terms,
            market,
            breach.top_up_usd,
            counted=breach.record.posted,
            free=state.private.free,
            posted=state.public.posted,
            eligible=eligible_assets(state.public),
        )
        rightful = operator.rail.carry(
            session,
            Instruction(
                run_id=run.run_id,
                run_hash=breach.run_hash,
                answer_hash=breach.answer_hash,
                institution=run.institution,
                top_up=breach.top_up,
                top_up_usd=breach.top_up_usd,
                rightful=due,
            ),
        )
        if rightful is None:
            # Under way, where the collateral is: the background asks again.
            return False
        moves = [
            ledger.Move(
                move.asset,
                move.quantity,
                f"{run.institution}/{move.source}",
                f"{run.institution}/{move.destination}",
            )
            for move in rightful.transfers
        ]
        settlement = Settlement.parse(
            {
                "run_id": run.run_id,
                "run": breach.run_hash,
                "answer": breach.answer_hash,
                "operator": operator.identity.public_key,
                "institution": run.institution,
                "kind": rightful.kind,
                "flag": breach.flag,
                "top_up": str(breach.top_up),
                "top_up_usd": format(breach.top_up_usd, "f"),
                "transfers": [{**move.model_dump(), "quantity": str(move.quantity)} for move in rightful.transfers],
                "settled_at": now_text(),
            }
        )
        signed = settlement.signed_by(operator.identity)
        before = (account.public_state, account.private_state)
        entries.enter(session, operator.book, account, signed)
        transaction = ledger.book(session, f"settlement/{run.run_id}", settlement.kind, moves)
        session.add(
            SettlementRow(
                run_id=run.run_id,
                sha256=signed.body_hash(),
                document=signed.to_json(),
                public_before=before[0],
                private_before=before[1],
                transaction_id=transaction.id,
            )
        )
        if SHORTFALL_FUNCTION in operator.terms.profile.functions:
            # Evaluated later, see `runs.shortfalls`: it is due because the breach is settled.
            session.add(ShortfallRow(run_id=run.run_id))
        move_run(run, RunEvent.SETTLED)
        session.flush()
        attest(operator, session, run)
        fault_point("settlement-booked")
    fault_point("settlement-committed")
    return True

"""The settlement hook: a `VerifiedBreach` and nothing else fires it, and at most once.

One transaction books the margin call and the transfer of the proven top-up from free to posted collateral; if free
collateral is too small, the same transaction moves all of the account's ledger collateral to the liquidation account
and puts the account in default. If anything fails, nothing has moved.
"""

from collections.abc import Mapping

from sqlalchemy.orm import Session

from atomic_margin.documents.fields import now_text
from atomic_margin.margin.collateral import select_transfer
from atomic_margin.margin.errors import InsufficientFreeCollateral
from atomic_margin.service.errors import Conflict
from atomic_margin.service.operator.attestations import attest
from atomic_margin.service.operator.faults import fault_point
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.settlement import ledger
from atomic_margin.service.operator.store.tables import (
    SHORTFALL_FUNCTION,
    Account,
    Run,
    SettlementRow,
    ShortfallRow,
    Tick,
)
from atomic_margin.service.operator.store.transitions import move_account, move_run
from atomic_margin.service.protocol.documents import Settlement
from atomic_margin.service.protocol.states import AccountEvent, RunEvent, RunState
from atomic_margin.service.protocol.verification import VerifiedBreach


def settle(operator: Operator, breach: VerifiedBreach) -> None:
    """Settle a verified breach. A breach that is settled already stays as it is.

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
            return
        if run.state is not RunState.BREACH_VERIFIED or run.record_hash != breach.run_hash:
            raise Conflict(f"run {run.run_id} is {run.state}; only a verified breach settles, and once", "run_id")
        account = session.get_one(Account, run.institution)
        transfers = _transfers(operator, session, run, breach)
        called = transfers is not None
        if transfers is None:
            transfers = _everything(session, run.institution)
        moves = [
            ledger.Move(asset, quantity, f"{run.institution}/{source}", _destination(run.institution, target))
            for asset, quantity, source, target in transfers
        ]
        settlement = Settlement.parse(
            {
                "run_id": run.run_id,
                "run": breach.run_hash,
                "answer": breach.answer_hash,
                "operator": operator.identity.public_key,
                "institution": run.institution,
                "kind": "margin_call" if called else "liquidation",
                "flag": breach.flag,
                "top_up": str(breach.top_up),
                "top_up_usd": format(breach.top_up_usd, "f"),
                "transfers": [
                    {"asset": asset, "quantity": str(quantity), "source": source, "destination": target}
                    for asset, quantity, source, target in transfers
                ],
                "settled_at": now_text(),
            }
        )
        signed = settlement.signed_by(operator.identity)
        transaction = ledger.book(session, f"settlement/{run.run_id}", settlement.kind, moves)
        session.add(SettlementRow(run_id=run.run_id, document=signed.to_json(), transaction_id=transaction.id))
        if SHORTFALL_FUNCTION in operator.terms.profile.functions:
            # Evaluated later, see `runs.shortfalls`: it is due because the breach is settled.
            session.add(ShortfallRow(run_id=run.run_id))
        move_run(run, RunEvent.SETTLED)
        move_account(account, AccountEvent.MARGIN_CALLED if called else AccountEvent.LIQUIDATED)
        session.flush()
        attest(operator, session, run)
        fault_point("settlement-booked")
    fault_point("settlement-committed")


Row = tuple[str, int, str, str]


def _transfers(operator: Operator, session: Session, run: Run, breach: VerifiedBreach) -> list[Row] | None:
    """Return what the margin call moves, or None when free collateral does not cover it."""
    market = operator.compiled_ticks.of(session.get_one(Tick, run.price_sequence)).market
    free: Mapping[str, int] = ledger.balances(session, ledger.free(run.institution))
    try:
        # Against what was posted when the run was evaluated: the proven X is on top of that. See `margin.collateral`.
        chosen = select_transfer(
            breach.top_up_usd,
            free,
            operator.terms.schedule,
            operator.terms.model.spot_moves,
            market,
            posted=breach.record.posted,
        )
    except InsufficientFreeCollateral:
        return None
    return [(asset, quantity, "free", "posted") for asset, quantity in sorted(chosen.items())]


def _everything(session: Session, institution: str) -> list[Row]:
    return [
        (asset, quantity, source, "liquidation")
        for source in ("free", "posted")
        for asset, quantity in sorted(ledger.balances(session, f"{institution}/{source}").items())
    ]


def _destination(institution: str, target: str) -> str:
    return ledger.LIQUIDATION if target == "liquidation" else f"{institution}/{target}"

"""What the operator's staff are shown of a rail on a chain."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from atomic_margin.contracts.addresses import ChainAddresses
from atomic_margin.service.operator.rail import Trouble
from atomic_margin.service.operator.settlement.chain.mirror import Line
from atomic_margin.service.operator.store.rail_tables import RailTransaction, RailTransfer
from atomic_margin.service.protocol.rail_messages import (
    RailAccountLine,
    RailTransactionLine,
    RailTransferLine,
    RailView,
)

MOST_TRANSFERS = 50
MOST_TRANSACTIONS = 20
"""Of a settlement, the newest."""


def view_of(
    session: Session,
    *,
    addresses: ChainAddresses,
    sender: str,
    lines: Sequence[Line],
    troubles: Sequence[Trouble],
) -> RailView:
    """Return a rail with its newest settlements."""
    query = select(RailTransfer).order_by(RailTransfer.taken_at.desc(), RailTransfer.run_id).limit(MOST_TRANSFERS)
    return RailView(
        rail="chain",
        chain=addresses.chain,
        vault=addresses.vault,
        asset=addresses.asset,
        sender=sender,
        transfers=tuple(_transfer(session, row) for row in session.scalars(query)),
        accounts=tuple(_account(line) for line in lines),
        troubles=tuple(f"run {one.run_id}: {one.what}" if one.run_id else one.what for one in troubles),
    )


def _transfer(session: Session, row: RailTransfer) -> RailTransferLine:
    query = select(RailTransaction).where(RailTransaction.run_id == row.run_id).order_by(RailTransaction.id.desc())
    outcome = row.outcome or {}
    return RailTransferLine(
        run_id=row.run_id,
        state=row.stage,
        account=row.account,
        top_up=row.top_up,
        round=row.round,
        kind=outcome.get("kind"),
        amount=int(outcome["amount"]) if outcome else None,
        block=int(outcome["block"]) if outcome else None,
        transaction=outcome.get("transaction"),
        problem=row.problem,
        taken_at=row.taken_at,
        final_at=row.final_at,
        transactions=tuple(_transaction(one) for one in session.scalars(query.limit(MOST_TRANSACTIONS))),
    )


def _transaction(row: RailTransaction) -> RailTransactionLine:
    return RailTransactionLine(
        purpose=row.purpose,
        hash=row.sha3,
        nonce=row.nonce,
        gas=row.gas,
        max_fee_wei=row.max_fee,
        live=row.live,
        block=row.block,
        problem=row.problem,
        signed_at=row.signed_at,
    )


def _account(line: Line) -> RailAccountLine:
    return RailAccountLine(
        institution=line.institution,
        account=line.account,
        block=line.block,
        vault_free=line.chain_free,
        vault_posted=line.chain_posted,
        ledger_free=line.free,
        ledger_posted=line.posted,
        differs_since=line.since,
    )

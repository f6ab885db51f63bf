"""The double-entry collateral ledger.

Every transaction sums to zero in every asset; no account but `external` goes below zero. Amounts are integers of an
asset's smallest unit (its decimals are in the collateral schedule).
"""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from atomic_margin.documents.fields import instant_text
from atomic_margin.service.errors import Conflict, InsufficientFunds
from atomic_margin.service.operator.store.database import now
from atomic_margin.service.operator.store.tables import LedgerPosting, LedgerTransaction

EXTERNAL = "external"
"""The world outside: deposits come from it, withdrawals go to it. The only account that may be negative."""
LOSS = "loss"
"""What defaults cost, as far as somebody bore it."""
CAPITAL = "capital"
"""The operator's own, for losses of defaults."""
SETTLED = "settled"
"""What institutions paid for losses: the operator's own."""

NETTING = "netting"
"""Through which the gross lines of a cycle go; empty before and after each."""

# SQL integers have 64 bits.
MAX_AMOUNT = 2**62


def free(institution: str) -> str:
    """Name of the account that holds an institution's free collateral."""
    return f"{institution}/free"


def posted(institution: str) -> str:
    """Name of the account that holds an institution's posted collateral."""
    return f"{institution}/posted"


def returning(institution: str) -> str:
    """Name of the account that holds what an institution's pending returns took from free collateral."""
    return f"{institution}/returning"


def liquidation(institution: str) -> str:
    """Name of the account that holds what a liquidation took from an institution, apart from everybody else's."""
    return f"{institution}/liquidation"


def fund(institution: str) -> str:
    """Name of the account that holds an institution's share in the guarantee fund."""
    return f"{institution}/fund"


@dataclass(frozen=True)
class Move:
    """A quantity of one asset from one account to another."""

    asset: str
    quantity: int
    source: str
    destination: str


def book(session: Session, reference: str, kind: str, moves: Iterable[Move]) -> LedgerTransaction:
    """Book moves as one transaction, inside the caller's unit of work.

    Args:
        session: the caller's unit of work; nothing is committed here.
        reference: unique name of the transaction; a second one with it is refused.
        kind: what it is, for the reader.
        moves: quantities are positive; none at all when an empty account is liquidated.

    Raises:
        Conflict: the reference is used already.
        InsufficientFunds: an account other than `external` would go below zero.
        ValueError: a quantity that is not positive.
    """
    if session.scalar(select(LedgerTransaction.id).where(LedgerTransaction.reference == reference)) is not None:
        raise Conflict(f"{reference} is booked already", "reference")
    transaction = LedgerTransaction(reference=reference, kind=kind, booked_at=instant_text(now()))
    session.add(transaction)
    session.flush()
    touched: set[tuple[str, str]] = set()
    for move in moves:
        if not 0 < move.quantity < MAX_AMOUNT:
            raise ValueError(f"a ledger move is between 1 and {MAX_AMOUNT - 1} units, got {move.quantity}")
        for account, amount in ((move.source, -move.quantity), (move.destination, move.quantity)):
            session.add(LedgerPosting(transaction_id=transaction.id, account=account, asset=move.asset, amount=amount))
            touched.add((account, move.asset))
    session.flush()
    left = {(account, asset): balances(session, account).get(asset, 0) for account, asset in sorted(touched)}
    for (account, asset), quantity in left.items():
        if account != EXTERNAL and quantity < 0:
            raise InsufficientFunds(f"{account} holds {-quantity} units of {asset} less than that", "quantity")
    for (account, asset), quantity in left.items():
        if abs(quantity) >= MAX_AMOUNT:
            raise Conflict(f"{account} would hold more {asset} than the ledger counts", "quantity")
    return transaction


def balances(session: Session, account: str) -> dict[str, int]:
    """Return the balance of every asset on an account, in smallest units; zero balances are left out."""
    query = (
        select(LedgerPosting.asset, func.sum(LedgerPosting.amount))
        .where(LedgerPosting.account == account)
        .group_by(LedgerPosting.asset)
    )
    return {asset: int(amount) for asset, amount in session.execute(query) if amount}


def totals(session: Session) -> dict[str, int]:
    """Return the sum over all accounts for every asset: zero, always."""
    query = select(LedgerPosting.asset, func.sum(LedgerPosting.amount)).group_by(LedgerPosting.asset)
    return {asset: int(amount) for asset, amount in session.execute(query)}


def accounts(session: Session) -> dict[str, dict[str, int]]:
    """Return every account's balances."""
    names = session.scalars(select(LedgerPosting.account).distinct().order_by(LedgerPosting.account))
    return {name: balances(session, name) for name in names}

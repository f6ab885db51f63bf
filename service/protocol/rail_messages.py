"""What the operator's staff are shown of a rail, as types; see `protocol.messages`, whose rules hold here too."""

from atomic_margin.documents.strict import ListOf
from atomic_margin.service.protocol.messages import Count, ResponseBody


class RailTransactionLine(ResponseBody):
    """A transaction that was signed for a settlement."""

    purpose: str
    hash: str
    nonce: Count
    gas: Count
    max_fee_wei: Count
    live: bool
    """Whether it may still be mined, or is."""
    block: Count | None
    """Where it was seen last."""
    problem: str | None
    signed_at: str


class RailTransferLine(ResponseBody):
    """A settlement that a rail carries out."""

    run_id: str
    state: str
    """`pending`, `submitted` or `final`."""
    account: str
    top_up: Count
    round: Count
    """How often its run lapsed on the chain before."""
    kind: str | None
    """`margin_call` or `liquidation`, once final."""
    amount: Count | None
    block: Count | None
    transaction: str | None
    problem: str | None
    """What keeps it from going on; it is tried again."""
    taken_at: str
    final_at: str | None
    transactions: ListOf[RailTransactionLine]


class RailAccountLine(ResponseBody):
    """An institution's collateral in the vault and in the ledger, smallest units."""

    institution: str
    account: str
    block: Count
    vault_free: Count
    vault_posted: Count
    ledger_free: Count
    ledger_posted: Count
    differs_since: str | None


class RailView(ResponseBody):
    """The rail, its newest settlements first."""

    rail: str
    """`ledger`, or `chain`."""
    chain: Count | None
    vault: str | None
    asset: str | None
    sender: str | None
    transfers: ListOf[RailTransferLine]
    accounts: ListOf[RailAccountLine]
    troubles: ListOf[str]

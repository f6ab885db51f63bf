"""Tables of a rail on a chain: how far each settlement is, every transaction that was ever signed, how far was read."""

from sqlalchemy import BigInteger, ForeignKey, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from atomic_margin.service.operator.store.tables import Base, JsonObject


class RailTransfer(Base):
    """One settlement that a rail carries out; the row comes with the hook's word, in its unit of work.

    Attributes:
        stage: a `RailState`.
        answer: hash of the answer that proved the breach.
        account: address of the account on the chain.
        round: how many runs on the chain this one had before; each is opened once, and may lapse.
        first_block: none of its events is in an earlier block.
        outcome: what moved, once it is final.
        problem: what keeps it from going on.
        failures: how often in a row.
        retry_at: before then it is not looked at.
    """

    __tablename__ = "rail_transfers"
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.run_id"), primary_key=True)
    stage: Mapped[str] = mapped_column(String(16), index=True)
    run_hash: Mapped[str] = mapped_column(String(64))
    answer: Mapped[str] = mapped_column(String(64))
    account: Mapped[str] = mapped_column(String(42))
    top_up: Mapped[int] = mapped_column(BigInteger)
    round: Mapped[int] = mapped_column(default=0)
    first_block: Mapped[int | None] = mapped_column(BigInteger)
    outcome: Mapped[JsonObject | None]
    problem: Mapped[str | None]
    failures: Mapped[int] = mapped_column(default=0)
    retry_at: Mapped[str | None] = mapped_column(String(20))
    taken_at: Mapped[str] = mapped_column(String(20))
    final_at: Mapped[str | None] = mapped_column(String(20))


class RailTransaction(Base):
    """A transaction of a rail, stored before it is sent. Several may have one nonce: at most one of them is mined.

    Attributes:
        purpose: `open` or `settle`; of which round it is follows from `round`.
        live: whether it may still be mined, or is.
        block: where it was last seen.
        problem: why it is not live.
    """

    __tablename__ = "rail_transactions"
    __table_args__ = (UniqueConstraint("sha3"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("rail_transfers.run_id"), index=True)
    purpose: Mapped[str] = mapped_column(String(16))
    round: Mapped[int] = mapped_column(default=0)
    sender: Mapped[str] = mapped_column(String(42))
    nonce: Mapped[int] = mapped_column(BigInteger, index=True)
    sha3: Mapped[str] = mapped_column(String(66))
    raw: Mapped[bytes] = mapped_column(LargeBinary)
    max_fee: Mapped[int] = mapped_column(BigInteger)
    priority_fee: Mapped[int] = mapped_column(BigInteger)
    gas: Mapped[int] = mapped_column(BigInteger)
    live: Mapped[bool] = mapped_column(default=True, index=True)
    block: Mapped[int | None] = mapped_column(BigInteger)
    problem: Mapped[str | None]
    signed_at: Mapped[str] = mapped_column(String(20))


class RailCursor(Base):
    """Up to which block the events of a vault were taken into the ledger."""

    __tablename__ = "rail_cursors"
    vault: Mapped[str] = mapped_column(String(42), primary_key=True)
    block: Mapped[int] = mapped_column(BigInteger)

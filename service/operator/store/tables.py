"""The tables of the operator's database, and the states its rows are in."""

from enum import Enum
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    ForeignKey,
    LargeBinary,
    String,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

JsonObject = dict[str, Any]


class AccountState(str, Enum):
    """What an institution's account may do."""

    ADMITTED = "admitted"
    """Known, without keys."""
    PENDING = "pending"
    """Keys uploaded, known answers not yet confirmed."""
    ACTIVE = "active"
    FROZEN = "frozen"
    """A run is unproven: no other positions, no withdrawal, until a valid proof or a settlement."""
    IN_DEFAULT = "in_default"
    """Liquidated."""


SUBMITTING = (AccountState.ACTIVE.value, AccountState.FROZEN.value)
"""States in which a submission is taken; when frozen, only the same commitments under new keys."""


class RunState(str, Enum):
    """Life of a run: scheduled, evaluating, awaiting_answer, then one of the ends; unproven may still be answered.

    A run that was not evaluated ends as not_proven in place of unproven; then another run of the tick is evaluated.
    """

    SCHEDULED = "scheduled"
    EVALUATING = "evaluating"
    FAILED = "failed"
    AWAITING_ANSWER = "awaiting_answer"
    UNPROVEN = "unproven"
    NOT_PROVEN = "not_proven"
    BREACH_VERIFIED = "breach_verified"
    COVERED = "covered"
    SETTLED = "settled"


class ShortfallState(str, Enum):
    """Life of the shortfall of a settled run: waiting, evaluating, then recorded or failed."""

    WAITING = "waiting"
    EVALUATING = "evaluating"
    RECORDED = "recorded"
    FAILED = "failed"


class Base(DeclarativeBase):
    """Root of the tables."""

    type_annotation_map = {JsonObject: JSON(none_as_null=True)}  # noqa: RUF012  # SQLAlchemy reads it as a plain class attribute


class Account(Base):
    """An institution and its margin account."""

    __tablename__ = "accounts"
    institution: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str]
    identity: Mapped[str] = mapped_column(String(64), unique=True)
    state: Mapped[str]
    token_sha256: Mapped[str | None]
    key_sequence: Mapped[int] = mapped_column(default=0)
    evaluation_keys: Mapped[str | None]
    nonce: Mapped[str | None]
    instruction_sequence: Mapped[int] = mapped_column(default=0)


class EnrolledKeys(Base):
    """Evaluation keys that passed their trial, with the signed enrolment they came in.

    They are used once confirmed. Keys that a submission is under stay, so that its runs can be evaluated, and again.
    """

    __tablename__ = "keys"
    evaluation_keys: Mapped[str] = mapped_column(String(64), primary_key=True)
    institution: Mapped[str] = mapped_column(ForeignKey("accounts.institution"))
    sequence: Mapped[int]
    known_answer_input: Mapped[str]
    document: Mapped[JsonObject]
    confirmed: Mapped[bool] = mapped_column(default=False)


class SubmissionRow(Base):
    """A verified submission."""

    __tablename__ = "submissions"
    __table_args__ = (UniqueConstraint("institution", "sequence"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    institution: Mapped[str] = mapped_column(ForeignKey("accounts.institution"))
    sequence: Mapped[int]
    sha256: Mapped[str] = mapped_column(unique=True)
    document: Mapped[JsonObject]
    received_at: Mapped[str]


class Tick(Base):
    """A verified price tick."""

    __tablename__ = "ticks"
    sequence: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    document: Mapped[JsonObject]
    received_at: Mapped[str]


class Run(Base):
    """One account under one tick; `exact` is the second run of a tick, after one that was not proven in time."""

    __tablename__ = "runs"
    __table_args__ = (UniqueConstraint("institution", "price_sequence", "exact"),)
    run_id: Mapped[str] = mapped_column(primary_key=True)
    institution: Mapped[str] = mapped_column(ForeignKey("accounts.institution"))
    submission_id: Mapped[int] = mapped_column(ForeignKey("submissions.id"))
    price_sequence: Mapped[int] = mapped_column(ForeignKey("ticks.sequence"))
    exact: Mapped[bool] = mapped_column(default=False)
    state: Mapped[str]
    attempts: Mapped[int] = mapped_column(default=0)
    number: Mapped[int | None] = mapped_column(unique=True)
    record: Mapped[JsonObject | None]
    record_hash: Mapped[str | None]
    matrices: Mapped[JsonObject | None]
    surplus_output: Mapped[bytes | None] = mapped_column(LargeBinary)
    breach_output: Mapped[bytes | None] = mapped_column(LargeBinary)
    seconds: Mapped[JsonObject | None]
    evaluation: Mapped[JsonObject | None]
    deadline: Mapped[str | None]
    problem: Mapped[str | None]


class AnswerRow(Base):
    """The one answer to a run that verified."""

    __tablename__ = "answers"
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.run_id"), primary_key=True)
    sha256: Mapped[str]
    document: Mapped[JsonObject]
    receipt: Mapped[JsonObject]


class SettlementRow(Base):
    """The one settlement of a run; the primary key is what makes it exactly once."""

    __tablename__ = "settlements"
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.run_id"), primary_key=True)
    document: Mapped[JsonObject]
    transaction_id: Mapped[int] = mapped_column(ForeignKey("ledger_transactions.id"), unique=True)


class ShortfallRow(Base):
    """The encrypted shortfall of a settled run; the row comes with the settlement, record and words once evaluated."""

    __tablename__ = "shortfalls"
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.run_id"), primary_key=True)
    state: Mapped[str]
    attempts: Mapped[int] = mapped_column(default=0)
    record: Mapped[JsonObject | None]
    output: Mapped[bytes | None] = mapped_column(LargeBinary)
    seconds: Mapped[JsonObject | None]
    problem: Mapped[str | None]


class AttestationRow(Base):
    """The published bundle of a verified answer."""

    __tablename__ = "attestations"
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.run_id"), primary_key=True)
    document: Mapped[JsonObject]


class LedgerTransaction(Base):
    """A set of postings that sums to zero in every asset; `reference` makes it happen once."""

    __tablename__ = "ledger_transactions"
    id: Mapped[int] = mapped_column(primary_key=True)
    reference: Mapped[str] = mapped_column(unique=True)
    kind: Mapped[str]
    booked_at: Mapped[str]


class LedgerPosting(Base):
    """A signed amount of one asset, in its smallest unit, on one ledger account."""

    __tablename__ = "ledger_postings"
    id: Mapped[int] = mapped_column(primary_key=True)
    transaction_id: Mapped[int] = mapped_column(ForeignKey("ledger_transactions.id"), index=True)
    account: Mapped[str] = mapped_column(index=True)
    asset: Mapped[str]
    amount: Mapped[int] = mapped_column(BigInteger)

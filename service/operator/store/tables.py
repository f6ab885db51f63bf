"""The tables of the operator's database. What the states of rows mean, and how they follow, is in `protocol.states`."""

from sqlalchemy import BigInteger, ForeignKey, Index, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from atomic_margin.service.operator.store.base import Base as Base
from atomic_margin.service.operator.store.base import Claimable as Claimable
from atomic_margin.service.operator.store.base import JsonObject as JsonObject
from atomic_margin.service.protocol.states import RUNS, SHORTFALLS, AccountState, RunState, ShortfallState


class Account(Base):
    """An institution and its margin account."""

    __tablename__ = "accounts"
    institution: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str]
    identity: Mapped[str] = mapped_column(String(64), unique=True)
    nonce: Mapped[str | None]
    # What the account is follows from its entries; `store.entries` alone writes these, and `replay` compares them.
    seed: Mapped[str] = mapped_column(String(64))
    state: Mapped[AccountState]
    entries: Mapped[int]
    head: Mapped[str] = mapped_column(String(64))
    public_state: Mapped[JsonObject]
    private_state: Mapped[JsonObject]


class ReplacedKey(Base):
    """An identity key that another one took the place of: it signs nothing more, and is never any institution's again.

    `store.entries` writes it with the entry; `replay` compares it.
    """

    __tablename__ = "replaced_keys"
    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    institution: Mapped[str] = mapped_column(ForeignKey("accounts.institution"))


class EntryRow(Base):
    """An entry of an account. Its document is here, unless the table of its kind has it (`store.entries`)."""

    __tablename__ = "entries"
    institution: Mapped[str] = mapped_column(ForeignKey("accounts.institution"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    sha256: Mapped[str] = mapped_column(String(64), unique=True)
    kind: Mapped[str] = mapped_column(String(32))
    subject: Mapped[str] = mapped_column(String(64), index=True)
    entry: Mapped[JsonObject]
    document: Mapped[JsonObject | None]
    leaf: Mapped[int] = mapped_column(BigInteger, unique=True)


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
    """A verified submission, and the public part of the account before it and after."""

    __tablename__ = "submissions"
    __table_args__ = (UniqueConstraint("institution", "sequence"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    institution: Mapped[str] = mapped_column(ForeignKey("accounts.institution"))
    sequence: Mapped[int]
    sha256: Mapped[str] = mapped_column(unique=True)
    document: Mapped[JsonObject]
    public_before: Mapped[JsonObject]
    public_after: Mapped[JsonObject]
    received_at: Mapped[str]


class Tick(Base):
    """A price tick; `void` if it has no market. Numbers have no gap."""

    __tablename__ = "ticks"
    sequence: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    void: Mapped[bool] = mapped_column(default=False)
    sha256: Mapped[str] = mapped_column(String(64))
    document: Mapped[JsonObject]
    received_at: Mapped[str]


class PriceRow(Base):
    """A source's document for a tick, receipted: `leaf` is its number in the log."""

    __tablename__ = "prices"
    leaf: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    sequence: Mapped[int] = mapped_column(BigInteger, index=True)
    source: Mapped[str] = mapped_column(String(64))
    sha256: Mapped[str] = mapped_column(String(64), index=True)
    document: Mapped[JsonObject]
    received_at: Mapped[str]


class RulesChangeRow(Base):
    """The newest change of price rules that sources signed; older ones are in the ticks. One row: its key is 1."""

    __tablename__ = "price_rules_change"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    from_sequence: Mapped[int] = mapped_column(BigInteger)
    document: Mapped[JsonObject]


class UniverseRow(Base):
    """A revision of the universe that was announced, in their order; the first universe is in the terms."""

    __tablename__ = "universes"
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    sha256: Mapped[str] = mapped_column(String(64), unique=True)
    document: Mapped[JsonObject]
    until: Mapped[str]
    revision: Mapped[JsonObject]


class HaltRow(Base):
    """A halt of all accounts, or the end of one."""

    __tablename__ = "halts"
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    sha256: Mapped[str] = mapped_column(String(64), unique=True)
    document: Mapped[JsonObject]


class LogLeaf(Base):
    """An entry of the log, as it is hashed and served."""

    __tablename__ = "log_leaves"
    number: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    entry: Mapped[bytes] = mapped_column(LargeBinary)


class LogTile(Base):
    """The hashes of a tile, as far as they are complete: up to 256, of leaves at level 0, of full tiles above."""

    __tablename__ = "log_tiles"
    level: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    hashes: Mapped[bytes] = mapped_column(LargeBinary)


class CheckpointRow(Base):
    """A published tree head, with the cosignatures it has so far."""

    __tablename__ = "log_checkpoints"
    size: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    note: Mapped[str]
    published_at: Mapped[str]


class CosignedRow(Base):
    """A checkpoint with as many cosignatures as are wanted, once for every time that witnesses gave some.

    `seen_at` and `newest_at` are those of `service.log.checkpoints.Believed`; null where no witness is wanted.
    """

    __tablename__ = "log_cosigned"
    id: Mapped[int] = mapped_column(primary_key=True)
    size: Mapped[int] = mapped_column(BigInteger, index=True)
    note: Mapped[str]
    seen_at: Mapped[int | None] = mapped_column(BigInteger)
    newest_at: Mapped[int | None] = mapped_column(BigInteger)


class Run(Claimable, Base):
    """One account under one tick; `second` is the run that is evaluated after one that was not proven in time."""

    __tablename__ = "runs"
    __table_args__ = (
        UniqueConstraint("institution", "price_sequence", "exact"),
        # Whoever looks for work asks for few of many rows; the words of a run are a third of a megabyte.
        Index("ix_runs_state", "state", "price_sequence", "institution"),
        Index("ix_runs_institution_state", "institution", "state"),
        Index("ix_runs_institution_number", "institution", "number"),
        # Rows are long, and those that are late are looked for several times a second.
        Index("ix_runs_state_deadline", "state", "deadline"),
    )
    run_id: Mapped[str] = mapped_column(primary_key=True)
    institution: Mapped[str] = mapped_column(ForeignKey("accounts.institution"))
    submission_id: Mapped[int] = mapped_column(ForeignKey("submissions.id"))
    price_sequence: Mapped[int] = mapped_column(ForeignKey("ticks.sequence"))
    # The column keeps the name it has in databases that are there.
    second: Mapped[bool] = mapped_column("exact", default=False)
    state: Mapped[RunState] = mapped_column(default=RUNS.first)
    number: Mapped[int | None] = mapped_column(unique=True)
    record: Mapped[JsonObject | None]
    record_hash: Mapped[str | None] = mapped_column(index=True)
    # The public part of the account's state just after the record was entered: its bundle shows it.
    public_state: Mapped[JsonObject | None]
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
    sha256: Mapped[str] = mapped_column(String(64), index=True)
    document: Mapped[JsonObject]


class SettlementRow(Base):
    """The one settlement of a run; the primary key is what makes it exactly once."""

    __tablename__ = "settlements"
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.run_id"), primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64), index=True)
    document: Mapped[JsonObject]
    # Both parts of the account's state just before: the bundle of a liquidation shows them.
    public_before: Mapped[JsonObject]
    private_before: Mapped[JsonObject]
    transaction_id: Mapped[int] = mapped_column(ForeignKey("ledger_transactions.id"), unique=True)


SHORTFALL_FUNCTION = "shortfall"
"""What is evaluated once a breach is settled, where the profile has it."""


class ShortfallRow(Claimable, Base):
    """The encrypted shortfall of a settled run; the row comes with the settlement, record and words once evaluated."""

    __tablename__ = "shortfalls"
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.run_id"), primary_key=True)
    state: Mapped[ShortfallState] = mapped_column(default=SHORTFALLS.first, index=True)
    record: Mapped[JsonObject | None]
    output: Mapped[bytes | None] = mapped_column(LargeBinary)
    seconds: Mapped[JsonObject | None]
    problem: Mapped[str | None]


class BundlePart(Base):
    """What several bundles have alike, once, compressed; `store.bundles` puts them together."""

    __tablename__ = "bundle_parts"
    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    data: Mapped[bytes] = mapped_column(LargeBinary)


class AttestationRow(Base):
    """The published bundle of a verified answer, without what other rows and parts have (`store.bundles`)."""

    __tablename__ = "attestations"
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.run_id"), primary_key=True)
    document: Mapped[JsonObject]


class ReaderRow(Base):
    """Whom an institution lets read its bundles: its last list, one row each."""

    __tablename__ = "readers"
    institution: Mapped[str] = mapped_column(ForeignKey("accounts.institution"), primary_key=True)
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    token_sha256: Mapped[str | None] = mapped_column(String(64), index=True)
    public_key: Mapped[str | None] = mapped_column(String(64), index=True)


class GivingUpRow(Base):
    """What an institution last asked to give up, until the operator agrees to it."""

    __tablename__ = "giving_up"
    institution: Mapped[str] = mapped_column(ForeignKey("accounts.institution"), primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64))
    document: Mapped[JsonObject]
    asked_at: Mapped[str]


class ResolutionRow(Base):
    """What may end an account's open dispute: what its operator proposes, and what its institution signed."""

    __tablename__ = "resolutions"
    institution: Mapped[str] = mapped_column(ForeignKey("accounts.institution"), primary_key=True)
    dispute: Mapped[str] = mapped_column(String(64))
    proposed: Mapped[JsonObject | None]
    sha256: Mapped[str | None] = mapped_column(String(64))
    document: Mapped[JsonObject | None]
    offered_at: Mapped[str | None]


class LossAgreementRow(Base):
    """The loss that an institution in default last agreed to, until the operator agrees too."""

    __tablename__ = "loss_agreements"
    institution: Mapped[str] = mapped_column(ForeignKey("accounts.institution"), primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64))
    document: Mapped[JsonObject]
    asked_at: Mapped[str]


class FundRow(Base):
    """A document of the guarantee fund: a contribution or a close-out, in their order."""

    __tablename__ = "fund"
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    sha256: Mapped[str] = mapped_column(String(64), unique=True)
    document: Mapped[JsonObject]


class AmendmentRow(Base):
    """What an institution last asked to amend, of its agreement or its custody, until the operator agrees to it."""

    __tablename__ = "amendments"
    institution: Mapped[str] = mapped_column(ForeignKey("accounts.institution"), primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64))
    document: Mapped[JsonObject]
    asked_at: Mapped[str]


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


class NettingCycleRow(Base):
    """A cycle that netted what was promised until a day. Days go up, so that nothing is netted twice."""

    __tablename__ = "netting_cycles"
    number: Mapped[int] = mapped_column(primary_key=True)
    settles: Mapped[str] = mapped_column(unique=True)
    root: Mapped[str] = mapped_column(String(64))
    size: Mapped[int]
    # The table that the operator was shown: groups, gross and net.
    groups: Mapped[JsonObject]
    netted_at: Mapped[str]

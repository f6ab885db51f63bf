"""Tables of custody: who holds shares, deals of books to them, and openings.

Nothing in them is secret: shares travel encrypted to their custodian, and those of rows to the closer.
"""

from sqlalchemy import ForeignKey, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from atomic_margin.service.operator.store.tables import Base, JsonObject


class CustodianRow(Base):
    """A custodian of an account's custody policy; `store.entries` writes it with the entry that has the policy."""

    __tablename__ = "custodians"
    institution: Mapped[str] = mapped_column(ForeignKey("accounts.institution"), primary_key=True)
    policy: Mapped[str] = mapped_column(String(64), primary_key=True)
    point: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    identity: Mapped[str] = mapped_column(String(64), index=True)


class DealingRow(Base):
    """A deal of a book to custodians, as its institution signed it.

    Attributes:
        deal: its hash.
        sha256: of the signed document's body.
        coefficients: blob of the commitments to coefficients.
        expires_at: until when it takes receipts.
    """

    __tablename__ = "dealings"
    deal: Mapped[str] = mapped_column(String(64), primary_key=True)
    institution: Mapped[str] = mapped_column(ForeignKey("accounts.institution"), index=True)
    sha256: Mapped[str] = mapped_column(String(64), unique=True)
    document: Mapped[JsonObject]
    coefficients: Mapped[str] = mapped_column(String(64))
    received_at: Mapped[str] = mapped_column(String(20))
    expires_at: Mapped[str] = mapped_column(String(20))


class DealtRow(Base):
    """What one custodian is dealt, and what it says of it.

    Attributes:
        box: blob of its shares, encrypted to it.
        receipt: signed by it.
        complaint: likewise.
        answer: of the institution to the complaint: its shares, sealed to it once more.
    """

    __tablename__ = "dealt"
    deal: Mapped[str] = mapped_column(ForeignKey("dealings.deal"), primary_key=True)
    point: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    identity: Mapped[str] = mapped_column(String(64), index=True)
    box: Mapped[str] = mapped_column(String(64))
    receipt: Mapped[JsonObject | None]
    complaint: Mapped[JsonObject | None]
    answer: Mapped[JsonObject | None]


class OpeningRow(Base):
    """An opening that was asked for.

    Attributes:
        request: hash of the document.
        open: whether it is not over.
        lapses_at: then it is over whatever came of it.
        finding: that the closer of the session brought.
        finding_hash: what verdicts name.
    """

    __tablename__ = "openings"
    request: Mapped[str] = mapped_column(String(64), primary_key=True)
    institution: Mapped[str] = mapped_column(ForeignKey("accounts.institution"), index=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.run_id"))
    document: Mapped[JsonObject]
    open: Mapped[bool] = mapped_column(default=True, index=True)
    asked_at: Mapped[str] = mapped_column(String(20))
    lapses_at: Mapped[str] = mapped_column(String(20))
    finding: Mapped[JsonObject | None]
    finding_hash: Mapped[str | None] = mapped_column(String(64))


class OpeningSessionRow(Base):
    """Who computes together; the one with the highest number is the present one.

    Attributes:
        present: points and addresses, by ascending point.
        closer: point of who collects the shares of the rows.
    """

    __tablename__ = "opening_sessions"
    request: Mapped[str] = mapped_column(ForeignKey("openings.request"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    present: Mapped[JsonObject]
    closer: Mapped[int]
    began_at: Mapped[str] = mapped_column(String(20))


class OpeningPartRow(Base):
    """What a custodian says of an opening.

    Attributes:
        address: of its engine, if it takes part.
        gave_up: number of the last session that it says came to nothing.
        failed: how many sessions it gave up on, or was missing in.
        refusal: why it takes no part.
        verdict: signed by it, about the finding of the opening.
    """

    __tablename__ = "opening_parts"
    request: Mapped[str] = mapped_column(ForeignKey("openings.request"), primary_key=True)
    point: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    address: Mapped[str | None] = mapped_column(String(263))
    gave_up: Mapped[int] = mapped_column(default=0)
    failed: Mapped[int] = mapped_column(default=0)
    refusal: Mapped[str | None] = mapped_column(String(500))
    verdict: Mapped[JsonObject | None]


class OpeningBoxRow(Base):
    """Shares of the rows of an opening, encrypted to one custodian of a session; None is its closer."""

    __tablename__ = "opening_boxes"
    request: Mapped[str] = mapped_column(ForeignKey("openings.request"), primary_key=True)
    session: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    point: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    box: Mapped[bytes] = mapped_column(LargeBinary)
    closer: Mapped[int | None]


class OpeningVoidRow(Base):
    """What makes a finding void, as a custodian of a session brought it; the others verify it, each for itself."""

    __tablename__ = "opening_voids"
    request: Mapped[str] = mapped_column(ForeignKey("openings.request"), primary_key=True)
    session: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    closer: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    document: Mapped[JsonObject]


class OpeningAccusationRow(Base):
    """What a custodian says of another's shares of rows that were sent to it: that they are wrong.

    Attributes:
        point: who is accused.
        closer: who accuses, the closer of the session as a rule.
        reason: in its words.
    """

    __tablename__ = "opening_accusations"
    request: Mapped[str] = mapped_column(ForeignKey("openings.request"), primary_key=True)
    session: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    point: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    closer: Mapped[int]
    reason: Mapped[str] = mapped_column(String(300))


class ResharingRow(Base):
    """A re-sharing that was asked for.

    Attributes:
        request: hash of the document.
        deal: hash of the deal before.
        before: all that is public of it (`resharing_messages.DealShown`).
        stage: `open`, `entered` or `over`.
        expires_at: until when it may be entered.
        new_deal: hash of the sum of the dealers' deals, once all have passed on.
        after: all that is public of it.
    """

    __tablename__ = "resharings"
    request: Mapped[str] = mapped_column(String(64), primary_key=True)
    institution: Mapped[str] = mapped_column(ForeignKey("accounts.institution"), index=True)
    deal: Mapped[str] = mapped_column(String(64), index=True)
    document: Mapped[JsonObject]
    before: Mapped[JsonObject]
    stage: Mapped[str] = mapped_column(String(7), index=True)
    asked_at: Mapped[str] = mapped_column(String(20))
    expires_at: Mapped[str] = mapped_column(String(20))
    new_deal: Mapped[str | None] = mapped_column(String(64), index=True)
    after: Mapped[JsonObject | None]


class ResharingDealerRow(Base):
    """A custodian that is to pass its shares on.

    Attributes:
        upload: what it passed on (`resharing_messages.PassedOnUpload`).
        blamed: whether a new custodian complains of it.
    """

    __tablename__ = "resharing_dealers"
    request: Mapped[str] = mapped_column(ForeignKey("resharings.request"), primary_key=True)
    point: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    identity: Mapped[str] = mapped_column(String(64), index=True)
    upload: Mapped[JsonObject | None]
    blamed: Mapped[bool] = mapped_column(default=False)


class ResharingHolderRow(Base):
    """A custodian that is to have new shares.

    Attributes:
        receipt: signed by it.
        complaint: signed by it, about a dealer.
    """

    __tablename__ = "resharing_holders"
    request: Mapped[str] = mapped_column(ForeignKey("resharings.request"), primary_key=True)
    point: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    identity: Mapped[str] = mapped_column(String(64), index=True)
    receipt: Mapped[JsonObject | None]
    complaint: Mapped[JsonObject | None]

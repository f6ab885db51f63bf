"""The institution's own database: what it sent, its account as the operator's entries tell it, alarms. Mode 0600.

What is sent is stored before, sent again as the same bytes until an entry has it, and never deleted: whoever holds a
signed document may play it later, and the institution has to know it then.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import JSON, BigInteger, create_engine, event, inspect
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from atomic_margin.service.errors import AgentRefused, ConfigurationError

JsonObject = dict[str, Any]


class Base(DeclarativeBase):
    """Root of the tables."""

    type_annotation_map = {JsonObject: JSON(none_as_null=True), list[str]: JSON}  # noqa: RUF012  # read by SQLAlchemy as it stands


class OwnSubmission(Base):
    """A portfolio as submitted, with what opens its commitments.

    `entry` is the number of the entry that has it, `superseded` why no entry can have it any more. Two may have one
    `sequence`: the first was superseded before an entry had it.
    """

    __tablename__ = "submissions"
    id: Mapped[int] = mapped_column(primary_key=True)
    sequence: Mapped[int]
    sha256: Mapped[str] = mapped_column(unique=True)
    document: Mapped[JsonObject]
    portfolio: Mapped[JsonObject]
    blindings: Mapped[list[str]]
    stored_at: Mapped[str]
    entry: Mapped[int | None]
    superseded: Mapped[str | None]


class OwnAnswer(Base):
    """What was decided about a run, once, and the private figures behind it.

    `document` and `sha256` are absent where nothing is said. `entry` and `superseded` are those of a submission.
    """

    __tablename__ = "answers"
    run_id: Mapped[str] = mapped_column(primary_key=True)
    price_sequence: Mapped[int]
    run_hash: Mapped[str]
    sha256: Mapped[str | None] = mapped_column(unique=True)
    document: Mapped[JsonObject | None]
    figures: Mapped[JsonObject]
    stored_at: Mapped[str]
    entry: Mapped[int | None]
    superseded: Mapped[str | None]


class OwnDocument(Base):
    """Whatever else the institution signed and sent: enrolments, confirmations, instructions, coverages.

    `entry` and `superseded` are those of a submission.
    """

    __tablename__ = "documents"
    id: Mapped[int] = mapped_column(primary_key=True)
    sha256: Mapped[str] = mapped_column(unique=True)
    type: Mapped[str]
    document: Mapped[JsonObject]
    stored_at: Mapped[str]
    entry: Mapped[int | None]
    superseded: Mapped[str | None]


class OwnEntry(Base):
    """An entry of the account that was checked. `document` is there if it is the operator's, else in a table above."""

    __tablename__ = "entries"
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    sha256: Mapped[str]
    entry: Mapped[JsonObject]
    kind: Mapped[str]
    document_hash: Mapped[str]
    document: Mapped[JsonObject | None]


class OwnAccount(Base):
    """The account as the entries make it: one row. `log` and `seed` are pinned when it is first heard of."""

    __tablename__ = "account"
    id: Mapped[int] = mapped_column(primary_key=True)
    log: Mapped[str]
    seed: Mapped[str]
    number: Mapped[int]
    head: Mapped[str]
    public: Mapped[JsonObject | None]
    private: Mapped[JsonObject | None]


class OwnShortfall(Base):
    """What became of the encrypted shortfall of an answered breach, once. It stays at the institution.

    `agreed` is whether it decrypts to the agent's own integers; amounts are stored only then. `problem` says why it did
    not, or why it was not decrypted.
    """

    __tablename__ = "shortfalls"
    run_id: Mapped[str] = mapped_column(primary_key=True)
    record: Mapped[str | None]
    document: Mapped[JsonObject | None]
    agreed: Mapped[bool]
    units: Mapped[int | None] = mapped_column(BigInteger)
    usd: Mapped[str | None]
    within_top_up: Mapped[bool | None]
    problem: Mapped[str | None]


class OwnKeys(Base):
    """FHE keys that passed the known-answer test: what opens their commitments, and why they must not be used, if so.

    The secret keys are in the file `fhe-<sequence>.keys`. `alarm` is set when a decryption under them did not agree
    with the agent's own integers: no flag leaves any more.
    """

    __tablename__ = "keys"
    evaluation_keys: Mapped[str] = mapped_column(primary_key=True)
    sequence: Mapped[int]
    key_commitments: Mapped[str]
    openings: Mapped[str]
    alarm: Mapped[str | None]


class OwnDealing(Base):
    """A deal of a book to custodians, kept before it was sent, with the shares that complaints are answered with.

    Attributes:
        deal: its hash.
        sequence: of the submission that it was dealt for.
        book: hash of the book.
        policy: hash of the custody policy.
        upload: what is sent, the same every time.
        values: the entries of the book, as text.
        blindings: what opens their commitments.
        shares: of each custodian, hex; removed once the deal is over.
        stored_at: when it was dealt.
        sent: whether the operator has it.
        said: how far it is.
        over: why it came to nothing.
    """

    __tablename__ = "dealings"
    id: Mapped[int] = mapped_column(primary_key=True)
    deal: Mapped[str] = mapped_column(unique=True)
    sequence: Mapped[int]
    book: Mapped[str]
    policy: Mapped[str]
    upload: Mapped[JsonObject]
    values: Mapped[list[str]]
    blindings: Mapped[list[str]]
    shares: Mapped[list[str]]
    stored_at: Mapped[str]
    sent: Mapped[bool]
    said: Mapped[str | None]
    over: Mapped[str | None]


class UsedMasks(Base):
    """Seeds of masks that an encryption was made under. None is used twice: two bodies under one mask tell entries."""

    __tablename__ = "used_masks"
    seed: Mapped[str] = mapped_column(primary_key=True)


class SeenTick(Base):
    """A tick of the operator's that was followed, signed; the newest ones. `void` if it has no market."""

    __tablename__ = "seen_ticks"
    sequence: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    void: Mapped[bool]
    document: Mapped[JsonObject]


class Note(Base):
    """A named value: the operator's token, the hash of the evaluation keys in use."""

    __tablename__ = "notes"
    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]


Own = OwnSubmission | OwnAnswer | OwnDocument
"""What the institution sends: all of it has `sha256`, `document`, `stored_at`, `entry` and `superseded`."""
_SENT: tuple[type[OwnSubmission] | type[OwnAnswer] | type[OwnDocument], ...] = (OwnSubmission, OwnDocument, OwnAnswer)


def find_sent(session: Session, sha256: str) -> Own | None:
    """Return what was stored before it was sent, by the hash of its body."""
    for table in _SENT:
        found = session.query(table).filter_by(sha256=sha256).one_or_none()
        if isinstance(found, Own):
            return found
    return None


class InstitutionStore:
    """The database in the institution's directory."""

    def __init__(self, directory: Path) -> None:
        """Open (and create) it.

        Raises:
            ConfigurationError: an earlier version made it, and kept less than this one needs.
        """
        path = directory / "institution.db"
        path.touch(mode=0o600)
        # Errors of the database say which statement failed, and never which values: those are private figures.
        self._engine = create_engine(f"sqlite:///{path}", hide_parameters=True)
        event.listen(self._engine, "connect", _configure)
        event.listen(self._engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
        self._require_present_tables(path)
        Base.metadata.create_all(self._engine)

    def _require_present_tables(self, path: Path) -> None:
        there = inspect(self._engine)
        for table in Base.metadata.sorted_tables:
            if there.has_table(table.name):
                missing = set(table.columns.keys()) - {column["name"] for column in there.get_columns(table.name)}
                if missing:
                    self._engine.dispose()
                    raise ConfigurationError(
                        f"{path} was made by an earlier version, whose accounts had no entries; begin in a new --dir "
                        "with the same identity.key, and have the operator admit it anew"
                    )

    @contextmanager
    def unit_of_work(self) -> Iterator[Session]:
        """Run the block in one transaction."""
        with Session(self._engine, expire_on_commit=False) as session, session.begin():
            yield session

    def note(self, name: str) -> str | None:
        """Return a named value."""
        with self.unit_of_work() as session:
            found = session.get(Note, name)
        return None if found is None else found.value

    def submission(self, sha256: str) -> OwnSubmission | None:
        """Return the submission with that hash, if this directory has made it."""
        with self.unit_of_work() as session:
            return session.query(OwnSubmission).filter_by(sha256=sha256).one_or_none()

    def keys(self, evaluation_keys: str | None) -> OwnKeys | None:
        """Return the keys with that hash, if they are this institution's."""
        with self.unit_of_work() as session:
            return None if evaluation_keys is None else session.get(OwnKeys, evaluation_keys)

    def use_masks(self, seed: bytes) -> None:
        """Remember that an encryption under these masks begins.

        Raises:
            AgentRefused: one was made under them before.
        """
        with self.unit_of_work() as session:
            if session.get(UsedMasks, seed.hex()) is not None:
                raise AgentRefused(
                    "these masks were used before: the operator's nonce repeats, and so do the random bytes of this "
                    "machine; see to its random generator, then submit again"
                )
            session.add(UsedMasks(seed=seed.hex()))

    def set_note(self, name: str, value: str) -> None:
        """Store a named value."""
        with self.unit_of_work() as session:
            session.merge(Note(name=name, value=value))

    def close(self) -> None:
        """Release every connection."""
        self._engine.dispose()


def _configure(connection: Any, _record: Any) -> None:
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=30000"):
        connection.execute(f"PRAGMA {pragma}")


def as_object(value: object) -> JsonObject:
    """Return a canonical document as JSON."""
    if not isinstance(value, dict):
        raise TypeError("a document is a JSON object")
    return json.loads(json.dumps(value)) if value else {}

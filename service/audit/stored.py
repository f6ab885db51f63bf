"""An operator's data directory, read and never written: rows of one run, and files by hash."""

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, event, select
from sqlalchemy.exc import DatabaseError
from sqlalchemy.orm import Session

from atomic_margin.service.audit.errors import BytesMissing, RunNotEvaluated, RunUnknown, StoreMissing
from atomic_margin.service.operator.store import bundles
from atomic_margin.service.operator.store.addresses import DATABASE_FILE, named_errors, parse_url
from atomic_margin.service.operator.store.entries import rotations
from atomic_margin.service.operator.store.market_chain import last_market_of
from atomic_margin.service.operator.store.tables import (
    Account,
    EnrolledKeys,
    JsonObject,
    Run,
    ShortfallRow,
    SubmissionRow,
    Tick,
    UniverseRow,
)

SHOWN_RUNS = 5


@dataclass(frozen=True)
class StoredRun:
    """The rows that an audit of one run reads, as they are: nothing is checked.

    Attributes:
        run: with its record and outputs.
        record: the signed record as JSON.
        before: signed record of the run before it in the chain, None for the first or when it is not there.
        after: signed record of the run after it, None for the last.
        account: of the institution.
        rotations: of its identity key, signed, as JSON, in order.
        submission: signed, as JSON.
        tick: signed, as JSON.
        last_market: the tick it names as the last one with a market, signed, as JSON; None if it names none.
        keys: the enrolled keys that the record names, None when they are not there.
        shortfall: its shortfall, None when there is none with a record.
    """

    run: Run
    record: JsonObject
    before: JsonObject | None
    after: JsonObject | None
    account: Account
    rotations: list[JsonObject]
    submission: JsonObject
    tick: JsonObject
    last_market: JsonObject | None
    keys: EnrolledKeys | None
    shortfall: ShortfallRow | None


class ReadOnlyStore:
    """The database and the files of an operator, whose server may be running or stopped."""

    def __init__(self, directory: Path, database: str | None = None) -> None:
        """Open the database of a data directory, or the one at an SQLAlchemy URL.

        Raises:
            StoreMissing: there is none.
            DatabaseUnusable: the URL is none, or a server does not answer at it.
        """
        self._blobs = directory / "blobs"
        url = parse_url(database) if database is not None else None
        if url is None or url.get_backend_name() == "sqlite":
            path = directory / DATABASE_FILE if url is None else Path(url.database or "")
            if not path.is_file():
                raise StoreMissing(f"there is no database {path}; give the folder that `serve --dir` was given")
            self._engine = _read_only_sqlite(path)
        else:
            self._engine = _read_only_postgresql(url)

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Run the block in one transaction that sees one state of the store, and is rolled back.

        Raises:
            StoreMissing: the database cannot be read.
        """
        try:
            with Session(self._engine, expire_on_commit=False) as session:
                yield session
        except DatabaseError as error:
            raise StoreMissing(
                f"the database cannot be read ({error.orig}); it is damaged, or another version of atomic-margin wrote "
                "it: audit with that version"
            ) from error

    def run(self, run_id: str) -> StoredRun:
        """Return the rows of an evaluated run.

        Raises:
            RunUnknown: there is no such run.
            RunNotEvaluated: it has no record.
        """
        with self.session() as session:
            run = session.get(Run, run_id)
            if run is None:
                newest = session.scalars(select(Run.run_id).order_by(Run.price_sequence.desc()).limit(SHOWN_RUNS))
                raise RunUnknown(f"there is no run {run_id!r} here; the newest are: {', '.join(newest) or 'none'}")
            if run.record is None or run.number is None:
                problem = f" ({run.problem})" if run.problem else ""
                raise RunNotEvaluated(f"run {run_id!r} is {run.state}{problem}: it has no record that could be audited")
            shortfall = session.get(ShortfallRow, run_id)
            tick = session.get_one(Tick, run.price_sequence)
            account = session.get_one(Account, run.institution)
            return StoredRun(
                run,
                run.record,
                _record_of(session, run.number - 1),
                _record_of(session, run.number + 1),
                account,
                rotations(session, run.institution, account.entries + 1),
                session.get_one(SubmissionRow, run.submission_id).document,
                tick.document,
                last_market_of(session, tick),
                session.get(EnrolledKeys, str(run.record["body"].get("evaluation_keys"))),
                None if shortfall is None or shortfall.record is None else shortfall,
            )

    def published_terms(self, run_id: str) -> Iterator[JsonObject]:
        """Yield the bodies of stored bundles, which carry model, universe and schedule: the run's own one first."""
        with self.session() as session:
            own = bundles.load(session, run_id)
            if own is not None:
                yield own["body"]
            yield from bundles.published_terms(session)

    def revisions(self) -> list[JsonObject]:
        """Return the signed revisions of the universe, in order."""
        with self.session() as session:
            return list(session.scalars(select(UniverseRow.revision).order_by(UniverseRow.number)))

    def blob(self, sha256: str, what: str) -> bytes:
        """Return the bytes with a hash, after hashing them.

        Raises:
            BytesMissing: they are not there, or have another hash.
        """
        path = self._blobs / sha256
        if not path.is_file():
            raise BytesMissing(f"the {what}, {path}, is not there; restore it from a backup of the data directory")
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != sha256:
            raise BytesMissing(f"the {what}, {path}, is damaged: it has another hash than its name; restore it")
        return data

    def blob_path(self, sha256: str) -> Path:
        """Return where the bytes with a hash are; see `blob`."""
        return self._blobs / sha256

    def close(self) -> None:
        """Release every connection."""
        self._engine.dispose()


def _record_of(session: Session, number: int) -> JsonObject | None:
    return session.scalar(select(Run.record).where(Run.number == number))


def _read_only_sqlite(path: Path) -> Engine:
    uri = f"{path.resolve().as_uri()}?mode=ro"

    def connect() -> sqlite3.Connection:
        # Transactions are begun by the listener, not by the driver.
        return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=30)

    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN")

    engine = create_engine("sqlite://", creator=connect, poolclass=NullPool)
    event.listen(engine, "begin", begin)
    return engine


def _read_only_postgresql(url: URL) -> Engine:
    with named_errors(url):
        engine = create_engine(
            url,
            execution_options={"isolation_level": "REPEATABLE READ", "postgresql_readonly": True},
            hide_parameters=True,
            poolclass=NullPool,
        )
        engine.connect().close()
    return engine

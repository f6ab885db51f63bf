"""Tests on PostgreSQL: `ATOMIC_MARGIN_TEST_DATABASE=postgresql` gives every operator of a test a database of its own.

Debian's server is started for the run, in a temporary folder, as a user without privileges, on loopback alone. A data
directory has the database that is named after it; copying the directory copies the database, as it would a file. Where
no server is installed, what wants one is skipped, and every run ends by saying so in red.

A test need not know of it: whoever opens the database of a directory in the test's own process gets the one on the
server. Processes are given its URL (`options`, `operator_s_database`). A test that leaves an operator's database in a
file fails, and one that is about the file is marked `sqlite_only`, with the reason. Tests of `WITHOUT_DATABASE` open no
operator's database, which a run on SQLite makes sure of; one on PostgreSQL leaves them out.
"""

import atexit
import ctypes
import functools
import glob
import hashlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from atomic_margin.service.demo.processes import free_port
from atomic_margin.service.operator.store.addresses import DATABASE_FILE
from atomic_margin.service.operator.store.database import Store
from atomic_margin.service.operator.store.migrations import NEWEST

VARIABLE = "ATOMIC_MARGIN_TEST_DATABASE"
WITHOUT_DATABASE = tuple(
    f"tests/service/{name}"
    for name in (
        "account/",
        "log/",
        "simulation/",
        "witness/",
        "test_agent_chain.py",
        "test_cli.py",
        "test_cli_analysis.py",
        "test_cli_bench.py",
        "test_cli_margin.py",
        "test_cli_program.py",
        "test_cli_worker.py",
        "test_connections.py",
        "test_documents.py",
        "test_feed_chainlink.py",
        "test_feed_combine.py",
        "test_feed_staging.py",
        "test_fuzz_documents.py",
        "test_imports.py",
        "test_outside_json.py",
        "test_pointer_downloads.py",
        "test_release_rows.py",
        "test_remote_blobs.py",
        "test_serving.py",
        "test_states.py",
        "test_stories.py",
        "test_terms_sizes.py",
    )
)
"""Folders, and files that take seconds."""
TEMPLATE = "margin_template"
START_SECONDS = 60

_absent: list[str] = []
_servers: list["Server"] = []
_files: set[Path] = set()
_copytree = shutil.copytree


def wanted() -> bool:
    """Whether operators of tests have their databases on PostgreSQL."""
    chosen = os.environ.get(VARIABLE, "sqlite")
    assert chosen in ("sqlite", "postgresql"), f"{VARIABLE} is sqlite or postgresql, not {chosen!r}"
    return chosen == "postgresql"


def programs() -> Path | None:
    """Return the folder of the newest server that is installed."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/postgres"), key=lambda path: int(path.split("/")[4]))
    if found:
        return Path(found[-1]).parent
    # Other systems have them on the path.
    initdb = shutil.which("initdb")
    return Path(initdb).resolve().parent if initdb and shutil.which("postgres") else None


FAST = ("fsync=off", "full_page_writes=off", "synchronous_commit=off")
"""What is committed may be lost with the server: for tests in which it does not die."""


class Server:
    """A running server, for this process."""

    def __init__(self, folder: Path, settings: tuple[str, ...] = FAST) -> None:
        self.directories: dict[str, Path] = {}
        self._folder, self._settings = folder, (*settings, "max_connections=200")
        self.root = Path(tempfile.mkdtemp(prefix="margin-postgres-", dir="/tmp"))  # others have to reach it
        self.port = free_port()
        self._who: dict[str, Any] = {}
        if os.geteuid() == 0:
            # It does not run as root.
            names = {user.pw_name: user for user in pwd.getpwall()}
            user = names.get("postgres") or names["nobody"]
            os.chown(self.root, user.pw_uid, user.pw_gid)
            self._who = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        self._environment = {"LC_ALL": "C.UTF-8", "HOME": str(self.root), "PATH": "/usr/bin:/bin"}
        subprocess.run(
            [folder / "initdb", "-D", self.root / "data", "-U", "margin", "-A", "trust", "-N", "--locale=C.UTF-8",
             "-E", "UTF8"],
            check=True, capture_output=True, cwd=self.root, env=self._environment, **self._who,
        )  # fmt: skip
        self.start()
        atexit.register(self.stop)
        self._wait()
        self.execute(f"CREATE DATABASE {TEMPLATE}")
        Store(self.url(TEMPLATE)).close()

    def start(self) -> None:
        """Start it, or start it again; it may not answer yet."""
        with (self.root / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [self._folder / "postgres", "-D", self.root / "data", "-h", "127.0.0.1", "-p", str(self.port),
                 "-k", self.root, *(part for setting in self._settings for part in ("-c", setting))],
                stdout=subprocess.DEVNULL, stderr=log, cwd=self.root, env=self._environment,
                preexec_fn=_die_with_parent, **self._who,
            )  # fmt: skip

    def url(self, name: str) -> str:
        return f"postgresql://margin@127.0.0.1:{self.port}/{name}"

    def execute(self, statement: str) -> None:
        import psycopg

        address = {"host": "127.0.0.1", "port": self.port, "user": "margin", "dbname": "postgres"}
        with psycopg.connect(**address, autocommit=True) as connection:  # type: ignore[arg-type]
            connection.execute(statement)  # type: ignore[call-overload]

    def of(self, directory: Path) -> str:
        """Return the URL of a directory's database, made if there is none."""
        name = _name(directory)
        if name not in self.directories:
            self.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
            self.directories[name] = directory.resolve()
        return self.url(name)

    def copy(self, source: Path, target: Path) -> None:
        """Give what is under a folder's copy copies of the databases of what is under the folder."""
        source, target = source.resolve(), target.resolve()
        for name, directory in list(self.directories.items()):
            if directory.is_relative_to(source):
                copied = target / directory.relative_to(source)
                self.drop(_name(copied))
                self.execute(f"CREATE DATABASE {_name(copied)} TEMPLATE {name}")
                self.directories[_name(copied)] = copied

    def drop(self, name: str) -> None:
        if self.directories.pop(name, None) is not None:
            self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def drop_under(self, folder: Path) -> None:
        for name, directory in list(self.directories.items()):
            if directory.is_relative_to(folder.resolve()):
                self.drop(name)

    def kill(self, number: int = signal.SIGQUIT) -> None:
        """Have the server die at once, with all its connections."""
        self.process.send_signal(number)
        self.process.wait(30)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.kill(signal.SIGINT)
        shutil.rmtree(self.root, ignore_errors=True)

    def _wait(self) -> None:
        import psycopg

        end = time.monotonic() + START_SECONDS
        while True:
            try:
                return self.execute("SELECT 1")
            except psycopg.OperationalError:
                assert self.process.poll() is None, (self.root / "log").read_text()
                assert time.monotonic() < end, (self.root / "log").read_text()
                time.sleep(0.05)


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGQUIT)


def _name(directory: Path) -> str:
    return f"t_{hashlib.sha256(str(directory.resolve()).encode()).hexdigest()[:24]}"


@functools.cache
def _why_absent() -> str | None:
    if programs() is None:
        return "PostgreSQL's server is not installed (on Debian: apt-get install postgresql)"
    try:
        import psycopg  # noqa: F401
    except ImportError:
        return "the extra `postgres` is not installed"
    return None


def server() -> Server:
    """Return the server of this run, started when it is first wanted; skip the test, loudly, where there is none."""
    folder = _present_programs()
    if not _servers:
        _servers.append(Server(folder))
    return _servers[0]


def server_of_its_own() -> Server:
    """Start another server, which keeps what is committed when it dies; skip the test, loudly, where there is none."""
    return Server(_present_programs(), ("synchronous_commit=on",))


def _present_programs() -> Path:
    why, folder = _why_absent(), programs()
    if why is not None or folder is None:
        why = why or "PostgreSQL's server is gone"
        _absent.append(why)
        pytest.skip(why)
    return folder


def url_of(directory: Path) -> str | None:
    """Return the URL of the database that an operator's directory has in this run, None for the one in it."""
    return server().of(directory) if wanted() else None


def in_file(directory: Path, version: str = NEWEST) -> Store:
    """Open the SQLite database of a directory, whatever this run is on: for what has both kinds."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    _files.add(directory.resolve())
    return Store(f"sqlite:///{directory / DATABASE_FILE}", version)


def options(directory: Path) -> list[str]:
    """Return what tells a command where the database of an operator's directory is in this run."""
    url = url_of(directory)
    return [] if url is None else ["--database", url]


def fresh_store(directory: Path) -> Store:
    """Open an empty database of the kind that this run is on."""
    return Store.in_directory(directory)


def _in_directory(directory: Path) -> Store:
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    return Store(server().of(directory))


def _copytree_with_databases(source: Any, target: Any, *arguments: Any, **options: Any) -> Any:
    copied = _copytree(source, target, *arguments, **options)
    if _servers:
        _servers[0].copy(Path(source), Path(target))
    return copied


def take_the_place_of_sqlite() -> None:
    """Let directories have databases on the server."""
    Store.in_directory = _in_directory  # type: ignore[method-assign,assignment]
    shutil.copytree = _copytree_with_databases


def _without_database(item: pytest.Item) -> bool:
    return item.nodeid.startswith(WITHOUT_DATABASE)


@pytest.fixture(autouse=not wanted())
def no_database_where_none_is(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that opens a database, though a run on PostgreSQL leaves it out because none of its file does."""
    if not _without_database(request.node):
        yield
        return

    def opened(*_: object, **__: object) -> None:
        raise AssertionError(f"{request.node.nodeid} opens an operator's database: see WITHOUT_DATABASE")

    # Of its own: a test's `monkeypatch` has to come after the fixtures that it wants, to be undone before them.
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Store, "__init__", opened)
        yield


def leave_out(items: list[pytest.Item]) -> None:
    """Leave out what opens no database, in a run on PostgreSQL, and skip what is about an SQLite file alone."""
    if wanted():
        items[:] = [item for item in items if not _without_database(item)]
    for item in items:
        marker = item.get_closest_marker("sqlite_only")
        if marker is not None:
            (reason,) = marker.args
            if wanted():
                item.add_marker(pytest.mark.skip(reason=f"SQLite alone: {reason}"))


@pytest.fixture(autouse=wanted())
def databases_dropped(tmp_path: Path) -> Iterator[None]:
    """Drop what a test made in its own folder: each takes eight megabytes. None may be in a file there."""
    yield
    if _servers:
        _servers[0].drop_under(tmp_path)
    in_files = [path for path in tmp_path.rglob(DATABASE_FILE) if path.parent.resolve() not in _files]
    assert not in_files, f"in a run on PostgreSQL {in_files[0]} is an operator's database: see tests/postgres.py"


@contextmanager
def operator_s_database(directory: Path) -> Iterator[None]:
    """Have the one operator that a block's processes start find the database of its directory by the environment."""
    with pytest.MonkeyPatch.context() as patched:
        url = url_of(directory)
        if url is not None:
            patched.setenv("ATOMIC_MARGIN_OPERATOR_DATABASE", url)
        yield


def summary() -> str | None:
    """Return what to say at the end of a run, None when there is nothing."""
    if not _absent:
        return None
    return f"{len(_absent)} TESTS WERE NOT RUN ON POSTGRESQL: {_absent[0]}"

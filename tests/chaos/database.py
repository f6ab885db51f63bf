"""A PostgreSQL server of a story's own, which keeps what it committed, and is killed and started again."""

import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from atomic_margin.service.operator import portable
from atomic_margin.service.operator.store.database import Store

from .. import postgres

START_SECONDS = 60.0


class Database:
    """The server, with the database of one operator."""

    name = "database"

    def __init__(self, server: postgres.Server, directory: Path, choices: random.Random) -> None:
        self._server, self._choices = server, choices
        self.url = server.of(directory)
        file, store = postgres.in_file(directory), Store(self.url)
        with closing(file), closing(store), file.reading() as rows, store.unit_of_work() as session:
            for table in portable.export(rows.connection()):
                portable.fill(session.connection(), table.name, table.columns, table.lines)
        # Whoever opened it would find an operator that never was.
        (directory / "operator.db").unlink()

    def kill(self) -> None:
        """End all of it at once, as an administrator does in haste, or its first process alone, or one of the others.

        When one of the others is killed the first ends all of them, and begins anew by itself.
        """
        how = self._choices.choice(("all at once", "the first", "a backend"))
        backends = _children(self._server.process.pid)
        if how == "a backend":
            os.kill(self._choices.choice(backends), signal.SIGKILL)
            return
        self._server.kill(signal.SIGQUIT if how == "all at once" else signal.SIGKILL)
        end = time.monotonic() + START_SECONDS
        while any(Path(f"/proc/{backend}").exists() for backend in backends):
            # They notice that the first is gone; no other may begin on their memory before.
            assert time.monotonic() < end
            time.sleep(0.02)

    def start(self) -> None:
        if self._server.process.poll() is not None:
            self._server.start()


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@contextmanager
def database_of(directory: Path, choices: random.Random) -> Iterator[Database]:
    """Move an operator's database to a server of its own; skip the test, loudly, where there is none."""
    server = postgres.server_of_its_own()
    try:
        yield Database(server, directory, choices)
    finally:
        server.stop()

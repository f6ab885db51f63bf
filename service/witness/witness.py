"""What a witness decides and remembers: the newest checkpoint of each log, one file each, written before it signs.

Two requests about one log are taken one after the other, in this process and among processes (the folder is locked), so
that no answer rolls back what another one stored.
"""

import fcntl
import hashlib
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

from atomic_margin.service.errors import ConfigurationError
from atomic_margin.service.log.checkpoints import Checkpoint, check_successor, cosign, witness_key
from atomic_margin.service.log.errors import LogForked, NoteNotSigned, ProofInvalid
from atomic_margin.service.log.notes import NoteKey
from atomic_margin.service.log.requests import AddCheckpoint
from atomic_margin.service.protocol.signing import Identity
from atomic_margin.service.witness.deliveries import Deliveries
from atomic_margin.service.witness.errors import CheckpointUnsigned, LogUnknown, OtherSize, OtherTree, SizeImpossible

EVIDENCE_KEPT = 100
"""Files of evidence that are kept for each log; the first ones, since one is enough."""


class Witness:
    """Cosigns for one name and key."""

    def __init__(self, directory: Path, name: str, logs: Mapping[str, NoteKey], clock: Callable[[], int]) -> None:
        """Open the folder with key and memory; made if absent.

        Args:
            directory: readable by its owner only.
            name: that cosignatures are under, such as ``witness.example/w1``.
            logs: key of each log by its origin; no other is cosigned.
            clock: seconds of the epoch.

        Raises:
            ConfigurationError: another process uses the folder.
        """
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock_file = _lock_directory(directory / "lock")
        self.identity = Identity.load_or_create(directory / "witness.key")
        self.name, self.key = name, witness_key(name, self.identity.public_key)
        self._directory, self._logs, self._clock = directory, dict(logs), clock
        self._lock = threading.Lock()
        self.deliveries = Deliveries(directory / "deliveries.db", self.identity, self._logs, clock)

    def latest(self, origin: str) -> Checkpoint | None:
        """Return the newest checkpoint of a log that was cosigned; None if there is none.

        Raises:
            LogUnknown: this witness does not know the log.
        """
        if origin not in self._logs:
            raise LogUnknown(f"this witness knows no log {origin!r}")
        try:
            return Checkpoint.parse(self._path(origin).read_text())
        except FileNotFoundError:
            return None

    def add(self, asked: AddCheckpoint) -> str:
        """Return the cosignature line of a checkpoint, once it is stored as the newest.

        Raises:
            LogUnknown: of a log this witness does not know.
            CheckpointUnsigned: not signed by the key of that log.
            SizeImpossible: the old size is larger than the new one.
            OtherSize: the old size is not that of the newest checkpoint here: `.size` is.
            OtherTree: equal sizes with different roots; the log contradicts itself, and the evidence is kept.
            ProofInvalid: the proof does not lead from the newest checkpoint to this one.
        """
        head = asked.checkpoint.head
        key = self._logs.get(head.origin)
        if key is None:
            raise LogUnknown(f"this witness knows no log {head.origin!r}")
        try:
            asked.checkpoint.note.verify(key)
        except NoteNotSigned as error:
            raise CheckpointUnsigned(str(error)) from error
        if asked.old > head.size:
            raise SizeImpossible(f"a checkpoint of {head.size} leaves does not go on from {asked.old}")
        with self._lock:
            known = self.latest(head.origin)
            newest = 0 if known is None else known.head.size
            if asked.old != newest:
                raise OtherSize(f"the newest checkpoint here has {newest} leaves", newest)
            if known is None:
                if asked.proof:
                    raise ProofInvalid("a first checkpoint needs no proof")
            else:
                try:
                    check_successor(known, asked.checkpoint, asked.proof)
                except LogForked as error:
                    self._keep(head.origin, error)
                    raise OtherTree(str(error)) from error
            # Stored before it is signed: what was cosigned is never forgotten.
            _write(self._path(head.origin), str(asked.checkpoint))
            return cosign(asked.checkpoint, self.name, self.identity, self._clock())

    def close(self) -> None:
        """Release the folder."""
        self.deliveries.close()
        self._lock_file.close()

    def _path(self, origin: str) -> Path:
        return self._directory / f"{hashlib.sha256(origin.encode()).hexdigest()}.checkpoint"

    def _keep(self, origin: str, fork: LogForked) -> None:
        folder = self._directory / "evidence"
        folder.mkdir(exist_ok=True, mode=0o700)
        prefix = hashlib.sha256(origin.encode()).hexdigest()
        name = f"{prefix}-{hashlib.sha256(fork.second.encode()).hexdigest()[:16]}.fork"
        if len(list(folder.glob(f"{prefix}-*.fork"))) < EVIDENCE_KEPT or (folder / name).exists():
            _write(folder / name, f"{fork.first}\n{fork.second}")


def _write(path: Path, text: str) -> None:
    """Replace a file so that a crash leaves the old one or the new one."""
    partial = path.with_suffix(path.suffix + ".partial")
    with partial.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _lock_directory(path: Path) -> IO[bytes]:
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise ConfigurationError(f"{path.parent} is used by another witness; stop that one first") from None
    return file

"""What a measuring process is told to do, as JSON in its directory, and what it tells its parent meanwhile."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from atomic_margin.circuits.profile import Profile

PREPARE, EVALUATE, CKKS = "prepare", "evaluate", "ckks"

COMPILING, MAKING_KEYS = "compiling", "making keys"
"""Stages that a circuit whose parameters are too large does not end: they have a time limit."""

SERVER, EVALUATION_KEYS, CLIENT_KEYS = "server.zip", "evaluation.keys", "client.keys"
"""Files that `PREPARE` leaves for `EVALUATE`."""


@dataclass(frozen=True)
class Job:
    """One process's work.

    Attributes:
        kind: `PREPARE` compiles a module, makes keys and encrypts; `EVALUATE` runs one of its circuits; `CKKS` measures
            TenSEAL on a profile's sizes.
        profile: of the module.
        circuits: names of those to measure; one for `EVALUATE`.
        directory: private to one module's processes.
        circuit_file: a researcher's, to be loaded first.
        runs: timed evaluations after the first.
        trials: evaluations that are compared with integers, at least `runs` + 1.
        seed: of the cases.
        cached_keys: take throw-away keys from disk.
    """

    kind: str
    profile: Profile
    circuits: tuple[str, ...]
    directory: Path
    circuit_file: Path | None
    runs: int
    trials: int
    seed: int
    cached_keys: bool

    @property
    def evaluations(self) -> int:
        """Number of evaluations: every one is compared with integers."""
        return max(self.trials, self.prepared)

    @property
    def prepared(self) -> int:
        """Number of evaluations that are timed, on entries that `PREPARE` has encrypted."""
        return 1 + self.runs

    def write(self, path: Path) -> None:
        """Write for `read` in another process."""
        path.write_text(json.dumps(asdict(self), default=str))

    @classmethod
    def read(cls, path: Path) -> "Job":
        """Rebuild what `write` wrote."""
        data: dict[str, Any] = json.loads(path.read_text())
        profile = {**data["profile"], "functions": tuple(data["profile"]["functions"])}
        file = data["circuit_file"]
        return cls(
            **{
                **data,
                "profile": Profile(**profile),
                "circuits": tuple(data["circuits"]),
                "directory": Path(data["directory"]),
                "circuit_file": None if file is None else Path(file),
            }
        )


def ciphertext_file(directory: Path, circuit: str, number: int) -> Path:
    """Return where the entries of evaluation `number` of a circuit lie, encrypted."""
    return directory / f"{circuit}-{number}.value"

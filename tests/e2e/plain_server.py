"""The operator's own program with one change: it is given the institution's keys, and evaluates in the clear.

HTTP, database, ledger, signatures, proofs, background work and recovery are the real ones, in a process of their own.
Outputs have zero masks: they decrypt, under the institution's real keys, to what the circuits give. For tests of what
happens around evaluations; the tests that say so evaluate under encryption.
"""

import sys
from pathlib import Path
from typing import Any

from atomic_margin.circuits.profile import Profile
from atomic_margin.fhe.errors import DecryptionOutOfRange, EvaluationFailed
from atomic_margin.fhe.evaluator import Evaluator
from atomic_margin.fhe.institution import InstitutionKeys
from atomic_margin.service.cli import main

from ..service.double import Ints, PlainEvaluator

FOLDER = Path(sys.argv[sys.argv.index("--dir") + 1]).parent / "institution" if "--dir" in sys.argv else Path()


class Trusted(PlainEvaluator):
    """Evaluates with the keys in the institution's folder."""

    read: dict[Path, InstitutionKeys] = {}  # noqa: RUF012  # shared by all evaluators of the process

    def __init__(self, profile: Profile, **_: Any) -> None:
        super().__init__(profile)

    def decrypted(self, ciphertext: bytes) -> Ints:
        for path in sorted(FOLDER.glob("fhe-*.keys")):
            if path not in self.read:
                self.read[path] = InstitutionKeys.load(self.profile, path)
            try:
                return self.read[path].decrypt("input", ciphertext).values
            except DecryptionOutOfRange:
                continue  # It is under other keys.
        raise EvaluationFailed(f"the ciphertext is under no key in {FOLDER}")


def take_the_place_of_the_evaluator(evaluator: type[Evaluator]) -> None:
    """Let this process make its evaluators of a class."""
    from atomic_margin.service.operator import operator

    operator.Evaluator = evaluator  # type: ignore[assignment,misc]


if __name__ == "__main__":
    take_the_place_of_the_evaluator(Trusted)
    main()

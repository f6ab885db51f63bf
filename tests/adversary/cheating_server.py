"""The operator's own program with one change: while a file named `cheat` lies beside its folder, it evaluates another
function.

The file says which vector of collateral takes the place of the run's, under a matrix of zeros: 0 makes every flag 0, -1
makes every flag 1. Records, prices, matrices and signatures are all in order.
"""

import sys
from pathlib import Path

import numpy as np

from atomic_margin.fhe.evaluator import Evaluator, IntArray
from atomic_margin.fhe.worker import Evaluation, KeyFile
from atomic_margin.service.cli import main

CHEAT = Path(sys.argv[sys.argv.index("--dir") + 1]).parent / "cheat" if "--dir" in sys.argv else Path("cheat")


class OtherFunction(Evaluator):
    """Evaluates what the file says."""

    def evaluate(
        self,
        keys: KeyFile,
        ciphertext: bytes,
        A: IntArray,
        c: IntArray,
        functions: tuple[str, ...],
        chosen: dict[str, int] | None = None,
    ) -> Evaluation:
        if CHEAT.exists():
            A, c = np.zeros_like(A), np.full_like(c, int(CHEAT.read_text()))
        return super().evaluate(keys, ciphertext, A, c, functions, chosen)


if __name__ == "__main__":
    from atomic_margin.service.operator import operator as module

    module.Evaluator = OtherFunction  # type: ignore[misc]  # the attack is to put another class in its place
    main()

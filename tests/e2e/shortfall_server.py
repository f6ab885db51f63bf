"""The operator's own program with one change: what it does with shortfalls is in a file `shortfall` beside its folder.

`die`: the process ends between evaluation and storing, as if the power had gone. `tamper`: 1 is added to the highest
limb before the words are hashed and signed. `replay`: nothing is evaluated, those of an earlier run are taken. All else
is in order. If there is a file `plain` there too, everything is evaluated in the clear, see `plain_server`.
"""

import os
import sys
from dataclasses import replace
from pathlib import Path

from atomic_margin.circuits.layout import layout_of
from atomic_margin.fhe.evaluator import Evaluator
from atomic_margin.fhe.worker import Evaluation, KeyFile
from atomic_margin.service.cli import main
from atomic_margin.service.operator.faults import EXIT_CODE
from atomic_margin.service.operator.store.tables import SHORTFALL_FUNCTION

from ..service.double import Ints
from .plain_server import Trusted, take_the_place_of_the_evaluator

ORDERS = Path(sys.argv[sys.argv.index("--dir") + 1]).parent / "shortfall" if "--dir" in sys.argv else Path("shortfall")


def one_more(words: bytes, width: int) -> bytes:
    """Add 1 to the highest limb, which stays in its range: the error is that of an honest evaluation."""
    body = int.from_bytes(words[-8:], "little") + (1 << (63 - width))
    return words[:-8] + (body % (1 << 64)).to_bytes(8, "little")


class Disloyal(Evaluator):
    """Does what the file says. Stands before another evaluator: this one, or one that evaluates in the clear."""

    earlier: Evaluation

    def evaluate(
        self,
        keys: KeyFile,
        ciphertext: bytes,
        A: Ints,
        c: Ints,
        functions: tuple[str, ...],
        chosen: dict[str, int] | None = None,
    ) -> Evaluation:
        if functions != (SHORTFALL_FUNCTION,):
            return super().evaluate(keys, ciphertext, A, c, functions, chosen)
        order = ORDERS.read_text() if ORDERS.exists() else "none"
        if order == "replay":
            return self.earlier
        evaluation = Disloyal.earlier = super().evaluate(keys, ciphertext, A, c, functions, chosen)
        if order == "die":
            os._exit(EXIT_CODE)
        if order != "tamper":
            return evaluation
        width = layout_of(self.profile).messages["shortfall"].width
        return replace(evaluation, outputs={"shortfall": one_more(evaluation.outputs["shortfall"], width)})


class DisloyalInTheClear(Disloyal, Trusted):
    """The same, without encryption."""


if __name__ == "__main__":
    # The attack is to put another class in its place.
    take_the_place_of_the_evaluator(DisloyalInTheClear if ORDERS.with_name("plain").exists() else Disloyal)
    main()

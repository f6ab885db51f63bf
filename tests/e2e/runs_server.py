"""The operator's own program with one change: runs are evaluated under encryption, their shortfalls in the clear.

After a breach a shortfall takes longer than the run. `test_shortfall` and `test_demo` have the real program, which
evaluates both under encryption.
"""

from atomic_margin.fhe.evaluator import Evaluator
from atomic_margin.fhe.worker import Evaluation, KeyFile
from atomic_margin.service.cli import main
from atomic_margin.service.operator.store.tables import SHORTFALL_FUNCTION

from ..service.double import Ints
from .plain_server import Trusted, take_the_place_of_the_evaluator


class RunsUnderEncryption(Evaluator):
    """Has shortfalls evaluated by another class."""

    def evaluate(
        self,
        keys: KeyFile,
        ciphertext: bytes,
        A: Ints,
        c: Ints,
        functions: tuple[str, ...],
        chosen: dict[str, int] | None = None,
    ) -> Evaluation:
        if functions == (SHORTFALL_FUNCTION,):
            return Trusted(self.profile).evaluate(keys, ciphertext, A, c, functions, chosen)
        return super().evaluate(keys, ciphertext, A, c, functions, chosen)


if __name__ == "__main__":
    take_the_place_of_the_evaluator(RunsUnderEncryption)
    main()

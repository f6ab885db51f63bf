"""Doubles of the two sides of FHE, for tests of everything around the encrypted evaluation: both know one key."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from atomic_margin.bench.service import plain
from atomic_margin.bench.service.plain import KEY_BITS as KEY_BITS
from atomic_margin.bench.service.plain import trivial_values as trivial_values
from atomic_margin.bench.service.plain import trivial_words as trivial_words
from atomic_margin.circuits.profile import TINY, Profile
from atomic_margin.fhe.errors import EvaluationFailed
from atomic_margin.fhe.worker import Evaluation, Holdings, KeyFile

Ints = npt.NDArray[np.int64]


class PlainEvaluator(plain.PlainEvaluator):
    """The plain evaluator, which fails where a test wants it to, and counts.

    A run takes a millisecond instead of seconds. That the real circuits compute the same is what tests/fhe and
    tests/e2e show.
    """

    def __init__(self, profile: Profile = TINY) -> None:
        super().__init__(profile)
        self.failures = 0
        self.evaluated = 0
        self.warmed: list[str] = []
        self.held: list[str] = []
        self.places = 4
        self.unloadable: set[str] = set()
        self.meanwhile: Callable[[], None] = lambda: None

    def holdings(self) -> Holdings:
        return Holdings(tuple(self.held), 1, self.places)

    def _hold(self, keys: str) -> None:
        self.held = [*(other for other in self.held if other != keys), keys][-self.places :]

    def warm_up(self, keys: KeyFile, functions: tuple[str, ...]) -> str:
        self.warmed.append(keys.sha256)
        if keys.sha256 in self.unloadable:
            raise EvaluationFailed("the test makes this expansion fail")
        self._hold(keys.sha256)
        return super().warm_up(keys, functions)

    def evaluate(
        self,
        keys: KeyFile,
        ciphertext: bytes,
        A: Ints,
        c: Ints,
        functions: tuple[str, ...],
        chosen: dict[str, int] | None = None,
    ) -> Evaluation:
        self.meanwhile()
        if self.failures:
            self.failures -= 1
            raise EvaluationFailed("the test makes this evaluation fail")
        evaluation = super().evaluate(keys, ciphertext, A, c, functions, chosen)
        self.evaluated += 1
        self._hold(keys.sha256)
        return evaluation


class PlainKeys(plain.PlainKeys):
    """An institution's keys of known bits, of the small profile."""

    def __init__(self, profile: Profile = TINY) -> None:
        super().__init__(profile)

"""Doubles of the two sides of FHE, for tests of everything around the encrypted evaluation: both know one key."""

import hashlib
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from atomic_margin.circuits.layout import MessageLayout, layout_of
from atomic_margin.circuits.limbs import split
from atomic_margin.circuits.profile import TINY, Profile
from atomic_margin.fhe.errors import EvaluationFailed
from atomic_margin.fhe.evaluator import Evaluator
from atomic_margin.fhe.institution import InstitutionKeys
from atomic_margin.fhe.messages import words_from_bytes
from atomic_margin.fhe.worker import Evaluation, Holdings, KeyFile

Ints = npt.NDArray[np.int64]


def trivial_words(values: list[int], layout: MessageLayout) -> bytes:
    """Return `values` as words that hide nothing: every mask is zero, the body is the message alone."""
    words = np.zeros(layout.shape, dtype="<u8")
    for index, value in enumerate(values):
        # The bit above the message is its sign's too.
        words[index, -1] = (value % (2 << layout.width)) << (63 - layout.width)
    return words.tobytes()


def trivial_values(data: bytes, layout: MessageLayout) -> list[int]:
    bodies = words_from_bytes(data, layout)[:, -1]
    values = [int(body) >> (63 - layout.width) for body in bodies]
    top = 1 << layout.width
    return [value - 2 * top if layout.signed and value >= top else value for value in values]


# One LWE key for every fund of these tests, and for the double that evaluates: proofs about it are the real ones.
KEY_BITS = np.random.default_rng(20261122).integers(0, 2, 2048, dtype=np.uint64)


class PlainEvaluator(Evaluator):
    """Decrypts with the tests' key and computes in the clear; its outputs have zero masks, so they hide nothing.

    The operator never looks inside an output; it hashes the words, signs the hashes and hands them out. So whether
    A z + c was computed under encryption changes nothing that these tests look at, and a run takes a millisecond
    instead of seconds. That the real circuits compute the same is what tests/fhe and tests/e2e show.
    """

    def __init__(self, profile: Profile = TINY) -> None:
        super().__init__(profile)
        self.layout = layout_of(profile)
        self.failures = 0
        self.evaluated = 0
        self.warmed: list[str] = []
        self.held: list[str] = []
        self.places = 4
        self.unloadable: set[str] = set()
        self.meanwhile: Callable[[], None] = lambda: None

    def start(self) -> None:
        pass

    def close(self, seconds: float = 0) -> None:
        pass

    def holdings(self) -> Holdings:
        return Holdings(tuple(self.held), 1, self.places)

    def _hold(self, keys: str) -> None:
        self.held = [*(other for other in self.held if other != keys), keys][-self.places :]

    def check_keys(self, keys: KeyFile, challenges: tuple[tuple[bytes, int], ...]) -> tuple[bytes, ...]:
        return tuple(trivial_words([flag], self.layout.messages["known_answer"]) for _, flag in challenges)

    def warm_up(self, keys: KeyFile, functions: tuple[str, ...]) -> str:
        self.warmed.append(keys.sha256)
        if keys.sha256 in self.unloadable:
            raise EvaluationFailed("the test makes this expansion fail")
        self._hold(keys.sha256)
        return "f0" * 32

    def decrypted(self, ciphertext: bytes) -> Ints:
        """Return z."""
        return PlainKeys(self.profile).decrypt("input", ciphertext).values

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
        assert hashlib.sha256(keys.path.read_bytes()).hexdigest() == keys.sha256
        surplus = (A @ self.decrypted(ciphertext) + c).tolist()
        short = split(max(0, -min(surplus)), self.profile.bits).tolist()
        values = {"surplus": surplus, "breach": [int(min(surplus) < 0)], "shortfall": short}
        self.evaluated += 1
        self._hold(keys.sha256)
        return Evaluation(
            {name: trivial_words(values[name], self.layout.messages[name]) for name in functions},
            "f0" * 32,
            dict.fromkeys(functions, 0.001),
        )


class PlainKeys(InstitutionKeys):
    """An institution's keys of known bits. Encryption, decryption and its checks are the agent's own."""

    def __init__(self, profile: Profile = TINY) -> None:
        self.profile, self._layout = profile, layout_of(profile)
        self._bits = [np.resize(KEY_BITS, dimension) for dimension in self._layout.key_dimensions]

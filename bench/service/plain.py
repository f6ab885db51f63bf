"""Both sides of FHE without FHE: keys of known bits, and an evaluator that decrypts and computes in the clear.

For measuring what a service costs besides FHE, and for tests of everything around the encrypted evaluation. Layout of
ciphertexts and proofs about them are the real ones; what is evaluated hides nothing. The operator cannot import this
room, and no option of `serve` leads here.
"""

import hashlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from atomic_margin.circuits.layout import MessageLayout, layout_of
from atomic_margin.circuits.limbs import split
from atomic_margin.circuits.profile import Profile
from atomic_margin.fhe.evaluator import Evaluator
from atomic_margin.fhe.institution import InstitutionKeys
from atomic_margin.fhe.known_answer import known_entries
from atomic_margin.fhe.messages import words_from_bytes
from atomic_margin.fhe.worker import Evaluation, Holdings, KeyFile

Ints = npt.NDArray[np.int64]

FINGERPRINT = "f0" * 32
"""Stands where an evaluation names the plan of its Fourier transforms."""

KEY_BITS = np.random.default_rng(20261122).integers(0, 2, 2048, dtype=np.uint64)
"""The one LWE key of everybody here, as often repeated as a layout asks for."""


def trivial_words(values: list[int], layout: MessageLayout) -> bytes:
    """Return ``values`` as words that hide nothing: every mask is zero, the body is the message alone."""
    words = np.zeros(layout.shape, dtype="<u8")
    for index, value in enumerate(values):
        # The bit above the message is its sign's too.
        words[index, -1] = (value % (2 << layout.width)) << (63 - layout.width)
    return words.tobytes()


def trivial_values(data: bytes, layout: MessageLayout) -> list[int]:
    """Return what such words say."""
    bodies = words_from_bytes(data, layout)[:, -1]
    values = [int(body) >> (63 - layout.width) for body in bodies]
    top = 1 << layout.width
    return [value - 2 * top if layout.signed and value >= top else value for value in values]


class PlainKeys(InstitutionKeys):
    """An institution's keys of known bits. Encryption, decryption and its checks are the agent's own.

    What stands for evaluation keys is ``name``, so that no two institutions have the same.
    """

    def __init__(self, profile: Profile, name: str = "") -> None:
        """Take the known bits."""
        self.profile, self._layout, self._name = profile, layout_of(profile), name
        self._bits = [np.resize(KEY_BITS, dimension) for dimension in self._layout.key_dimensions]

    def evaluation_keys(self) -> bytes:
        """Return what is uploaded as evaluation keys."""
        return b"no evaluation keys: " + self._name.encode()

    def known_answer_input(self) -> bytes:
        """Return the published known-answer vector, hidden from nobody."""
        return trivial_words(known_entries(self.profile).tolist(), self._layout.messages["input"])

    def save(self, path: Path) -> None:
        """Write nothing: the bits are known."""


class PlainEvaluator(Evaluator):
    """Decrypts with the known key and computes in the clear; its outputs have zero masks, so they hide nothing.

    The operator never looks inside an output; it hashes the words, signs the hashes and hands them out. So whether
    A z + c was computed under encryption changes nothing around the evaluation.
    """

    def __init__(self, profile: Profile) -> None:
        """Evaluate in this process."""
        super().__init__(profile)
        self.layout = layout_of(profile)
        self._keys = PlainKeys(profile)

    def start(self) -> None:
        """Start nothing: there is no worker."""

    def close(self, seconds: float = 0) -> None:
        """Stop nothing."""

    def holdings(self) -> Holdings:
        """Return that it has no room: there are no keys to be expanded, so nobody should look for cold ones."""
        return Holdings(("none",), bytes_each=1, bytes_limit=1)

    def check_keys(self, keys: KeyFile, challenges: tuple[tuple[bytes, int], ...]) -> tuple[bytes, ...]:
        """Return the right answers."""
        return tuple(trivial_words([flag], self.layout.messages["known_answer"]) for _, flag in challenges)

    def warm_up(self, keys: KeyFile, functions: tuple[str, ...]) -> str:
        """Expand nothing."""
        return FINGERPRINT

    def decrypted(self, ciphertext: bytes) -> Ints:
        """Return z."""
        return self._keys.decrypt("input", ciphertext).values

    def evaluate(
        self,
        keys: KeyFile,
        ciphertext: bytes,
        A: Ints,
        c: Ints,
        functions: tuple[str, ...],
        chosen: dict[str, int] | None = None,
    ) -> Evaluation:
        """Return the outputs of plain integers, as words.

        Raises:
            ValueError: the key file is not the one that is named.
        """
        if hashlib.sha256(keys.path.read_bytes()).hexdigest() != keys.sha256:
            raise ValueError(f"{keys.path} does not hold the keys {keys.sha256}")
        surplus = (A @ self.decrypted(ciphertext) + c).tolist()
        short = split(max(0, -min(surplus)), self.profile.bits).tolist()
        values = {"surplus": surplus, "breach": [int(min(surplus) < 0)], "shortfall": short}
        return Evaluation(
            {name: trivial_words(values[name], self.layout.messages[name]) for name in functions},
            FINGERPRINT,
            dict.fromkeys(functions, 0.001),
        )

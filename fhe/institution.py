"""The institution's side: FHE keys, encryption, decryption. Holds secrets; the operator's process never imports it.

Encryption works on raw words under masks expanded from the operator's nonce (`masks`), with errors from the operating
system's generator; tests hold both against the library's own decryption and noise.

Keys live in one file, readable by its owner only, with their hash and that of the profile they were made for.
"""

import hashlib
import json
import math
import os
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from atomic_margin.circuits.compiling import compile_profile
from atomic_margin.circuits.concrete import cfhe
from atomic_margin.circuits.layout import layout_of
from atomic_margin.circuits.profile import Profile
from atomic_margin.fhe.errors import DecryptionOutOfRange, KeyStoreError
from atomic_margin.fhe.known_answer import known_entries
from atomic_margin.fhe.lwe import Words, phases
from atomic_margin.fhe.masks import Ciphertext
from atomic_margin.fhe.messages import bytes_from_message, words_from_bytes

IntArray = npt.NDArray[np.int64]

_MAGIC = b"atomic-margin/fhe-keys/1\n"

# Half the distance to the next message, less a bit: honest evaluation stays below it except with p_error's probability.
_ERROR_MARGIN = 2

_NOISE = random.SystemRandom()


@dataclass(frozen=True)
class Decryption:
    """Decrypted values, shape (count,), and the largest absolute error found in the phases, in units of 2^-64."""

    values: IntArray
    largest_error: int


class InstitutionKeys:
    """Secret and evaluation keys of one institution for one profile."""

    def __init__(self, profile: Profile, client: Any) -> None:
        """Use `generate` or `load`."""
        self.profile = profile
        self._client = client
        self._layout = layout_of(profile)
        secret_keys = client.keys._keyset.get_client_keys().get_secret_keys()
        self._bits = [
            np.frombuffer(key.serialize()[-8 * n :], dtype="<u8").astype(np.uint64)
            for key, n in zip(secret_keys, self._layout.key_dimensions, strict=True)
        ]
        if any(not np.isin(bits, (0, 1)).all() for bits in self._bits):
            raise KeyStoreError("a secret key is not binary; the library's key format has changed")

    @classmethod
    def generate(cls, profile: Profile) -> "InstitutionKeys":
        """Compile the profile, check its pinned parameters, and make fresh keys (some seconds)."""
        client = _client(profile)
        client.keygen()
        return cls(profile, client)

    @classmethod
    def load(cls, profile: Profile, path: Path) -> "InstitutionKeys":
        """Read keys that `save` wrote.

        Raises:
            KeyStoreError: no such file, not a key file, or made for another profile.
        """
        try:
            data = path.read_bytes()
        except OSError as error:
            raise KeyStoreError(f"cannot read the key file {path}: {error.strerror}") from error
        head, _, keys = data.partition(b"\n\n")
        if not head.startswith(_MAGIC):
            raise KeyStoreError(f"{path} is not a key file of this program")
        try:
            about = json.loads(head[len(_MAGIC) :])
            made_for = str(about["profile_hash"])
        except (ValueError, KeyError, TypeError) as error:
            raise KeyStoreError(f"{path} is damaged; restore it or enrol anew") from error
        if made_for != profile.hash():
            raise KeyStoreError(
                f"{path} holds keys for profile {made_for[:16]}…, not {profile.hash()[:16]}…; enrol anew"
            )
        # The library takes minutes to refuse damaged keys, or takes them. Files of 0.1.0 do not have this.
        if "sha256" in about and about["sha256"] != hashlib.sha256(keys).hexdigest():
            raise KeyStoreError(f"{path} is damaged; restore it or enrol anew")
        client = _client(profile)
        try:
            client.keys = type(client.keys).deserialize(keys)
        except RuntimeError as error:
            raise KeyStoreError(f"{path} is damaged; restore it or enrol anew") from error
        return cls(profile, client)

    def save(self, path: Path) -> None:
        """Write the keys to `path` (mode 0600), atomically."""
        keys = self._client.keys.serialize()
        about = {"profile_hash": self.profile.hash(), "sha256": hashlib.sha256(keys).hexdigest()}
        head = _MAGIC + json.dumps(about).encode() + b"\n\n"
        temporary = path.with_suffix(".new")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(head + keys)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)

    def evaluation_keys(self) -> bytes:
        """Return the public evaluation keys, compressed."""
        return bytes(self._client.evaluation_keys.serialize())

    def encrypt(self, z: IntArray) -> bytes:
        """Encrypt entries, shape (N,), each in [0, 2^entry_bits); returns raw words.

        Raises:
            ValueError: wrong shape, or an entry that does not fit.
        """
        if z.shape != (self.profile.entries,):
            raise ValueError(f"z must be {self.profile.entries} entries of {self.profile.entry_bits} unsigned bits")
        self._check_entries(z, self.profile.entry_bits)
        value = self._client.encrypt(z, None, None, function_name="surplus")[0]
        return bytes_from_message(value.serialize(), self._layout.messages["input"])

    def encrypt_under(self, masks: Words, z: IntArray) -> Ciphertext:
        """Encrypt entries, shape (N,), under given masks, shape (N, n).

        The caller has never used these masks with these keys. N may be less than the profile's entries. An entry may
        be wider than the profile's digits, below half the message space: the circuits only take sums of entries, and
        what bounds a sum bounds each of them. Errors are
        rounded Gaussian, with the standard deviation pinned for the profile, drawn from the operating system's
        generator.

        Raises:
            ValueError: wrong shapes, or an entry that does not fit.
        """
        message = self._layout.messages["input"]
        if z.ndim != 1 or masks.shape != (len(z), message.dimension) or masks.dtype != np.uint64:
            raise ValueError(f"masks must be {len(z)} rows of {message.dimension} words, got shape {masks.shape}")
        self._check_entries(z, message.width - 1)
        deviation = math.ldexp(self._layout.input_deviation, 64)
        errors = np.array([round(_NOISE.normalvariate(0.0, deviation)) for _ in z], dtype=np.int64)
        scaled = z.astype(np.uint64) << np.uint64(63 - message.width)
        masked = (masks * self._bits[message.key]).sum(axis=1, dtype=np.uint64)
        bodies: Words = masked + scaled + errors.view(np.uint64)
        return Ciphertext(masks, bodies, message.count)

    def secret_bits(self, function: str) -> Words:
        """Return the bits, shape (n,), of the key that `function`'s output (or `input`) is under: proofs need them."""
        return self._bits[self._layout.messages[function].key].copy()

    def known_answer_input(self) -> bytes:
        """Encrypt the published known-answer vector."""
        return self.encrypt(known_entries(self.profile))

    def decrypt(self, function: str, data: bytes) -> Decryption:
        """Decrypt the output of `function` (or `input`) from raw words, checking the error of every phase.

        Raises:
            MalformedCiphertext: the length is not that of the output.
            DecryptionOutOfRange: an error that honest evaluation does not leave. Withhold the value.
        """
        layout = self._layout.messages[function]
        words: Words = words_from_bytes(data, layout)
        phase = phases(words, self._bits[layout.key])
        shift = 63 - layout.width
        half = np.uint64(1 << (shift - 1))
        values = (phase + half).view(np.int64) >> shift
        errors = (phase - (values.view(np.uint64) << np.uint64(shift))).view(np.int64)
        largest = int(np.abs(errors).max())
        low = -(1 << (layout.width - 1)) if layout.signed else 0
        if largest >= 1 << (shift - _ERROR_MARGIN) or values.min() < low or values.max() >= low + (1 << layout.width):
            raise DecryptionOutOfRange(
                f"{function}: the decryption error is out of range; withhold the value and use new keys"
            )
        return Decryption(values.astype(np.int64), largest)

    def _check_entries(self, z: IntArray, bits: int) -> None:
        if not 0 < len(z) <= self.profile.entries or z.min() < 0 or z.max() >= 1 << bits:
            raise ValueError(f"z must be at most {self.profile.entries} entries of {bits} unsigned bits")


def _client(profile: Profile) -> Any:
    specs = compile_profile(profile).client_specs
    return cfhe.Client(cfhe.ClientSpecs.deserialize(specs))

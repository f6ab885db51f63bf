"""What the compiler made of each profile, pinned: parameters, key size and the frame around each ciphertext's words.

Only raw LWE words travel. Whoever receives them puts the library's message together from the frame pinned here, so a
header that was sent is never believed. `python -m atomic_margin.fhe.pin` derives `pinned.json` anew; a test compares.
Anyone may import this module; it needs no FHE library.

>>> from atomic_margin.circuits.profile import STANDARD
>>> layout_of(STANDARD).messages["breach"].shape
(1, 2049)
"""

import json
import math
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from atomic_margin.circuits.errors import ProfileError
from atomic_margin.circuits.profile import Profile

WORD_BYTES = 8


@dataclass(frozen=True)
class MessageLayout:
    """Frame and meaning of one kind of ciphertext.

    Attributes:
        prefix: the library's bytes before the words.
        suffix: the library's bytes after the words.
        count: ciphertexts in the message.
        dimension: n, length of a mask; a ciphertext has n + 1 words.
        width: bits of the message space; Delta = 2^(63 - width).
        signed: whether decoded values are two's complement.
        key: index of the secret key it is under.
    """

    prefix: bytes
    suffix: bytes
    count: int
    dimension: int
    width: int
    signed: bool
    key: int

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of the array of words: (count, n + 1)."""
        return self.count, self.dimension + 1

    @property
    def size(self) -> int:
        """Bytes of the words."""
        return WORD_BYTES * self.count * (self.dimension + 1)


@dataclass(frozen=True)
class Layout:
    """Everything pinned about one compiled profile.

    Attributes:
        client_specs_sha256: hash of the parameters from which an institution makes its keys.
        evaluation_key_bytes: the one length of serialised, compressed evaluation keys.
        key_dimensions: dimensions of the secret keys, in the library's order.
        log2_p_error: base-2 logarithm of the failure probability of one lookup that the compiler reached.
        input_deviation: standard deviation of a fresh encryption's error, as a fraction of 2^64.
        messages: `input` (z, one ciphertext for every function) and each function's output, by name.
    """

    client_specs_sha256: str
    evaluation_key_bytes: int
    key_dimensions: tuple[int, ...]
    log2_p_error: float
    input_deviation: float
    messages: dict[str, MessageLayout]


@lru_cache
def layout_of(profile: Profile) -> Layout:
    """Return what is pinned for `profile`.

    Raises:
        ProfileError: nothing is pinned under the profile's hash.
    """
    pinned = json.loads(files(__package__).joinpath("pinned.json").read_text()).get(profile.hash())
    if pinned is None:
        raise ProfileError(
            f"nothing is pinned for profile {profile.name!r}; run `python -m atomic_margin.fhe.pin` after changing it"
        )
    messages = {
        name: MessageLayout(
            **{**message, "prefix": bytes.fromhex(message["prefix"]), "suffix": bytes.fromhex(message["suffix"])}
        )
        for name, message in pinned["messages"].items()
    }
    return Layout(
        pinned["client_specs_sha256"],
        pinned["evaluation_key_bytes"],
        tuple(pinned["key_dimensions"]),
        pinned["log2_p_error"],
        math.sqrt(pinned["input_variance"]),
        messages,
    )

"""The commitments to an institution's FHE keys: which key the inputs are under and which the flag, under one name.

An enrolment carries them, signed; submissions, run records and trust files name them by `KeyPair.hash`. Every
encryption and decryption proof is about these keys, so the key that encrypts is the key that was enrolled, and the flag
is what that enrolment's flag key decrypts. Anyone may import this module.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from atomic_margin.circuits.layout import layout_of
from atomic_margin.circuits.profile import Profile
from atomic_margin.documents.canonical import canonical_hash
from atomic_margin.service.errors import Refused
from atomic_margin.zk.errors import StatementError
from atomic_margin.zk.statements.key import KeyCommitments

KEY_OF = {"input_key": "input", "flag_key": "breach"}
"""The fields of an enrolment, and the ciphertexts that are under each key."""


@dataclass(frozen=True)
class KeyPair:
    """Commitments to the two secret keys that proofs speak of.

    Attributes:
        input: of the key that entries are encrypted under.
        flag: of the key that the breach flag comes out under.
    """

    input: KeyCommitments
    flag: KeyCommitments

    @cached_property
    def hash(self) -> str:
        """SHA-256, in hex, that names both."""
        return canonical_hash("key-commitments", {"input": self.input.hash, "flag": self.flag.hash})


def key_pair(profile: Profile, input_key: Sequence[str], flag_key: Sequence[str]) -> KeyPair:
    """Return the commitments that an enrolment carries as hex points.

    Raises:
        Refused: another number of points than the keys of `profile` take.
    """
    messages = layout_of(profile).messages
    found = []
    for (field, function), points in zip(KEY_OF.items(), (input_key, flag_key), strict=True):
        try:
            found.append(KeyCommitments(messages[function].dimension, tuple(bytes.fromhex(point) for point in points)))
        except StatementError as error:
            raise Refused(f"{error}; make keys for profile {profile.name!r}", field) from error
    return KeyPair(*found)

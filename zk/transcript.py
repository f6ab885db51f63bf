"""Fiat-Shamir transcript over SHA-256 (FIPS 180-4), version 2. Prover and verifier drive it alike.

The whole statement is a constructor argument, so nothing of it can be forgotten until after the first challenge. Every
piece is absorbed with its label and both lengths into a state of 32 bytes, so whoever has SHA-256 of whole messages
alone, a browser or a chain, can follow. docs/proofs.md has it byte by byte, with vectors.

>>> def first(limit):
...     transcript = Transcript("example", [("limit", limit)])
...     transcript.absorb("announcement", b"...")
...     return transcript.challenge("x")
>>> first(b"10") == first(b"10"), first(b"10") == first(b"11")
(True, False)
"""

import hashlib
from collections.abc import Iterable

from atomic_margin.zk.errors import TranscriptError
from atomic_margin.zk.groups.interface import ORDER

_DOMAIN = b"atomic-margin/v2/zk/transcript"
# Two digests reduced modulo a 255-bit prime are within 2^-257 of uniform.
_HALVES = (b"\x00", b"\x01")
_ABSORB, _CHALLENGE, _SQUEEZE = b"\x01", b"\x02", b"\x03"


class Transcript:
    """Everything said so far, in order. One transcript per proof; it is never rewound or copied."""

    def __init__(self, protocol: str, statement: Iterable[tuple[str, bytes]]) -> None:
        """Start with the protocol's name and the whole statement.

        Raises:
            TranscriptError: the statement is empty or names one part twice.
        """
        self._state = bytes(32)
        self._put(_ABSORB, _DOMAIN, protocol.encode())
        self._fresh = False
        seen: set[str] = set()
        for label, data in statement:
            if label in seen:
                raise TranscriptError(f"the statement names {label!r} twice: give every part its own label")
            seen.add(label)
            self.absorb(label, data)
        if not seen:
            raise TranscriptError("the statement is empty: absorb everything the proof is about")
        self.absorb("statement parts", len(seen).to_bytes(4, "big"))
        self._fresh = False

    def absorb(self, label: str, data: bytes) -> None:
        """Append one message of the prover."""
        self._put(_ABSORB, label.encode(), data)
        self._fresh = True

    def challenge(self, label: str) -> int:
        """Return a challenge in [1, r).

        Raises:
            TranscriptError: the prover has said nothing yet beyond the statement, or the challenge is zero
                (probability 2^-255).
        """
        if not self._fresh:
            raise TranscriptError(f"challenge {label!r} before any message of the prover: absorb its commitments first")
        self._put(_CHALLENGE, label.encode(), b"")
        value = int.from_bytes(b"".join(_sha256(self._state + _SQUEEZE + half) for half in _HALVES), "big") % ORDER
        if value == 0:
            raise TranscriptError(f"challenge {label!r} is zero: the proof is refused; prove again")
        return value

    def _put(self, kind: bytes, label: bytes, data: bytes) -> None:
        lengths = len(label).to_bytes(4, "big"), len(data).to_bytes(8, "big")
        self._state = _sha256(b"".join((self._state, kind, lengths[0], label, lengths[1], data)))


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()

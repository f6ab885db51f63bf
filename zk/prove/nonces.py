"""Hedged nonces: H(secret, statement, fresh randomness). Prover only.

A broken random generator does not repeat a nonce for two statements, and an attacker who can make the prover prove the
same statement twice learns nothing as long as the generator works: both would have to fail.

>>> stream = NonceStream(b"witness", b"statement")
>>> stream.integer() == stream.integer()
False
"""

import hashlib
import secrets

from atomic_margin.zk.groups import ORDER

_DOMAIN = b"atomic-margin/v1/zk/nonces"
# 48 bytes reduced modulo a 255-bit prime are within 2^-128 of uniform.
_NONCE_BYTES = 48


class NonceStream:
    """Secret scalars for one proof or one set of commitments; make a new stream for each."""

    def __init__(self, secret: bytes, *statement: bytes) -> None:
        seed = hashlib.shake_256(_DOMAIN)
        for part in (secret, *statement, secrets.token_bytes(32)):
            seed.update(len(part).to_bytes(8, "big") + part)
        self._seed = seed.digest(64)
        self._drawn = 0

    def integers(self, count: int) -> list[int]:
        """Return ``count`` integers modulo r, none of them returned before."""
        self._drawn += 1
        stream = hashlib.shake_256(self._seed + self._drawn.to_bytes(8, "big")).digest(count * _NONCE_BYTES)
        return [
            int.from_bytes(stream[start : start + _NONCE_BYTES], "big") % ORDER
            for start in range(0, len(stream), _NONCE_BYTES)
        ]

    def integer(self) -> int:
        """Return one integer modulo r."""
        return self.integers(1)[0]

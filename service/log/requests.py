r"""What a log asks of a witness, byte for byte as C2SP tlog-witness has it.

>>> head = "example.com/log\n1\n" + "A" * 43 + "=\n\n— example.com/log AAAAAAAA\n"
>>> asked = AddCheckpoint.parse(b"old 0\n\n" + head.encode())
>>> asked.old, asked.checkpoint.head.size, asked.to_bytes()[:6]
(0, 1, b'old 0\n')
"""

import base64
import binascii
import re
from dataclasses import dataclass

from atomic_margin.service.log.checkpoints import Checkpoint
from atomic_margin.service.log.errors import MalformedNote
from atomic_margin.service.log.hashing import HASH_BYTES
from atomic_margin.service.log.notes import MAX_NOTE_BYTES
from atomic_margin.service.log.proofs import MAX_PROOF

MAX_REQUEST_BYTES = MAX_NOTE_BYTES + 64 * MAX_PROOF

_OLD = re.compile(r"old (0|[1-9][0-9]{0,18})")


@dataclass(frozen=True)
class AddCheckpoint:
    """Cosign this checkpoint, which goes on from the size that you know.

    Attributes:
        old: size of the checkpoint that the witness cosigned last; 0 if none, or unknown.
        proof: consistency proof between the two.
        checkpoint: the newer one.
    """

    old: int
    proof: tuple[bytes, ...]
    checkpoint: Checkpoint

    def to_bytes(self) -> bytes:
        """Return the body of the request."""
        lines = [f"old {self.old}", *(base64.b64encode(hash_).decode() for hash_ in self.proof)]
        return ("\n".join(lines) + "\n\n" + str(self.checkpoint)).encode()

    @classmethod
    def parse(cls, body: bytes) -> "AddCheckpoint":
        """Return what a body asks.

        Raises:
            MalformedNote: it is no such request.
        """
        if len(body) > MAX_REQUEST_BYTES:
            raise MalformedNote(f"a request has at most {MAX_REQUEST_BYTES} bytes")
        try:
            head, separator, note = body.decode().partition("\n\n")
        except UnicodeDecodeError:
            raise MalformedNote("a request is UTF-8") from None
        first, *hashes = head.split("\n")
        old = _OLD.fullmatch(first)
        if old is None or not separator or len(hashes) > MAX_PROOF:
            raise MalformedNote(f"`old SIZE`, at most {MAX_PROOF} hashes, an empty line and a checkpoint are wanted")
        return cls(int(old[1]), tuple(map(_hash, hashes)), Checkpoint.parse(note))


def _hash(line: str) -> bytes:
    try:
        found = base64.b64decode(line, validate=True)
    except (binascii.Error, ValueError):
        found = b""
    if len(found) != HASH_BYTES or base64.b64encode(found).decode() != line:
        raise MalformedNote(f"{line[:60]!r} is no hash in base64")
    return found

"""Signed notes and their keys, byte for byte as C2SP signed-note has them: Ed25519, and witness cosignatures.

A note is text with a final newline, an empty line, and signature lines. A key is a name, a type and 32 bytes; its four
byte identifier only finds the line, it proves nothing.

>>> public = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
>>> key = NoteKey("example.com/log", ED25519, public)
>>> str(key).split("+")[0], key.identifier.hex() == str(key).split("+")[1]
('example.com/log', True)
>>> NoteKey.parse(str(key)) == key
True
"""

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from atomic_margin.documents.ed25519 import fault_of
from atomic_margin.service.log.errors import MalformedNote, NoteNotSigned

ED25519 = 1
COSIGNATURE = 4
"""Types of keys: a plain signature of the text, and a cosignature with its time."""

MAX_NOTE_BYTES = 1 << 16
MAX_SIGNATURES = 64
MAX_TIME = 2**63 - 1
_NAME = re.compile(r"[^\s+\x00-\x20\x7f]{1,128}")
_LINE = re.compile(r"— (\S+) ([A-Za-z0-9+/]+={0,2})")
_SIGNATURE_BYTES = {ED25519: 64, COSIGNATURE: 8 + 64}


@dataclass(frozen=True)
class NoteKey:
    """A public key under a name.

    Attributes:
        name: such as ``example.com/log``; of a log its origin.
        type: `ED25519` or `COSIGNATURE`.
        public: 32 bytes.
    """

    name: str
    type: int
    public: bytes

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name) or self.type not in _SIGNATURE_BYTES or len(self.public) != 32:
            raise MalformedNote(f"the key of {self.name[:80]!r} has a name, a type or a length that none has")

    @property
    def identifier(self) -> bytes:
        """The first four bytes of SHA-256(name || newline || type || key)."""
        return hashlib.sha256(self.name.encode() + b"\n" + bytes([self.type]) + self.public).digest()[:4]

    def __str__(self) -> str:
        """Return the key as people hand it on: name+identifier+base64(type || key)."""
        encoded = base64.b64encode(bytes([self.type]) + self.public).decode()
        return f"{self.name}+{self.identifier.hex()}+{encoded}"

    @classmethod
    def parse(cls, text: str) -> "NoteKey":
        """Return the key of a string.

        Raises:
            MalformedNote: it is none, its identifier is another key's, or no signature under it could be believed.
        """
        name, _, rest = text.partition("+")
        identifier, _, encoded = rest.partition("+")
        data = _decoded(encoded)
        if len(data) != 33:
            raise MalformedNote(f"{text[:80]!r} is no key: name+identifier+base64 of 33 bytes is wanted")
        key = cls(name, data[0], data[1:])
        if str(key) != text:
            raise MalformedNote(f"the key of {name!r} has another identifier than {identifier[:8]!r}")
        fault = fault_of(key.public.hex())
        if fault is not None:
            raise MalformedNote(f"the key of {name!r} is {fault}")
        return key


@dataclass(frozen=True)
class Note:
    """A note, taken apart; nothing is verified.

    Attributes:
        text: with its final newline.
        signatures: name, identifier and signature of every line, in order.
    """

    text: str
    signatures: tuple[tuple[str, bytes, bytes], ...]

    def __str__(self) -> str:
        """Return the note as it is sent."""
        return self.text + "\n" + "".join(signature_line(*line) for line in self.signatures)

    def signature_of(self, key: NoteKey) -> bytes | None:
        """Return the one signature under a key's name and identifier; None if there is no such line.

        Raises:
            NoteNotSigned: two lines, or one of another length.
        """
        lines = [data for name, identifier, data in self.signatures if (name, identifier) == (key.name, key.identifier)]
        if len(lines) > 1 or any(len(data) != _SIGNATURE_BYTES[key.type] for data in lines):
            raise NoteNotSigned(f"{key.name} did not sign in the form it is known to sign")
        return lines[0] if lines else None

    def verify(self, key: NoteKey) -> int:
        """Make sure a key signed the text; return the time of a cosignature, seconds of the epoch, otherwise 0.

        Raises:
            NoteNotSigned: it did not, or not this text.
        """
        data = self.signature_of(key)
        if data is None:
            raise NoteNotSigned(f"there is no signature of {key.name}")
        time = int.from_bytes(data[:8], "big") if key.type == COSIGNATURE else 0
        message = cosigned_message(self.text, time) if key.type == COSIGNATURE else self.text.encode()
        try:
            Ed25519PublicKey.from_public_bytes(key.public).verify(data[-64:], message)
        except (InvalidSignature, ValueError):
            raise NoteNotSigned(f"the signature of {key.name} is not of this text") from None
        return time

    def with_lines(self, lines: str) -> "Note":
        """Return the note with further signature lines, each once.

        Raises:
            MalformedNote: they are no signature lines, or too many.
        """
        more = tuple(line for line in _parse_lines(lines) if line not in self.signatures)
        if len(self.signatures) + len(more) > MAX_SIGNATURES:
            raise MalformedNote(f"a note has at most {MAX_SIGNATURES} signatures")
        return Note(self.text, self.signatures + more)

    def renewed(self, lines: str) -> "Note":
        """Return the note with further signature lines, each in place of an older one of the same key.

        Raises:
            MalformedNote: they are no signature lines, or too many.
        """
        keys = {line[:2] for line in _parse_lines(lines)}
        return Note(self.text, tuple(line for line in self.signatures if line[:2] not in keys)).with_lines(lines)


def parse_note(note: str) -> Note:
    """Take a note apart.

    Raises:
        MalformedNote: it is no note, too large, or has control characters.
    """
    if len(note) > MAX_NOTE_BYTES or any(character < " " and character != "\n" for character in note):
        raise MalformedNote(f"a note has at most {MAX_NOTE_BYTES} characters, and no control characters but newlines")
    text, separator, lines = note.rpartition("\n\n")
    if not separator or not text:
        raise MalformedNote("a note is text, an empty line, and signature lines")
    return Note(text + "\n", _parse_lines(lines))


def signature_line(name: str, identifier: bytes, signature: bytes) -> str:
    """Return one signature line, with its newline."""
    return f"— {name} {base64.b64encode(identifier + signature).decode()}\n"


def cosigned_message(text: str, time: int) -> bytes:
    """Return what a witness signs: that it saw this text at this time, seconds of the epoch."""
    if not 0 <= time <= MAX_TIME:
        raise NoteNotSigned("a cosignature is of another time than there is")
    return f"cosignature/v1\ntime {time}\n{text}".encode()


def _parse_lines(lines: str) -> tuple[tuple[str, bytes, bytes], ...]:
    if not lines.endswith("\n"):
        raise MalformedNote("the last signature line has no newline")
    found = []
    for line in lines[:-1].split("\n"):
        parts = _LINE.fullmatch(line)
        data = _decoded(parts[2]) if parts else b""
        if parts is None or len(data) < 5:
            raise MalformedNote(f"{line[:80]!r} is no signature line")
        found.append((parts[1], data[:4], data[4:]))
    if len(found) > MAX_SIGNATURES:
        raise MalformedNote(f"a note has at most {MAX_SIGNATURES} signatures")
    return tuple(found)


def _decoded(text: str) -> bytes:
    """Return the bytes of standard base64 in its one spelling; nothing if it is none."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
    return data if base64.b64encode(data).decode() == text else b""

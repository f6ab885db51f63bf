"""Between raw words, which travel, and the library's messages, which do not.

Both sides use it. Lengths are checked before anything is parsed; frames come from the pinned layout.

>>> from atomic_margin.circuits.layout import layout_of
>>> from atomic_margin.circuits.profile import STANDARD
>>> words_from_bytes(b"too short", layout_of(STANDARD).messages["breach"])
Traceback (most recent call last):
    ...
atomic_margin.fhe.errors.MalformedCiphertext: expected 16392 bytes (1 x 2049 words of 8 bytes), got 9
"""

import numpy as np

from atomic_margin.circuits.layout import MessageLayout
from atomic_margin.fhe.errors import MalformedCiphertext
from atomic_margin.fhe.lwe import Words, find_payload


def words_from_bytes(data: bytes, layout: MessageLayout) -> Words:
    """Return raw little-endian words as an array of shape ``layout.shape``.

    Raises:
        MalformedCiphertext: the length is not exactly the layout's. Every word value is a valid residue mod 2^64.
    """
    if len(data) != layout.size:
        count, width = layout.shape
        raise MalformedCiphertext(f"expected {layout.size} bytes ({count} x {width} words of 8 bytes), got {len(data)}")
    return np.frombuffer(data, dtype="<u8").reshape(layout.shape).astype(np.uint64)


def message_from_bytes(data: bytes, layout: MessageLayout) -> bytes:
    """Put the library's message together around raw words.

    Raises:
        MalformedCiphertext: the length is not exactly the layout's.
    """
    words_from_bytes(data, layout)
    return layout.prefix + data + layout.suffix


def bytes_from_message(message: bytes, layout: MessageLayout) -> bytes:
    """Take the raw words out of a message that the library on this side made.

    Raises:
        MalformedCiphertext: the message is framed otherwise than pinned.
    """
    payload = find_payload(message)
    if message[: payload.start] != layout.prefix or message[payload.stop :] != layout.suffix:
        raise MalformedCiphertext("the library frames this ciphertext otherwise than pinned; run atomic_margin.fhe.pin")
    return message[payload.start : payload.stop]

"""Upload a file to the operator in parts, going on from wherever the operator has it. For `client` alone."""

import hashlib
import time
from collections.abc import Callable
from http import HTTPStatus

from atomic_margin.service.errors import RemoteError
from atomic_margin.service.protocol.upload_messages import UploadView

PART_BYTES = 8 << 20
TRIES = 6
"""Without a byte more at the operator; waits between them double from a quarter of a second."""
_FIRST_WAIT = 0.25

# What goes by itself: nobody answered, somebody else appends or the place is another, too slow, too many, busy.
_PASSING = {
    0,
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.CONFLICT,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
}


def upload(
    data: bytes,
    declare: Callable[[str, int], UploadView],
    append: Callable[[str, int, bytes], UploadView],
    wait: Callable[[float], None] = time.sleep,
) -> str:
    """Bring a file to the operator and return its SHA-256.

    Args:
        data: the file.
        declare: says that a file comes; returns how far it is.
        append: brings bytes for an offset.
        wait: lets some seconds go by.

    Raises:
        RemoteError: the operator refuses the file, or does not take more of it.
    """
    sha256, tries, best = hashlib.sha256(data).hexdigest(), 0, -1
    while True:
        try:
            at = declare(sha256, len(data))
            while at.offset < len(data):
                if at.offset > best:
                    best, tries = at.offset, 0
                at = append(sha256, at.offset, data[at.offset : at.offset + PART_BYTES])
        except RemoteError as error:
            tries += 1
            if error.status not in _PASSING or tries >= TRIES:
                raise
            wait(_FIRST_WAIT * 2**tries)
        else:
            return sha256

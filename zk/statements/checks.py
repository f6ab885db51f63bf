"""Limits and forms common to all statements. For the statement modules.

>>> integers("widths", (5, 33), low=1, high=32)
Traceback (most recent call last):
    ...
atomic_margin.zk.errors.StatementError: widths[1] is 33, allowed is 1 to 32
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from atomic_margin.documents.canonical import canonical_bytes
from atomic_margin.documents.errors import CanonicalFormError
from atomic_margin.zk.bits.parameters import MAX_BITS
from atomic_margin.zk.errors import StatementError
from atomic_margin.zk.groups import POINT_BYTES

PROTOCOL_VERSION = "2"
"""Absorbed by every proof. 2: sufficiency with slack and weighted top-up; encryption, decryption and breach."""
MAX_ENTRIES = 4096
"""Entries of one portfolio, and ciphertexts of one statement."""
MAX_COMMITMENTS = 2 * MAX_ENTRIES
"""Commitments a matrix is multiplied with: a sufficiency statement may join two books."""
MAX_WIDTH = 32
"""Bits of one portfolio entry."""
MAX_ROWS = 1024
"""Rows of a matrix; their bits together must still fit into one argument."""
MAX_CELLS = 1 << 20
"""Entries of a matrix, as many as of the matrices of `atomic_margin.margin`."""
MAX_TERM_BITS = 80
"""Bits of any integer product inside a statement: thousands of them stay far below the 255-bit group order."""
WEIGHT_BOUND = 1 << (MAX_TERM_BITS - MAX_WIDTH)
"""Entries of A, offsets and the top-up are below it in absolute value: 2^48 times a 32-bit entry stays below 2^80."""
MAX_ROW_BITS = 48
MAX_CONTEXT_BYTES = 1 << 16


def integer(name: str, value: object, low: int, high: int) -> int:
    """Return ``value`` if it is an int in [low, high].

    Raises:
        StatementError: it is not.
    """
    if not isinstance(value, int) or isinstance(value, bool):
        raise StatementError(f"{name} is an int here, got {type(value).__name__}")
    if not low <= value <= high:
        raise StatementError(f"{name} is {value}, allowed is {low} to {high}")
    return value


def integers(name: str, values: Sequence[object], low: int, high: int) -> tuple[int, ...]:
    """Return ``values`` as a tuple if each is an int in [low, high].

    Raises:
        StatementError: naming the one that is not.
    """
    return tuple(integer(f"{name}[{index}]", value, low, high) for index, value in enumerate(values))


def commitments(values: Sequence[object], limit: int = MAX_ENTRIES) -> tuple[bytes, ...]:
    """Return ``values`` as a tuple if their number and lengths are those of commitments to entries.

    Raises:
        StatementError: there are none, more than ``limit``, or one is not 48 bytes.
    """
    if not 1 <= len(values) <= limit:
        raise StatementError(f"this statement is about 1 to {limit} entries, got {len(values)} commitments")
    checked: list[bytes] = []
    for index, value in enumerate(values):
        if not isinstance(value, bytes) or len(value) != POINT_BYTES:
            raise StatementError(f"commitments[{index}] is not {POINT_BYTES} bytes")
        checked.append(value)
    return tuple(checked)


def matrix(name: str, value: object, bound: int) -> npt.NDArray[np.int64]:
    """Return a read-only copy of ``value`` if it is a matrix of int64 with entries below ``bound`` in absolute value.

    Raises:
        StatementError: it is not.
    """
    if not isinstance(value, np.ndarray) or value.dtype != np.int64 or value.ndim != 2:
        raise StatementError(f"{name} is a two-dimensional numpy array of int64")
    # A private copy: what was checked must be what is proved.
    copy = value.copy()
    copy.setflags(write=False)
    if copy.size and not -bound < int(copy.min()) <= int(copy.max()) < bound:
        raise StatementError(f"{name} has an entry of {bound} or more in absolute value: coarsen the unit")
    return copy


def rows(
    commitments: Sequence[bytes], weights: npt.NDArray[np.int64], offsets: Sequence[object]
) -> tuple[npt.NDArray[np.int64], tuple[int, ...]]:
    """Return copies of A and c if they fit each other and the commitments.

    Raises:
        StatementError: they do not, or there are no rows or too many, or a number is too large.
    """
    weights = matrix("weights", weights, WEIGHT_BOUND)
    count, entries = weights.shape
    if not 1 <= count <= MAX_ROWS:
        raise StatementError(f"a matrix has 1 to {MAX_ROWS} rows, got {count}")
    if count * entries > MAX_CELLS:
        raise StatementError(f"a matrix has at most {MAX_CELLS} entries, got {count} x {entries}")
    if (entries, len(offsets)) != (len(commitments), count):
        raise StatementError(
            f"weights has shape {count} x {entries}, but there are {len(commitments)} commitments and "
            f"{len(offsets)} offsets"
        )
    return weights, integers("offsets", offsets, 1 - WEIGHT_BOUND, WEIGHT_BOUND - 1)


def total_bits(bits: int) -> None:
    """Check that ``bits`` committed bits fit into one argument, before anything is made of them.

    Raises:
        StatementError: they do not.
    """
    if bits > MAX_BITS:
        raise StatementError(f"the statement takes {bits} bits together, a proof at most {MAX_BITS}")


def context(value: object) -> dict[str, str]:
    """Return a copy of ``value``: labelled strings, at least one, at most 64 KiB in canonical form.

    Raises:
        StatementError: it is something else.
    """
    if not isinstance(value, Mapping) or not value:
        raise StatementError("context names what the proof belongs to: institution, submission, price sequence, …")
    copy: dict[str, str] = {}
    for label, text in value.items():
        if not isinstance(label, str) or not isinstance(text, str):
            raise StatementError(f"context[{label!r}]: labels and values are strings")
        copy[label] = text
    try:
        size = len(canonical_bytes(copy))
    except (CanonicalFormError, ValueError) as error:
        raise StatementError(f"context has no canonical form: {error}") from None
    if size > MAX_CONTEXT_BYTES:
        raise StatementError(f"context takes {size} bytes, allowed are {MAX_CONTEXT_BYTES}")
    return copy


def decimal(values: Sequence[int]) -> list[str]:
    """Return the numbers as canonical JSON takes them."""
    return [str(value) for value in values]

"""Limits and forms common to all statements. For the statement modules.

>>> integers("widths", (5, 33), low=1, high=32)
Traceback (most recent call last):
    ...
atomic_margin.zk.errors.StatementError: widths[1] is 33, allowed is 1 to 32
"""

from collections.abc import Mapping, Sequence

from atomic_margin.margin.canonical import canonical_bytes
from atomic_margin.margin.errors import CanonicalFormError
from atomic_margin.zk.errors import StatementError
from atomic_margin.zk.groups import POINT_BYTES

PROTOCOL_VERSION = "1"
MAX_ENTRIES = 1024
MAX_WIDTH = 32
"""Bits of one portfolio entry."""
MAX_TERM_BITS = 80
"""Bits of any integer product inside a statement: a thousand of them stay far below the 255-bit group order."""
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


def commitments(values: Sequence[object]) -> tuple[bytes, ...]:
    """Return ``values`` as a tuple if their number and lengths are those of commitments to entries.

    Raises:
        StatementError: there are none, too many, or one is not 48 bytes.
    """
    if not 1 <= len(values) <= MAX_ENTRIES:
        raise StatementError(f"a portfolio has 1 to {MAX_ENTRIES} entries, got {len(values)} commitments")
    checked: list[bytes] = []
    for index, value in enumerate(values):
        if not isinstance(value, bytes) or len(value) != POINT_BYTES:
            raise StatementError(f"commitments[{index}] is not {POINT_BYTES} bytes")
        checked.append(value)
    return tuple(checked)


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

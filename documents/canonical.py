"""Canonical JSON for everything that is hashed or signed (RFC 8785), with every number as a decimal string.

Anyone may call it. Floating-point values and bare integers are refused, so that no two readers can disagree about a
number's value or spelling:

>>> canonical_bytes({"unit": "16", "labels": ["crash"]})
b'{"labels":["crash"],"unit":"16"}'
>>> canonical_bytes({"unit": 16})
Traceback (most recent call last):
    ...
atomic_margin.documents.errors.CanonicalFormError: $.unit: numbers are written as decimal strings here, got int 16
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import rfc8785

from atomic_margin.documents.errors import CanonicalFormError

CanonicalValue: TypeAlias = "bool | str | Sequence[CanonicalValue] | Mapping[str, CanonicalValue] | None"


def canonical_bytes(value: CanonicalValue) -> bytes:
    """Return the RFC 8785 bytes of ``value``.

    Raises:
        CanonicalFormError: a number, an unknown type or a non-string key, named by its JSON path.
    """
    _check(value, "$")
    try:
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError):
        raise CanonicalFormError("$: a string holds half of a surrogate pair, which has no UTF-8 form") from None


def canonical_hash(tag: str, value: CanonicalValue) -> str:
    """Return SHA-256 over a domain tag and the canonical bytes, in hex. Different tags never collide."""
    return hashlib.sha256(b"atomic-margin/v1/" + tag.encode() + b"\n" + canonical_bytes(value)).hexdigest()


def _check(value: object, path: str) -> None:
    if value is None or isinstance(value, (bool, str)):
        return
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                raise CanonicalFormError(f"{path}: keys are strings here, got {key!r}")
            _check(item, f"{path}.{key}")
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            _check(item, f"{path}[{index}]")
    elif isinstance(value, (int, float)):
        raise CanonicalFormError(
            f"{path}: numbers are written as decimal strings here, got {type(value).__name__} {value!r}"
        )
    else:
        raise CanonicalFormError(f"{path}: {type(value).__name__} has no canonical form")

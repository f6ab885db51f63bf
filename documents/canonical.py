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
import json
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
    try:
        # The standard library's encoder is written in C, and RFC 8785 is what it writes of these.
        if _is_plain(value):
            return _encode(value).encode()
        _check(value, "$")
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError):
        raise CanonicalFormError("$: a string holds half of a surrogate pair, which has no UTF-8 form") from None


def canonical_hash(tag: str, value: CanonicalValue) -> str:
    """Return SHA-256 over a domain tag and the canonical bytes, in hex. Different tags never collide."""
    return tagged_hash(tag, canonical_bytes(value))


def tagged_hash(tag: str, data: bytes) -> str:
    """Return the same of canonical bytes that the caller has."""
    return hashlib.sha256(b"atomic-margin/v1/" + tag.encode() + b"\n" + data).hexdigest()


_encode = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), check_circular=False).encode


def _is_plain(value: object) -> bool:
    """Return whether a value is made of objects with ASCII keys, lists and texts, as nearly every document is.

    Keys of other characters are sorted by UTF-16 in RFC 8785, by code point in Python.
    """
    if isinstance(value, str) or value is None or isinstance(value, bool):
        return True
    if type(value) is dict:
        for key, item in value.items():
            if not (isinstance(key, str) and key.isascii() and (type(item) is str or _is_plain(item))):
                return False
        return True
    return type(value) in (list, tuple) and all(map(_is_plain, value))  # type: ignore[call-overload]


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

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
from json.encoder import encode_basestring
from typing import TypeAlias

import rfc8785

from atomic_margin.documents.errors import CanonicalFormError

CanonicalValue: TypeAlias = "bool | str | Sequence[CanonicalValue] | Mapping[str, CanonicalValue] | None"


def canonical_bytes(value: CanonicalValue) -> bytes:
    """Return the RFC 8785 bytes of ``value``.

    Raises:
        CanonicalFormError: a number, an unknown type or a non-string key, named by its JSON path.
    """
    return utf8(canonical_text(value))


def canonical_text(value: CanonicalValue) -> str:
    """Return the same as text, for who puts it together of parts.

    Raises:
        CanonicalFormError: as above; half of a surrogate pair is found when the text becomes bytes.
    """
    try:
        return _text(value)
    except _NotPlainError:
        _check(value, "$")
    try:
        return rfc8785.dumps(value).decode()
    except (rfc8785.CanonicalizationError, UnicodeEncodeError):
        raise CanonicalFormError(_HALF_A_PAIR) from None


def utf8(text: str) -> bytes:
    """Return the bytes of a canonical text.

    Raises:
        CanonicalFormError: it has half of a surrogate pair.
    """
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise CanonicalFormError(_HALF_A_PAIR) from None


def canonical_hash(tag: str, value: CanonicalValue) -> str:
    """Return SHA-256 over a domain tag and the canonical bytes, in hex. Different tags never collide."""
    return tagged_hash(tag, canonical_bytes(value))


def tagged_hash(tag: str, data: bytes) -> str:
    """Return the same of canonical bytes that the caller has."""
    return hashlib.sha256(b"atomic-margin/v1/" + tag.encode() + b"\n" + data).hexdigest()


_HALF_A_PAIR = "$: a string holds half of a surrogate pair, which has no UTF-8 form"


class _NotPlainError(Exception):
    """A value is not made of objects with ASCII keys, lists and texts alone, as nearly every document is."""


def _text(value: object) -> str:
    """Return the canonical text of a plain value. Texts are escaped as the standard library does, which is RFC 8785's.

    Keys of other characters are sorted by UTF-16 there, by code point here.

    Raises:
        _NotPlainError: the value is no plain one.
    """
    if isinstance(value, str):
        return encode_basestring(value)
    if type(value) is dict:
        try:
            plain = "".join(value).isascii()
        except TypeError:
            plain = False
        if not plain:
            raise _NotPlainError
        members = []
        for key in sorted(value):
            item = value[key]
            text = encode_basestring(item) if type(item) is str else _text(item)
            members.append(encode_basestring(key) + ":" + text)
        return "{" + ",".join(members) + "}"
    if type(value) in (list, tuple):
        return "[" + ",".join(map(_text, value)) + "]"  # type: ignore[call-overload]  # narrowed by exact type
    if value is None or isinstance(value, bool):
        return _WORDS[value]
    raise _NotPlainError


_WORDS = {None: "null", True: "true", False: "false"}


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

"""JSON from outside: strict, shallow, and without numbers, which are decimal strings here.

>>> parse_json(b'{"sequence": "7"}')
{'sequence': '7'}
>>> parse_json(b'{"sequence": 7}')
Traceback (most recent call last):
    ...
atomic_margin.service.request_errors.MalformedRequest: numbers are written as decimal strings here, got 7
"""

import json
import re
from decimal import Decimal
from typing import Any

import numpy as np

from atomic_margin.service.errors import MalformedRequest

MAX_DEPTH = 32
# Deeper text is not even parsed. Python's own limit is no help: a library may have raised it (py_ecc does), and then
# the parser ends the process by running out of stack.
_MAX_PARSED_DEPTH = 500
# An unfinished string ends with the text, so that the scan is linear.
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"?', re.DOTALL)
_STEPS = np.array([(byte in b"[{") - (byte in b"]}") for byte in range(256)], dtype=np.int32)


def parse_json(data: bytes, field: str = "document", *, numbers: bool = False) -> Any:
    """Parse JSON from outside: UTF-8, no repeated keys, no NaN or Infinity, no numbers, not nested too deep.

    Args:
        data: the bytes.
        field: what they are, for the error.
        numbers: let numbers through, whole ones as int and others as Decimal, for formats that are not ours.

    Raises:
        MalformedRequest: it is something else.
    """

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in items]
        if len(set(keys)) != len(keys):
            raise MalformedRequest("a JSON object has a key twice", field)
        return dict(items)

    def refuse(text: str) -> Any:
        wanted = "are finite" if numbers else "are written as decimal strings"
        raise MalformedRequest(f"numbers {wanted} here, got {text[:40]}", field)

    whole, other = (int, Decimal) if numbers else (refuse, refuse)
    try:
        text = data.decode("utf-8")
        _require_parsable(data)
        value = json.loads(text, object_pairs_hook=pairs, parse_float=other, parse_int=whole, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise MalformedRequest(f"not JSON: {error}", field) from None
    _require_shallow(value, field)
    # Only an escape can have made one: the bytes themselves were UTF-8.
    if "\\u" in text:
        try:
            json.dumps(value, ensure_ascii=False, default=str).encode("utf-8")
        except UnicodeEncodeError:
            raise MalformedRequest("a string holds half of a surrogate pair", field) from None
    return value


def _require_parsable(data: bytes) -> None:
    depth = np.cumsum(_STEPS[np.frombuffer(_STRING.sub(b"", data), dtype=np.uint8)])
    if depth.max(initial=0) > _MAX_PARSED_DEPTH:
        raise ValueError(f"nested deeper than {_MAX_PARSED_DEPTH} levels")


def _require_shallow(value: object, field: str) -> None:
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise MalformedRequest(f"nested deeper than {MAX_DEPTH} levels", field)
        below: list[object] = []
        for item in level:
            if isinstance(item, dict):
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
        level = below

"""JSON from outside: strict, shallow, and without numbers, which are decimal strings here.

>>> parse_json(b'{"sequence": "7"}')
{'sequence': '7'}
>>> parse_json(b'{"sequence": 7}')
Traceback (most recent call last):
    ...
atomic_margin.service.request_errors.MalformedRequest: numbers are written as decimal strings here, got 7
"""

import json
from decimal import Decimal
from typing import Any

import numpy as np

from atomic_margin.service.errors import MalformedRequest

MAX_DEPTH = 32
"""Of lists and objects in each other. Python's own limit is no help: a library may have raised it (py_ecc does), and
then the parser ends the process by running out of stack."""
MAX_CONTAINERS = 1 << 15
"""Lists and objects of a body, by its brackets. Of genuine ones trades have most: 8,196, for 4096 lines and 4096 trades
in them; a universe of 4096 instruments has 4,100, a bundle some hundred."""
MAX_COMMAS = 1 << 18
"""Commas of a body. Of genuine ones prices have most: 4,100 for each source that quotes 4096 strikes, 150,000 if a tick
of so many sources fills 2 MiB."""
_BLOCK = 1 << 16
_STEPS = np.array([(byte in b"[{") - (byte in b"]}") for byte in range(256)], dtype=np.int8)


def parse_body(data: bytes, field: str = "body") -> Any:
    """Parse JSON that anybody may have sent: `parse_json`, of what takes neither long nor much memory to parse.

    Every byte may begin a list, which takes forty times the memory, and parsing keeps all other threads waiting. So
    lists, objects and values are counted before, strings that hold such signs with them.

    Raises:
        MalformedRequest: it is something else, or has too many parts.
    """
    if data.count(b"[") + data.count(b"{") > MAX_CONTAINERS or data.count(b",") > MAX_COMMAS:
        detail = f"at most {MAX_CONTAINERS} lists and objects, and {MAX_COMMAS} commas, are taken in one document"
        raise MalformedRequest(detail, field)
    return parse_json(data, field)


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
        if _depth(data) > MAX_DEPTH:
            raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
        value = json.loads(text, object_pairs_hook=pairs, parse_float=other, parse_int=whole, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise MalformedRequest(f"not JSON: {error}", field) from None
    # Only an escape can have made one: the bytes themselves were UTF-8.
    if "\\u" in text:
        try:
            json.dumps(value, ensure_ascii=False, default=str).encode("utf-8")
        except UnicodeEncodeError:
            raise MalformedRequest("a string holds half of a surrogate pair", field) from None
    return value


def _depth(data: bytes) -> int:
    """Return how deep lists and objects are in each other, up to where it stops being JSON if it does.

    In blocks, by counts of quotes and brackets: whoever parses would have to be that deep already.
    """
    # Backslashes come in pairs but for one before what it escapes; outside of strings there are none.
    data = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    depth = deepest = quotes = 0
    for start in range(0, len(data), _BLOCK):
        block = np.frombuffer(data[start : start + _BLOCK], dtype=np.uint8)
        before = np.cumsum(block == ord('"'), dtype=np.int32) + quotes
        levels = np.cumsum(np.where(before & 1, 0, _STEPS[block]), dtype=np.int32) + depth
        deepest = max(deepest, int(levels.max()))
        depth, quotes = int(levels[-1]), int(before[-1])
    return deepest

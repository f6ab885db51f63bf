"""JSON from outside: strict, shallow, and without numbers, which are decimal strings here.

>>> parse_json(b'{"sequence": "7"}')
{'sequence': '7'}
>>> parse_json(b'{"sequence": 7}')
Traceback (most recent call last):
    ...
atomic_margin.service.errors.MalformedRequest: numbers are written as decimal strings here, got 7
"""

import json
from typing import Any

from atomic_margin.service.errors import MalformedRequest

MAX_DEPTH = 32


def parse_json(data: bytes, field: str = "document") -> Any:
    """Parse JSON from outside: UTF-8, no repeated keys, no NaN or Infinity, no numbers, not nested too deep.

    Raises:
        MalformedRequest: it is something else.
    """

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in items]
        if len(set(keys)) != len(keys):
            raise MalformedRequest("a JSON object has a key twice", field)
        return dict(items)

    def refuse(text: str) -> Any:
        raise MalformedRequest(f"numbers are written as decimal strings here, got {text[:40]}", field)

    try:
        text = data.decode("utf-8")
        value = json.loads(text, object_pairs_hook=pairs, parse_float=refuse, parse_int=refuse, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise MalformedRequest(f"not JSON: {error}", field) from None
    _require_shallow(value, field)
    # Only an escape can have made one: the bytes themselves were UTF-8.
    if "\\u" in text:
        try:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError:
            raise MalformedRequest("a string holds half of a surrogate pair", field) from None
    return value


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

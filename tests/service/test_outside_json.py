"""JSON from outside: one reading or a named error, never a crash."""

import json
import subprocess
import sys
import tracemalloc
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atomic_margin.documents.strict import MAX_ITEMS
from atomic_margin.service.errors import MalformedRequest
from atomic_margin.service.http.outside_json import MAX_COMMAS, MAX_CONTAINERS, MAX_DEPTH, parse_body, parse_json


def nested(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b'{"a": "1", "a": "1"}', "key twice"),
        (b'{"a": "1", "\\u0061": "2"}', "key twice"),
        (b'{"x": [{"a": "1", "b": "2", "a": "3"}]}', "key twice"),
        (b'{"a": NaN}', "decimal strings here, got NaN"),
        (b'{"a": Infinity}', "decimal strings here, got Infinity"),
        (b'{"a": -Infinity}', "decimal strings here, got -Infinity"),
        (b'{"a": 1}', "decimal strings here, got 1"),
        (b'{"a": -0}', "decimal strings here, got -0"),
        (b'{"a": 0.5}', "decimal strings here, got 0.5"),
        (b'{"a": 1e400}', "decimal strings here, got 1e400"),
        (b"7", "decimal strings here, got 7"),
        (b"[" + b"9" * 100_000 + b"]", "decimal strings here, got 9999"),
        (b"", "not JSON"),
        (b"  ", "not JSON"),
        (b"{", "not JSON"),
        (b'{"a": "1"} {"a": "2"}', "not JSON"),
        (b'{"a": "1",}', "not JSON"),
        (b"{'a': '1'}", "not JSON"),
        (b'{"a": "\n"}', "not JSON"),
        (b'{"a": "\\x41"}', "not JSON"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b'{"a": "\xff"}', "not JSON"),
        (b'{"a": "\xed\xa0\x80"}', "not JSON"),
        ('{"a": "1"}'.encode("utf-16"), "not JSON"),
        (nested(MAX_DEPTH + 1), f"deeper than {MAX_DEPTH}"),
        (nested(100_000), "not JSON|nested"),
        (b"[" * 100_000, "not JSON"),
        (b'{"a":' * 100_000, "not JSON"),
        (b'{"a":' * 100_000 + b'"1"' + b"}" * 100_000, "not JSON|nested"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_what_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(MalformedRequest, match=said) as caught:
        parse_json(data, "the part")
    assert caught.value.field == "the part"
    assert len(str(caught.value)) < 300


@pytest.mark.long
def test_deep_nesting_is_refused_when_a_library_has_raised_the_recursion_limit() -> None:
    """In a process of its own, which a parser that recurses would end."""
    code = """
import sys
from atomic_margin.service.errors import MalformedRequest
from atomic_margin.service.http.outside_json import parse_json
sys.setrecursionlimit(1_000_000)
for data in (b"[" * 10**6, b'{"a":' * 10**6, b'["[",' * 10**6):
    try:
        parse_json(data)
    except MalformedRequest:
        print("refused")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["refused"] * 3


def test_brackets_in_strings_do_not_nest() -> None:
    value = ["[" * 2000, '"{' * 2000, "\\[" * 2000]
    assert parse_json(json.dumps(value).encode()) == value


def test_numbers_are_let_through_where_a_format_has_them() -> None:
    data = b'{"a": 1500000000000000000001, "b": 0.10, "c": 1e3}'
    assert parse_json(data, numbers=True) == {"a": 1500000000000000000001, "b": Decimal("0.10"), "c": Decimal(1000)}
    for text in (b'{"a": NaN}', b'{"a": Infinity}'):
        with pytest.raises(MalformedRequest, match="numbers are finite here"):
            parse_json(text, numbers=True)


def test_a_whole_surrogate_pair_is_a_character() -> None:
    assert parse_json(b'"\\ud83d\\ude00"') == "\U0001f600"


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"null", None),
        (b"true", True),
        (b'""', ""),
        (b"[]", []),
        (b'{"": ""}', {"": ""}),
        (b'{"a": {"a": "1"}}', {"a": {"a": "1"}}),
        (b' \n{"a":"1"}\t', {"a": "1"}),
        ('{"é": "\u2028"}'.encode(), {"é": "\u2028"}),
        (b'{"a": "\\u0000"}', {"a": "\0"}),
    ],
)
def test_what_is_taken(data: bytes, value: object) -> None:
    assert parse_json(data) == value


@pytest.mark.long
def test_the_deepest_and_the_longest_that_are_taken() -> None:
    value = parse_json(nested(MAX_DEPTH - 1))
    for _ in range(MAX_DEPTH - 2):
        (value,) = value
    assert value == []
    assert len(parse_json(b'"' + b"x" * (1 << 24) + b'"')) == 1 << 24
    assert len(parse_json(b"[" + b'"",' * 500_000 + b'""]')) == 500_001


@pytest.mark.parametrize(
    "data",
    [
        b"[" + b",".join([b"[" * 30 + b"]" * 30] * 34_000) + b"]",
        b"[" + b"{}," * MAX_CONTAINERS + b"{}]",
        b"[" + b'"",' * (MAX_COMMAS + 1) + b'""]',
    ],
    ids=["lists", "objects", "values"],
)
def test_a_body_of_many_parts_is_refused_without_being_parsed(data: bytes) -> None:
    """Two megabytes of brackets took 90 MB and a second in which nothing else ran."""
    tracemalloc.start()
    try:
        with pytest.raises(MalformedRequest, match="at most 32768 lists and objects, and 262144 commas"):
            parse_body(data)
        assert tracemalloc.get_traced_memory()[1] < 1 << 14
    finally:
        tracemalloc.stop()


def test_a_body_of_no_more_parts_than_are_taken_needs_little_memory() -> None:
    data = b"[" + b",".join([b"[" * 30 + b"]" * 30] * (MAX_CONTAINERS // 30)) + b"]"
    tracemalloc.start()
    try:
        assert len(parse_body(data)) == MAX_CONTAINERS // 30
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_how_deep_a_long_document_is_is_seen_across_blocks() -> None:
    inner = b'"' + b"[" * (1 << 16) + b'\\\\\\"' + b"{" * (1 << 16) + b'"'
    for levels, taken in ((MAX_DEPTH, True), (MAX_DEPTH + 1, False)):
        data = b"[" * levels + inner + b"]" * levels
        if taken:
            assert parse_json(data) == json.loads(data)
        else:
            with pytest.raises(MalformedRequest, match=f"deeper than {MAX_DEPTH}"):
                parse_json(data)


def test_the_most_parts_of_a_genuine_document_are_far_fewer_than_are_taken() -> None:
    """As many lines, and trades in them, as a list may have; and as many prices of one source."""
    line = {"instrument": "BTC-25DEC26-100000-C", "side": "long", "lots": "780", "price": "97269.4"}
    trades = json.dumps({"opening": {"lines": [line] * MAX_ITEMS}, "trades": [line] * MAX_ITEMS}).encode()
    quotes = json.dumps({str(strike): "0.52" for strike in range(1000, 1000 + MAX_ITEMS)}).encode()
    for data in (trades, quotes):
        assert parse_body(data)
        assert 3 * (data.count(b"{") + data.count(b"[")) < MAX_CONTAINERS
        assert 3 * data.count(b",") < MAX_COMMAS


JSON = st.recursive(
    st.none() | st.booleans() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(JSON, st.booleans())
def test_json_without_numbers_goes_round(value: Any, escaped: bool) -> None:
    assert parse_json(json.dumps(value, ensure_ascii=escaped).encode()) == value


@given(st.binary(max_size=200) | st.text(alphabet='{}[]",:\\u0dN-19e.tf ').map(str.encode))
def test_any_bytes_give_a_value_or_a_named_error(data: bytes) -> None:
    try:
        value = parse_json(data)
    except MalformedRequest:
        return
    assert json.loads(data) == value

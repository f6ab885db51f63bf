"""Canonical bytes are those of RFC 8785, whichever way they are written."""

from enum import Enum

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from atomic_margin.documents.canonical import canonical_bytes
from atomic_margin.documents.errors import CanonicalFormError

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner) | st.dictionaries(st.text('ab\n"\\ ~'), inner),
)


class Word(str, Enum):
    """A text that is also something else, as states are."""

    ONE = "one"


@given(VALUES)
def test_they_are_what_another_library_writes(value: object) -> None:
    assert canonical_bytes(value) == rfc8785.dumps(value)  # type: ignore[arg-type]


def test_every_character_of_one_byte_and_some_others() -> None:
    for text in [*map(chr, range(0x100)), "\u2028", "\ufeff", "\U0001f600", "é"]:
        for value in (text, {"key": text}, {text: "value", "b": None}, [text, True]):
            assert canonical_bytes(value) == rfc8785.dumps(value)


def test_keys_are_sorted_by_utf_16() -> None:
    value = {"\U0001f600": "1", "\ufb33": "2", "a": "3"}
    assert canonical_bytes(value) == '{"a":"3","\U0001f600":"1","\ufb33":"2"}'.encode()


def test_names_of_states_are_texts_and_tuples_lists() -> None:
    assert canonical_bytes({"b": Word.ONE, "a": ("x", None)}) == b'{"a":["x",null],"b":"one"}'


@pytest.mark.parametrize("value", ["\ud800", {"\udfff": "x"}, ["\ud800"], {"é": "\ud800"}])
def test_half_a_pair_has_no_bytes(value: object) -> None:
    with pytest.raises(CanonicalFormError, match="half of a surrogate pair"):
        canonical_bytes(value)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [1, 1.5, {"a": [0]}, {1: "a"}, {"a": b""}, float("nan")])
def test_numbers_and_bytes_are_refused_wherever_they_are(value: object) -> None:
    with pytest.raises(CanonicalFormError):
        canonical_bytes(value)  # type: ignore[arg-type]

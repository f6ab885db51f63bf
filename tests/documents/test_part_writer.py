"""A writer of parts writes the canonical form of each, whatever changed since the one before."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from atomic_margin.documents.canonical import canonical_bytes, utf8
from atomic_margin.documents.fields import Counter
from atomic_margin.documents.strict import Document, Identifier, IdMap, Instant, ListOf, Part, PartWriter, Price


class Inner(Part):
    """A part within a part."""

    number: Counter
    name: str = "é\n"


class Outer(Document):
    """One of every kind of field."""

    TAG = "outer"

    word: Identifier
    flag: bool
    price: Price
    at: Instant
    held: IdMap[Counter]
    items: ListOf[Inner]
    inner: Inner | None = None
    again: Inner | None = None


INNER = st.builds(lambda number, name: {"number": str(number), "name": name}, st.integers(0, 3), st.text(max_size=3))
FIELDS = st.fixed_dictionaries(
    {
        "word": st.sampled_from(["a", "b"]),
        "flag": st.booleans(),
        "price": st.sampled_from(["1.50", "2"]),
        "at": st.sampled_from(["2026-12-25T08:00:00Z", "0999-01-01T00:00:00Z"]),
        "held": st.dictionaries(st.sampled_from(["ETH", "USDC"]), st.integers(0, 3).map(str)),
        "items": st.lists(INNER, max_size=2),
    },
    optional={"inner": INNER, "again": INNER},
)


@given(st.lists(st.tuples(FIELDS, st.sets(st.sampled_from(sorted(Outer.model_fields)))), min_size=1, max_size=6))
def test_each_is_written_as_it_is_hashed(steps: list[tuple[dict[str, Any], set[str]]]) -> None:
    writer, part = PartWriter(), Outer.parse(steps[0][0])
    for fields, taken in steps:
        other = Outer.parse(fields)
        changes = {name: getattr(other, name) for name in taken}
        assert part.changed(changes) == part.model_copy(update=changes)
        part = part.changed(changes)
        assert utf8(writer.text(part)) == canonical_bytes(part.canonical())

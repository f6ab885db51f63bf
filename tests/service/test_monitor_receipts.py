"""What a monitor says of receipts: real logs of a real operator, and what one could write in their place."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from atomic_margin.service.protocol.leaves import price_leaf, tick_leaf
from atomic_margin.service.protocol.signing import Identity, SignedDocument
from atomic_margin.service.verifier.errors import Contradiction
from atomic_margin.service.verifier.monitor import Seen, seen_from_json, seen_to_json
from atomic_margin.service.verifier.receipts import PriceSeen, uncombined

from .test_log import entries, ticks_of
from .test_monitor import Served, contradiction, shown_to_anybody
from .test_monitor_accounts import Account
from .three_sources import GOOD, RULES, SOURCES, last_tick, post, prices
from .tick_server import Ticks
from .world import World

pytestmark = pytest.mark.long

WHEN = "2026-11-20T08:00:00Z"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """Leaves 0 and 1 were pushed, 2 came in the set of tick 1, which is leaf 3; then 4 and 5 for tick 2, a void one."""
    world = World(tmp_path / "operator", Identity.generate(), {}, RULES)
    for document in prices(1, "", "96420.5", "96420.5")["prices"]:
        world.client.post("/v1/prices", json=document, auth=world.signed_by(SOURCES[0]))
    post(world, prices(1, *GOOD))
    for spot in ("88212.5", "88213.5"):
        world.client.post(
            "/v1/prices", json=prices(2, spot, after=last_tick(world))["prices"][0], auth=world.signed_by(SOURCES[0])
        )
    world.void()
    served = Served(world, ticks_of(world))
    served.entries = entries(world)
    served.size = len(served.entries)
    yield served
    world.close()


def signed_again(served: Served, number: int, **changes: Any) -> SignedDocument:
    """A tick of the operator's own hand, and its leaf in place of the honest one."""
    tick = served.identity.sign("tick", {**served.ticks[str(number)].body, **changes})
    served.ticks[str(number)] = tick
    return tick


def test_receipts_are_followed_from_look_to_look(served: Served) -> None:
    seen = Seen()
    for size, waiting in ((1, 1), (3, 3), (4, 0), (5, 1), (6, 2), (7, 0)):
        served.size = size
        looked = served.monitor().look(seen, 0).seen
        seen = seen_from_json(seen_to_json(looked))
        assert (seen, len(seen.prices)) == (looked, waiting)
    assert seen.counts == (2, 0, 0)


def test_a_tick_that_leaves_a_receipted_document_out(served: Served) -> None:
    """Two of three are enough for a tick, and their signatures hold: that there was a third shows in the log alone."""
    documents = served.ticks["1"].body["prices"]
    for index, leaf in ((0, 0), (1, 1)):
        tick = signed_again(served, 1, prices=[one for at, one in enumerate(documents) if at != index])
        served.entries[3:] = [tick_leaf(tick).to_bytes()]
        served.size = 4
        found = contradiction(served, Seen())
        assert "tick 1 leaves out what was receipted for it" in str(found)
        assert [item["kind"] for item in found.documents] == ["checkpoint", "leaf", "leaf", "tick"]
        # With the document that the source has, anybody sees that it is not in the tick.
        assert shown_to_anybody(served, found) == [leaf, 3]
        assert found.documents[-1]["document"] == tick.to_json()


def test_a_void_tick_that_leaves_a_receipted_document_out(served: Served) -> None:
    tick = signed_again(served, 2, prices=[])
    served.entries[6] = tick_leaf(tick).to_bytes()
    assert "tick 2 leaves out what was receipted for it" in str(contradiction(served, Seen()))


def test_a_tick_with_a_document_that_has_no_leaf(served: Served) -> None:
    del served.entries[2]
    served.size = 3
    found = contradiction(served, Seen())
    assert "tick 1 has a document that was not receipted before it" in str(found)
    assert shown_to_anybody(served, found) == [2]


def test_a_leaf_for_a_tick_that_is_made_or_far_ahead(served: Served) -> None:
    """A late document: no honest operator takes it, so the leaf speaks against its own log."""
    for document, number in (
        (prices(1, "96420")["prices"][0], 1),
        (prices(1, "9", named={"sequence": 4})["prices"][0], 4),
    ):
        late = price_leaf(SignedDocument.parse(document), WHEN).to_bytes()
        served.entries[7:], served.size = [late], 8
        found = contradiction(served, Seen())
        assert f"prices for tick {number} are receipted after tick 2, when the next one is 3" in str(found)
        assert shown_to_anybody(served, found) == [6, 7]


def test_an_entry_says_whether_prices_for_the_next_tick_were_receipted(served: Served) -> None:
    """Whoever saw the prices brings no book that counts for them, and an operator that helps is found out."""
    first = tick_leaf(served.ticks["1"])
    for index, receipted in ((4, "1"), (5, "2"), (6, "2")):
        honest = list(served.entries)
        honest.insert(index, Account("fund").leaf(first, receipted=receipted))
        lying = list(served.entries)
        lying.insert(index, Account("fund").leaf(first, receipted={"1": "2", "2": "1"}[receipted]))
        for size in (8, index + 1):
            served.entries, served.size = honest, size
            seen = served.monitor().look(Seen(), 0).seen
            assert seen_from_json(seen_to_json(seen)) == seen
        for before in (0, 5):
            served.entries, served.size = lying, min(before, index)
            seen = served.monitor().look(Seen(), 0).seen if before else Seen()
            served.size = 8
            found = contradiction(served, seen)
            if receipted == "2":
                assert "tick 1 was receipted last, and before it in the log is a document for tick 2" in str(found)
                assert shown_to_anybody(served, found) == [4, index]
            else:
                assert "tick 2 was receipted last, and nothing is since tick 1" in str(found)
                assert shown_to_anybody(served, found) == [3, index]
        served.entries = [entry for entry in honest if b'"kind":"entry"' not in entry]


def test_a_log_that_begins_later_than_its_ticks_is_believed_in_its_first_number(tmp_path: Path) -> None:
    world = World(tmp_path / "late", SOURCES[0], {}, RULES)
    post(world, prices(1, *GOOD))
    later = Ticks(RULES, *SOURCES, operator=world.operator.identity)
    later.signed = ticks_of(world)
    second = later.make(7)
    served = Served(world, later.signed)
    served.entries = served.entries[4:]
    served.size = len(served.entries)
    seen = served.monitor().look(Seen(), 0).seen
    assert seen.ticks is not None
    assert seen.ticks.last == second
    # But not in a document for another number than the tick that then comes.
    (other,) = prices(1, "96420")["prices"]
    served.entries.insert(0, price_leaf(SignedDocument.parse(other), WHEN).to_bytes())
    served.size += 1
    with pytest.raises(Contradiction, match="leaves out what was receipted"):
        served.monitor().look(Seen(), 0)
    world.close()


def test_another_signature_of_the_same_source_is_not_what_was_receipted(served: Served) -> None:
    """The leaf names the whole signed document: it cannot be receipted under one signature and shown under another."""
    tick = served.ticks["1"]
    documents = [SignedDocument.parse(one) for one in tick.body["prices"]]
    leaves = [PriceSeen(index, one.signer, one.hash()) for index, one in enumerate(documents)]
    assert uncombined(leaves, tick, 1) is None
    other = documents[1].model_copy(update={"signature": "5c" * 64})
    leaves[1] = PriceSeen(1, other.signer, other.hash())
    assert uncombined(leaves, tick, 1) == ("tick 1 leaves out what was receipted for it", 1)

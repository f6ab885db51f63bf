"""The order of ticks, as a source and an agent follow it, and what a source remembers of what it signed."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from atomic_margin.service.errors import (
    AlreadySigned,
    ConfigurationError,
    PricesRefused,
    SignatureInvalid,
    SourceError,
    TickForked,
    TickGoneBack,
    TickSkipped,
    TooFewSources,
)
from atomic_margin.service.feed.chain import Known, begin, follow
from atomic_margin.service.feed.memory import SourceMemory, remembering
from atomic_margin.service.protocol.signing import Identity, SignedDocument
from atomic_margin.service.protocol.ticks import NO_TICK, Place, PriceTick

from .documents import price_rules
from .tick_server import Ticks

SOURCES = tuple(Identity.generate() for _ in range(3))
RULES = price_rules(*SOURCES)


@pytest.fixture
def ticks() -> Ticks:
    """Three ticks, the second void."""
    chain = Ticks(RULES, *SOURCES)
    chain.make(0)
    chain.void()
    chain.make(2, "96500")
    return chain


def followed(ticks: Ticks, count: int, known: Known | None = None) -> Known:
    """What somebody knows who saw the first ticks."""
    known = known or begin(ticks.tick(1), None, RULES, ticks.operator.public_key)
    for number in range(known.sequence + 1, count + 1):
        known = follow(known, ticks.tick(number), RULES, ticks.operator.public_key)
    return known


def test_ticks_are_followed_one_by_one_over_void_ones(ticks: Ticks) -> None:
    known = followed(ticks, 2)
    assert (known.sequence, known.last, known.last_market) == (2, ticks.tick(2), ticks.tick(1))
    known = followed(ticks, 3, known)
    assert (known.sequence, known.last_market) == (3, ticks.tick(3))
    # The newest one once more is no news.
    assert follow(known, ticks.tick(3), RULES, ticks.operator.public_key) == known
    assert known.next_place(RULES) == Place(4, RULES.hash(), ticks.tick(3).body_hash(), ticks.tick(3).body_hash())
    # Whoever comes later begins anywhere, at a void one too.
    late = begin(ticks.tick(2), ticks.tick(1), RULES, ticks.operator.public_key)
    assert followed(ticks, 3, late) == known


def test_what_does_not_follow_is_named(ticks: Ticks) -> None:
    key = ticks.operator.public_key
    known = followed(ticks, 1)
    with pytest.raises(TickSkipped, match="after tick 1 comes 2, this is 3"):
        follow(known, ticks.tick(3), RULES, key)
    with pytest.raises(TickGoneBack, match="tick 1 comes after tick 3"):
        follow(followed(ticks, 3), ticks.tick(1), RULES, key)
    with pytest.raises(SignatureInvalid):
        follow(known, ticks.tick(2), RULES, Identity.generate().public_key)


def test_two_ticks_of_one_number_are_named_with_both(ticks: Ticks) -> None:
    """From the same signed prices: an operator may choose which of them it takes, once."""
    other = Ticks(RULES, *SOURCES, operator=ticks.operator)
    other.make(0, sources=2)
    assert other.tick(1).body["market"] == ticks.tick(1).body["market"]
    with pytest.raises(TickForked, match="two ticks of number 1") as fork:
        follow(followed(ticks, 1), other.tick(1), RULES, ticks.operator.public_key)
    assert (fork.value.seen, fork.value.shown) == (ticks.tick(1).to_json(), other.tick(1).to_json())


def test_a_chain_that_forked_before_is_found_at_its_next_tick(ticks: Ticks) -> None:
    other = Ticks(RULES, *SOURCES, operator=ticks.operator)
    other.make(0, sources=2)
    other.make(1)
    with pytest.raises(TickForked, match="tick 2 follows another tick 1") as fork:
        follow(followed(ticks, 1), other.tick(2), RULES, ticks.operator.public_key)
    assert (fork.value.seen, fork.value.shown) == (ticks.tick(1).to_json(), other.tick(2).to_json())


def resigned(ticks: Ticks, number: int, **changes: Any) -> SignedDocument:
    return PriceTick.parse(copy.deepcopy(ticks.tick(number).body) | changes).signed_by(ticks.operator)


def test_an_operator_cannot_name_what_its_sources_did_not(ticks: Ticks) -> None:
    """The sources of the fork signed after another tick: to say that they signed after this one is no use."""
    other = Ticks(RULES, *SOURCES, operator=ticks.operator)
    other.make(0, sources=2)
    other.make(1)
    known, key = followed(ticks, 1), ticks.operator.public_key
    named = {"previous": ticks.tick(1).body_hash(), "last_market": ticks.tick(1).body_hash()}
    with pytest.raises(TooFewSources, match="previous"):
        follow(known, resigned(other, 2, **named), RULES, key)
    # A void tick measured from another one than the last would let the next price jump.
    with pytest.raises(PricesRefused, match="measured from another tick"):
        follow(known, resigned(ticks, 2, last_market=NO_TICK), RULES, key)


def test_other_rules_hold_only_until_the_pinned_ones_do(ticks: Ticks) -> None:
    """A change of rules: whoever pins the new ones goes on from where the old ones were left, and never back."""
    key = ticks.operator.public_key
    known = followed(ticks, 2)
    newer = price_rules(*SOURCES, max_skew_seconds="59")
    ticks.rules = newer
    ticks.signed.pop()
    changed = ticks.make(3, "40000")
    assert changed.body["last_market"] == NO_TICK
    with pytest.raises(PricesRefused, match="never pinned"):
        follow(known, changed, RULES, key)
    known = follow(followed(ticks, 2), changed, newer, key)
    assert known.last_market == changed
    ticks.rules = RULES
    with pytest.raises(PricesRefused, match="never pinned"):
        follow(known, ticks.make(4), newer, key)


def test_ticks_under_the_old_rules_are_followed_by_who_pins_the_new_ones(ticks: Ticks) -> None:
    newer = price_rules(*SOURCES, max_skew_seconds="59")
    known, key = followed(ticks, 1), ticks.operator.public_key
    for number in (2, 3):
        known = follow(known, ticks.tick(number), newer, key)
    ticks.rules = newer
    assert follow(known, ticks.make(4, "40000"), newer, key).sequence == 4


# A source's memory


Sign = Callable[[Place], SignedDocument]


def signing(ticks: Ticks, spot: str = "96420.5") -> Sign:
    """Sign as the first source for the chain's next tick, whose place is given."""
    return lambda place: ticks.prices(9, spot)[0]


def test_a_source_signs_one_document_for_a_number(ticks: Ticks, tmp_path: Path) -> None:
    path = tmp_path / "a" / "memory.json"
    with remembering(path, RULES) as memory:
        place = memory.catch_up(ticks.newest(), ticks.tick)
        assert place == Place(4, RULES.hash(), ticks.tick(3).body_hash(), ticks.tick(3).body_hash())
        signed = memory.sign_once(place, signing(ticks))
    # Another process, later: what is on disk counts.
    with remembering(path, RULES) as memory:
        assert memory.catch_up(ticks.newest(), ticks.tick) == place
        with pytest.raises(AlreadySigned, match="another document is signed for tick 4"):
            memory.sign_once(place, signing(ticks, "96421"))
        with pytest.raises(AlreadySigned, match="tick 4 is signed already"):
            memory.sign_once(place._replace(sequence=3), signing(ticks, "96421"))
        assert memory.sign_once(place, signing(ticks)) == signed
    # A void tick uses the number up, and the next one is signed.
    ticks.void()
    with remembering(path, RULES) as memory:
        place = memory.catch_up(ticks.newest(), ticks.tick)
        assert place.sequence == 5
        memory.sign_once(place, signing(ticks, "96421"))


def test_what_is_signed_is_on_disk_before_it_leaves(
    ticks: Ticks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "memory.json"
    with remembering(path, RULES) as memory:
        place = memory.catch_up(ticks.newest(), ticks.tick)
        monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("no space left")))
        with pytest.raises(OSError, match="no space"):
            memory.sign_once(place, signing(ticks))
    # The file is still whole, and says that nothing was signed.
    assert json.loads(path.read_text())["signed"] is None


def test_a_source_signs_nothing_for_a_chain_that_does_not_follow(ticks: Ticks, tmp_path: Path) -> None:
    path = tmp_path / "memory.json"
    with remembering(path, RULES) as memory:
        memory.catch_up(ticks.newest(), ticks.tick)
    forked = Ticks(RULES, *SOURCES, operator=ticks.operator)
    forked.make(0)
    back = forked.newest()
    for minute in (1, 2):
        forked.make(minute, sources=2)
    same_number = forked.newest()
    forked.make(3)
    stranger = Ticks(RULES, *SOURCES)
    for minute in range(4):
        stranger.make(minute)
    for newest, fetch, error, said in (
        (Ticks(RULES).newest(), ticks.tick, TickGoneBack, "shows no tick"),
        (back, forked.tick, TickGoneBack, "tick 1 comes after tick 3"),
        (same_number, forked.tick, TickForked, "two ticks of number 3"),
        (forked.newest(), forked.tick, TickForked, "follows another tick 3"),
        (stranger.newest(), stranger.tick, SourceError, "not trusted"),
    ):
        with remembering(path, RULES) as memory, pytest.raises(error, match=said):
            memory.catch_up(newest, fetch)
    skipped = ticks.copy()
    skipped.make(3)
    skipped.make(4)
    with remembering(path, RULES) as memory, pytest.raises(TickSkipped):
        memory.catch_up(skipped.newest(), lambda number: skipped.tick(number + 1))
    # None of it was remembered.
    with remembering(path, RULES) as memory:
        assert memory.catch_up(ticks.newest(), ticks.tick).sequence == 4


def test_a_new_source_begins_at_the_newest_tick(ticks: Ticks, tmp_path: Path) -> None:
    with remembering(tmp_path / "none.json", RULES) as memory:
        assert memory.catch_up(Ticks(RULES).newest(), ticks.tick) == Place(1, RULES.hash(), NO_TICK, NO_TICK)
    newer = price_rules(*SOURCES, max_skew_seconds="59")
    for name, rules, measured in (("same", RULES, ticks.tick(3).body_hash()), ("other", newer, NO_TICK)):
        with remembering(tmp_path / f"{name}.json", rules) as memory:
            place = memory.catch_up(ticks.newest(), ticks.tick)
        assert place == Place(4, rules.hash(), ticks.tick(3).body_hash(), measured)
    wrong = resigned(ticks, 3, market=ticks.tick(1).body["market"])
    shown = ticks.newest().model_copy(update={"document": wrong.to_json(), "tick": wrong.body_hash()})
    with remembering(tmp_path / "wrong.json", RULES) as memory, pytest.raises(SourceError, match="do not hold"):
        memory.catch_up(shown, ticks.tick)


def test_a_memory_has_one_process_and_is_never_guessed(tmp_path: Path) -> None:
    path = tmp_path / "memory.json"
    with (
        remembering(path, RULES),
        pytest.raises(ConfigurationError, match="another process"),
        remembering(path, RULES),
    ):
        pass
    for text in ("", "{}", "[]", '{"format": "other", "last": null, "last_market": null, "signed": null}'):
        path.write_text(text)
        with pytest.raises(ConfigurationError):
            SourceMemory(path, RULES)

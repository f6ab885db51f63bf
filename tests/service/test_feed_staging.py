"""Prices beyond the bound of a move: staged, confirmed by a second window of sources, or dropped; attempts to cheat."""

import json
import re
from datetime import timedelta
from pathlib import Path

import pytest

from atomic_margin.service.errors import (
    Conflict,
    PriceMoveTooLarge,
    PricesRefused,
    SignatureInvalid,
    TickForked,
    TooFewSources,
)
from atomic_margin.service.feed.chain import Known, begin, follow
from atomic_margin.service.feed.source import price_set, sign_market
from atomic_margin.service.feed.tick import make_void, verify_staged, verify_tick, verify_void
from atomic_margin.service.protocol.signing import Identity, SignedDocument
from atomic_margin.service.protocol.ticks import NO_TICK, Price, PriceTick, place_after

from .documents import Json, price_rules
from .tick_server import NOON, Ticks

SOURCES = tuple(Identity.generate() for _ in range(3))
MOVE = {"price": "0.1", "volatility": "1", "rate": "0.05"}
RULES = price_rules(*SOURCES, move=MOVE, confirm_after_seconds="90")
GOOD, CRASH = "96420.5", "60000"


def make(ticks: Ticks, *documents: SignedDocument) -> PriceTick:
    return PriceTick.parse(ticks.take(documents).body)


def at(ticks: Ticks, minute: int, spot: str) -> PriceTick:
    """Make the next tick, and follow the whole chain as an agent or a source does."""
    tick = make(ticks, *ticks.prices(minute, spot))
    followed(ticks)
    return tick


def followed(ticks: Ticks) -> Known:
    key = ticks.operator.public_key
    known = begin(ticks.tick(1), None, ticks.rules, key)
    for signed in ticks.signed[1:]:
        known = follow(known, signed, ticks.rules, key)
    return known


@pytest.fixture
def ticks() -> Ticks:
    """A good tick, and a crash after it."""
    chain = Ticks(RULES, *SOURCES)
    at(chain, 0, GOOD)
    at(chain, 1, CRASH)
    return chain


def test_a_crash_beyond_the_bound_goes_on_after_a_second_window(ticks: Ticks) -> None:
    staged = PriceTick.parse(ticks.tick(2).body)
    assert staged.staged is not None
    assert staged.market is None
    assert staged.staged.quote == "underlyings.BTC.spot"
    assert followed(ticks).last_market == ticks.tick(1)
    waits = at(ticks, 2, "61000")
    assert waits.staged is not None
    assert waits.staged.since == staged.staged.since == "2026-11-20T08:01:00Z"
    # 90 seconds after the first staged prices, with other numbers within the bound of the newest ones.
    confirmed = at(ticks, 3, "59500")
    assert confirmed.market is not None
    assert confirmed.confirms == ticks.tick(3)
    assert followed(ticks).last_market == ticks.tick(4)
    # Offline, by what goes along; and the next one moves from there.
    verify_tick(confirmed, RULES, PriceTick.parse(ticks.tick(1).body), ticks.operator.public_key)
    after = at(ticks, 4, "60500")
    assert after.market is not None
    assert after.confirms is None


def test_what_comes_back_drops_what_was_staged(ticks: Ticks) -> None:
    back = at(ticks, 2, "96000")
    assert back.market is not None
    assert back.confirms is None
    assert at(ticks, 9, CRASH).staged is not None


def test_another_price_is_staged_anew_and_its_time_begins_again(ticks: Ticks) -> None:
    anew = at(ticks, 3, "40000")
    assert anew.staged is not None
    assert anew.staged.since == "2026-11-20T08:03:00Z"
    assert at(ticks, 4, "40000").staged is not None
    assert at(ticks, 5, "40000").market is not None


def test_a_void_number_between_begins_the_time_again(ticks: Ticks) -> None:
    ticks.void()
    assert at(ticks, 5, CRASH).staged is not None
    assert at(ticks, 7, CRASH).market is not None


def test_documents_shown_twice_confirm_nothing(ticks: Ticks) -> None:
    again = [SignedDocument.parse(one.to_json()) for one in PriceTick.parse(ticks.tick(2).body).prices]
    with pytest.raises(TooFewSources):
        make(ticks, *again)
    # Nor do the same prices, signed once more with their old time.
    assert at(ticks, 1, CRASH).staged is not None
    assert at(ticks, 1, CRASH).staged is not None


def test_one_source_neither_confirms_its_outlier_nor_stops_the_others(ticks: Ticks) -> None:
    ticks = Ticks(RULES, *SOURCES)
    at(ticks, 0, GOOD)
    alone = ticks.prices(1, CRASH)[:1] + ticks.prices(1, GOOD)[1:]
    assert [one.reason for one in make(ticks, *alone).dropped] == ["outlier"]
    with pytest.raises(TooFewSources):
        make(ticks, *ticks.prices(2, CRASH)[:1])
    # Two crash, then one of them says it later: one that is late is not enough, two are.
    at(ticks, 2, CRASH)
    one_late = ticks.prices(3, CRASH)[:2] + _seconds(ticks, 30)[2:]
    assert make(ticks, *one_late).staged is not None
    two_late = ticks.prices(3, CRASH)[:1] + _seconds(ticks, 40)[1:]
    assert make(ticks, *two_late).market is not None
    followed(ticks)


def _seconds(ticks: Ticks, seconds: int) -> list[SignedDocument]:
    """The crash at minute 3 and some seconds."""
    return _at_second(ticks, 3, seconds, CRASH)


def _at_second(ticks: Ticks, minute: int, second: int, spot: str) -> list[SignedDocument]:
    place, found = place_after(ticks.last, ticks.rules), []
    for source, document in zip(ticks.sources, ticks.prices(minute, spot), strict=True):
        market = Price.parse(document.body).market
        later = market.model_copy(update={"as_of": market.as_of + timedelta(seconds=second)})
        found.append(sign_market(source, later, place))
    return found


def test_an_operator_cannot_stage_void_or_confirm_otherwise(ticks: Ticks) -> None:
    key, first, staged = ticks.operator.public_key, *(PriceTick.parse(one.body) for one in ticks.signed)
    # What is staged is no void number, and cannot be passed as a market.
    with pytest.raises(Conflict, match="not void"):
        make_void(price_set(staged.prices, 2), RULES, NOON, first, first)
    raw = dict(ticks.tick(2).body)
    del raw["staged"]
    with pytest.raises(PricesRefused, match="are staged"):
        verify_void(PriceTick.parse(raw), RULES, first)
    with pytest.raises(PriceMoveTooLarge):
        verify_tick(PriceTick.parse(raw | {"market": ticks.tick(2).body["staged"]["market"]}), RULES, first, key)
    # An earlier first time would confirm too early: whoever follows, the sources among them, goes no further.
    at(ticks, 2, CRASH)
    forged = dict(ticks.tick(3).body)
    forged["staged"] = forged["staged"] | {"since": "2026-11-20T07:00:00Z"}
    with pytest.raises(PricesRefused, match="otherwise"):
        verify_staged(PriceTick.parse(forged), RULES, first, key, staged)
    # Prices within the bound cannot be staged.
    good = Ticks(RULES, *SOURCES, operator=ticks.operator)
    good.signed = ticks.signed[:1]
    inside = dict(good.make(1, "96000").body)
    market = inside.pop("market")
    inside["staged"] = {"quote": "rate", "since": market["as_of"], "market": market}
    with pytest.raises(PricesRefused, match="within the bound"):
        verify_staged(PriceTick.parse(inside), RULES, first, key)
    # What goes along is the tick before and no other staged one; signed by the operator.
    at(ticks, 3, CRASH)
    confirmed = dict(ticks.tick(4).body)
    for wrong in (ticks.tick(2), ticks.tick(1)):
        with pytest.raises(PricesRefused, match="not the tick before"):
            verify_tick(PriceTick.parse(confirmed | {"confirms": wrong.to_json()}), RULES, first, key)
    del confirmed["confirms"]
    with pytest.raises(PriceMoveTooLarge):
        verify_tick(PriceTick.parse(confirmed), RULES, first, key)


def test_another_staged_tick_of_the_number_is_a_fork(ticks: Ticks) -> None:
    known = followed(ticks)
    other = Ticks(RULES, *SOURCES, operator=ticks.operator)
    other.signed = ticks.signed[:1]
    other.make(1, "61000")
    with pytest.raises(TickForked):
        follow(known, other.tick(2), RULES, ticks.operator.public_key)


def test_rules_without_a_second_window_refuse_as_before() -> None:
    rules = price_rules(*SOURCES, move=MOVE)
    assert "confirm_after_seconds" not in rules.canonical()  # type: ignore[operator]
    ticks = Ticks(rules, *SOURCES)
    ticks.make(0, GOOD)
    with pytest.raises(PriceMoveTooLarge):
        ticks.make(1, CRASH)
    assert ticks.void(*ticks.prices(1, CRASH)).body["last_market"] != NO_TICK
    followed(ticks)


def test_what_is_passed_off_as_confirmed_is_refused(ticks: Ticks) -> None:
    key, first = ticks.operator.public_key, PriceTick.parse(ticks.tick(1).body)

    def refused(body: Json, match: str) -> None:
        with pytest.raises(PricesRefused, match=match):
            verify_tick(PriceTick.parse(body), RULES, first, key)

    def passed_off(signed: SignedDocument, before: SignedDocument) -> Json:
        body: Json = dict(signed.body)
        market = body.pop("staged")["market"]
        return {**body, "market": market, "confirms": before.to_json()}

    early, far = ticks.copy(), ticks.copy()
    refused(passed_off(early.make(2, CRASH), ticks.tick(2)), "fewer than 2 sources signed 90 s after")
    refused(passed_off(far.make(9, "40000"), ticks.tick(2)), "not within the bound of the staged ones")
    # Prices that came back need no staged tick.
    back = ticks.copy().make(9, "96000").body
    refused({**back, "confirms": ticks.tick(2).to_json()}, "confirm nothing")
    # Another's signature under the staged tick.
    confirmed = dict(ticks.copy().make(3, CRASH).body)
    stranger = Identity.generate().sign("tick", ticks.tick(2).body)
    with pytest.raises(SignatureInvalid):
        verify_tick(PriceTick.parse({**confirmed, "confirms": stranger.to_json()}), RULES, first, key)
    # A staged market that its documents do not combine to, even if sources sign after it.
    body = json.loads(json.dumps(ticks.tick(2).body))
    body["staged"]["market"]["underlyings"]["BTC"]["spot"] = "58000"
    ticks.signed[1] = ticks.operator.sign("tick", body)
    refused(dict(ticks.make(3, CRASH).body), "staged prices are not what")


def test_the_example_of_the_page() -> None:
    rules = price_rules(*SOURCES, move=MOVE, confirm_after_seconds="60")
    ticks = Ticks(rules, *SOURCES)
    page = (Path(__file__).parents[2] / "docs" / "breakers.md").read_text()
    rows = re.findall(r"^\| \d+ \| 08:(\d\d):(\d\d) \| ([\d,]+) \| (good|staged).*?\| (\S*) ?\|$", page, re.MULTILINE)
    assert len(rows) == 6
    for minute, second, spot, kind, since in rows:
        tick = make(ticks, *_at_second(ticks, int(minute), int(second), spot.replace(",", "")))
        followed(ticks)
        assert (tick.market is None) == (kind == "staged")
        assert (tick.staged.since[11:19] if tick.staged else "") == since
    assert [bool(PriceTick.parse(one.body).confirms) for one in ticks.signed] == [False] * 3 + [True] + [False] * 2

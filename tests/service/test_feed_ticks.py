"""Ticks of three sources at the operator: taken, refused with a reason, or declared void."""

from collections.abc import Callable
from typing import Any

import pytest

from atomic_margin.documents.errors import MalformedDocument
from atomic_margin.documents.strict import format_instant
from atomic_margin.service.errors import PricesRefused
from atomic_margin.service.feed.tick import verify_staged, verify_tick, verify_void
from atomic_margin.service.operator.runs import ticks
from atomic_margin.service.protocol.messages import LastTick
from atomic_margin.service.protocol.price_rules import PriceRules
from atomic_margin.service.protocol.signing import Identity
from atomic_margin.service.protocol.ticks import NO_TICK, PriceSet, PriceTick

from .documents import FUND, Json, example, price_rules
from .three_sources import GOOD, RULES, SOURCES, last_tick, post, prices
from .world import World


@pytest.fixture
def world(three_sources: World) -> World:
    return three_sources


def void(world: World, body: Json, headers: dict[str, str] | None = None) -> Any:
    return world.client.post("/v1/ticks/void", json=body, headers=world.admin if headers is None else headers)


def test_a_tick_of_three_records_who_was_dropped_and_goes_into_the_bundle(world: World) -> None:
    response = post(world, prices(1, "96430", "99999", "96420.5"))
    assert (response.status_code, response.json()) == (202, {"runs": [f"{FUND}.1"]})
    tick = last_tick(world)
    assert tick.market is not None
    assert str(tick.market.underlyings["BTC"].spot) == "96420.5"
    assert [(one.source, one.reason, one.quote) for one in tick.dropped] == [
        (SOURCES[1].public_key, "outlier", "underlyings.BTC.spot")
    ]
    assert [price.signer for price in tick.prices] == [source.public_key for source in SOURCES]
    assert world.client.get("/v1/ticks/1").json()["body"] == tick.canonical()
    assert verify_tick(tick, world.rules, None) == tick.market
    assert (tick.previous, tick.last_market) == (NO_TICK, NO_TICK)


def test_the_tick_before_is_named_and_published(world: World) -> None:
    empty = world.client.get("/v1/ticks").json()
    assert empty == {"sequence": "0", "tick": NO_TICK, "document": None, "last_market": None, "change": None}
    post(world, prices(1, "96430", "99999", "96420.5"))
    before = last_tick(world)
    newest = LastTick.parse(world.client.get("/v1/ticks").json())
    assert (newest.sequence, newest.tick, newest.last_market) == (1, before.hash(), None)
    assert post(world, prices(2, "88212.5", "", "88212.5", after=before)).status_code == 202
    tick = last_tick(world)
    assert (tick.sequence, tick.previous, tick.last_market) == (2, before.hash(), before.hash())
    verify_tick(tick, world.rules, before)
    newest = LastTick.parse(world.client.get("/v1/ticks").json())
    assert (newest.sequence, newest.tick) == (2, tick.hash())
    assert newest.document is not None
    assert newest.last_market is not None
    assert PriceTick.parse(newest.last_market["body"]) == before


def twice(body: Json) -> Json:
    return {**body, "prices": body["prices"][:1] * 2}


Refused = tuple[str, Callable[[PriceTick], Json], int, str, str]
LATER = ("88212.5",) * 3
REFUSED: list[Refused] = [
    ("one source", lambda t: prices(2, "88212.5", after=t), 422, "too-few-sources", "prices"),
    ("two that disagree", lambda t: prices(2, "88212.5", "96420.5", after=t), 422, "too-few-sources", "prices"),
    ("three apart", lambda t: prices(2, "80000", "88212.5", "96420.5", after=t), 422, "too-few-sources", "prices"),
    ("one sent twice", lambda t: twice(prices(2, *GOOD, after=t)), 400, "malformed", "prices[1]"),
    ("a far move", lambda t: prices(2, *["1000"] * 3, after=t), 422, "price-move", "underlyings.BTC.spot"),
    ("same number", lambda t: prices(2, *GOOD, after=t, named={"sequence": 1}), 409, "conflict", "sequence"),
    ("lower number", lambda t: prices(2, *GOOD, after=t, named={"sequence": 0}), 409, "conflict", "sequence"),
    ("skipped number", lambda t: prices(2, *GOOD, after=t, named={"sequence": 3}), 409, "conflict", "sequence"),
    ("nobody's number", lambda t: {**prices(1, *GOOD), "sequence": "2"}, 422, "too-few-sources", "prices"),
    ("other rules", lambda t: prices(2, *LATER, after=t, named={"rules": "1a" * 32}), 422, "too-few-sources", "prices"),
    (
        "other tick",
        lambda t: prices(2, *LATER, after=t, named={"previous": "1a" * 32}),
        422,
        "too-few-sources",
        "prices",
    ),
    ("no tick", lambda t: prices(2, *LATER, after=t, named={"last_market": NO_TICK}), 422, "too-few-sources", "prices"),
    ("same time", lambda t: prices(1, *GOOD, after=t), 422, "prices", "as_of"),
    ("earlier", lambda t: prices(1, *GOOD, after=t, as_of="2026-11-20T07:00:00Z"), 422, "prices", "as_of"),
    ("nothing", lambda t: prices(2, after=t), 422, "too-few-sources", "prices"),
    ("a single document", lambda t: prices(2, *GOOD, after=t)["prices"][0], 422, "malformed-document", "format"),
    ("unpriced", lambda t: prices(2, *GOOD, after=t, collateral={}), 422, "unpriced-asset", "collateral.USDC"),
]


@pytest.mark.parametrize(("body", "status", "slug", "field"), [row[1:] for row in REFUSED], ids=[r[0] for r in REFUSED])
def test_a_tick_that_fails_is_refused_with_a_reason_and_changes_nothing(
    world: World, body: Callable[[PriceTick], Json], status: int, slug: str, field: str
) -> None:
    assert post(world, prices(1, *GOOD)).status_code == 202
    before, states = last_tick(world), world.states()
    response = post(world, body(before))
    problem = response.json()
    assert response.headers["content-type"] == "application/problem+json"
    assert (response.status_code, problem["type"], problem["field"]) == (
        status,
        f"urn:atomic-margin:problem:{slug}",
        field,
    )
    assert problem["detail"]
    assert (last_tick(world), world.states()) == (before, states)
    # Its number is still free.
    assert post(world, prices(2, *LATER, after=before)).status_code == 202


def test_a_tick_without_a_wing_is_taken_and_the_operator_says_what_it_interpolated(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    assert post(world, prices(1, *GOOD)).status_code == 202
    assert "interpolated" not in caplog.text
    before = last_tick(world)
    underlyings = example("market-2")["underlyings"]
    (expiry, *_) = underlyings["BTC"]["expiries"]
    strikes = {
        f"{item.strike:f}"
        for item in world.operator.terms.universe.instruments
        if item.underlying == "BTC" and item.strike is not None and format_instant(item.expiry) == expiry
    }
    missing = min(strikes, key=int)
    del underlyings["BTC"]["expiries"][expiry]["volatilities"][missing]
    assert post(world, prices(2, *LATER, after=before, underlyings=underlyings)).status_code == 202
    assert f"tick 2: 1 volatilities are interpolated, no quote: BTC {expiry} {missing} at 0." in caplog.text
    tick = last_tick(world)
    assert verify_tick(tick, world.rules, before) == tick.market


def test_strangers_are_refused(world: World) -> None:
    body = prices(1, *GOOD)
    body["prices"][0] = Identity.generate().sign("price", body["prices"][0]["body"]).to_json()
    response = post(world, body)
    assert (response.status_code, response.json()["field"]) == (403, "signer")
    assert world.states() == {}


def test_old_prices_are_refused_when_there_is_a_clock(world: World) -> None:
    clocked = price_rules(*SOURCES, max_age_seconds="60")
    world.operator.settings = type(world.operator.settings)(world.directory, clocked)
    response = post(world, prices(1, *GOOD, rules=clocked, as_of="2026-11-01T08:00:00Z"))
    assert response.json()["type"] == "urn:atomic-margin:problem:too-few-sources"
    assert response.json()["detail"].count("stale") == 3


def test_the_first_tick_under_new_rules_has_no_bound_on_its_move(world: World) -> None:
    """What lets an operator go on after a crash that the rules did not foresee: everyone pins other rules."""
    post(world, prices(1, *GOOD))
    before = last_tick(world)
    far = ("40000", "40000", "40000")
    refused = post(world, prices(2, *far, after=before))
    assert refused.json()["type"] == "urn:atomic-margin:problem:price-move"
    wider = price_rules(*SOURCES, max_skew_seconds="59")
    world.operator.settings = type(world.operator.settings)(world.directory, wider)
    # What was signed under the old rules does not count under the new ones.
    assert "rules" in post(world, prices(2, *far, after=before)).json()["detail"]
    # Number and time rise across a change of rules.
    with pytest.raises(PricesRefused, match="not later"):
        ticks.take_tick(world.operator, prices(1, *far, after=before, rules=wider))
    assert post(world, prices(2, *far, after=before, rules=wider)).status_code == 202
    tick = last_tick(world)
    assert (tick.previous, tick.last_market) == (before.hash(), NO_TICK)
    verify_tick(tick, wider, None)
    with pytest.raises(PricesRefused, match="other price rules"):
        verify_tick(tick, world.rules, None)


# Void ticks


def test_a_void_tick_uses_up_its_number_and_the_next_goes_on(world: World) -> None:
    post(world, prices(1, *GOOD))
    before = last_tick(world)
    lonely = prices(2, "88212.5", after=before)
    assert post(world, lonely).status_code == 422
    assert void(world, lonely, {}).status_code == 401
    response = void(world, lonely)
    assert (response.status_code, response.json()["type"]) == (201, "tick")
    tick = last_tick(world)
    assert response.json()["body"] == tick.canonical() == world.client.get("/v1/ticks/2").json()["body"]
    assert (tick.sequence, tick.market, tick.dropped) == (2, None, ())
    assert (tick.previous, tick.last_market) == (before.hash(), before.hash())
    assert [price.signer for price in tick.prices] == [SOURCES[0].public_key]
    verify_void(tick, RULES, before)
    assert set(world.states()) == {f"{FUND}.1"}
    with pytest.raises(PricesRefused, match="void"):
        verify_tick(tick, RULES, before)
    # Its number is gone, the next one follows it, and a move is measured from the last prices there were.
    assert post(world, prices(2, *LATER, after=before)).json()["field"] == "sequence"
    assert void(world, {**lonely, "sequence": "4"}).json()["field"] == "sequence"
    far = post(world, prices(2, *["1000"] * 3, after=tick))
    assert far.json()["type"] == "urn:atomic-margin:problem:price-move"
    assert post(world, prices(1, *GOOD, after=tick)).json()["field"] == "as_of"
    assert post(world, prices(2, *LATER, after=tick)).json() == {"runs": [f"{FUND}.3"]}
    third = last_tick(world)
    assert (third.previous, third.last_market) == (tick.hash(), before.hash())
    verify_tick(third, RULES, before)
    with pytest.raises(PricesRefused, match="another tick"):
        verify_tick(third, RULES, tick)


@pytest.mark.parametrize(
    "body",
    [
        lambda t: prices(2, after=t),
        lambda t: prices(2, "1000", "1000", "1000", after=t),
        lambda t: prices(1, *GOOD, after=t),
    ],
    ids=["no documents", "a far move", "no later time"],
)
def test_whatever_makes_no_tick_can_be_declared_void(world: World, body: Callable[[PriceTick], Json]) -> None:
    post(world, prices(1, *GOOD))
    before = last_tick(world)
    assert post(world, body(before)).status_code == 422
    assert void(world, body(before)).status_code == 201
    verify_void(last_tick(world), RULES, before)


def test_what_makes_a_tick_is_not_void(world: World) -> None:
    assert void(world, prices(1, *GOOD)).json()["type"] == "urn:atomic-margin:problem:conflict"
    twice_sent = void(world, twice(prices(1, *GOOD)))
    assert (twice_sent.status_code, twice_sent.json()["field"]) == (400, "prices[1]")
    stranger = prices(1, *GOOD)
    stranger["prices"][0] = Identity.generate().sign("price", stranger["prices"][0]["body"]).to_json()
    assert void(world, stranger).status_code == 403
    assert world.client.get("/v1/ticks").json()["sequence"] == "0"
    post(world, prices(1, *GOOD))
    tick = last_tick(world)
    body = {name: value for name, value in dict(tick.canonical()).items() if name != "market"}  # type: ignore[call-overload]
    with pytest.raises(PricesRefused, match="its documents make a tick"):
        verify_void(PriceTick.parse(body), RULES, None)
    with pytest.raises(PricesRefused, match="has no market"):
        verify_void(tick, RULES, None)


def test_the_rules_are_published(world: World) -> None:
    assert PriceRules.parse(world.client.get("/v1/terms/price_rules").json()) == world.rules
    assert world.client.get("/v1/operator").json()["price_rules"] == world.rules.hash()


def test_more_documents_than_sources_could_sign_are_refused_unread() -> None:
    given = {"format": "atomic-margin/prices/2", "sequence": "1", "prices": [{}] * 129}
    with pytest.raises(MalformedDocument, match="at most 128 documents here, got 129"):
        PriceSet.parse(given)
    with pytest.raises(MalformedDocument, match=r"prices\[0\]"):
        PriceSet.parse({**given, "prices": [{}] * 128})


# Staged ticks


def test_a_crash_is_staged_without_a_run_and_goes_on_after_a_second_window(world: World) -> None:
    staging = price_rules(*SOURCES, confirm_after_seconds="60")
    world.operator.settings = type(world.operator.settings)(world.directory, staging)
    crash = ("40000", "40000", "40000")
    assert post(world, prices(1, *GOOD, rules=staging)).json() == {"runs": [f"{FUND}.1"]}
    first = last_tick(world)
    sent = prices(2, *crash, after=first, rules=staging, as_of="2026-11-20T09:00:00Z")
    assert void(world, sent).json()["type"] == "urn:atomic-margin:problem:conflict"
    response = post(world, sent)
    assert (response.status_code, response.json()) == (202, {"runs": []})
    staged = last_tick(world)
    assert (staged.market, staged.last_market) == (None, first.hash())
    verify_staged(staged, staging, first, world.key)
    assert world.client.get("/v1/ticks/2").json()["body"] == staged.canonical()
    # The same documents once more are of a number that is gone.
    assert post(world, sent).json()["field"] == "sequence"
    again = prices(2, *crash, after=staged, rules=staging, as_of="2026-11-20T09:01:00Z")
    assert post(world, again).json() == {"runs": [f"{FUND}.3"]}
    confirmed = last_tick(world)
    assert confirmed.confirms is not None
    assert confirmed.confirms.body_hash() == staged.hash() == confirmed.previous
    verify_tick(confirmed, staging, first, world.key)

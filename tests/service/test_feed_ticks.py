"""Ticks of three sources at the operator, in bundles, and as agent and verifier recompute them."""

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from atomic_margin.margin.market.market import Market
from atomic_margin.service.errors import Conflict, PricesRefused, RequestError, SignatureInvalid
from atomic_margin.service.feed.source import price_set, sign_market
from atomic_margin.service.feed.tick import verify_tick
from atomic_margin.service.operator.runs import ticks
from atomic_margin.service.operator.store.tables import Tick
from atomic_margin.service.protocol.documents import parse_signed
from atomic_margin.service.protocol.price_rules import PriceRules
from atomic_margin.service.protocol.signing import Identity
from atomic_margin.service.protocol.ticks import PriceTick

from .documents import FUND, Json, example, price_rules
from .stages import Stages
from .world import World

SOURCES = tuple(Identity.generate() for _ in range(3))


@pytest.fixture
def world(stages: Stages, tmp_path: Path) -> Iterator[World]:
    """An account with collateral and a portfolio, before its first tick, at an operator with three sources."""
    single = stages.open("submitted", tmp_path / "three")
    single.close()
    world = World(single.directory, single.source, single.funds, price_rules(*SOURCES))
    yield world
    world.close()


def prices(number: int, *spots: str, sequence: int | None = None, **changes: object) -> Json:
    """An example's prices as sources sign them that see these spots of BTC; no spot for a source that is silent."""
    documents = []
    for source, spot in zip(SOURCES, spots, strict=False):
        if spot:
            body = example(f"market-{number}") | changes
            body["underlyings"]["BTC"]["spot"] = spot
            documents.append(sign_market(source, Market.parse(body), sequence))
    document: Any = price_set(documents, number if sequence is None else sequence).canonical()
    return dict(document)


def post(world: World, body: Json) -> Any:
    return world.client.post("/v1/ticks", json=body)


def last_tick(world: World) -> PriceTick:
    with world.operator.store.unit_of_work() as session:
        row = session.query(Tick).order_by(Tick.sequence.desc()).first()
    assert row is not None
    signed, tick = parse_signed(row.document, PriceTick)
    signed.verify(frozenset({world.key}))
    return tick


GOOD = ("96420.5", "96420.5", "96420.5")


def test_a_tick_of_three_records_who_was_dropped_and_goes_into_the_bundle(world: World) -> None:
    response = post(world, prices(1, "96430", "99999", "96420.5"))
    assert (response.status_code, response.json()) == (202, {"runs": [f"{FUND}.1"]})
    tick = last_tick(world)
    assert str(tick.market.underlyings["BTC"].spot) == "96420.5"
    assert [(one.source, one.reason, one.quote) for one in tick.dropped] == [
        (SOURCES[1].public_key, "outlier", "underlyings.BTC.spot")
    ]
    assert [price.signer for price in tick.prices] == [source.public_key for source in SOURCES]
    assert world.client.get("/v1/ticks/1").json()["body"] == tick.canonical()
    assert verify_tick(tick, world.rules) == tick.market


def test_the_tick_before_goes_along_without_those_that_were_dropped(world: World) -> None:
    post(world, prices(1, "96430", "99999", "96420.5"))
    before = last_tick(world)
    assert before.previous is None
    assert post(world, prices(2, "88212.5", "", "88212.5")).status_code == 202
    tick = last_tick(world)
    assert tick.previous is not None
    assert [price.signer for price in tick.previous.prices] == [SOURCES[0].public_key, SOURCES[2].public_key]
    assert (tick.previous.sequence, tick.previous.received_at) == (1, before.received_at)
    verify_tick(tick, world.rules)


REFUSED: list[tuple[str, Json, int, str, str]] = [
    ("one source", prices(2, "88212.5"), 422, "too-few-sources", "prices"),
    ("two that disagree", prices(2, "88212.5", "96420.5"), 422, "too-few-sources", "prices"),
    ("three that disagree", prices(2, "80000", "88212.5", "96420.5"), 422, "too-few-sources", "prices"),
    (
        "one twice",
        {**prices(2, *GOOD), "prices": prices(2, *GOOD)["prices"][:1] * 2},
        422,
        "prices",
        "prices[1].signer",
    ),
    ("all moved too far", prices(2, "1000", "1000", "1000"), 422, "price-move", "underlyings.BTC.spot"),
    ("same number", prices(2, *GOOD, sequence=1), 409, "conflict", "sequence"),
    ("lower number", prices(2, *GOOD, sequence=0), 409, "conflict", "sequence"),
    ("number of nobody", {**prices(2, *GOOD), "sequence": "9"}, 422, "too-few-sources", "prices"),
    ("same time", prices(1, *GOOD, sequence=2), 409, "conflict", "as_of"),
    ("earlier", prices(1, *GOOD, sequence=2, as_of="2026-11-20T07:00:00Z"), 409, "conflict", "as_of"),
    ("nothing", {**prices(2, *GOOD), "prices": []}, 422, "malformed-document", "prices"),
    ("a single document", prices(2, *GOOD)["prices"][0], 422, "malformed-document", "format"),
    ("no collateral prices", prices(2, *GOOD, collateral={}), 422, "unpriced-asset", "collateral.USDC"),
]


@pytest.mark.parametrize(("body", "status", "slug", "field"), [row[1:] for row in REFUSED], ids=[r[0] for r in REFUSED])
def test_a_tick_that_fails_is_refused_with_a_reason_and_changes_nothing(
    world: World, body: Json, status: int, slug: str, field: str
) -> None:
    assert post(world, prices(1, *GOOD)).status_code == 202
    before, states = last_tick(world), world.states()
    response = post(world, body)
    problem = response.json()
    assert response.headers["content-type"] == "application/problem+json"
    assert (response.status_code, problem["type"], problem["field"]) == (
        status,
        f"urn:atomic-margin:problem:{slug}",
        field,
    )
    assert problem["detail"]
    assert (last_tick(world), world.states()) == (before, states)
    assert post(world, prices(2, "88212.5", "88212.5", "88212.5")).status_code == 202


def test_strangers_are_refused(world: World) -> None:
    body = prices(1, *GOOD)
    body["prices"][0] = Identity.generate().sign("price", body["prices"][0]["body"]).to_json()
    response = post(world, body)
    assert (response.status_code, response.json()["field"]) == (403, "signer")
    assert world.states() == {}


def test_old_prices_are_refused_when_there_is_a_clock(world: World) -> None:
    clocked = price_rules(*SOURCES, max_age_seconds="60")
    world.operator.settings = type(world.operator.settings)(world.directory, clocked)
    response = post(world, prices(1, *GOOD, as_of="2026-11-01T08:00:00Z"))
    assert response.json()["type"] == "urn:atomic-margin:problem:too-few-sources"
    assert response.json()["detail"].count("stale") == 3


def test_the_first_tick_under_new_rules_has_no_bound_on_its_move(world: World) -> None:
    """What lets an operator go on after a crash that the rules did not foresee: everyone pins other rules."""
    post(world, prices(1, *GOOD))
    far = prices(2, "40000", "40000", "40000")
    assert post(world, far).json()["type"] == "urn:atomic-margin:problem:price-move"
    wider = price_rules(*SOURCES, max_skew_seconds="59")
    world.operator.settings = type(world.operator.settings)(world.directory, wider)
    assert post(world, far).status_code == 202
    tick = last_tick(world)
    assert tick.previous is None
    verify_tick(tick, wider)
    with pytest.raises(PricesRefused, match="other price rules"):
        verify_tick(tick, world.rules)
    # Number and time rise across a change of rules.
    with pytest.raises(Conflict):
        ticks.take_tick(world.operator, prices(1, *GOOD, sequence=2))


# What agent and verifier find when the operator combines otherwise


@pytest.fixture
def honest(world: World) -> PriceTick:
    post(world, prices(1, *GOOD))
    post(world, prices(2, "88212.5", "88300", "99999"))
    return last_tick(world)


def change(tick: PriceTick, alter: Callable[[Any], None]) -> PriceTick:
    body: Any = copy.deepcopy(tick.canonical())
    alter(body)
    return PriceTick.parse(body)


def other_market(body: Any) -> None:
    body["market"]["underlyings"]["BTC"]["spot"] = "88300"


def drop_another(body: Any) -> None:
    body["dropped"] = [{"source": SOURCES[0].public_key, "reason": "stale"}]


def drop_silently(body: Any) -> None:
    body["dropped"] = []


def leave_out(body: Any) -> None:
    body["prices"] = body["prices"][:1]


def rewrite(body: Any) -> None:
    body["prices"][0]["body"]["underlyings"]["BTC"]["spot"] = "88300"


def own_source(body: Any) -> None:
    body["prices"][0] = Identity.generate().sign("price", body["prices"][0]["body"]).to_json()


def other_rules(body: Any) -> None:
    body["rules"] = "1a" * 32


def other_number(body: Any) -> None:
    body["sequence"] = "3"


def other_previous(body: Any) -> None:
    body["previous"]["prices"] = body["previous"]["prices"][:1]


def later_previous(body: Any) -> None:
    body["previous"]["sequence"] = "2"
    body["previous"]["prices"] = [p for p in body["prices"] if p["signer"] != SOURCES[2].public_key]


def odd_previous(body: Any) -> None:
    body["previous"]["prices"] = [
        *body["previous"]["prices"][:2],
        prices(1, "", "", "99999")["prices"][0],
    ]


@pytest.mark.parametrize(
    ("alter", "error"),
    [
        (other_market, PricesRefused),
        (drop_another, PricesRefused),
        (drop_silently, PricesRefused),
        (leave_out, PricesRefused),
        (rewrite, SignatureInvalid),
        (own_source, SignatureInvalid),
        (other_rules, PricesRefused),
        (other_number, PricesRefused),
        (other_previous, PricesRefused),
        (later_previous, Conflict),
        (odd_previous, PricesRefused),
    ],
    ids=lambda value: value.__name__,
)
def test_a_tick_that_is_not_what_its_sources_signed_is_found(
    honest: PriceTick, alter: Callable[[Any], None], error: type[RequestError]
) -> None:
    rules = price_rules(*SOURCES)
    verify_tick(honest, rules)
    with pytest.raises(error):
        verify_tick(change(honest, alter), rules)


def test_a_move_that_the_operator_let_pass_is_found(world: World) -> None:
    wide = price_rules(*SOURCES, move={"price": "0.9", "volatility": "1", "rate": "0.05"})
    world.operator.settings = type(world.operator.settings)(world.directory, wide)
    post(world, prices(1, *GOOD))
    assert post(world, prices(2, "40000", "40000", "40000")).status_code == 202
    tick = last_tick(world)
    verify_tick(tick, wide)
    body: Any = tick.canonical()
    with pytest.raises(PricesRefused, match="from one tick to the next"):
        verify_tick(PriceTick.parse({**body, "rules": world.rules.hash()}), world.rules)


def test_the_rules_are_published(world: World) -> None:
    assert PriceRules.parse(world.client.get("/v1/terms/price_rules").json()) == world.rules
    assert world.client.get("/v1/operator").json()["price_rules"] == world.rules.hash()

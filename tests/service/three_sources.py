"""Prices of three sources as an operator is sent them, for tests of ticks at the operator and at whoever verifies."""

from typing import Any

from atomic_margin.margin.market.market import Market
from atomic_margin.service.feed.source import price_set, sign_market
from atomic_margin.service.operator.store.tables import Tick
from atomic_margin.service.protocol.bodies import parse_signed
from atomic_margin.service.protocol.price_rules import PriceRules
from atomic_margin.service.protocol.signing import Identity
from atomic_margin.service.protocol.ticks import PriceTick, place_after

from .documents import Json, example, price_rules
from .world import World

SOURCES = tuple(Identity.generate() for _ in range(3))
RULES = price_rules(*SOURCES)

GOOD = ("96420.5", "96420.5", "96420.5")


def prices(
    number: int,
    *spots: str,
    after: PriceTick | None = None,
    rules: PriceRules = RULES,
    named: Json | None = None,
    **changes: object,
) -> Json:
    """An example's prices as sources sign them that see these spots of BTC; no spot for a source that is silent.

    They are for the tick `after`, unless they are `named` otherwise.
    """
    documents, place = [], place_after(after, rules)._replace(**(named or {}))
    for source, spot in zip(SOURCES, spots, strict=False):
        if spot:
            body = example(f"market-{number}") | changes
            body["underlyings"]["BTC"]["spot"] = spot
            documents.append(sign_market(source, Market.parse(body), place))
    document: Any = price_set(documents, place.sequence).canonical()
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

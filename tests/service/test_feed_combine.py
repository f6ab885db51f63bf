"""k-of-n prices: medians, what is dropped, what is refused, and that nothing a minority does matters."""

from datetime import datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atomic_margin.documents.errors import DocumentError, DuplicateId, OutOfRange
from atomic_margin.margin.market.market import Market
from atomic_margin.service.errors import (
    MalformedRequest,
    PriceMoveTooLarge,
    SignatureInvalid,
    TooFewSources,
)
from atomic_margin.service.feed.combine import check_move, combine, quotes_of
from atomic_margin.service.protocol.price_rules import PriceRules
from atomic_margin.service.protocol.signing import Identity, SignedDocument
from atomic_margin.service.protocol.ticks import NO_TICK, Place, Price

from .documents import Json, example, price_rules

SOURCES = tuple(Identity.generate() for _ in range(5))
PLACE = Place(1, "5a" * 32, NO_TICK, NO_TICK)
ARRIVED = datetime(2026, 11, 20, 8, 0, 10, tzinfo=timezone.utc)
EXPIRY = "2026-12-25T08:00:00Z"


def market(*changes: tuple[str, str], **more: object) -> Json:
    """The first example with quotes changed by path (`BTC.spot` for underlyings.BTC.spot)."""
    body = {**example("market-1"), **more}
    for path, text in changes:
        at = body["underlyings"]
        *parents, last = path.split("/")
        for name in parents:
            at = at[name]
        at[last] = text
    return body


def signed(*bodies: Json, sources: tuple[Identity, ...] = SOURCES) -> list[SignedDocument]:
    named = {"rules": PLACE.rules, "previous": PLACE.previous, "last_market": PLACE.last_market}
    return [source.sign("price", {**named, "market": body}) for source, body in zip(sources, bodies, strict=False)]


def spot_of(prices: Market) -> str:
    return format(prices.underlyings["BTC"].spot, "f")


def combined_spot(*spots: str, rules: PriceRules | None = None) -> str:
    documents = signed(*(market(("BTC/spot", spot)) for spot in spots))
    rules = rules or price_rules(*SOURCES[: len(spots)])
    return spot_of(combine(documents, rules, PLACE, ARRIVED).market)


def test_one_source_is_the_same_mechanism() -> None:
    body = example("market-1")
    result = combine(signed(body), price_rules(SOURCES[0]), PLACE, ARRIVED)
    assert result.market.canonical() == body
    assert result.dropped == ()


def test_every_quote_is_the_median_of_its_own() -> None:
    bodies = [
        market(("BTC/spot", "96400"), ("ETH/spot", "3430"), rate="0.0396"),
        market(("BTC/spot", "96420.5"), ("ETH/spot", "3410"), rate="0.0394"),
        market(("BTC/spot", "96500"), ("ETH/spot", "3418.40"), rate="0.0395"),
    ]
    result = combine(signed(*bodies), price_rules(*SOURCES[:3]), PLACE, ARRIVED)
    assert result.market.canonical() == {**example("market-1"), "rate": "0.0395"}
    assert len(result.used) == 3


def test_of_an_even_number_the_lower_middle_quote_counts_as_it_is_spelled() -> None:
    assert combined_spot("96500", "96400.00", "96600", "96450.5") == "96450.5"
    assert combined_spot("96400", "96500", rules=price_rules(*SOURCES[:3])) == "96400"
    # Equal numbers: the spelling does not depend on the order of the documents.
    assert combined_spot("96400.0", "96400") == combined_spot("96400", "96400.0")


def test_the_median_time_is_the_time_and_strangers_to_it_are_dropped() -> None:
    times = ["2026-11-20T08:00:00Z", "2026-11-20T08:01:00Z", "2026-11-20T07:59:00Z"]
    documents = signed(*(market(as_of=time) for time in times))
    result = combine(documents, price_rules(*SOURCES[:3]), PLACE, ARRIVED)
    assert result.market.canonical() == example("market-1")
    late = signed(market(), market(), market(as_of="2026-11-20T08:01:01Z"))
    result = combine(late, price_rules(*SOURCES[:3]), PLACE, ARRIVED)
    assert [(one.source, one.reason) for one in result.dropped] == [(SOURCES[2].public_key, "early")]
    early = signed(market(), market(), market(as_of="2026-11-20T07:58:59Z"))
    result = combine(early, price_rules(*SOURCES[:3]), PLACE, ARRIVED)
    assert [(one.source, one.reason) for one in result.dropped] == [(SOURCES[2].public_key, "stale")]


def test_with_a_clock_old_and_future_prices_are_dropped() -> None:
    rules = price_rules(*SOURCES[:3], max_age_seconds="120", max_skew_seconds="300")
    for age, left in ((0, 3), (120, 3), (121, 0), (86400, 0), (-300, 3), (-301, 0)):
        arrived = datetime(2026, 11, 20, 8, 0, 0, tzinfo=timezone.utc) + timedelta(seconds=age)
        documents = signed(market(), market(), market())
        if left:
            assert len(combine(documents, rules, PLACE, arrived).used) == left
        else:
            with pytest.raises(TooFewSources, match="stale" if age > 0 else "early"):
                combine(documents, rules, PLACE, arrived)


@pytest.mark.parametrize(("stood", "fresh"), [("100000", "60000"), ("96420.5", "71000")])
def test_sources_that_stand_still_do_not_outvote_one_that_is_right(stood: str, fresh: str) -> None:
    """Two hours old and equal: the median of time and price is theirs, and only a bound on age refuses it."""
    old = market(("BTC/spot", stood), as_of="2026-11-20T06:00:00Z")
    documents = signed(old, old, market(("BTC/spot", fresh)))
    assert spot_of(combine(documents, price_rules(*SOURCES[:3]), PLACE, ARRIVED).market) == stood
    with pytest.raises(TooFewSources, match="stale"):
        combine(documents, price_rules(*SOURCES[:3], max_age_seconds="120"), PLACE, ARRIVED)


@pytest.mark.parametrize(
    ("change", "quote"),
    [
        (("BTC/spot", "98400"), "underlyings.BTC.spot"),
        (("BTC/spot", "1"), "underlyings.BTC.spot"),
        (("ETH/perpetual", "3000"), "underlyings.ETH.perpetual"),
        ((f"BTC/expiries/{EXPIRY}/forward", "100000"), f"underlyings.BTC.expiries.{EXPIRY}.forward"),
        (
            (f"BTC/expiries/{EXPIRY}/volatilities/90000", "0.56"),
            f"underlyings.BTC.expiries.{EXPIRY}.volatilities.90000",
        ),
    ],
    ids=str,
)
def test_an_outlier_is_dropped_and_recorded(change: tuple[str, str], quote: str) -> None:
    documents = signed(market(), market(change), market())
    result = combine(documents, price_rules(*SOURCES[:3]), PLACE, ARRIVED)
    assert result.market.canonical() == example("market-1")
    assert [one.model_dump() for one in result.dropped] == [
        {"source": SOURCES[1].public_key, "reason": "outlier", "quote": quote}
    ]
    assert result.used == (documents[0], documents[2])
    with pytest.raises(TooFewSources, match="outlier"):
        combine(documents, price_rules(*SOURCES[:3], required=3), PLACE, ARRIVED)


def test_a_bound_is_kept_exactly() -> None:
    """2 % of 96,420.5 are 1,928.41."""
    for spot, dropped in (("98348.91", 0), ("98348.92", 1), ("94492.09", 0), ("94492.08", 1)):
        documents = signed(market(), market(), market(("BTC/spot", spot)))
        assert len(combine(documents, price_rules(*SOURCES[:3]), PLACE, ARRIVED).dropped) == dropped


def test_of_two_that_disagree_neither_counts() -> None:
    with pytest.raises(TooFewSources, match=r"1 of 3 sources count, 2 are required.*outlier.*BTC.spot"):
        combined_spot("96420.5", "99000", rules=price_rules(*SOURCES[:3]))


def test_other_sequence_numbers_and_documents_that_are_no_market_are_dropped() -> None:
    good = market()
    bad = [market(sequence="2"), market(("BTC/spot", "-1")), {**market(), "note": None}, {"a": "b"}]
    for body, reason in zip(bad, ("sequence", "malformed", "malformed", "malformed"), strict=True):
        result = combine(signed(good, good, body), price_rules(*SOURCES[:3]), PLACE, ARRIVED)
        assert [(one.source, one.reason) for one in result.dropped] == [(SOURCES[2].public_key, reason)]
    with pytest.raises(TooFewSources, match=r"market\.underlyings\.BTC\.spot: a price is above zero"):
        combine(signed(bad[1]), price_rules(SOURCES[0]), PLACE, ARRIVED)


@pytest.mark.parametrize(
    ("named", "reason"),
    [
        ({"rules": "6b" * 32}, "rules"),
        ({"previous": "6b" * 32}, "previous"),
        ({"last_market": "6b" * 32}, "previous"),
        ({"rules": "6b" * 32, "previous": "6b" * 32}, "rules"),
    ],
    ids=str,
)
def test_what_names_other_rules_or_another_tick_before_counts_nowhere(named: Json, reason: str) -> None:
    rules = price_rules(*SOURCES[:3])
    good = signed(market(("BTC/spot", "96400")), market(("BTC/spot", "96500")))
    (other,) = signed(market(("BTC/spot", "96600")), sources=SOURCES[2:])
    misplaced = SOURCES[2].sign("price", {**other.body, **named})
    result = combine([misplaced, *good], rules, PLACE, ARRIVED)
    assert [(one.source, one.reason) for one in result.dropped] == [(SOURCES[2].public_key, reason)]
    # Whoever leaves it out gets the same prices; with the place it should have named it would have counted.
    assert result.market == combine(good, rules, PLACE, ARRIVED).market
    assert spot_of(combine([other, *good], rules, PLACE, ARRIVED).market) == "96500"
    with pytest.raises(TooFewSources, match=reason):
        combine([misplaced, good[0]], rules, PLACE, ARRIVED)


@pytest.mark.parametrize("other", [{"previous": "6b" * 32}, {"rules": "6b" * 32}, {}], ids=str)
def test_a_source_that_signs_two_documents_for_one_tick_counts_as_none(other: Json) -> None:
    rules = price_rules(*SOURCES[:3])
    documents = signed(market(("BTC/spot", "96400")), market(("BTC/spot", "96500")), market(("BTC/spot", "96600")))
    (second,) = signed(market(("BTC/spot", "96601")), sources=SOURCES[2:])
    second = SOURCES[2].sign("price", {**second.body, **other})
    for sent in ([*documents, second], [second, *documents]):
        result = combine(sent, rules, PLACE, ARRIVED)
        assert [(one.source, one.reason) for one in result.dropped] == [(SOURCES[2].public_key, "twice")]
        assert spot_of(result.market) == "96400"
        assert [document.signer for document in result.used] == [source.public_key for source in SOURCES[:2]]
    with pytest.raises(TooFewSources, match=r"1 of 3 sources count, 2 are required; dropped: .* twice"):
        combine([documents[0], documents[2], second], rules, PLACE, ARRIVED)
    # One for another tick beside it is no second one.
    (next_one,) = signed(market(sequence="2"), sources=SOURCES[2:])
    result = combine([*documents, next_one], rules, PLACE, ARRIVED)
    assert spot_of(result.market) == "96500"
    assert [one.reason for one in result.dropped] == ["sequence"]
    assert len(result.used) == 3


def test_a_quote_counts_when_enough_sources_have_it() -> None:
    def without(body: Json, asset: str) -> Json:
        return {**body, "collateral": {k: v for k, v in body["collateral"].items() if k != asset}}

    bodies = [without(market(), "USDC"), without(without(market(), "USDC"), "GOVT-MMF"), market()]
    prices = combine(signed(*bodies), price_rules(*SOURCES[:3]), PLACE, ARRIVED).market
    assert set(prices.collateral) == {"TBILL-2027-02", "GOVT-MMF"}


def test_names_may_be_any_identifiers() -> None:
    """`spot` and `forward` are allowed as names of assets and underlyings."""
    quotes: Json = {"spot": "5", "perpetual": "5", "expiries": {}}
    body = market(collateral={"spot": "1", "forward": "2", "rate": "3"})
    body["underlyings"] = {
        "volatilities": quotes,
        "expiries": {**quotes, "expiries": {EXPIRY: {"forward": "6", "volatilities": {}}}},
    }
    assert combine(signed(body), price_rules(SOURCES[0]), PLACE, ARRIVED).market.canonical() == body


def test_strangers_doubles_and_other_types_are_refused() -> None:
    rules = price_rules(*SOURCES[:3])
    stranger = signed(market(), sources=(Identity.generate(),))
    with pytest.raises(SignatureInvalid) as untrusted:
        combine([*signed(market(), market()), *stranger], rules, PLACE, ARRIVED)
    assert untrusted.value.field == "signer"
    with pytest.raises(MalformedRequest, match="send each once") as again:
        combine([*signed(market(), market()), *signed(market())], rules, PLACE, ARRIVED)
    assert again.value.field == "prices[2]"
    with pytest.raises(MalformedRequest):
        combine([SOURCES[0].sign("tick", market())], rules, PLACE, ARRIVED)
    changed = SignedDocument.parse({**signed(market())[0].to_json(), "body": signed(market(rate="0.04"))[0].body})
    with pytest.raises(SignatureInvalid):
        combine([changed, *signed(market(), market())[1:]], rules, PLACE, ARRIVED)


@settings(deadline=None, max_examples=60)
@given(
    honest=st.lists(st.integers(-150, 150), min_size=3, max_size=3),
    lies=st.lists(st.integers(1, 10**7), min_size=2, max_size=2),
    order=st.permutations(range(5)),
)
def test_a_minority_cannot_move_a_quote_out_of_the_honest_ones(
    honest: list[int], lies: list[int], order: list[int]
) -> None:
    """Five sources, three required, two say what they like: each is dropped or changes nothing that matters."""
    spots = [str(Decimal("96420.5") + cents) for cents in honest] + [str(lie) for lie in lies]
    documents = signed(*(market(("BTC/spot", spot)) for spot in spots))
    rules = price_rules(*SOURCES)
    result = combine([documents[index] for index in order], rules, PLACE, ARRIVED)
    assert min(map(Decimal, spots[:3])) <= result.market.underlyings["BTC"].spot <= max(map(Decimal, spots[:3]))
    # The order of the documents does not matter, and what counted gives the same once more, with nothing dropped.
    assert combine(documents, rules, PLACE, ARRIVED).market == result.market
    again = combine(result.used, rules, PLACE, ARRIVED)
    assert (again.market, again.dropped, again.used) == (result.market, (), result.used)


@settings(deadline=None, max_examples=60)
@given(
    spots=st.lists(st.integers(90_000, 104_000), min_size=3, max_size=5),
    seconds=st.lists(st.integers(0, 180), min_size=5, max_size=5),
)
def test_what_counted_always_gives_the_same_again(spots: list[int], seconds: list[int]) -> None:
    bodies = [
        market(("BTC/spot", str(spot)), as_of=f"2026-11-20T08:0{second // 60}:{second % 60:02}Z")
        for spot, second in zip(spots, seconds, strict=False)
    ]
    rules = price_rules(*SOURCES[: len(bodies)])
    try:
        result = combine(signed(*bodies), rules, PLACE, ARRIVED)
    except TooFewSources:
        return
    again = combine(result.used, rules, PLACE, ARRIVED)
    assert (again.market, again.dropped) == (result.market, ())
    used = [Price.parse(document.body).market for document in result.used]
    for path, quote in quotes_of(result.market).items():
        assert quote.text in {quotes_of(one)[path].text for one in used}
        limit = Decimal("0.02") * quote.value
        assert quote.kind != "price" or all(abs(quotes_of(one)[path].value - quote.value) <= limit for one in used)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (("BTC/spot", "144630.76"), "underlyings.BTC.spot"),
        (("BTC/spot", "48210.24"), "underlyings.BTC.spot"),
        (
            (f"BTC/expiries/{EXPIRY}/volatilities/90000", "1.51"),
            f"underlyings.BTC.expiries.{EXPIRY}.volatilities.90000",
        ),
    ],
    ids=str,
)
def test_a_move_beyond_its_bound_is_refused(change: tuple[str, str], field: str) -> None:
    bounds = price_rules(SOURCES[0]).move
    before = Market.parse(market())
    check_move(before, Market.parse(market(("BTC/spot", "144630.75"))), bounds)
    check_move(before, Market.parse(market(("BTC/spot", "48210.25"))), bounds)
    with pytest.raises(PriceMoveTooLarge, match="publish other rules") as caught:
        check_move(before, Market.parse(market(change)), bounds)
    assert caught.value.field == field
    with pytest.raises(PriceMoveTooLarge) as rate:
        check_move(before, Market.parse(market(rate="0.09")), bounds)
    assert rate.value.field == "rate"


@pytest.mark.parametrize(
    ("changes", "error", "field"),
    [
        ({"required": "1"}, OutOfRange, "required"),
        ({"required": "4"}, OutOfRange, "required"),
        ({"required": "0"}, OutOfRange, "required"),
        ({"sources": ["1a" * 32, "22" * 32, "1a" * 32]}, DuplicateId, "sources[2]"),
        ({"sources": [Identity.generate().public_key for _ in range(65)], "required": "33"}, OutOfRange, "sources"),
    ],
    ids=["minority", "too-many", "none", "twice", "65"],
)
def test_rules_that_could_make_two_ticks_are_refused(changes: Json, error: type[DocumentError], field: str) -> None:
    good = price_rules(*SOURCES[:3]).canonical()
    assert isinstance(good, dict)
    with pytest.raises(error) as caught:
        PriceRules.parse({**good, **changes})
    assert caught.value.field == field

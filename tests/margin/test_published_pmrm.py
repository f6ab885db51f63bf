"""`pmrm` and `pmrm2` over a published universe: rows, references and what neither takes."""

import copy
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atomic_margin.documents.errors import MalformedDocument
from atomic_margin.margin import EntryMap, Market, Portfolio, Published, Universe, errors, parse_model
from atomic_margin.margin.kinds import KINDS
from atomic_margin.margin.market.portfolio import encode
from atomic_margin.margin.models.books import sample_books
from atomic_margin.margin.models.pmrm.published import PublishedPmrmRules
from atomic_margin.margin.models.pmrm2.published import PublishedPmrm2Rules
from atomic_margin.margin.models.registry import published_model

from ..lines import FLAT, portfolio_json
from .books import book_of
from .settings import Setting, setting_of
from .test_cash_in_every_model import EXPIRY, LIMIT, SHARES, market_at
from .test_registry import read

NAMES = ("pmrm", "pmrm2")


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    cash=st.integers(-(10**7), 10**7),
    elapsed=st.sampled_from(SHARES),
    btc=st.integers(70_000, 130_000),
    tick=st.integers(1, 4),
)
@pytest.mark.parametrize("name", NAMES)
def test_rows_with_slack_are_the_reference(name: str, seed: int, cash: int, elapsed: str, btc: int, tick: int) -> None:
    """Before rounding, whatever is averaged or settled; rows without slack are at most that."""
    setting = setting_of(name)
    model, universe = setting.model, setting.universe
    published = Published(universe, market_at(elapsed, {"BTC": btc, "ETH": 1}, 5, tick), setting.schedule)
    lots = sample_books(universe, Market.parse(read("market-1.json")), 4, seed)[seed % 4] // 2
    whole = cash // 1024 * 1024
    book = Portfolio.parse({**book_of(lots, universe).canonical(), "cash": str(whole)})  # type: ignore[dict-item]
    columns = EntryMap.of(universe, LIMIT, 24)
    z = encode(book, universe, columns)
    true = model.reference(published, book, setting.posted)
    # Cash is encoded in lots, the rest of it is lost before any row.
    lost = float(book.cash_against(universe)) - float(np.sum(z * columns.cash_values))
    for form in model.FORMS:
        given_rows = model.account_rows(published, setting.posted, columns, LIMIT, form)
        for kind in KINDS:
            found = model.true_excess(given_rows, kind, z) + lost
            if form == "exact":
                assert found == pytest.approx(true.excess[kind], abs=1e-4)
            else:
                assert found <= true.excess[kind] + 1e-4


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10**6), tick=st.integers(1, 4))
@pytest.mark.parametrize("name", NAMES)
def test_the_ladder_is_what_the_excess_comes_from(name: str, seed: int, tick: int) -> None:
    setting = setting_of(name)
    universe = setting.universe
    published = Published(universe, Market.parse(read(f"market-{tick}.json")), setting.schedule)
    book = book_of(sample_books(universe, published.market, 4, seed)[seed % 4], universe)
    true = setting.model.reference(published, book, setting.posted)
    ladder = setting.model.scenario_surplus(published, book, setting.posted)
    assert ladder.labels == setting.model.scenario_labels
    for kind in KINDS:
        assert float(ladder.of(kind).min()) == true.excess[kind]
        assert ladder.labels[int(ladder.of(kind).argmin())] == true.worst[kind]


@pytest.mark.parametrize("name", NAMES)
def test_an_account_of_collateral_alone_has_what_the_worst_move_leaves(name: str) -> None:
    setting = setting_of(name)
    published = Published(setting.universe, Market.parse(read("market-1.json")), setting.schedule)
    found = setting.model.reference(published, Portfolio.parse(FLAT), {"USDC": 5_000_000})
    assert found.excess["initial"] == pytest.approx(5 * 0.9999, rel=0.05)
    bitcoin = setting.model.reference(published, Portfolio.parse(FLAT), {"BTC": 100_000_000})
    assert bitcoin.excess["initial"] < bitcoin.excess["maintenance"] < bitcoin.mark_to_market


@pytest.mark.parametrize("name", NAMES)
def test_closing_at_the_market_leaves_the_margin_of_cash_alone(name: str) -> None:
    setting = setting_of(name)
    market = Market.parse(read("market-2.json"))
    published = Published(setting.universe, market, setting.schedule)
    line = ("BTC-PERP", "long", 30)
    bought = portfolio_json(line, universe=setting.universe)
    mark = market.underlyings["BTC"].perpetual
    made = (mark - Decimal(bought["lines"][0]["price"])) * 30 * Decimal("0.1") + 11 * 3
    closed = Portfolio.parse({**FLAT, "cash": format(made, "f")})
    alone = setting.model.reference(published, closed, {})
    for kind in KINDS:
        assert alone.excess[kind] == pytest.approx(float(made))
    assert setting.model.reference(published, Portfolio.parse(bought), {}).mark_to_market == pytest.approx(float(made))


def without(universe: dict[str, Any], **more: Any) -> Universe:
    return Universe.parse({**copy.deepcopy(universe), **more})


@pytest.mark.parametrize("name", NAMES)
def test_what_the_model_has_no_rule_for_is_named(name: str) -> None:
    setting, full = setting_of(name), read("universe.json")
    with pytest.raises(MalformedDocument, match=rf"^underlyings\.ETH: the model {name} is of BTC alone"):
        setting.model.check_universe(Universe.parse(full))
    only = [item for item in full["instruments"] if item["underlying"] == "BTC"]
    with_future = without(setting.universe_document, instruments=only)
    with pytest.raises(MalformedDocument, match=rf"^instruments\[1\]\.kind: the model {name} has no rule for dated"):
        setting.model.check_universe(with_future)
    other = parse_model(read(f"{name}/model.json") | {"underlying": "ETH"})
    with pytest.raises(MalformedDocument, match=r"^underlyings\.BTC: the model .* is of ETH alone"):
        other.check_universe(setting.universe)  # type: ignore[attr-defined]
    with pytest.raises(errors.FormMissing, match="depend on the gross limit"):
        setting.model.rows(setting.universe, Market.parse(read("market-1.json")), "exact")
    published = Published(setting.universe, Market.parse(read("market-1.json")), setting.schedule)
    with pytest.raises(errors.NotAnalysed, match="is no sum over lines"):
        setting.model.binding_row(published, Portfolio.parse(FLAT), {}, "initial")


def test_documents_name_the_rules_over_a_universe() -> None:
    found = {name: type(parse_model(read(f"{name}/model.json"))) for name in NAMES}
    assert found == {"pmrm": PublishedPmrmRules, "pmrm2": PublishedPmrm2Rules}
    assert published_model("scan") is not published_model("pmrm")
    document = read("pmrm/model.json")
    del document["parameters"]["im_factor"]
    with pytest.raises(MalformedDocument, match=r"^parameters\.im_factor: "):
        parse_model(document)


def put_value(setting: Setting, elapsed: str, average: int) -> tuple[float, float]:
    """Return the excess of a long put without collateral, and of one beside a long perpetual."""
    published = Published(setting.universe, market_at(elapsed, {"BTC": average, "ETH": 1}, 11), setting.schedule)
    put = Portfolio.parse(portfolio_json(("BTC-25DEC26-90000-P", "long", 100), universe=setting.universe))
    hedged = Portfolio.parse(
        portfolio_json(("BTC-25DEC26-90000-P", "long", 100), ("BTC-PERP", "long", 60), universe=setting.universe)
    )
    return tuple(setting.model.reference(published, one, {}).excess["maintenance"] for one in (put, hedged))  # type: ignore[return-value]


@pytest.mark.parametrize("name", NAMES)
def test_a_put_offsets_no_crash_after_its_window(name: str) -> None:
    """A put whose average is settled leaves the perpetual's whole risk, however far prices fall after it."""
    setting = setting_of(name)
    settled, with_perpetual = put_value(setting, "1", 95_000)
    half, half_with = put_value(setting, "0.5", 95_000)
    alone = Portfolio.parse(portfolio_json(("BTC-PERP", "long", 60), universe=setting.universe))
    published = Published(setting.universe, market_at("1", {"BTC": 95_000, "ETH": 1}, 11), setting.schedule)
    risk = setting.model.reference(published, alone, {}).excess["maintenance"]
    assert with_perpetual == pytest.approx(settled + risk)
    assert half_with > half + risk


def test_the_clock_does_not_settle_what_sources_do_not() -> None:
    """Ten minutes before expiry, with no average published, all of the forward still moves."""
    setting = setting_of("pmrm2")
    document = read("market-1.json")
    document["as_of"] = "2026-12-25T07:50:00Z"
    late = Published(setting.universe, Market.parse(document), setting.schedule)
    call = Portfolio.parse(portfolio_json(("BTC-25DEC26-80000-C", "short", 50), universe=setting.universe))
    found = setting.model.scenario_surplus(late, call, {})
    by_label = dict(zip(found.labels, found.maintenance.tolist(), strict=True))
    # Deep in the money, the option moves with the forward: 18 % of it, times the loss factor of 0.8, on 5 BTC.
    lost = by_label["1 none"] - by_label["1.18 none"]
    forward = float(document["underlyings"]["BTC"]["expiries"][EXPIRY]["forward"])
    assert lost == pytest.approx(0.8 * 0.18 * forward * 5, rel=0.05)


@pytest.mark.parametrize("file", ["pmrm/model", "pmrm2/model", "cross-margin/served", "expected-shortfall/model"])
def test_a_served_document_is_parsed_again_as_it_travels(file: str) -> None:
    """An operator hands out the canonical form, in which agent and verifier read it."""
    model = parse_model(read(f"{file}.json"))
    again = parse_model(model.canonical())
    assert (again.hash(), again.canonical()) == (model.hash(), model.canonical())

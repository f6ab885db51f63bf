"""Ladder, contributions, explanation and what-if, under every model that has them."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from decimal import ROUND_FLOOR, Decimal
from typing import Any

import pytest

from atomic_margin.documents.errors import MalformedDocument
from atomic_margin.margin import CollateralHoldings, Market, Portfolio, Published, parse_model
from atomic_margin.margin.analysis import FACTORS, Account, contributions, explain, ladder, what_if
from atomic_margin.margin.errors import NotAnalysed, UnknownInstrument
from atomic_margin.margin.kinds import KINDS, MarginKind
from atomic_margin.margin.market.portfolio import FORMAT, at_reference
from atomic_margin.margin.market.trades import Trades
from atomic_margin.margin.models.books import sample_books
from atomic_margin.margin.models.case import AnyCase
from atomic_margin.margin.models.registry import model_named

from ..example_documents import EXAMPLES, Json

EXPIRY = "2026-12-25T08:00:00Z"
MODELS = ("scan", "expected_shortfall", "cross_margin")
Changed = Callable[[Json], object]


def read(path: str) -> Any:
    return json.loads((EXAMPLES / path).read_text())


@pytest.fixture(scope="session", params=MODELS)
def account(request: Any, universe: Any, markets: Any, schedule: Any, portfolio: Any) -> Account:
    """The example's account under a model of a universe."""
    rules: Any = model_named(request.param)
    model = parse_model(read(str(rules.EXAMPLE)))
    posted = rules.parse_posted(read(rules.EXAMPLE_POSTED))
    return Account(model, Published(universe, markets[0], schedule), portfolio, posted)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def scan(universe: Any, markets: Any, schedule: Any, portfolio: Any) -> Account:
    posted = CollateralHoldings.parse(read("collateral.json")).posted
    model: Any = parse_model(read("model-scan.json"))
    return Account(model, Published(universe, markets[0], schedule), portfolio, posted)


def at(account: Account, market: Market | Json) -> Account:
    prices = market if isinstance(market, Market) else Market.parse(market)
    return replace(account, published=replace(account.published, market=prices))


def close(amount: float, to: float) -> None:
    assert amount == pytest.approx(to, rel=1e-11, abs=1e-5)


# --- ladder


def test_a_ladder_leads_to_the_excess(account: Account) -> None:
    true, found = account.reference(), ladder(account)
    close(found.now, true.mark_to_market)
    assert [rung.label for rung in found.rungs] == [item.label for item in account.model.document.scenarios]
    for kind in KINDS:
        left = sorted(rung.of(kind) for rung in found.rungs)
        if account.model.name == "expected_shortfall":
            assert account.model.document.depth == Decimal("6.5")
            close((sum(left[:6]) + left[6] / 2) / 6.5, true.excess[kind])
        else:
            close(left[0], true.excess[kind])
            assert found.least(kind).label == true.worst[kind]


@pytest.mark.parametrize("name", ["pmrm", "pmrm2"])
@pytest.mark.parametrize("number", [1, 4, 9])
def test_cases_have_a_ladder_and_nothing_else(name: str, number: int) -> None:
    rules: Any = model_named(name)
    case: AnyCase = rules.sample(number, 0)
    true, found = case.model.reference(case.published, case.book, case.posted), ladder(case)
    for kind in KINDS:
        assert found.least(kind).of(kind) == pytest.approx(true.excess[kind], rel=1e-9, abs=1e-6)
    assert {true.worst[kind] for kind in KINDS} <= {rung.label for rung in found.rungs}
    trades = Trades.parse({"format": "atomic-margin/trades/1", "trades": []})
    for refused in (lambda: contributions(case, "initial"), lambda: explain(case, case), lambda: what_if(case, trades)):
        with pytest.raises(NotAnalysed, match=f"not there for {name}: a case brings a book without"):
            refused()


# --- contributions


@pytest.mark.parametrize("kind", KINDS)
def test_contributions_come_to_the_excess(account: Account, kind: MarginKind) -> None:
    found = contributions(account, kind)
    close(found.excess, account.reference().excess[kind])
    assert found.excess == math.fsum(part.amount for part in found.parts)
    lines = [part for part in found.parts if part.what == "line"]
    assert [(part.name, part.side, part.lots) for part in lines] == [
        (line.instrument, line.side, line.lots) for line in account.book.lines
    ]
    made = account.reference().details["profit"]
    close(math.fsum(part.profit or 0 for part in lines) + float(account.book.cash or 0), made)


@pytest.mark.parametrize("kind", KINDS)
def test_a_contribution_is_what_a_little_less_of_a_line_takes_away(account: Account, kind: MarginKind) -> None:
    """While the same row binds, the excess is a sum: a hundredth less of a line takes a hundredth of its part."""
    before, parts = account.reference().excess[kind], contributions(account, kind)
    for number, line in enumerate(account.book.lines[:2]):
        lines = list(account.book.lines)
        lines[number] = line.changed({"lots": line.lots - line.lots // 100})
        less = replace(account, book=account.book.changed({"lines": tuple(lines)}))
        if contributions(less, kind).row == parts.row:
            gone = before - less.reference().excess[kind]
            share = line.lots // 100 / line.lots
            assert gone == pytest.approx(share * parts.parts[number].amount, rel=1e-6, abs=1e-3)


@pytest.mark.long
def test_generated_books_are_taken_apart_too(account: Account, markets: Any) -> None:
    published = replace(account.published, market=markets[3])
    items = published.universe.instruments
    for lots in sample_books(published.universe, markets[3], 4, seed=11):
        lines = [
            at_reference(item, "long" if held > 0 else "short", abs(held))
            for item, held in zip(items, lots.tolist(), strict=True)
            if held
        ]
        book = Portfolio.parse({"format": FORMAT, "lines": lines, "cash": "-250000.25"})
        other = replace(account, published=published, book=book)
        true = other.reference()
        for kind in KINDS:
            close(contributions(other, kind).excess, true.excess[kind])
        if account.model.name != "expected_shortfall":
            close(ladder(other).least("initial").initial, true.excess["initial"])


def test_cash_and_posted_collateral_are_parts(account: Account) -> None:
    richer = replace(account, book=account.book.changed({"cash": Decimal("1234.5")}))
    for kind in KINDS:
        by_name = {part.label: part.amount for part in contributions(richer, kind).parts}
        assert by_name["cash"] == 1234.5
        close(richer.reference().excess[kind] - account.reference().excess[kind], 1234.5)
        bare = replace(account, posted=account.model.nothing_posted())
        posted = [part for part in contributions(bare, kind).parts if part.what == "collateral"]
        assert posted
        assert all(part.amount == 0 for part in posted)


def test_a_transfer_limit_that_binds_is_a_part_of_its_own(account: Account) -> None:
    parts = contributions(account, "maintenance").parts
    names = [part.name for part in parts if part.what == "constant"]
    assert names == (["transfer limit of options"] if account.model.name == "cross_margin" else [])


# --- explanation


def down(amount: float) -> Decimal:
    return Decimal(amount).quantize(Decimal("0.01"), ROUND_FLOOR)


@pytest.mark.long
@pytest.mark.parametrize("tick", [1, 3])
def test_an_explanation_adds_up_to_the_cent(account: Account, markets: Any, tick: int) -> None:
    later = at(account, markets[tick])
    found = explain(account, later)
    assert tuple(effect.factor for effect in found.effects) == FACTORS
    for kind in KINDS:
        assert found.before[kind] == down(account.reference().excess[kind])
        assert found.after[kind] == down(later.reference().excess[kind])
        total = sum((effect.of(kind) for effect in found.effects), found.residual(kind))
        assert total == found.change(kind) == found.after[kind] - found.before[kind]
    assert explain(account, account).change("initial") == 0


def _prices(market: Json) -> None:
    quotes = market["underlyings"]["BTC"]
    quotes["spot"], quotes["perpetual"] = "95000", "95010"
    quotes["expiries"][EXPIRY]["forward"] = "95800"


def _volatility(market: Json) -> None:
    quotes = market["underlyings"]["BTC"]["expiries"][EXPIRY]["volatilities"]
    market["underlyings"]["BTC"]["expiries"][EXPIRY]["volatilities"] = {
        f"{strike}.0": f"{Decimal(quoted) + Decimal('0.03'):f}" for strike, quoted in quotes.items()
    }


def _asset(market: Json) -> None:
    market["collateral"]["USDC"] = "0.99"


def _funding(market: Json) -> None:
    market["underlyings"]["ETH"]["funding_index"] = "2.5"


ALONE: list[tuple[str, Changed]] = [
    ("prices", _prices),
    ("volatility", _volatility),
    ("time", lambda market: market.update(as_of="2026-11-23T08:00:00Z")),
    ("rate", lambda market: market.update(rate="0.01")),
    ("funding", _funding),
    ("collateral", _asset),
]


@pytest.mark.parametrize(("factor", "change"), ALONE, ids=[name for name, _ in ALONE])
def test_what_changes_alone_explains_everything(scan: Account, example: Any, factor: str, change: Changed) -> None:
    market = example("market-1")
    change(market)
    found = explain(scan, at(scan, market))
    for kind in KINDS:
        assert found.change(kind) != 0
        assert {effect.factor: effect.of(kind) for effect in found.effects if effect.of(kind)} == {
            factor: found.change(kind)
        }
        assert found.residual(kind) == 0


def test_funding_is_what_a_perpetual_has_paid(scan: Account, example: Any) -> None:
    market = example("market-1")
    _funding(market)
    held = next(line.lots for line in scan.book.lines if line.instrument == "ETH-PERP")
    lot = scan.published.universe.by_id["ETH-PERP"].lot
    (effect,) = [item for item in explain(scan, at(scan, market)).effects if item.factor == "funding"]
    assert abs(effect.initial + held * lot * Decimal("2.5")) <= Decimal("0.01")


def test_trades_collateral_and_model_have_effects(scan: Account, example: Any) -> None:
    calmer = example("model-scan")
    calmer["scenarios"] = calmer["scenarios"][:3]
    model: Any = parse_model(calmer)
    posted = {**scan.posted, "USDC": scan.posted["USDC"] + 10**12}
    later = replace(scan, model=model, posted=posted, book=Portfolio.parse(example("portfolio") | {"lines": []}))
    found = explain(scan, later)
    effects = {effect.factor: effect.initial for effect in found.effects}
    assert effects["model"] > 0
    assert effects["trades"] > 0
    asset = scan.published.schedule.by_id["USDC"]
    close(
        float(effects["collateral"]), 10**6 * float(1 - asset.haircut) * float(scan.published.market.collateral["USDC"])
    )
    assert found.residual("initial") != 0


def test_what_has_settled_meanwhile_is_an_effect_of_time(scan: Account, example: Any) -> None:
    """Time alone passes the expiry: its settlement price comes with it, and no forward is missed."""
    market = example("market-2")
    market["as_of"] = EXPIRY
    for quotes in market["underlyings"].values():
        quote = quotes["expiries"][EXPIRY]
        quotes["expiries"][EXPIRY] = {
            "volatilities": {}, "settlement": {"average": quote["forward"], "elapsed": "1"}}  # fmt: skip
    later = at(scan, market)
    found = explain(scan, later)
    effects = {effect.factor: effect.maintenance for effect in found.effects}
    assert effects["time"] != 0
    assert found.after["maintenance"] == down(later.reference().excess["maintenance"])
    assert sum(effects.values(), found.residual("maintenance")) == found.change("maintenance")
    # From there on that expiry has no price or volatility any more that could change.
    again = explain(later, at(later, market | {"rate": "0.05"}))
    assert [effect.factor for effect in again.effects if effect.maintenance] == ["rate"]


def test_two_universes_are_not_compared(scan: Account, example: Any) -> None:
    other = example("universe")
    other["name"] = "another"
    universe = type(scan.published.universe).parse(other)
    later = replace(scan, published=replace(scan.published, universe=universe))
    with pytest.raises(NotAnalysed, match="carry the book to the second one first"):
        explain(scan, later)


# --- what if


def trades(*items: Json, **more: Any) -> Trades:
    return Trades.parse({"format": "atomic-margin/trades/1", "trades": list(items), **more})


def trade(instrument: str, side: str, lots: int, price: str, **more: str) -> Json:
    return {"instrument": instrument, "side": side, "lots": str(lots), "price": price, **more}


def test_added_trades_are_the_book_with_them(account: Account) -> None:
    added = trades(
        trade("BTC-PERP", "sell", 100, "97000", funding_index="0", fee="25"),
        trade("BTC-25DEC26-110000-C", "buy", 340, "1500"),
        trade("ETH-26MAR27-3900-P", "buy", 10, "700"),
        cash="10",
    )
    found = what_if(account, added)
    held = {(line.instrument, line.side): line.lots for line in found.book.lines}
    assert held["BTC-PERP", "long"] == 680
    assert ("BTC-25DEC26-110000-C", "short") not in held
    assert held["ETH-26MAR27-3900-P", "long"] == 10
    untouched = [line for line in account.book.lines if line.instrument.startswith("ETH-25DEC26")]
    assert set(untouched) <= set(found.book.lines)
    assert found.before == account.reference()
    assert found.after == replace(account, book=found.book).reference()
    whole = trades(*added.canonical()["trades"], opening=account.book.canonical(), cash="10")  # type: ignore[index, call-overload, misc]
    netted = replace(account, book=whole.net(account.published.universe)).reference()
    for kind in KINDS:
        close(found.after.excess[kind], netted.excess[kind])


def test_no_trades_change_nothing_even_of_lines_on_both_sides(scan: Account) -> None:
    other = scan.book.lines[0].changed({"side": "short", "lots": 5})
    both = replace(scan, book=scan.book.changed({"lines": (*scan.book.lines, other)}))
    found = what_if(both, trades())
    assert found.book.lines == both.book.lines
    assert found.after.excess == found.before.excess


def test_trades_that_do_not_fit_are_refused(scan: Account) -> None:
    with pytest.raises(MalformedDocument, match=r"^opening: added trades begin with the account's own book"):
        what_if(scan, trades(opening=scan.book.canonical()))
    with pytest.raises(UnknownInstrument, match=r"^trades\[0\]\.instrument"):
        what_if(scan, trades(trade("DOGE-PERP", "buy", 1, "1")))
    with pytest.raises(MalformedDocument, match=r"^trades\[0\]\.funding_index"):
        what_if(scan, trades(trade("BTC-PERP", "buy", 1, "1")))

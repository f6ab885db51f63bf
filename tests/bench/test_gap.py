"""The gap between true and integer margin: never negative, on generated books of every model, and added up rightly."""

import json
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from atomic_margin.bench.gap import (
    AccountExcess,
    Desk,
    ExampleDocuments,
    FormExcess,
    Gap,
    Tally,
    case_accounts,
    generated_accounts,
    measure_case,
)
from atomic_margin.bench.gap.books import portfolios
from atomic_margin.bench.gap.speed import recompilations, wide_market, wide_universe
from atomic_margin.margin import EntryMap, Market, Portfolio, Universe, errors
from atomic_margin.margin.kinds import KINDS
from atomic_margin.margin.market.market import check_crossed, check_market
from atomic_margin.margin.market.portfolio import encode
from atomic_margin.margin.models.case import AnyCase
from atomic_margin.margin.models.cross_margin import (
    CrossMarginModel,
    PoolHoldings,
    compile_cuts,
    cross_margin,
    cut_collateral,
)
from atomic_margin.margin.models.interface import Reference
from atomic_margin.margin.models.pmrm.books import pmrm_case, pmrm_parameters
from atomic_margin.margin.models.pmrm.cases import PmrmCase
from atomic_margin.margin.models.pmrm.rules import PmrmRules
from atomic_margin.margin.models.pmrm2.books import pmrm2_case
from atomic_margin.margin.models.registry import models, parse_model
from atomic_margin.margin.models.universe import Published

from ..example_documents import EXAMPLES


def read(path: str) -> Any:
    return json.loads((EXAMPLES / path).read_text())


@pytest.fixture(scope="module")
def published(universe: Universe, markets: Any, schedule: Any) -> Published:
    return Published(universe, markets[0], schedule)


@pytest.fixture(scope="module")
def documents(published: Published) -> ExampleDocuments:
    return ExampleDocuments(published, lambda rules: (read(str(rules.EXAMPLE)), read(rules.EXAMPLE_POSTED)))


def opened(case: PmrmCase) -> AnyCase:
    return PmrmRules(pmrm_parameters()).opened(case)


# --- one account


def both(value: Any) -> dict[Any, Any]:
    """One value for both kinds of margin."""
    return dict.fromkeys(KINDS, value)


def form(form: Any = "conservative", model: float = 10.0, integer: str = "9.5") -> FormExcess:
    place: Any = "fhe" if form == "conservative" else "proof"
    return FormExcess(form, place, 20, 2, 4, 0, both(Fraction(1, 2)), both(model), both(Decimal(integer)))


def account(*forms: FormExcess, true: float = 12.0, requirement: float = 50.0, gross: int = 400) -> AccountExcess:
    reference = Reference("m", both(true), both(requirement), both("up"), 62.0, {})
    return AccountExcess(reference, gross, 1000, forms)


def test_the_gap_has_two_parts() -> None:
    gap = account(form()).gaps()[0]
    assert gap == Gap(rounding=0.5, model=2.0)
    assert gap.total == 2.5


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (account(form(integer="10.5")), "rounding gap is -0.5"),
        (account(form(model=12.5)), "model gap is -0.5"),
        (account(form(model=12.0 + 3e-7, integer="12.0000005"), gross=400), "is above 12.0"),
        (account(form(model=11.0), form("exact", model=10.0)), "conservative form is above the exact one"),
        (account(form(model=float("nan"))), "gap is nan"),
    ],
)
def test_a_negative_gap_is_an_error(bad: AccountExcess, why: str) -> None:
    for kind in KINDS:
        with pytest.raises(errors.NegativeGap, match=why):
            bad.gaps(kind)
    with pytest.raises(errors.NegativeGap):
        Tally("m", "some").add(bad)


@pytest.mark.long
@pytest.mark.parametrize("name", models())
def test_the_gap_of_generated_books_is_never_negative(name: str, documents: ExampleDocuments) -> None:
    count = 12 if name != "expected_shortfall" else 4
    tally = Tally(name, "generated")
    for item in generated_accounts(name, documents, count, seed=3, bits=(20, 24)):
        assert item.problem is None
        tally.add(item)
        true, size = item.reference.excess, float(item.gross or 0)
        widths = {found.bits for found in item.forms if found.form == "conservative"}
        assert widths == {20, 24, 32, 36}
        for kind in KINDS:
            for found, gap in zip(item.forms, item.gaps(kind), strict=True):
                assert float(found.integer[kind]) <= true[kind]
                assert gap.total == pytest.approx(true[kind] - float(found.integer[kind]), abs=1e-9 * max(1.0, size))
                assert not (found.integer[kind] >= 0 and true[kind] < 0)
                if found.form == "exact" or name == "scan":
                    assert gap.model <= 1e-9 * max(1.0, size, abs(true[kind]))
    assert tally.counted + tally.skipped == count
    fine = {(line.form, line.place, line.bits): line.rounding.worst for line in tally.lines()}
    assert fine["conservative", "proof", 32] < fine["conservative", "fhe", 24] < fine["conservative", "fhe", 20]
    assert fine["conservative", "fhe", 24] < 4
    assert fine["conservative", "proof", 32] < 0.01
    if name != "scan":
        assert fine["exact", "proof", 36] < 0.01


def test_generated_books_are_the_same_every_time() -> None:
    assert pmrm_case(7) == pmrm_case(7) != pmrm_case(7, seed=1)
    assert pmrm2_case(7).hash() == pmrm2_case(7).hash() != pmrm2_case(8).hash()


def test_books_of_a_universe_fit_it(universe: Universe, markets: Any, entry_map: EntryMap) -> None:
    made = list(portfolios(universe, markets[0], 8, seed=1))
    assert len({book.hash() for book in made}) == 8
    assert all(encode(book, universe, entry_map).any() for book in made)


def test_quantities_of_many_decimals_have_integers_too() -> None:
    case = pmrm_case(3)
    book = case.account.book
    fine = replace(book, options={key: amount + Decimal("1e-12") for key, amount in book.options.items()})
    found, whole = (
        measure_case(opened(replace(case, account=replace(case.account, book=item)))) for item in (fine, book)
    )
    assert found.problem is None
    for kind in KINDS:
        assert found.reference.excess[kind] == pytest.approx(whole.reference.excess[kind], abs=1e-3)
        for more, less in zip(found.gaps(kind), whole.gaps(kind), strict=True):
            assert less.total - 1e-3 <= more.total < less.total + 2e-3 * float(found.gross or 0)


def test_a_case_without_integers_is_counted() -> None:
    tally = Tally("pmrm", "cases")
    tally.add(replace(account(), gross=None, gross_limit=None, problem="GrossLimitTooLarge: …"))
    assert (tally.counted, tally.without_integers, tally.lines()) == (0, 1, ())


def test_a_gross_limit_that_was_asked_for_is_kept(published: Published, holdings: Any) -> None:
    with pytest.raises(errors.GrossLimitExceeded):
        measure_case(opened(pmrm_case(3)), gross_limit=10)
    desk = Desk(parse_model(read("model-scan.json")), published, holdings.posted)
    book = Portfolio.parse(read("portfolio.json"))
    with pytest.raises(errors.GrossLimitExceeded):
        desk.measure(book, 10_000_000)
    assert desk.measure(book, 64_000_000).gross_limit == 64_000_000


def test_cases_are_measured_in_order() -> None:
    cases = {"a": opened(pmrm_case(1)), "b": opened(pmrm_case(2))}
    found = list(case_accounts(cases, (20,)))
    alone = [measure_case(case).reference.excess for case in cases.values()]
    assert [item.reference.excess for item in found] == alone


# --- many accounts


def test_a_tally_gives_mean_and_worst_and_leaves_out_books_that_require_nothing() -> None:
    tally = Tally("m", "some")
    tally.add(account(form()))
    tally.add(account(form(integer="8")))
    tally.add(account(form(), requirement=0.3))
    tally.add(account(form(), requirement=-5.0))
    tally.add(account(form(), gross=0))
    (line,) = tally.lines()
    assert (tally.counted, tally.skipped, tally.without_integers) == (2, 3, 0)
    assert (line.rounding.mean, line.rounding.worst) == (2.5, 4.0)
    assert (line.model.mean, line.total.worst) == (4.0, 8.0)
    assert (line.rounding_of_gross.worst, line.model_of_gross.mean) == (0.5, 0.5)


# --- what the measurement rests on


def test_all_cuts_give_the_margin_of_covered_accounts_too(published: Published) -> None:
    """`expanded` says only that a covered account is covered; `complete` says by how much."""
    model, common = CrossMarginModel.parse(read("cross-margin/model.json")), (published.universe, published.market)
    pools = PoolHoldings.parse(read("cross-margin/pools.json")).posted
    entry_map = EntryMap.of(published.universe, 1 << 29, 24)
    for posted in (pools, {"central": {"USDC": 10**15}}, {"futures": {"USDC": 10**15}}):
        for book in portfolios(*common, 6, seed=5):
            z = encode(book, published.universe, entry_map)
            true = cross_margin(model, *common, published.schedule, book, posted)
            least = {}
            for name in ("expanded", "complete"):
                weights = compile_cuts(model, *common, form=name).spread(entry_map)
                public = cut_collateral(model, published.schedule, published.market, posted, form=name)
                least[name] = {kind: float((weights.of(kind) @ z + public.of(kind)).min()) for kind in KINDS}
            for kind in KINDS:
                expected = float(true.of(kind).min())
                assert least["complete"][kind] == pytest.approx(expected, rel=1e-9, abs=1e-3)
                assert least["expanded"][kind] >= least["complete"][kind] - 1e-3
                if expected < 0:
                    assert least["expanded"][kind] == pytest.approx(expected, rel=1e-9, abs=1e-3)


def test_all_cuts_of_many_venues_are_too_many(published: Published) -> None:
    model = CrossMarginModel.parse(read("cross-margin/model.json"))
    many = model.model_copy(update={"scenarios": model.scenarios * 9})
    with pytest.raises(errors.TooManyCuts, match="slack"):
        compile_cuts(many, published.universe, published.market, form="complete")


def crossed(low: str, high: str, as_of: str = "2026-11-20T08:00:00Z") -> Market:
    document = read("market-1.json")
    quotes = document["underlyings"]["BTC"]["expiries"]["2026-12-25T08:00:00Z"]
    quotes["volatilities"] |= {"100000": low, "110000": high}
    return Market.parse(document | {"as_of": as_of})


def test_the_examples_are_not_crossed(markets: Any, universe: Universe) -> None:
    for market in markets:
        check_market(market, universe)
        check_crossed(market)


def test_crossed_prices_are_refused_by_name() -> None:
    for low, high in (("0.1", "1.9"), ("0.5", "1.2"), ("2", "0.1")):
        with pytest.raises(errors.CrossedPrices, match=r"^underlyings\.BTC\.expiries\.2026-12-25T08:00:00Z\.vola"):
            check_crossed(crossed(low, high))
    # Nothing to be said of an expiry that is over.
    check_crossed(crossed("0.1", "1.9", "2026-12-25T08:00:00Z"))


def test_what_is_timed_compiles_the_rows_asked_for() -> None:
    for work in recompilations(40, 9).values():
        once, again = work(), work()
        assert once.maintenance_fhe.rows == 9
        assert once.maintenance_fhe.entries >= 80
        assert np.array_equal(once.initial_proof.weights, again.initial_proof.weights)
    check_market(wide_market(40), wide_universe(40))
    assert len(wide_universe(40).instruments) == 40

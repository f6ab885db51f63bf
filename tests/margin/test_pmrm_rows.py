"""`pmrm` as integer rows: conservative <= exact <= true, on the outside cases and on generated books."""

import json
import random
from dataclasses import replace
from decimal import Decimal
from functools import cache
from typing import Any

import numpy as np
import pytest

from atomic_margin.margin import errors
from atomic_margin.margin.kinds import KINDS
from atomic_margin.margin.models.pmrm import (
    PmrmCase,
    PmrmParameters,
    compile_case,
    parse_cases,
    parse_parameters,
    pmrm_margin,
)
from atomic_margin.margin.models.portfolio_margin.compiled import (
    CompiledCase,
    exact_matrices,
    integer_excess,
    model_rows,
    run_matrices,
)
from atomic_margin.margin.models.portfolio_margin.positions import CaseBook

from ..outside import outside as vectors
from .losses import print_losses
from .pmrm_cases import SETS, UNIT, case_of, parsed, whole
from .rounded import assert_compiled, assert_compiled_exact

Json = dict[str, Any]
DAY = 86400
ONE = parse_parameters(SETS, "vectors")


def book(
    options: list[tuple[int, float, int, float, float]], feeds: list[tuple[int, float, float]], **more: Any
) -> PmrmCase:
    """What `case_of` makes of it, as a case."""
    return parsed(case_of(options, feeds, **more))


def twelve_options(seed: int) -> PmrmCase:
    """Twelve options of two expiries around spot, bought and sold."""
    rng = random.Random(seed)
    expiries = rng.sample([3 * DAY, 7 * DAY, 14 * DAY, 30 * DAY, 60 * DAY, 90 * DAY], 2)
    held: dict[tuple[int, int, int], tuple[float, float]] = {}
    while len(held) < 12:
        key = (rng.choice(expiries), rng.choice(range(1100, 2000, 100)), rng.randint(0, 1))
        held[key] = (round(rng.uniform(0.5, 1.1), 2), rng.choice([-1, 1]) * rng.randint(1, 20))
    feeds = [(e, round(1500 * rng.uniform(0.99, 1.02), 2), rng.choice([0, 0.03, 0.05])) for e in expiries]
    return book([(*key, *item) for key, item in held.items()], feeds, Cash=whole(10000))


def generated(seed: int) -> tuple[PmrmCase, PmrmParameters]:
    """Any book: up to 16 options over four expiries, perpetuals, base, low confidences, a broken peg."""
    rng = random.Random(seed)
    expiries = rng.sample([60, 900, DAY // 2, DAY, 7 * DAY, 30 * DAY, 31 * DAY, 90 * DAY, 365 * DAY], 4)
    keys = sorted(
        {
            (rng.choice(expiries), rng.choice([500, 1200, 1400, 1500, 1600, 1900, 4000]), rng.randint(0, 1))
            for _ in range(rng.randint(0, 16))
        }
    )

    def sure() -> int:
        return rng.choice([UNIT, UNIT, UNIT, whole("0.6"), whole(f"{rng.random():.4f}")])

    confidences = {e: sure() for e in expiries}
    options = [
        (*key, round(rng.uniform(0, 2), 3), rng.choice([-1, 1]) * rng.choice([1, 2, 3, 0.5, 10, 47.25])) for key in keys
    ]
    case = book(
        options,
        [(e, round(rng.uniform(1350, 1650), 2), rng.choice([0, 0.05, -0.03, 0.2])) for e in expiries],
        OptionVolConfidences=[confidences[key[0]] for key in keys],
        ForwardConfidences=[sure() for _ in expiries],
        ForwardsFixed=[whole(700) if e < 1800 else 0 for e in expiries],
        Cash=whole(rng.randint(-20000, 50000)),
        Perps=rng.choice([0, 0, whole(f"{rng.uniform(-30, 30):.2f}")]),
        PerpConfidence=sure(),
        UnrealisedPerpPNL=whole(rng.randint(-300, 300)),
        Base=rng.choice([0, whole(rng.randint(1, 20))]),
        SpotPrice=whole(f"{rng.uniform(1400, 1600):.2f}"),
        SpotConfidence=sure(),
        StablePrice=rng.choice([UNIT, whole("0.98"), whole("0.93")]),
    )
    changes = rng.choice(
        [{}, {"basis_add": Decimal(1), "basis_mult": Decimal("1.2")}, {"base_static_discount": Decimal("0.6")}]
    )
    return case, ONE.model_copy(update=changes)


def check(case: PmrmCase, parameters: PmrmParameters, exactly: bool = True, **more: Any) -> None:
    """Conservative <= exact <= true before rounding; integers below; what was compiled passes the verifier's checks."""
    reference = pmrm_margin(case, parameters)
    conservative, exact = (compile_case(case, parameters, form, **more) for form in ("conservative", "exact"))
    coarse, fine = integer_excess(conservative, 24, "fhe"), integer_excess(conservative, 20, "proof")
    proof = integer_excess(exact, 20, "proof")
    for kind, true in zip(KINDS, (reference.maintenance_excess, reference.initial_excess), strict=True):
        scale = max(1.0, abs(true), float(exact.gross))
        low, high = model_rows(conservative, kind).min(), model_rows(exact, kind).min()
        assert low <= high + 1e-9 * scale
        assert high <= true + 1e-9 * scale
        if exactly:
            assert high == pytest.approx(true, abs=1e-9 * scale)
        for integers, model in ((coarse, low), (fine, low), (proof, high)):
            assert float(min(getattr(integers, kind))) <= model + 1e-12 * scale
            assert min(getattr(integers, kind)) <= Decimal(true)
            assert not (min(getattr(integers, kind)) >= 0 and true < 0)
    common = exact.entry_map, exact.gross_limit
    run, plain = exact_matrices(exact), run_matrices(conservative, 24)
    assert_compiled_exact(run, exact.rows, exact.collateral, *common)
    assert_compiled(plain, conservative.rows.slack_free(), conservative.collateral, *common, bits=24, weight_bits=22)


@cache
def outside(name: str) -> Json:
    found: Json = json.loads((vectors("pmrm") / name).read_text())
    return found


def outside_case(number: int) -> PmrmCase:
    return parse_cases(outside("testAndVerifyScenarios.json"))[f"Test{number}"]


@pytest.mark.parametrize("name", ["vectors", "mainnet"])
@pytest.mark.parametrize("number", range(1, 22))
def test_the_order_of_the_forms_on_the_outside_cases(number: int, name: str) -> None:
    check(outside_case(number), parse_parameters(outside("parameters.json"), name))


@pytest.mark.long
@pytest.mark.parametrize("block", range(6))
def test_the_order_of_the_forms_on_generated_books(block: int) -> None:
    for seed in range(10 * block, 10 * block + 10):
        check(*generated(seed))


@pytest.mark.slow
@pytest.mark.parametrize("block", range(20))
def test_the_order_of_the_forms_on_ten_thousand_books(block: int) -> None:
    for seed in range(500 * block, 500 * block + 500):
        check(*generated(seed))


def without_perpetuals(case: PmrmCase) -> PmrmCase:
    """The same account after it sold its perpetuals, whose profit so far no longer counts."""
    return replace(case, account=replace(case.account, book=replace(case.account.book, perpetuals=Decimal(0))))


@pytest.mark.long
@pytest.mark.parametrize("seed", range(20))
def test_a_perpetual_that_is_listed_but_perhaps_not_held(seed: int) -> None:
    case, parameters = generated(seed)
    unsure = replace(case.market, perp_confidence=Decimal("0.2"), spot_confidence=Decimal("0.9"))
    ledger = replace(case.account.ledger, base=Decimal(7))
    case = PmrmCase(replace(case.account, ledger=ledger), unsure)
    # Without combinations, so that |leg| is charged exactly; the switch then tells whether a perpetual is held.
    check(case, parameters, combinations=False, perpetual=True)
    check(case, parameters, exactly=False, perpetual=True)
    listed = compile_case(case, parameters, perpetual=True)
    unlisted = compile_case(without_perpetuals(case), parameters)
    assert "PERP" in listed.listing.names
    assert "PERP" not in unlisted.listing.names


def test_low_confidence_of_a_perpetual_nobody_holds_costs_nothing() -> None:
    week = 7 * DAY
    sure = book([(week, 1500, 1, 0.8, 1)], [(week, 1500, 0)])
    unsure = replace(sure, market=replace(sure.market, perp_confidence=Decimal("0.3")))
    margins = [integer_excess(compile_case(case, ONE)).initial_excess for case in (sure, unsure)]
    assert margins[0] == margins[1]


def looseness(case: PmrmCase, combinations: bool) -> float:
    """Conservative against true initial margin, as a share of the requirement."""
    true = pmrm_margin(case, ONE)
    compiled = compile_case(case, ONE, "conservative", combinations)
    gap: float = true.initial_excess - model_rows(compiled, "initial").min()
    return gap / (true.mark_to_market - true.initial_excess)


def test_combinations_tighten_books_of_twelve_options() -> None:
    seeds = range(40)
    alone = np.array([looseness(twelve_options(seed), False) for seed in seeds])
    combined = np.array([looseness(twelve_options(seed), True) for seed in seeds])
    assert 0.05 < alone.mean() < 0.2
    assert combined.mean() < 0.03
    assert np.median(combined) < 0.01


@pytest.mark.parametrize("side", [1, -1])
def test_a_box_is_exact_as_one_entry_and_loose_as_four(side: int) -> None:
    week = 7 * DAY
    amounts = (-side, side, side, -side)
    box = book(
        [(week, k, c, 0.8, a) for (k, c), a in zip(((1400, 1), (1400, 0), (1600, 1), (1600, 0)), amounts, strict=True)],
        [(week, 1500, 0)],
    )
    true = pmrm_margin(box, ONE).initial_excess
    gaps = [true - model_rows(compile_case(box, ONE, "conservative", how), "initial").min() for how in (False, True)]
    assert gaps[0] > 20
    assert gaps[1] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("seed", range(15))
def test_any_split_of_a_book_is_conservative_and_exact_with_slack(seed: int) -> None:
    """Entries at random, both sides at once: the rows never exceed the margin of the net legs."""
    rng = np.random.default_rng(seed)
    case, parameters = generated(seed)
    case = without_perpetuals(case)
    compiled = compile_case(case, parameters)
    listing = compiled.listing
    z = rng.integers(0, 4, len(compiled.entry_map)) * (rng.random(len(compiled.entry_map)) < 0.3)
    held = np.zeros((len(listing.names), 2))
    for column, count in zip(compiled.entry_map.columns, z, strict=True):
        held[listing.names.index(column.instrument), int(column.side == "short")] += count * column.lots
    net = listing.legs.T @ (held[:, 0] - held[:, 1])
    lots = [listing.lots[leg] for leg in range(len(net))]
    keys = case.account.book.options
    amounts = {key: Decimal(int(n)) * lot for key, n, lot in zip(keys, net, lots, strict=True)}
    netted = replace(case, account=replace(case.account, book=CaseBook(amounts, Decimal(0))))
    true = pmrm_margin(netted, parameters)
    for kind, margin in zip(KINDS, (true.maintenance_excess, true.initial_excess), strict=True):
        scale = max(1.0, compiled.entry_map.gross(z))
        conservative = replace(compiled, z=z)
        exact = replace(compile_case(case, parameters, "exact"), z=z)
        assert model_rows(conservative, kind).min() <= margin + 1e-9 * scale
        assert model_rows(exact, kind).min() <= margin + 1e-9 * scale
        # Both sides of a leg in no combination are charged for doubt, which is in initial margin only.
        if kind == "maintenance" and "PERP" not in listing.names:
            assert model_rows(exact, kind).min() == pytest.approx(margin, abs=1e-9 * scale)


def lots_of(compiled: CompiledCase) -> list[int]:
    return [int(item) for item in compiled.z]


def test_the_split_does_not_look_at_prices() -> None:
    case = twelve_options(5)
    market = replace(
        case.market,
        spot_price=Decimal(1731),
        feeds={e: replace(feed, forward_variable=feed.forward_variable * 2) for e, feed in case.market.feeds.items()},
        options=tuple(replace(quote, volatility=quote.volatility / 3) for quote in case.market.options),
    )
    moved = replace(case, market=market)
    split = [compile_case(item, ONE, reference_price=Decimal(1500)) for item in (case, moved)]
    assert split[0].entry_map.hash() == split[1].entry_map.hash()
    assert lots_of(split[0]) == lots_of(split[1])


def test_rows_and_entries_have_names() -> None:
    compiled = compile_case(book([(7 * DAY, 1500, 1, 0.8, -3)], [(7 * DAY, 1500, 0)], Perps=whole("1.5")), ONE)
    assert compiled.rows.labels[:2] == ("1.15 up -", "1.15 up +")
    assert compiled.rows.labels[-1] == "basis"
    assert compiled.entry_map.labels == (
        "604800-1500-C:long:0",
        "604800-1500-C:short:0",
        "PERP:long:0",
        "PERP:short:0",
    )
    assert [str(lot) for lot in compiled.listing.lots] == ["1", "0.1"]
    assert compiled.z.tolist() == [0, 3, 15, 0]


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(errors.GrossLimitExceeded):
        compile_case(twelve_options(1), ONE, gross_limit=10)
    with pytest.raises(errors.RowsWithSlack, match="conservative"):
        integer_excess(compile_case(twelve_options(1), ONE, "exact"), 24, "fhe")


@pytest.mark.parametrize("seed", range(20))
def test_quantities_of_many_decimals_are_rounded_against_the_holder(seed: int) -> None:
    rng, (case, parameters) = random.Random(seed), generated(seed)
    fine = {
        key: amount + Decimal(rng.randint(1, 10**18)).scaleb(-18) for key, amount in case.account.book.options.items()
    }
    held = CaseBook(fine, case.account.book.perpetuals and case.account.book.perpetuals - Decimal("1e-17"))
    check(replace(case, account=replace(case.account, book=held)), parameters, exactly=False)


def test_gaps_of_rounding_on_books_of_twelve_options() -> None:
    """The figures of the documentation, loosely: shares of the initial margin requirement."""
    fhe, proof, exact = [], [], []
    for seed in range(20):
        case = twelve_options(seed)
        true = pmrm_margin(case, ONE)
        required = true.mark_to_market - true.initial_excess
        slack_free, with_slack = (compile_case(case, ONE, form) for form in ("conservative", "exact"))
        model = model_rows(slack_free, "initial").min()
        fhe.append((model - float(integer_excess(slack_free, 24, "fhe").initial_excess)) / required)
        proof.append((model - float(integer_excess(slack_free, 20, "proof").initial_excess)) / required)
        exact.append((true.initial_excess - float(integer_excess(with_slack, 20, "proof").initial_excess)) / required)
    assert 0 <= np.mean(fhe) < 0.01
    assert 0 <= max(proof) < 1e-4
    assert 0 <= max(exact) < 3e-4


if __name__ == "__main__":
    for title, books in (
        ("twelve options, two expiries", map(twelve_options, range(1000))),
        ("generated books", (generated(seed)[0] for seed in range(1000))),
        ("the 21 outside cases", map(outside_case, range(1, 22))),
    ):
        print_losses(
            title, books, lambda case: pmrm_margin(case, ONE), lambda case, *how: compile_case(case, ONE, *how)
        )

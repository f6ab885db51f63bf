"""`pmrm2` as integer rows: both forms against the plain reference, on generated books and odd parameters."""

import copy
import random
from decimal import Decimal

import numpy as np
import pytest

from atomic_margin.margin.kinds import KINDS
from atomic_margin.margin.models.pmrm2 import Pmrm2Case, compile_case, pmrm2_margin
from atomic_margin.margin.models.portfolio_margin.compiled import exact_matrices, integer_excess, model_rows

from .losses import print_losses
from .pmrm2_cases import DAY, PARAMETERS, Json
from .rounded import assert_compiled_exact


def generated(seed: int) -> Pmrm2Case:
    """A book of up to 14 options over up to three expiries with collaterals and perpetuals, and varied parameters."""
    rng = random.Random(seed)
    expiries = rng.sample([900, DAY // 2, 3 * DAY, 7 * DAY, 30 * DAY, 31 * DAY, 90 * DAY, 365 * DAY], 3)
    keys = {
        (rng.choice(expiries), rng.choice([900, 1200, 1400, 1500, 1600, 1800, 2500]), rng.randint(0, 1))
        for _ in range(rng.randint(0, 14))
    }

    def sure() -> str:
        return rng.choice(["1", "1", "1", f"{rng.random():.3f}"])

    scenario: Json = {
        "Cash": rng.randint(-20000, 50000),
        "Collaterals": [
            {"Name": "ETH", "Amount": f"{rng.uniform(0, 20):.3f}", "Price": f"{rng.uniform(0.5, 1600):.2f}"}
            | {"Confidence": sure(), "IsRiskCancelling": rng.randint(0, 1), "IMHaircut": "0.1", "MMHaircut": "0.05"}
            for _ in range(rng.randint(0, 3))
        ],
        "SpotPrice": f"{rng.uniform(1400, 1600):.2f}",
        "SpotConfidence": sure(),
        "NumPerps": rng.choice([0, 0, f"{rng.uniform(-30, 30):.2f}"]),
        "PerpPrice": "1505",
        "PerpConfidence": sure(),
        "UnrealisedPerpPNL": rng.randint(-500, 500),
        "UnrealisedFunding": rng.randint(-50, 50),
        "StablePrice": rng.choice(["1", "0.95", "1.01"]),
        "Options": [
            {"Expiry": e, "Strike": k, "IsCall": c, "MarkVol": f"{rng.uniform(0.2, 1.5):.3f}"}
            | {"Amount": rng.choice([-1, 1]) * rng.choice([1, 2, 5, 0.25, 10, 40])}
            for e, k, c in sorted(keys)
        ],
        "OptionFeeds": [
            {"FeedExpiry": e, "Forward": f"{rng.uniform(1400, 1600):.2f}", "ForwardConfidence": sure()}
            | {"Rate": rng.choice(["0", "0.05", "-0.02", "0.3"]), "RateConfidence": "1", "OptionVolConfidences": sure()}
            for e in expiries
        ],
    }
    parameters = copy.deepcopy(PARAMETERS)
    gain, loss = rng.choice([("0.95", "0.97"), ("0.8", "1"), ("1", "1.2")])
    parameters["Margin"] |= {"BASE_STATIC_DISCOUNT": gain, "BASE_STATIC_DISCOUNT_NEG": loss}
    parameters["SkewShock"]["ABS_CBASE"] = rng.choice(["0.3", "0.9", "-0.3"])
    return Pmrm2Case.parse({"Scenario": scenario, "Parameters": parameters})


def check(case: Pmrm2Case, exactly: bool = True) -> None:
    """Conservative <= exact <= true before rounding; integers below; and the verifier's check passes."""
    reference = pmrm2_margin(case)
    conservative, exact = (compile_case(case, form) for form in ("conservative", "exact"))
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
        assert not (min(getattr(proof, kind)) >= 0 and true < 0)
    assert_compiled_exact(exact_matrices(exact), exact.rows, exact.collateral, exact.entry_map, exact.gross_limit)


@pytest.mark.long
@pytest.mark.parametrize("block", range(6))
def test_the_order_of_the_forms_on_generated_books(block: int) -> None:
    for seed in range(10 * block, 10 * block + 10):
        check(generated(seed))


@pytest.mark.slow
@pytest.mark.parametrize("block", range(20))
def test_the_order_of_the_forms_on_ten_thousand_books(block: int) -> None:
    for seed in range(500 * block, 500 * block + 500):
        check(generated(seed))


@pytest.mark.parametrize("seed", range(8))
def test_discounts_that_favour_gains_stay_conservative(seed: int) -> None:
    case = generated(seed)
    factors = {"base_static_discount": Decimal("1.1"), "base_static_discount_neg": Decimal("0.6")}
    margin = case.parameters.margin.model_copy(update=factors)
    parameters = case.parameters.model_copy(update={"margin": margin})
    check(case.model_copy(update={"parameters": parameters}), exactly=False)


def test_the_rows_are_named_by_scenario_and_basis() -> None:
    labels = compile_case(generated(3)).rows.labels
    assert labels[:2] == ("1.18 up -", "1.18 up +")
    assert {"skew linear", "skew abs", "basis"} <= set(labels)


def test_other_parameters_are_another_model() -> None:
    case = generated(3)
    other = case.parameters.model_copy(update={"scenarios": case.parameters.scenarios[:3]})
    hashes = {
        compile_case(item).rows.weights.model_hash for item in (case, case.model_copy(update={"parameters": other}))
    }
    assert len(hashes) == 2


@pytest.mark.long
@pytest.mark.parametrize("seed", range(40))
def test_quantities_of_many_decimals_are_rounded_against_the_holder(seed: int) -> None:
    """Up to 18 decimals, hedged or not, in both forms: never above the true margin, and close below it."""
    rng, case = random.Random(seed), generated(seed)

    def fine() -> Decimal:
        return Decimal(rng.randint(-(10**19), 10**19)).scaleb(-rng.choice([15, 17, 18]))

    options = tuple(item.model_copy(update={"amount": fine()}) for item in case.scenario.options)
    changes = {"options": options, "num_perps": rng.choice([Decimal(0), fine(), fine()])}
    case = case.model_copy(update={"scenario": case.scenario.model_copy(update=changes)})
    check(case, exactly=False)
    compiled = compile_case(case, "exact")
    if options:
        assert compiled.listing.rounded[: len({item.key for item in case.scenario.quotes()})].all()
    true = pmrm2_margin(case)
    for kind, margin in zip(KINDS, (true.maintenance_excess, true.initial_excess), strict=True):
        assert margin - model_rows(compiled, kind).min() < 1e-3 * max(compiled.gross, 1)


def test_an_account_of_collateral_alone_has_rows_too() -> None:
    case = generated(3)
    account = case.scenario.model_copy(update={"options": (), "option_feeds": (), "num_perps": Decimal(0)})
    check(case.model_copy(update={"scenario": account}))
    assert not np.any(compile_case(case.model_copy(update={"scenario": account})).z)


if __name__ == "__main__":
    print_losses("generated books", map(generated, range(1000)), pmrm2_margin, compile_case)

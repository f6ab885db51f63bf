"""Whether initial margin may ask for less than maintenance margin: of every model, by books that try, and by documents.

Cash adds the same to all rows of both kinds, so what is shown of the excesses holds for books in breach.
"""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.optimize import linprog

from atomic_margin.margin import CollateralSchedule, Market, UniverseModel, parse_model
from atomic_margin.margin.errors import InitialBelowMaintenance
from atomic_margin.margin.market.valuation import value
from atomic_margin.margin.models.books import sample_books
from atomic_margin.margin.models.universe import Published

from ..service.notional import NotionalModel, NotionalRules
from .books import book_of
from .settings import NAMES, Setting, setting_of
from .test_registry import read

Json = dict[str, Any]
Change = Callable[[Json], None]
JOINT = ("cross_margin", "expected_shortfall")


def unchanged(name: str, number: int = 0) -> Json:
    none = {"BTC": "0", "ETH": "0"}
    label = f"unchanged {number}"
    if name == "scan":
        return {"label": label, "spot": none, "volatility": "0", "basis": "0", "coverage": "0.5"}
    more = {"source": "stress", "coverage": "0.5"} if name == "cross_margin" else {}
    return {"label": label, "spot": none, "volatility": none, "basis": none, **more}


def document(name: str, still: int) -> Json:
    """The example of a model with scenarios, in so many of which nothing moves; a tail of 2.5 moves."""
    given = copy.deepcopy(read({"scan": "model-scan.json"}.get(name, f"{name.replace('_', '-')}/model.json")))
    given.pop("cover", None)
    moving = [one for one in given["scenarios"] if set(one["spot"].values()) != {"0"}][: 20 - still]
    given["scenarios"] = [*moving, *(unchanged(name, number) for number in range(still))]
    return given | ({"tail": "0.125"} if name == "expected_shortfall" else {})


def setting(name: str) -> Setting:
    """A model that does not ask for less, with its documents."""
    found = setting_of(name)
    if name.startswith("pmrm"):
        return found
    return replace(found, model=model(document(name, 3)))


def model(given: Json) -> UniverseModel[Any, Any]:
    parsed = parse_model(given)
    assert isinstance(parsed, UniverseModel)
    return parsed


def gains(at: Setting, market: Market, seed: int) -> list[np.ndarray[Any, Any]]:
    """Books of all kinds, and of options that are held long alone: those gain in most scenarios."""
    drawn = list(sample_books(at.universe, market, 8, seed))
    is_option = value(at.universe, market).is_option
    return drawn + [np.where(is_option, abs(lots), 0) for lots in drawn]


@pytest.mark.parametrize("name", NAMES)
def test_no_book_has_more_left_under_initial_margin(name: str) -> None:
    at = setting(name)
    at.model.check_initial_margin(at.schedule)
    market = Market.parse(read("market-1.json"))
    published = Published(at.universe, market, at.schedule)
    for posted in (at.posted, at.model.nothing_posted()):
        for lots in gains(at, market, 7):
            excess = at.model.reference(published, book_of(lots, at.universe), posted).excess
            assert excess["initial"] <= excess["maintenance"] + 1e-6


def most_gained(at: Setting) -> float:
    """The most by which the least initial row of any book, of a lot of each instrument and side, is above a maintenance
    row: one linear program for each of those; USD."""
    weights = at.model.rows(at.universe, Market.parse(read("market-1.json"))).slack_free()
    initial, columns = weights.initial, weights.initial.shape[1]
    below = np.column_stack([np.ones(len(initial)), -initial])
    bounds = [(None, None)] + [(0, 1)] * columns
    found = [
        linprog(np.concatenate([[-1.0], row]), below, np.zeros(len(initial)), bounds=bounds)
        for row in weights.maintenance
    ]
    assert all(one.success for one in found)
    return float(max(-one.fun for one in found))


@pytest.mark.parametrize("name", NAMES)
def test_no_book_at_all_gains_by_rows_without_slack(name: str) -> None:
    assert most_gained(setting(name)) < 1e-3


@pytest.mark.parametrize("name", ["scan", "cross_margin"])
def test_such_books_are_found_where_every_scenario_moves(name: str) -> None:
    given = document(name, 0)
    calm = [one for one in given["scenarios"] if max(abs(float(move)) for move in one["spot"].values()) > 0.08]
    assert most_gained(replace(setting_of(name), model=model(given | {"scenarios": calm}))) > 1


@pytest.mark.parametrize("name", ["scan", *JOINT])
def test_a_book_that_gains_in_all_scenarios_has_more_left_without_an_unchanged_one(name: str) -> None:
    given = document(name, 0)
    up, down = (copy.deepcopy(given["scenarios"][0]) for _ in range(2))
    for scenario, label, spot in ((up, "up", "0.15"), (down, "down", "-0.15")):
        none = unchanged(name)
        scenario |= {"label": label, "spot": {"BTC": spot, "ETH": spot}}
        scenario |= {"volatility": none["volatility"], "basis": none["basis"]}
    given |= {"scenarios": [up, down]} | ({"tail": "0.5"} if name == "expected_shortfall" else {})
    at, market = replace(setting_of(name), model=model(given)), Market.parse(read("market-1.json"))
    straddle = np.array([10 if "90000" in one.id or "100000" in one.id else 0 for one in at.universe.instruments])
    published = Published(at.universe, market, at.schedule)
    excess = at.model.reference(published, book_of(straddle, at.universe), at.model.nothing_posted()).excess
    assert excess["initial"] > excess["maintenance"]
    with pytest.raises(InitialBelowMaintenance, match="add such with spot, volatility and basis 0"):
        at.model.check_initial_margin(at.schedule)
    model(given | {"initial_factor": "1"}).check_initial_margin(at.schedule)


def test_collateral_that_has_nothing_left_to_lose_lets_a_short_position_gain() -> None:
    given = document("scan", 1)
    crash = given["scenarios"][0] | {"label": "crash", "spot": {"BTC": "-0.9", "ETH": "0"}, "coverage": "1"}
    given["scenarios"] = [crash | {"volatility": "0", "basis": "0"}, unchanged("scan")]
    given["charges"] = dict.fromkeys(given["charges"], "0")
    at, market = replace(setting_of("scan"), model=model(given)), Market.parse(read("market-1.json"))
    [asset] = [one for one in at.schedule.assets if one.risk_underlying == "BTC"][:1]
    short = np.array([-1 if one.id == "BTC-PERP" else 0 for one in at.universe.instruments])
    posted = {asset.id: 15 * 10**asset.decimals // 100}
    published = Published(at.universe, market, at.schedule)
    excess = at.model.reference(published, book_of(short, at.universe), posted).excess
    assert excess["initial"] > excess["maintenance"]
    with pytest.raises(InitialBelowMaintenance, match=r"'crash' .* more than all of its value") as refused:
        at.model.check_initial_margin(at.schedule)
    assert refused.value.field == f"assets[{at.schedule.assets.index(asset)}].risk_underlying"


def test_a_tail_takes_as_many_unchanged_moves_as_it_has() -> None:
    schedule = setting_of("expected_shortfall").schedule
    for still in (0, 1, 2):
        with pytest.raises(InitialBelowMaintenance, match=f"{still} of them move nothing, and it takes 3"):
            model(document("expected_shortfall", still)).check_initial_margin(schedule)
    model(document("expected_shortfall", 3)).check_initial_margin(schedule)


def _volatility(given: Json) -> None:
    given["scenarios"][-1]["volatility"] = {"BTC": "0", "ETH": [{"days": "1", "move": "0"}, {"days": "9", "move": "1"}]}


def _basis(given: Json) -> None:
    of = given["scenarios"][-1]
    of["basis"] = {"BTC": "0.1", "ETH": "0"} if isinstance(of["basis"], dict) else "0.1"


def _spot(given: Json) -> None:
    given["scenarios"][-1]["spot"]["ETH"] = "0.01"


@pytest.mark.parametrize("change", [_volatility, _basis, _spot])
@pytest.mark.parametrize("name", ["scan", "cross_margin"])
def test_a_scenario_is_unchanged_only_if_nothing_moves_in_it(name: str, change: Change) -> None:
    given, schedule = document(name, 1), setting_of(name).schedule
    given["scenarios"][-1]["volatility"] = {"BTC": "0", "ETH": [{"days": "1", "move": "0"}]}
    model(given).check_initial_margin(schedule)
    change(given)
    with pytest.raises(InitialBelowMaintenance, match="0 of them move nothing"):
        model(given).check_initial_margin(schedule)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("pmrm", {"im_factor": "0.9"}),
        ("pmrm", {"peg_loss_threshold": "1.1", "peg_loss_factor": "1"}),
        ("pmrm2", {"Margin": {"IM_LOSS_FACTOR": "0"}}),
        ("pmrm2", {"OtherContingency": {"PEG_LOSS_THRESHOLD": "1.1", "PEG_LOSS_FACTOR": "1"}}),
    ],
)
def test_portfolio_margin_takes_a_factor_of_initial_margin_that_is_no_smaller(name: str, changes: Json) -> None:
    at, given = setting_of(name), copy.deepcopy(read(f"{name}/model.json"))
    at.model.check_initial_margin(at.schedule)
    for field, changed in changes.items():
        inner = given["parameters"]
        assert field in inner
        inner[field] = inner[field] | changed if isinstance(changed, dict) else changed
    with pytest.raises(InitialBelowMaintenance, match="no smaller"):
        model(given).check_initial_margin(at.schedule)


def test_a_model_that_does_not_say_goes_with_no_custodians(schedule: Any) -> None:
    rules = NotionalRules(
        NotionalModel.parse(
            {
                "format": "atomic-margin/model/1",
                "name": "notional",
                "loss": {"BTC": "0.05", "ETH": "0.06"},
                "initial_factor": "1.3",
                "minimum_transfer_amount": "0",
            }
        )
    )
    with pytest.raises(InitialBelowMaintenance, match="check_initial_margin"):
        rules.check_initial_margin(CollateralSchedule.parse(schedule))

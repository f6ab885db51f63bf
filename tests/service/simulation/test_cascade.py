"""A simulated crash: the same accounts under every regime, by the machine's own rules, and figures that add up."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from atomic_margin.circuits.profile import profile_by_name
from atomic_margin.margin.market.market import Market
from atomic_margin.service.cli import simulate
from atomic_margin.service.cli.main import app
from atomic_margin.service.errors import ConfigurationError, IllegalTransition, InsufficientFunds
from atomic_margin.service.protocol.account import machine
from atomic_margin.service.protocol.account.events import Event, EventKind
from atomic_margin.service.protocol.account.state import Account
from atomic_margin.service.protocol.account.values import At
from atomic_margin.service.protocol.breakers import BreakerRules, Waiting, releasable
from atomic_margin.service.protocol.terms import AccountColumns, Terms
from atomic_margin.service.simulation import cascade as module
from atomic_margin.service.simulation.accounts import SimulatedAccount
from atomic_margin.service.simulation.assumptions import Assumptions
from atomic_margin.service.simulation.cascade import Cascade, Outcome, Regime, regimes
from atomic_margin.service.simulation.members import Members
from atomic_margin.service.simulation.picture import cascade_picture
from atomic_margin.service.simulation.prices import Prices

from ..documents import full_example

pytestmark = pytest.mark.long

SHORT = Assumptions(accounts=12, ticks=40, crash_at=8, crash_ticks=8, settlement_lag=10, outside_ticks=6, crash=0.4)


@pytest.fixture(scope="module")
def terms() -> Terms:
    documents = (full_example(name) for name in ("model-scan", "universe", "collateral-schedule"))
    return Terms.parse(*documents, profile_by_name("256x24x24"))


@pytest.fixture(scope="module")
def played(terms: Terms) -> dict[str, Outcome]:
    cascade = Cascade(SHORT, terms, full_example("market-1"))
    return {regime.name: cascade.play(regime) for regime in regimes(SHORT)}


def test_the_same_seed_gives_the_same_and_another_one_something_else(terms: Terms, played: dict[str, Outcome]) -> None:
    atomic = regimes(SHORT)[0]
    again = Cascade(SHORT, terms, full_example("market-1")).play(atomic)
    other = Cascade(replace(SHORT, seed=2), terms, full_example("market-1")).play(atomic)
    assert again == played["atomic"]
    assert other.ticks != again.ticks


def test_calls_that_settle_at_once_leave_nobody_short(played: dict[str, Outcome]) -> None:
    atomic, later = played["atomic"].summary(), played["later"].summary()
    assert atomic["account_ticks_short"] == 0 < later["account_ticks_short"]
    assert atomic["breaches"] > 0
    assert atomic["liquidations"] + sum(one.called_usd > 0 for one in played["atomic"].ticks) > 0
    # Before the crash nobody begins short: each has posted more than its initial requirement.
    assert [one.breaches for one in played["atomic"].ticks[: SHORT.crash_at]] == [0] * SHORT.crash_at


def test_with_breakers_one_after_the_other_settles_and_nobody_waits_too_long(
    terms: Terms, monkeypatch: pytest.MonkeyPatch
) -> None:
    assumed = replace(SHORT, breaker_settlements=1, breaker_window=2, breaker_delay=6, breaker_share=1.0)
    settled: list[tuple[Waiting, int]] = []

    def noted(rules: BreakerRules, waiting: Any, done: Any, posted: Any, now: Any) -> list[Waiting]:
        found = releasable(rules, waiting, done, posted, now)
        settled.extend((one, int((now - one.since).total_seconds()) // 60) for one in found)
        return found

    monkeypatch.setattr(module, "releasable", noted)
    summary = Cascade(assumed, terms, full_example("market-1")).play(regimes(assumed)[2]).summary()
    assert [one.leaf for one, _ in settled] == sorted(one.leaf for one, _ in settled)
    assert 0 < max(waited for _, waited in settled) <= 6
    assert summary["account_ticks_short"] == sum(waited for _, waited in settled)
    # Wide limits make it what it is without.
    wide = replace(assumed, breaker_settlements=SHORT.accounts, breaker_window=1)
    atomic, _, breakers = (Cascade(wide, terms, full_example("market-1")).play(one) for one in regimes(wide))
    assert breakers.ticks == atomic.ticks


def test_prices_are_the_same_until_somebody_has_to_sell(played: dict[str, Outcome]) -> None:
    first = min(index for outcome in played.values() for index, one in enumerate(outcome.ticks) if one.sold_usd > 0)
    before = [[one.prices for one in outcome.ticks[: first + 1]] for outcome in played.values()]
    assert before[0] == before[1] == before[2]


def test_every_event_goes_through_the_machine(terms: Terms, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[EventKind] = []
    apply = machine.apply

    def noted(state: Account | None, event: Event, at: At) -> Account:
        seen.append(event.kind)
        return apply(state, event, at)

    monkeypatch.setattr(machine, "apply", noted)
    outcome = Cascade(SHORT, terms, full_example("market-1")).play(regimes(SHORT)[0])
    summary = outcome.summary()
    assert seen.count(EventKind.BREACH_PROVEN) == summary["breaches"]
    assert seen.count(EventKind.LIQUIDATED) == summary["liquidations"]
    assert seen.count(EventKind.MARGIN_CALLED) == summary["breaches"] - summary["liquidations"]
    assert seen.count(EventKind.RUN_OPENED) == seen.count(EventKind.COVERED) + summary["breaches"]


def test_the_machine_refuses_what_it_refuses_elsewhere(terms: Terms) -> None:
    account = SimulatedAccount("fund", terms)
    account.deposit("USDC", 100)
    with pytest.raises(InsufficientFunds):
        account.post("USDC", 101)
    account.post("USDC", 100)
    account.submit(1 << 26)
    account.tick(1)
    account.open_run()
    with pytest.raises(IllegalTransition, match="not over"):
        account.open_run()
    account.answer(0)
    assert (dict(account.state.public.posted), account.run, account.defaulted()) == ({"USDC": 100}, None, False)


def test_no_account_is_passed_over_because_of_the_bound_on_rounding(terms: Terms) -> None:
    """What the unrounded rows leave unlooked at, integers cover too: on every book, at every price of the crash."""
    cascade = Cascade(replace(SHORT, accounts=8), terms, full_example("market-1"))
    draw = np.random.Generator(np.random.PCG64(SHORT.seed))
    prices = Prices(cascade.assumptions, cascade.base, draw)
    members = Members(cascade.assumptions, terms, cascade.base).drawn(draw)
    least = 0.0
    for tick in (0, 10, 16, 30):
        market = prices.market(tick, prices.factors(tick))
        rows = terms.rows(market, terms.universe.hash())
        for member in members:
            columns = AccountColumns(terms.universe.hash(), member.gross_limit)
            collateral = terms.collateral(market, member.account.state.public.posted)
            true = rows.spread(terms.columns(columns)).slack_free().maintenance @ member.z + collateral.maintenance
            matrix = terms.matrices(rows, collateral, columns).maintenance_proof
            lost = true - matrix.surplus(member.z) * float(matrix.usd(1))
            assert lost.min() > -1e-6
            least = max(least, float(lost.max()) / member.gross_limit)
    assert least < module._ROUNDING


def test_value_is_not_made_by_selling_collateral(terms: Terms) -> None:
    """What a liquidation brings is what the market says of all that was taken, at its prices."""
    market = Market.parse({**full_example("market-1"), "sequence": "1"})
    cascade = Cascade(SHORT, terms, full_example("market-1"))
    play = module._Play(cascade, Regime("atomic", ""), Prices(SHORT, cascade.base, np.random.default_rng(1)), [])
    proceeds, coins = play._sell_collateral({"USDC": 5_000_000, "BTC": 10**8}, market)
    spot = float(market.underlyings["BTC"].spot)
    assert proceeds == pytest.approx(5.0 * float(market.collateral["USDC"]) + spot)
    assert list(coins) == [spot, 0.0]


def test_selling_moves_prices_and_they_come_back(terms: Terms) -> None:
    assumed = replace(SHORT, noise=0.0, crash=0.0, depth_usd=1e6, resilience=0.5)
    prices = Prices(assumed, full_example("market-1"), np.random.default_rng(1))
    assert list(prices.factors(0)) == [1.0, 1.0]
    prices.sell(np.array([2e6, 0.0]))
    assert list(prices.factors(1)) == pytest.approx([0.98, 1.0])
    prices.sell(np.zeros(2))
    assert list(prices.factors(2)) == pytest.approx([0.98**0.5, 1.0])


def test_a_picture_has_a_line_for_each_regime_in_each_panel(played: dict[str, Outcome]) -> None:
    picture = cascade_picture(SHORT, ["BTC", "ETH"], list(played.values()))
    found = re.findall(r'<polyline points="([^"]*)"', picture)
    assert len(found) == 5 * len(played)
    assert {len(points.split()) for points in found} == {SHORT.ticks}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("accounts", 0),
        ("ticks", 1),
        ("crash", 1.0),
        ("depth_usd", 0.0),
        ("resilience", -0.1),
        ("breaker_share", 0.0),
        ("breaker_window", 0),
        ("breaker_delay", 4),
        ("breaker_settlements", 0),
    ],
)
def test_an_assumption_out_of_its_range_is_named(name: str, value: float) -> None:
    with pytest.raises(ConfigurationError, match=name):
        Assumptions(**{name: value})  # type: ignore[arg-type]  # any field, by its name


def run(*arguments: object) -> Any:
    result = CliRunner().invoke(app, ["simulate", "cascade", *map(str, arguments)])
    assert "Traceback" not in result.output
    return result


FEW = ("--accounts", 3, "--ticks", 12)


def test_the_command_writes_figures_and_a_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = run(*FEW, "--json", "--out", tmp_path / "c.json", "--plot", tmp_path / "c.svg")
    assert said.exit_code == 0, said.output
    found = json.loads(said.stdout)
    assert found["assumptions"] == replace(Assumptions(), accounts=3, ticks=12).as_json()
    assert sorted(found["regimes"]) == sorted(one.name for one in regimes(Assumptions()))
    written = json.loads((tmp_path / "c.json").read_text())
    assert {len(ticks) for ticks in written["ticks"].values()} == {12}
    assert (tmp_path / "c.svg").read_text().startswith("<svg")
    # What it printed is what it takes.
    (tmp_path / "again.json").write_text(said.stdout)
    again = run("--assumptions", tmp_path / "again.json", "--json")
    assert again.stdout == said.stdout
    table = run(*FEW)
    assert (table.exit_code, "accounts liquidated" in table.stdout, "Nothing of this is measured" in table.stdout) == (
        0, True, True,
    )  # fmt: skip


def test_the_command_names_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"crash_at": 5, "weather": 1}')
    result = run("--assumptions", tmp_path / "a.json")
    assert (result.exit_code, "there is no assumption 'weather'" in result.stderr) == (2, True)
    result = run("--crash", "1.5")
    assert (result.exit_code, "crash is from 0.0 to 0.95" in result.stderr) == (2, True)
    figures = module.TickFigures((1.0,), 0, 0, 0, 0, 0, 0, 0)
    assert set(simulate.ROWS) <= set(Outcome(Regime("", ""), (figures,)).summary())

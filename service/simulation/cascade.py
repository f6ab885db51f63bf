"""One crash, several ways of calling margin: the same prices, accounts and rules, and what comes of each.

At every tick each account whose run is due has it opened, answered and, if it is short, settled: at once where calls
are atomic, `settlement_lag` ticks later where they are not. Whatever free collateral does not reach is a liquidation:
all collateral is taken and the book is sold over `close_out_ticks`, which moves the prices of everybody.

Whether an account is short is found as a run finds it: by the fine maintenance rows of `Terms.matrices`, in integers.
Where the unrounded rows leave more than rounding could take, that is not computed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np

from atomic_margin.margin.collateral import CollateralValues
from atomic_margin.margin.market.market import Market
from atomic_margin.margin.market.pricing import Floats
from atomic_margin.margin.market.valuation import Valuation, value
from atomic_margin.margin.rows.rows import Rows
from atomic_margin.margin.rows.top_up import TopUp, compute_top_up
from atomic_margin.margin.rows.weights import TrueWeights
from atomic_margin.service.protocol.breakers import BreakerRules, Done, Waiting, releasable
from atomic_margin.service.protocol.terms import AccountColumns, Terms
from atomic_margin.service.simulation.accounts import SimulatedAccount
from atomic_margin.service.simulation.assumptions import Assumptions
from atomic_margin.service.simulation.members import CASH, Member, Members, price_of, unit_worth
from atomic_margin.service.simulation.prices import Prices

_ROUNDING = 2.0**-14
"""Fraction of the gross limit that rounding to integers takes at most; checked in tests."""


@dataclass(frozen=True)
class Regime:
    """A way of calling margin.

    Attributes:
        name: for the report.
        said: what it is, in a sentence.
        lag: ticks from the answer that proves a breach to its settlement; 0 for at once.
        breakers: rules by which breaches wait when there are many.
    """

    name: str
    said: str
    lag: int = 0
    breakers: BreakerRules | None = None


def regimes(assumptions: Assumptions) -> tuple[Regime, ...]:
    """Return the ways of calling margin that are compared."""
    lag = assumptions.settlement_lag
    breakers = BreakerRules.parse(
        {
            "format": "atomic-margin/breaker-rules/1",
            "version": "1",
            "settlements": str(assumptions.breaker_settlements),
            "posted_share": str(assumptions.breaker_share),
            "window_seconds": str(60 * assumptions.breaker_window),
            "longest_delay_seconds": str(60 * assumptions.breaker_delay),
        }
    )
    return (
        Regime("atomic", "a breach is settled in the tick that proves it"),
        Regime("later", f"a breach is settled {lag} ticks after it was proven", lag),
        Regime("breakers", "as atomic, and too many at once wait in the order of their answers", 0, breakers),
    )


class TickFigures(NamedTuple):
    """One tick of one regime.

    Attributes:
        prices: of each underlying, as multiples of those at the beginning.
        breaches: runs of it that proved a breach.
        called_usd: what settled margin calls added to posted collateral.
        liquidations: accounts that were liquidated.
        short: accounts below maintenance margin that are neither called nor liquidated yet.
        uncovered_usd: what books that are not closed are below zero with all their collateral, together.
        sold_usd: notional that was sold or bought back by force.
        loss_usd: what the operator has lost so far.
    """

    prices: tuple[float, ...]
    breaches: int
    called_usd: float
    liquidations: int
    short: int
    uncovered_usd: float
    sold_usd: float
    loss_usd: float


@dataclass(frozen=True)
class Outcome:
    """What a regime led to.

    Attributes:
        regime: which.
        ticks: figures of each.
    """

    regime: Regime
    ticks: tuple[TickFigures, ...]

    def summary(self) -> dict[str, Any]:
        """Return the figures of the whole crash."""
        lowest = np.array([one.prices for one in self.ticks]).min(axis=0)
        return {
            "breaches": sum(one.breaches for one in self.ticks),
            "called_usd": round(sum(one.called_usd for one in self.ticks)),
            "liquidations": sum(one.liquidations for one in self.ticks),
            "account_ticks_short": sum(one.short for one in self.ticks),
            "peak_uncovered_usd": round(max(one.uncovered_usd for one in self.ticks)),
            "forced_sales_usd": round(sum(one.sold_usd for one in self.ticks)),
            "lowest_prices": [round(float(one), 4) for one in lowest],
            "loss_usd": round(self.ticks[-1].loss_usd),
        }


@dataclass
class Cascade:
    """A crash that can be played under one regime after another.

    Attributes:
        assumptions: of it.
        terms: that all accounts are under.
        base: market document that it begins with.
    """

    assumptions: Assumptions
    terms: Terms
    base: dict[str, Any]
    _rows: dict[int, Rows] = field(default_factory=dict)

    def play(self, regime: Regime, on_tick: Callable[[int], None] = lambda tick: None) -> Outcome:
        """Play the crash from its beginning.

        Args:
            regime: how margin is called.
            on_tick: told the number of each tick.

        Raises:
            MarginError: terms and market do not go together.
        """
        draw = np.random.Generator(np.random.PCG64(self.assumptions.seed))
        prices = Prices(self.assumptions, self.base, draw)
        play = _Play(self, regime, prices, Members(self.assumptions, self.terms, self.base).drawn(draw))
        figures = []
        for tick in range(self.assumptions.ticks):
            figures.append(play.tick(tick))
            on_tick(tick + 1)
        return Outcome(regime, tuple(figures))


class _Valued(NamedTuple):
    """What posted collateral was worth when it was last valued, and the prices of assets then."""

    posted: Mapping[str, int]
    prices: Mapping[str, float]
    values: CollateralValues


class _Play:
    """One crash under one regime."""

    def __init__(self, cascade: Cascade, regime: Regime, prices: Prices, members: list[Member]) -> None:
        self._cascade, self._regime, self._prices, self._members = cascade, regime, prices, members
        self._assumed, self._terms = cascade.assumptions, cascade.terms
        self._loss = 0.0
        self._universe = cascade.terms.universe.hash()
        self._weights: dict[int, TrueWeights] = {}
        self._valued: dict[str, _Valued] = {}
        self._answers = 0
        self._done: list[Done] = []

    def tick(self, tick: int) -> TickFigures:
        """Let one tick come, and everything that follows from it."""
        factors = self._prices.factors(tick)
        market = self._prices.market(tick, factors)
        rows = self._terms.rows(market, self._universe)
        worth = value(self._terms.universe, market)
        self._weights = {}
        breaches = liquidations = short = 0
        called = uncovered = 0.0
        sold = np.zeros(len(self._prices.names))
        for member in self._members:
            account = member.account
            if account.defaulted():
                sold += self._close(member, market, worth)
                continue
            account.tick(tick + 1)
            self._arrive(member, tick, market)
            if member.due is None:
                top_up = self._run(member, market, rows)
                if top_up is not None:
                    breaches += 1
                    self._answers += 1
                    member.due = (tick + self._regime.lag, market, top_up)
                    member.waits = Waiting(self._answers, _minute(tick), top_up)
                    member.arriving = member.arriving or tick + self._assumed.outside_ticks
        for member in self._now_due(tick, market):
            settled, moved = self._settle(member, tick)
            called += settled
            if member.account.defaulted():
                liquidations += 1
                proceeds, coins = self._sell_collateral(moved, market)
                member.proceeds += proceeds
                sold += coins
        for member in self._members:
            short += member.due is not None
            uncovered += max(0.0, -self._equity(member, market, worth)) if not member.account.defaulted() else 0.0
        uncovered += sum(max(0.0, -self._left(one, worth)) for one in self._members if one.closing > 0)
        self._prices.sell(sold)
        return TickFigures(
            tuple(float(one) for one in factors),
            breaches,
            called,
            liquidations,
            short,
            uncovered,
            float(np.abs(sold).sum()),
            self._loss,
        )

    def _now_due(self, tick: int, market: Market) -> list[Member]:
        """Return whose breach settles in this tick: all that are due, or those whose turn the rules say it is."""
        due = [member for member in self._members if member.due is not None and member.due[0] <= tick]
        if self._regime.breakers is None:
            return due
        held = [one.account.state.public.posted for one in self._members]
        posted = Decimal(int(sum(self._market_value(one, market) for one in held)))
        waiting = {member.waits: member for member in due if member.waits is not None}
        released = releasable(self._regime.breakers, list(waiting), self._done, posted, _minute(tick))
        return [waiting[one] for one in released]

    def _settle(self, member: Member, tick: int) -> tuple[float, dict[str, int]]:
        """Settle a breach; return what a call added, USD, and what a liquidation took."""
        if member.due is None:
            raise ValueError("no breach of the account waits")
        _, market, top_up = member.due
        settled = member.account.settle(market, top_up)
        self._done.append(Done(_minute(tick), top_up))
        member.due = None
        if not member.account.defaulted():
            return float(top_up), {}
        member.closing = 1.0
        moved = {move.asset: 0 for move in settled.transfers}
        for move in settled.transfers:
            moved[move.asset] += move.quantity
        return 0.0, moved

    def _run(self, member: Member, market: Market, rows: Rows) -> Decimal | None:
        """Open a run, answer it; return the top-up of a breach, USD."""
        account, columns = member.account, AccountColumns(self._universe, member.gross_limit)
        account.open_run()
        weights = self._weights.get(member.gross_limit)
        if weights is None:
            weights = self._weights[member.gross_limit] = rows.spread(self._terms.columns(columns)).slack_free()
        positions, spare = weights.maintenance @ member.z, _ROUNDING * member.gross_limit
        if float((positions + self._at_least(account, market)).min()) > spare:
            account.answer(0)
            return None
        collateral = self._collateral(account, market)
        if float((positions + collateral.maintenance).min()) > spare:
            account.answer(0)
            return None
        matrices = self._terms.matrices(rows, collateral, columns)
        if int(matrices.maintenance_proof.surplus(member.z).min()) >= 0:
            account.answer(0)
            return None
        least = self._terms.model.minimum_transfer_amount
        found: TopUp = compute_top_up(
            matrices.initial_proof, member.z, minimum_transfer_amount=least, gross_limit=member.gross_limit
        )
        # A breach has a top-up: where rounding leaves none of initial margin, one step.
        found = found if found.units else TopUp.of(1, matrices.initial_proof.unit_exponent, least, member.gross_limit)
        account.answer(found.units)
        return found.usd

    def _collateral(self, account: SimulatedAccount, market: Market) -> CollateralValues:
        """Return what is posted is worth in every row, and keep it."""
        posted = account.state.public.posted
        found = self._terms.collateral(market, posted)
        self._valued[account.name] = _Valued(posted, self._asset_prices(market), found)
        return found

    def _at_least(self, account: SimulatedAccount, market: Market) -> Floats:
        """Return what is posted is worth at least in every maintenance row, by what it was worth before.

        Worth is concave in prices and nothing at 0: where no price is below r times what it was, with r <= 1, it is at
        least r times as much.
        """
        kept = self._valued.get(account.name)
        if kept is None or kept.posted != account.state.public.posted:
            return self._collateral(account, market).maintenance
        now = self._asset_prices(market)
        ratio = min(1.0, *(now[name] / kept.prices[name] for name in kept.posted)) if kept.posted else 1.0
        found: Floats = kept.values.maintenance * ratio
        return found

    def _asset_prices(self, market: Market) -> dict[str, float]:
        return {asset.id: price_of(asset, market) for asset in self._terms.schedule.assets}

    def _arrive(self, member: Member, tick: int, market: Market) -> None:
        """Deposit what an institution had elsewhere, once it has arrived."""
        if member.arriving is None or member.arriving > tick or member.outside < 1:
            return
        units = int(member.outside / unit_worth(self._terms, market, CASH))
        member.account.deposit(CASH, units)
        member.outside = 0.0

    def _equity(self, member: Member, market: Market, worth: Valuation) -> float:
        """Return what a book and all its collateral are worth, without haircut, USD."""
        return _book(member, worth) + self._market_value(member.account.held(), market)

    def _market_value(self, held: Mapping[str, int], market: Market) -> float:
        found = 0.0
        for asset in self._terms.schedule.assets:
            if held.get(asset.id):
                found += held[asset.id] * price_of(asset, market) / 10**asset.decimals
        return found

    def _left(self, member: Member, worth: Valuation) -> float:
        """Return what the operator would have of a defaulter if the rest of its book were closed now."""
        return member.proceeds + _book(member, worth) * member.closing

    def _close(self, member: Member, market: Market, worth: Valuation) -> Floats:
        """Sell a part of a defaulter's book; return the notional that is sold of each underlying."""
        if member.closing <= 0:
            return np.zeros(len(self._prices.names))
        part = min(1 / self._assumed.close_out_ticks, member.closing)
        delta = _deltas(worth) * member.lots * part
        member.proceeds += _book(member, worth) * part
        member.closing = member.closing - part if member.closing - part > 1e-9 else 0.0
        if member.closing == 0.0:
            self._loss += max(0.0, -member.proceeds)
        notional = np.zeros(len(self._prices.names))
        np.add.at(notional, worth.underlying, delta)
        return notional

    def _sell_collateral(self, moved: Mapping[str, int], market: Market) -> tuple[float, Floats]:
        """Return what liquidated collateral brings at the tick's prices, and the notional of coins among it."""
        notional = np.zeros(len(self._prices.names))
        for asset in self._terms.schedule.assets:
            if asset.risk_underlying is not None and moved.get(asset.id):
                index = self._prices.names.index(asset.risk_underlying)
                notional[index] += moved[asset.id] * price_of(asset, market) / 10**asset.decimals
        return self._market_value(moved, market), notional


def _minute(tick: int) -> datetime:
    return datetime(2000, 1, 1) + timedelta(minutes=tick)


def _book(member: Member, worth: Valuation) -> float:
    """Return mark to market of a book with the cash that its trades left, USD."""
    return float((member.lots * worth.lot * worth.now).sum()) + member.cash


def _deltas(worth: Valuation) -> Floats:
    """Return what a lot of each instrument is worth more if prices were 1 % higher, by a hundred: its notional, USD."""
    one = np.full((1, worth.lot.size), 0.01)
    up = worth.under(one, np.zeros_like(one), np.zeros_like(one))[0]
    found: Floats = (up - worth.now) * worth.lot * 100
    return found

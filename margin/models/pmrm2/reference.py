"""The margin of one `pmrm2` case in plain floating point: the figure its integer rows are held against.

For the institution, the command line and tests. Source: the second version of the rules, specified as differences from
the first (`atomic_margin.margin.models.pmrm`); what they do not change is as there.
Money is in the currency of cash, years have 365 days, and a negative excess is a deficit.

Three readings the text leaves open: the static discount also applies to the shocked value of a skew scenario, before
the difference to the value now is taken; of the two clamps, the upper acts where k > 0 and the lower where k < 0, which
matters only for a negative cap; SpotShock of a skew scenario is not used.
"""

from dataclasses import dataclass

import numpy as np

from atomic_margin.margin.kinds import MarginKind
from atomic_margin.margin.market.pricing import Floats
from atomic_margin.margin.models.pmrm2.cases import OptionFeed, Pmrm2Account, Pmrm2Case, Pmrm2Market, Pmrm2Parameters
from atomic_margin.margin.models.pmrm2.grid import (
    collateral_worth,
    expiry_feeds,
    price_grid,
    spot_moves,
    static_factors,
)
from atomic_margin.margin.models.portfolio_margin.margin import CaseMargin
from atomic_margin.margin.models.portfolio_margin.positions import NetOptions, floats, net_options, realised


@dataclass(frozen=True)
class Pmrm2Margin(CaseMargin):
    """Margin of an account, R scenarios over E expiries with a position.

    Attributes:
        basis_contingency: the sum of ``expiry_basis``.
        maintenance_contingency: MMc, at least 0, subtracted from both margins.
        initial_contingency: IMc, at least 0, with the confidence terms; subtracted from initial margin as well.
        confidence_contingency: the confidence terms in ``initial_contingency``.
        maintenance_loss_factor: multiplier of the worst loss for maintenance margin.
        initial_loss_factor: likewise for initial margin, with the peg term.
    """

    basis_contingency: float
    maintenance_contingency: float
    initial_contingency: float
    confidence_contingency: float
    maintenance_loss_factor: float
    initial_loss_factor: float

    @property
    def basis_loss(self) -> float:
        """The basis contingency."""
        return self.basis_contingency

    def factor_of(self, kind: MarginKind) -> float:
        """The loss factor of the kind."""
        return self.maintenance_loss_factor if kind == "maintenance" else self.initial_loss_factor


def pmrm2_margin(case: Pmrm2Case) -> Pmrm2Margin:
    """Return the margin of ``case``, unrounded."""
    return account_margin(case.scenario.account(), case.scenario.market(), case.parameters)


def account_margin(account: Pmrm2Account, market: Pmrm2Market, parameters: Pmrm2Parameters) -> Pmrm2Margin:
    """Return the margin of an account in a market, unrounded."""
    held, ledger = account.book, account.ledger
    book = net_options(market.options, held)
    feeds = expiry_feeds(book, market)
    spot, perps = float(market.spot_price), float(held.perpetuals)
    values, assets = collateral_worth(market, ledger), market.collaterals
    cancelling = np.array([item.is_risk_cancelling for item in assets], dtype=np.bool_)

    # Profit and loss of every scenario.
    x = spot_moves(parameters)
    skew = np.array([item.is_skew for item in parameters.scenarios])
    priced = book.by_expiry(price_grid(book, market, parameters) * book.amount)
    shocked, now, basis = priced[:-3], priced[-3], priced[-2:] - priced[-3]
    positive, negative = static_factors(book, market, parameters)
    change = shocked * np.where(shocked >= 0, positive, negative) - now
    change = np.where(skew[:, None], -np.abs(change), change).sum(axis=1)
    delta = values[cancelling].sum() + perps * float(market.perp_price)
    losses: Floats = floats(item.dampening_factor for item in parameters.scenarios) * (change + delta * (x - 1))

    # Basis contingency, without static discount.
    share = parameters.basis_contingency
    expiry_basis: Floats = np.minimum(basis.min(axis=0), 0.0) * (
        float(share.basis_cont_add_factor) + float(share.basis_cont_mult_factor) * book.years
    )

    perp_value = realised(ledger.unrealised_perp_pnl, ledger.unrealised_funding, bool(perps))
    mark_to_market = float(values.sum()) + perp_value + float(now.sum()) + float(ledger.cash)

    # Contingencies outside the loss factor.
    other, margin = parameters.other_contingency, parameters.margin
    perp_notional, naked_notional = abs(perps) * spot, float(book.naked.sum()) * spot
    maintenance_contingency = (
        perp_notional * float(other.mm_perp_percent)
        + naked_notional * float(other.mm_option_percent)
        + float(values @ floats(item.mm_haircut for item in assets))
    )
    confidence_contingency = _confidence_contingency(account, market, parameters, book, feeds)
    initial_contingency = (
        perp_notional * float(other.im_perp_percent)
        + naked_notional * float(other.im_option_percent)
        + float(values @ floats(item.im_haircut for item in assets))
        + confidence_contingency
    )

    min_span, basis_contingency = float(losses.min()), float(expiry_basis.sum())
    worst = min(min_span, basis_contingency)
    maintenance_loss_factor, initial_loss_factor = float(margin.mm_loss_factor), float(margin.im_loss_factor)
    if market.stable_price < other.peg_loss_threshold:
        initial_loss_factor += float(other.peg_loss_factor) * float(other.peg_loss_threshold - market.stable_price)
    return Pmrm2Margin(
        labels=tuple(item.label for item in parameters.scenarios),
        losses=losses,
        expiries=book.expiries,
        expiry_values=now,
        expiry_shocked=shocked,
        expiry_basis=expiry_basis,
        mark_to_market=mark_to_market,
        min_span=min_span,
        basis_contingency=basis_contingency,
        maintenance_contingency=maintenance_contingency,
        initial_contingency=initial_contingency,
        confidence_contingency=confidence_contingency,
        maintenance_loss_factor=maintenance_loss_factor,
        initial_loss_factor=initial_loss_factor,
        initial_excess=initial_loss_factor * worst - initial_contingency - maintenance_contingency + mark_to_market,
        maintenance_excess=maintenance_loss_factor * worst - maintenance_contingency + mark_to_market,
    )


def _confidence_contingency(
    account: Pmrm2Account,
    market: Pmrm2Market,
    parameters: Pmrm2Parameters,
    book: NetOptions,
    feeds: list[OptionFeed],
) -> float:
    """Return the confidence terms; compared in decimals, so a confidence equal to the threshold does not trigger."""
    other, perpetuals = parameters.other_contingency, account.book.perpetuals
    confidence = min(market.spot_confidence, market.perp_confidence) if perpetuals else market.spot_confidence
    spot, values = float(market.spot_price), collateral_worth(market, account.ledger)
    doubts = [(confidence, abs(float(perpetuals)) * spot)]
    for feed, gross in zip(feeds, book.gross, strict=True):
        least = min(confidence, feed.forward_confidence, feed.rate_confidence, feed.option_vol_confidences)
        doubts.append((least, float(gross) * spot))
    for item, value in zip(market.collaterals, values, strict=True):
        doubts.append((min(item.confidence, market.spot_confidence), float(value)))
    return sum((float(other.conf_margin) * float(1 - c) * n for c, n in doubts if c < other.conf_threshold), 0.0)

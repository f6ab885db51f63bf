"""The margin of one `pmrm` case in plain floating point: the figure its integer rows are held against.

For the institution, the command line and tests. Source of every formula: ``data/pmrm/README.md`` of the shared vectors;
the step numbers below are its own. Money is in the currency of cash, and a negative excess is a deficit.
"""

from dataclasses import dataclass

import numpy as np

from atomic_margin.margin.kinds import MarginKind
from atomic_margin.margin.market.pricing import Floats
from atomic_margin.margin.models.pmrm.cases import PmrmCase
from atomic_margin.margin.models.pmrm.grid import expiry_feeds, price_grid, static_discount
from atomic_margin.margin.models.pmrm.parameters import PmrmParameters
from atomic_margin.margin.models.portfolio_margin.margin import CaseMargin
from atomic_margin.margin.models.portfolio_margin.positions import floats, net_options, realised


@dataclass(frozen=True)
class PmrmMargin(CaseMargin):
    """Margin of an account, R scenarios over E expiries with a position. Contingencies are at most zero.

    Attributes:
        forward_contingency: basis contingency, the sum of ``expiry_basis``.
        base_contingency: charge on spot collateral.
        perp_contingency: charge on perpetuals.
        option_contingency: charge on naked short options.
        oracle_contingency: charge for feeds of low confidence; initial margin only.
        loss_factor: multiplier of initial margin, with the peg term.
    """

    forward_contingency: float
    base_contingency: float
    perp_contingency: float
    option_contingency: float
    oracle_contingency: float
    loss_factor: float

    @property
    def basis_loss(self) -> float:
        """The forward contingency."""
        return self.forward_contingency

    def factor_of(self, kind: MarginKind) -> float:
        """The loss factor in initial margin, else 1."""
        return 1.0 if kind == "maintenance" else self.loss_factor


def pmrm_margin(case: PmrmCase, parameters: PmrmParameters) -> PmrmMargin:
    """Return the margin of ``case`` under ``parameters``, unrounded."""
    p = parameters.numbers()
    market, account, ledger = case.market, case.account.book, case.account.ledger
    book = net_options(market.options, account)
    feeds = expiry_feeds(book, market)
    spot, stable = float(market.spot_price), float(market.stable_price)
    perps, base = float(account.perpetuals), float(ledger.base)

    # Steps 1 and 2: every option under every scenario, then as it is, then under the two basis moves: R + 3 rows.
    values = book.by_expiry(price_grid(book, market, parameters) * book.amount)
    shocked, now, basis = values[:-3], values[-3], values[-2:] - values[-3]

    # Steps 3 and 5: the discount is on an expiry's whole shocked value and only when that is positive.
    base_value = base * spot / stable
    moved = (np.where(shocked > 0, static_discount(book, market, parameters) * shocked, shocked) - now).sum(axis=1)
    moves = floats(item.spot for item in parameters.scenarios) - 1
    losses: Floats = moved + (base_value + perps * float(market.perp_price)) * moves

    # Steps 4, 6 and 7.
    perp_value = realised(ledger.unrealised_perp_pnl, ledger.unrealised_funding, bool(perps))
    mark_to_market = base_value + perp_value + float(now.sum()) + float(ledger.cash)
    expiry_basis: Floats = np.minimum(basis.min(axis=0), 0.0) * (p["basis_add"] + p["basis_mult"] * book.years)
    base_contingency = 0.0 - p["base_percent"] * base * spot
    perp_contingency = 0.0 - p["perp_percent"] * abs(perps) * spot
    option_contingency = 0.0 - p["option_percent"] * spot * float(book.naked.sum())

    # Step 8, the threshold compared in decimals: a confidence equal to it does not trigger.
    confidence = min(market.spot_confidence, market.perp_confidence) if perps else market.spot_confidence
    doubts = [(confidence, abs(perps) + base)]
    for expiry, feed, gross in zip(book.expiries, feeds, book.gross, strict=True):
        others = (feed.forward_confidence, feed.rate_confidence, market.volatility_confidences[int(expiry)])
        doubts.append((min(confidence, *others), float(gross)))
    oracle_contingency = 0.0 - sum(
        (p["conf_margin"] * float(1 - c) * n * spot for c, n in doubts if c < parameters.conf_threshold), 0.0
    )

    # Step 9.
    min_span, forward_contingency = float(losses.min()), float(expiry_basis.sum())
    loss_factor = p["im_factor"]
    if market.stable_price < parameters.peg_loss_threshold:
        loss_factor += p["peg_loss_factor"] * float(parameters.peg_loss_threshold - market.stable_price)
    loss = min(min_span, forward_contingency) + base_contingency + perp_contingency + option_contingency
    return PmrmMargin(
        labels=tuple(item.label for item in parameters.scenarios),
        losses=losses,
        expiries=book.expiries,
        expiry_values=now,
        expiry_shocked=shocked,
        expiry_basis=expiry_basis,
        mark_to_market=mark_to_market,
        min_span=min_span,
        forward_contingency=forward_contingency,
        base_contingency=base_contingency,
        perp_contingency=perp_contingency,
        option_contingency=option_contingency,
        oracle_contingency=oracle_contingency,
        loss_factor=loss_factor,
        initial_excess=loss_factor * loss + oracle_contingency + mark_to_market,
        maintenance_excess=loss + mark_to_market,
    )

"""`pmrm2` cases as margin rows: what each row and entry is made of, in both forms.

For the command line, the service and tests. As in `pmrm`, cash, collaterals and what a perpetual has realised so far
are known to the operator and stand in the collateral vector; options and perpetuals are private and in z.
"""

from dataclasses import replace
from decimal import Decimal

import numpy as np

from atomic_margin.margin.kinds import Form
from atomic_margin.margin.market.elementary import ordered_sum
from atomic_margin.margin.models.pmrm2.cases import Pmrm2Case, Pmrm2Ledger, Pmrm2Market, Pmrm2Parameters
from atomic_margin.margin.models.pmrm2.grid import (
    collateral_worth,
    expiry_feeds,
    price_grid,
    spot_moves,
    static_factors,
)
from atomic_margin.margin.models.portfolio_margin.compiled import CompiledCase, assemble
from atomic_margin.margin.models.portfolio_margin.conservative import MOST_ROWS
from atomic_margin.margin.models.portfolio_margin.model import KindCharges, RowModel, rules_hash, scenario_labels
from atomic_margin.margin.models.portfolio_margin.positions import floats, option_legs, realised
from atomic_margin.margin.models.portfolio_margin.split import REFERENCE_VOLATILITY, rounded_price


def compile_case(
    case: Pmrm2Case,
    form: Form = "conservative",
    combinations: bool = True,
    *,
    gross_limit: int | None = None,
    reference_price: Decimal | None = None,
    perpetual: bool | None = None,
    most_rows: int = MOST_ROWS,
) -> CompiledCase:
    """Compile a case to rows of A and c, and its book to z.

    Args:
        case: account, market and parameters.
        form: conservative (slack-free) or exact (with slack).
        combinations: whether verticals, synthetics, boxes and flies are entries of their own.
        gross_limit: G, whole USD; see `assemble` for the default.
        reference_price: published price of the underlying for gross weights and the split; by default spot, rounded to
            two digits.
        perpetual: whether the universe lists the perpetual; by default if the case holds one.
        most_rows: of the conservative form.

    Raises:
        GrossLimitExceeded: the book is larger than ``gross_limit``.
    """
    market, account, parameters = case.scenario.market(), case.scenario.account(), case.parameters
    price, held = reference_price or rounded_price(market.spot_price), bool(account.book.perpetuals)
    model = row_model(market, account.ledger, held, parameters, perpetual)
    reference = row_model(at_reference(market, price), account.ledger, held, parameters, perpetual)
    return assemble(model, reference, account.book, price, form, combinations, gross_limit, most_rows)


def row_model(
    market: Pmrm2Market, ledger: Pmrm2Ledger, held: bool, parameters: Pmrm2Parameters, perpetual: bool | None = None
) -> RowModel:
    """Return the model at ``market``.

    Args:
        market: the market.
        ledger: what is known of the account.
        held: whether the account holds a perpetual.
        parameters: the parameter set.
        perpetual: whether the universe lists the perpetual; by default if one is held, and that is then known.
    """
    margin, other, share = parameters.margin, parameters.other_contingency, parameters.basis_contingency
    legs = option_legs(market.options)
    listed = perpetual if perpetual is not None else held
    priced = price_grid(legs, market, parameters)
    positive, negative = static_factors(legs, market, parameters)
    moves = spot_moves(parameters) - 1
    dampening = floats(item.dampening_factor for item in parameters.scenarios)
    spot = float(market.spot_price)
    assets, values = market.collaterals, collateral_worth(market, ledger)
    cancelling = float(
        ordered_sum([value for value, item in zip(values, assets, strict=True) if item.is_risk_cancelling])
    )
    profit = realised(ledger.unrealised_perp_pnl, ledger.unrealised_funding, held)
    mark = float(ordered_sum(values)) + profit + float(ledger.cash)

    def rate(confidence: Decimal) -> float:
        return float(other.conf_margin) * float(1 - confidence) if confidence < other.conf_threshold else 0.0

    with_perpetual, without = min(market.spot_confidence, market.perp_confidence), market.spot_confidence
    known = with_perpetual if listed and held and perpetual is None else without
    others = [
        min(feed.forward_confidence, feed.rate_confidence, feed.option_vol_confidences)
        for feed in expiry_feeds(legs, market)
    ]
    doubt = spot * np.array([rate(min(known, item)) for item in others])
    held_doubt = spot * np.array([rate(min(with_perpetual, item)) for item in others]) - doubt if listed else 0 * doubt
    doubts = [rate(min(item.confidence, market.spot_confidence)) for item in assets]
    collateral_doubt = float(ordered_sum(np.array(doubts) * values))
    maintenance_haircut = float(ordered_sum(values * floats(item.mm_haircut for item in assets)))
    initial_haircut = float(ordered_sum(values * floats(item.im_haircut for item in assets)))

    def charges(factor: float, initial: float) -> KindCharges:
        haircut = maintenance_haircut + initial * (initial_haircut + collateral_doubt)
        perpetual_share = float(other.mm_perp_percent) + initial * (float(other.im_perp_percent) + rate(with_perpetual))
        naked_share = float(other.mm_option_percent) + initial * float(other.im_option_percent)
        return KindCharges(
            loss_factor=factor,
            perpetual=perpetual_share * spot,
            naked=naked_share * spot,
            doubt=initial * doubt,
            collateral=mark - haircut + np.append(factor * dampening * cancelling * moves, 0.0),
            held=0.0,
            held_doubt=initial * held_doubt,
        )

    initial_factor = float(margin.im_loss_factor)
    if market.stable_price < other.peg_loss_threshold:
        initial_factor += float(other.peg_loss_factor) * float(other.peg_loss_threshold - market.stable_price)
    return RowModel(
        hash=rules_hash("pmrm2", parameters.hash()),
        legs=legs,
        labels=scenario_labels(parameters.scenarios),
        skew=np.array([item.is_skew for item in parameters.scenarios]),
        dampening=dampening,
        now=priced[-3],
        shocked=priced[:-3],
        basis=priced[-2:] - priced[-3],
        positive=positive,
        negative=negative,
        basis_share=float(share.basis_cont_add_factor) + float(share.basis_cont_mult_factor) * legs.years,
        move=float(market.perp_price) * moves,
        lists_perpetual=listed,
        maintenance=charges(float(margin.mm_loss_factor), 0.0),
        initial=charges(initial_factor, 1.0),
    )


def at_reference(market: Pmrm2Market, price: Decimal) -> Pmrm2Market:
    """Return the reference valuation of the same instruments: one price, one volatility, no rates."""
    one, zero = Decimal(1), Decimal(0)
    sure = {"forward_confidence": one, "rate_confidence": one, "option_vol_confidences": one}
    return replace(
        market,
        options=tuple(replace(quote, volatility=REFERENCE_VOLATILITY) for quote in market.options),
        feeds={
            expiry: feed.model_copy(update={"forward": price, "rate": zero, **sure})
            for expiry, feed in market.feeds.items()
        },
        spot_price=price,
        spot_confidence=one,
        perp_price=price,
        perp_confidence=one,
        stable_price=one,
    )

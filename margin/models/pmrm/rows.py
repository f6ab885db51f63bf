"""`pmrm` cases as margin rows: what each row and entry is made of, in both forms.

For the command line, the service and tests. The operator knows cash, base collateral and what a perpetual has realised
so far; they are in the collateral vector. Options and perpetuals are private and in z. A universe lists the perpetual
if the case holds one, unless told otherwise; only if told so is it unknown whether one is held.
"""

from dataclasses import replace
from decimal import Decimal

import numpy as np

from atomic_margin.margin.kinds import Form
from atomic_margin.margin.models.pmrm.cases import Feed, PmrmCase, PmrmLedger, PmrmMarket
from atomic_margin.margin.models.pmrm.grid import expiry_feeds, price_grid, static_discount
from atomic_margin.margin.models.pmrm.parameters import PmrmParameters
from atomic_margin.margin.models.portfolio_margin.compiled import CompiledCase, assemble
from atomic_margin.margin.models.portfolio_margin.conservative import MOST_ROWS
from atomic_margin.margin.models.portfolio_margin.model import KindCharges, RowModel, rules_hash, scenario_labels
from atomic_margin.margin.models.portfolio_margin.positions import floats, option_legs, realised
from atomic_margin.margin.models.portfolio_margin.split import REFERENCE_VOLATILITY, rounded_price


def compile_case(
    case: PmrmCase,
    parameters: PmrmParameters,
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
        case: account and market.
        parameters: the parameter set.
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
    market, book, ledger = case.market, case.account.book, case.account.ledger
    price, held = reference_price or rounded_price(market.spot_price), bool(book.perpetuals)
    model = row_model(market, ledger, held, parameters, perpetual)
    reference = row_model(at_reference(market, price), ledger, held, parameters, perpetual)
    return assemble(model, reference, book, price, form, combinations, gross_limit, most_rows)


def row_model(
    market: PmrmMarket, ledger: PmrmLedger, held: bool, parameters: PmrmParameters, perpetual: bool | None = None
) -> RowModel:
    """Return the model at ``market``.

    Args:
        market: the market.
        ledger: what is known of the account.
        held: whether the account holds a perpetual.
        parameters: the parameter set.
        perpetual: whether the universe lists the perpetual; by default if one is held, and that is then known.
    """
    p = parameters.numbers()
    legs = option_legs(market.options)
    listed = perpetual if perpetual is not None else held
    values = price_grid(legs, market, parameters)
    moves = floats(item.spot for item in parameters.scenarios) - 1
    spot, base = float(market.spot_price), float(ledger.base)
    base_value = base * spot / float(market.stable_price)
    profit = realised(ledger.unrealised_perp_pnl, ledger.unrealised_funding, held)
    mark = base_value + profit + float(ledger.cash)
    base_loss = np.append(base_value * moves, 0.0) - p["base_percent"] * base * spot

    # Step 8: what one unit of an expiry, a perpetual or base is charged, if a perpetual is held and if none is.
    with_perpetual, without = min(market.spot_confidence, market.perp_confidence), market.spot_confidence
    confidences = market.volatility_confidences
    others = [
        min(feed.forward_confidence, feed.rate_confidence, confidences[int(expiry)])
        for expiry, feed in zip(legs.expiries, expiry_feeds(legs, market), strict=True)
    ]

    def rate(confidence: Decimal) -> float:
        return p["conf_margin"] * float(1 - confidence) * spot if confidence < parameters.conf_threshold else 0.0

    known = with_perpetual if listed and held and perpetual is None else without
    doubt = np.array([rate(min(known, other)) for other in others])
    held_doubt = np.array([rate(min(with_perpetual, other)) for other in others]) - doubt if listed else 0 * doubt

    def charges(factor: float, oracle: float) -> KindCharges:
        return KindCharges(
            loss_factor=factor,
            perpetual=factor * p["perp_percent"] * spot + oracle * rate(with_perpetual),
            naked=factor * p["option_percent"] * spot,
            doubt=oracle * doubt,
            collateral=mark + factor * base_loss - oracle * rate(known) * base,
            held=oracle * (rate(with_perpetual) - rate(known)) * base if listed else 0.0,
            held_doubt=oracle * held_doubt,
        )

    initial_factor = p["im_factor"]
    if market.stable_price < parameters.peg_loss_threshold:
        initial_factor += p["peg_loss_factor"] * float(parameters.peg_loss_threshold - market.stable_price)
    return RowModel(
        hash=rules_hash("pmrm", parameters.hash()),
        legs=legs,
        labels=scenario_labels(parameters.scenarios),
        skew=np.zeros(len(moves), dtype=np.bool_),
        dampening=np.ones(len(moves)),
        now=values[-3],
        shocked=values[:-3],
        basis=values[-2:] - values[-3],
        positive=static_discount(legs, market, parameters),
        negative=np.ones(len(legs.expiries)),
        basis_share=p["basis_add"] + p["basis_mult"] * legs.years,
        move=float(market.perp_price) * moves,
        lists_perpetual=listed,
        maintenance=charges(1.0, 0.0),
        initial=charges(initial_factor, 1.0),
    )


def at_reference(market: PmrmMarket, price: Decimal) -> PmrmMarket:
    """Return the reference valuation of the same instruments: one price, one volatility, no rates."""
    one, zero = Decimal(1), Decimal(0)
    return PmrmMarket(
        options=tuple(replace(quote, volatility=REFERENCE_VOLATILITY) for quote in market.options),
        volatility_confidences=dict.fromkeys(market.volatility_confidences, one),
        feeds=dict.fromkeys(market.feeds, Feed(price, zero, one, zero, one)),
        perp_price=price,
        perp_confidence=one,
        spot_price=price,
        spot_confidence=one,
        stable_price=one,
    )

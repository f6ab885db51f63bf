"""`pmrm2` cases as margin rows: what each row and entry is made of, in both forms.

For the command line, the service and tests. As in `pmrm`, cash, collaterals and what a perpetual has realised so far
are known to the operator and stand in the collateral vector; options and perpetuals are private and in z.
"""

from decimal import Decimal

import numpy as np

from atomic_margin.documents.canonical import canonical_hash
from atomic_margin.margin.kinds import Form
from atomic_margin.margin.models.pmrm.rows import REFERENCE_VOLATILITY, rounded_price
from atomic_margin.margin.models.pmrm2.cases import Pmrm2Case
from atomic_margin.margin.models.pmrm2.grid import expiry_feeds, price_grid, spot_moves, static_factors
from atomic_margin.margin.models.portfolio_margin.compiled import CompiledCase, assemble
from atomic_margin.margin.models.portfolio_margin.model import KindCharges, RowModel, unique_labels
from atomic_margin.margin.models.portfolio_margin.positions import floats, net_amounts, option_legs


def compile_case(
    case: Pmrm2Case,
    form: Form = "conservative",
    combinations: bool = True,
    *,
    gross_limit: int | None = None,
    reference_price: Decimal | None = None,
    perpetual: bool | None = None,
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

    Raises:
        LotsTooLarge: a quantity has too many digits.
        GrossLimitExceeded: the book is larger than ``gross_limit``.
    """
    account = case.scenario
    price = reference_price or rounded_price(account.spot_price)
    model = row_model(case, perpetual)
    reference = row_model(_at_reference(case, price), perpetual)
    net = net_amounts(account.rows())
    return assemble(model, reference, net, account.num_perps, price, form, combinations, gross_limit)


def row_model(case: Pmrm2Case, perpetual: bool | None = None) -> RowModel:
    """Return the model at the market of ``case``; arguments as for `compile_case`."""
    account, parameters = case.scenario, case.parameters
    margin, other, share = parameters.margin, parameters.other_contingency, parameters.basis_contingency
    legs = option_legs(account.rows())
    listed = perpetual if perpetual is not None else bool(account.num_perps)
    priced = price_grid(legs, case)
    positive, negative = static_factors(legs, case)
    moves = spot_moves(parameters) - 1
    dampening = floats(item.dampening_factor for item in parameters.scenarios)
    spot = float(account.spot_price)
    held = account.collaterals
    values = floats(item.amount for item in held) * floats(item.price for item in held) / float(account.stable_price)
    cancelling = float(sum(value for value, item in zip(values, held, strict=True) if item.is_risk_cancelling))
    realised = float(account.unrealised_perp_pnl) + float(account.unrealised_funding) if account.num_perps else 0.0
    mark = float(values.sum()) + realised + float(account.cash)

    def rate(confidence: Decimal) -> float:
        return float(other.conf_margin) * float(1 - confidence) if confidence < other.conf_threshold else 0.0

    with_perpetual, without = min(account.spot_confidence, account.perp_confidence), account.spot_confidence
    known = with_perpetual if listed and account.num_perps and perpetual is None else without
    others = [
        min(feed.forward_confidence, feed.rate_confidence, feed.option_vol_confidences)
        for feed in expiry_feeds(legs, case)
    ]
    doubt = spot * np.array([rate(min(known, item)) for item in others])
    held_doubt = spot * np.array([rate(min(with_perpetual, item)) for item in others]) - doubt if listed else 0 * doubt
    collateral_doubt = sum(
        rate(min(item.confidence, account.spot_confidence)) * value for item, value in zip(held, values, strict=True)
    )
    maintenance_haircut = float(values @ floats(item.mm_haircut for item in held))
    initial_haircut = float(values @ floats(item.im_haircut for item in held))

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
    if account.stable_price < other.peg_loss_threshold:
        initial_factor += float(other.peg_loss_factor) * float(other.peg_loss_threshold - account.stable_price)
    return RowModel(
        hash=canonical_hash("pmrm2-rows", {"parameters": parameters.hash()}),
        legs=legs,
        labels=unique_labels([item.label for item in parameters.scenarios]),
        skew=np.array([item.is_skew for item in parameters.scenarios]),
        dampening=dampening,
        now=priced[-3],
        shocked=priced[:-3],
        basis=priced[-2:] - priced[-3],
        positive=positive,
        negative=negative,
        basis_share=float(share.basis_cont_add_factor) + float(share.basis_cont_mult_factor) * legs.years,
        move=float(account.perp_price) * moves,
        lists_perpetual=listed,
        maintenance=charges(float(margin.mm_loss_factor), 0.0),
        initial=charges(initial_factor, 1.0),
    )


def _at_reference(case: Pmrm2Case, price: Decimal) -> Pmrm2Case:
    """Return the case with the reference valuation in place of its market: one price, one volatility, no rates."""
    one, zero = Decimal(1), Decimal(0)
    sure = {"forward_confidence": one, "rate_confidence": one, "option_vol_confidences": one}
    account = case.scenario.model_copy(
        update={
            "options": tuple(
                item.model_copy(update={"mark_vol": REFERENCE_VOLATILITY}) for item in case.scenario.options
            ),
            "option_feeds": tuple(
                item.model_copy(update={"forward": price, "rate": zero, **sure}) for item in case.scenario.option_feeds
            ),
            "spot_price": price,
            "spot_confidence": one,
            "perp_price": price,
            "perp_confidence": one,
            "stable_price": one,
        }
    )
    return case.model_copy(update={"scenario": account})

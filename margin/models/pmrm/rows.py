"""`pmrm` cases as margin rows: what each row and entry is made of, in both forms.

For the command line, the service and tests. The operator knows cash, base collateral and what a perpetual has realised
so far; they are in the collateral vector. Options and perpetuals are private and in z. A universe lists the perpetual
if the case holds one, unless told otherwise; only if told so is it unknown whether one is held.
"""

from decimal import Decimal

import numpy as np

from atomic_margin.documents.canonical import canonical_hash
from atomic_margin.margin.kinds import Form
from atomic_margin.margin.models.pmrm.cases import PmrmCase
from atomic_margin.margin.models.pmrm.grid import expiry_feeds, price_grid, static_discount
from atomic_margin.margin.models.pmrm.parameters import PmrmParameters
from atomic_margin.margin.models.portfolio_margin.compiled import CompiledCase, assemble
from atomic_margin.margin.models.portfolio_margin.model import KindCharges, RowModel, unique_labels
from atomic_margin.margin.models.portfolio_margin.positions import floats, net_amounts, option_legs

REFERENCE_VOLATILITY = Decimal("0.8")


def compile_case(
    case: PmrmCase,
    parameters: PmrmParameters,
    form: Form = "conservative",
    combinations: bool = True,
    *,
    gross_limit: int | None = None,
    reference_price: Decimal | None = None,
    perpetual: bool | None = None,
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

    Raises:
        LotsTooLarge: a quantity has too many digits.
        GrossLimitExceeded: the book is larger than ``gross_limit``.
    """
    price = reference_price or rounded_price(case.spot_price)
    model = row_model(case, parameters, perpetual)
    reference = row_model(_at_reference(case, price), parameters, perpetual)
    net = net_amounts(case.options())
    return assemble(model, reference, net, case.perps, price, form, combinations, gross_limit)


def rounded_price(price: Decimal) -> Decimal:
    """Return a price rounded to two significant digits."""
    return price.quantize(Decimal(1).scaleb(price.adjusted() - 1))


def row_model(case: PmrmCase, parameters: PmrmParameters, perpetual: bool | None = None) -> RowModel:
    """Return the model at the market of ``case``; arguments as for `compile_case`."""
    p = parameters.numbers()
    legs = option_legs(case.options())
    listed = perpetual if perpetual is not None else bool(case.perps)
    values = price_grid(legs, case, parameters)
    moves = floats(item.spot for item in parameters.scenarios) - 1
    spot, base = float(case.spot_price), float(case.base)
    base_value = base * spot / float(case.stable_price)
    realised = float(case.unrealised_perp_pnl) + float(case.unrealised_funding) if case.perps else 0.0
    mark = base_value + realised + float(case.cash)
    base_loss = np.append(base_value * moves, 0.0) - p["base_percent"] * base * spot

    # Step 8: what one unit of an expiry, a perpetual or base is charged, if a perpetual is held and if none is.
    with_perpetual, without = min(case.spot_confidence, case.perp_confidence), case.spot_confidence
    confidences = case.volatility_confidences()
    others = [
        min(feed.forward_confidence, feed.rate_confidence, confidences[int(expiry)])
        for expiry, feed in zip(legs.expiries, expiry_feeds(legs, case), strict=True)
    ]

    def rate(confidence: Decimal) -> float:
        return p["conf_margin"] * float(1 - confidence) * spot if confidence < parameters.conf_threshold else 0.0

    known = with_perpetual if listed and case.perps and perpetual is None else without
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
    if case.stable_price < parameters.peg_loss_threshold:
        initial_factor += p["peg_loss_factor"] * float(parameters.peg_loss_threshold - case.stable_price)
    return RowModel(
        hash=canonical_hash("pmrm-rows", {"parameters": parameters.hash()}),
        legs=legs,
        labels=unique_labels([item.label for item in parameters.scenarios]),
        skew=np.zeros(len(moves), dtype=np.bool_),
        dampening=np.ones(len(moves)),
        now=values[-3],
        shocked=values[:-3],
        basis=values[-2:] - values[-3],
        positive=static_discount(legs, case, parameters),
        negative=np.ones(len(legs.expiries)),
        basis_share=p["basis_add"] + p["basis_mult"] * legs.years,
        move=float(case.perp_price) * moves,
        lists_perpetual=listed,
        maintenance=charges(1.0, 0.0),
        initial=charges(initial_factor, 1.0),
    )


def _at_reference(case: PmrmCase, price: Decimal) -> PmrmCase:
    """Return the case with the reference valuation in place of its market: one price, one volatility, no rates."""
    rows, feeds = len(case.option_vols), len(case.feed_expiries)
    one, zero = Decimal(1), Decimal(0)
    return case.model_copy(
        update={
            "option_vols": (REFERENCE_VOLATILITY,) * rows,
            "option_vol_confidences": (one,) * rows,
            "forwards_variable": (price,) * feeds,
            "forwards_fixed": (zero,) * feeds,
            "forward_confidences": (one,) * feeds,
            "rates": (zero,) * feeds,
            "rate_confidences": (one,) * feeds,
            "perp_price": price,
            "perp_confidence": one,
            "spot_price": price,
            "spot_confidence": one,
            "stable_price": one,
        }
    )

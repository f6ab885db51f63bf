"""Slack-free rows: every kink replaced by a lower bound for each entry. These run under FHE.

For `compiled` and `split`. Each row of a `RowModel` is f(net legs) with f homogeneous and superadditive (a minimum of
linear functions, with two exceptions below), so with a book split into entries in any way, sum z_j f(entry_j) is at
most f(book). The weight of an entry is f of its own legs, long and short apart; long plus short is at most f(0) = 0.
What is lost is the offset between entries, which is why combinations are entries of their own.

Two terms are no minimum of linear functions. |disc(v) - V| of a skew scenario is not convex where disc(v) > V; it is
at most max(|D' v - V|, V - D v), which counts a gain without the discount. And should a parameter set value gains more
than losses, D > D', then disc(v) is at least D' v, and |disc(v) - V| at most max(|D' v - V|, D v - V).
"""

import numpy as np

from atomic_margin.margin.collateral import CollateralValues
from atomic_margin.margin.kinds import KINDS, MarginKind
from atomic_margin.margin.market.pricing import Floats
from atomic_margin.margin.models.portfolio_margin.listing import Listing
from atomic_margin.margin.models.portfolio_margin.model import BASIS, RowModel
from atomic_margin.margin.rows.rows import Rows
from atomic_margin.margin.rows.weights import TrueWeights, check_offsetting_pairs


def conservative_rows(model: RowModel, listing: Listing) -> tuple[Rows, CollateralValues]:
    """Return the R + 1 slack-free rows of both kinds, USD.

    Raises:
        OffsettingPairGain: long plus short of an instrument has positive weight (never, for a sound `RowModel`).
        NonFiniteWeight: a weight is not finite.
    """
    labels = (*model.labels, BASIS)

    def weights(kind: MarginKind) -> Floats:
        linear, long, short = linear_and_kinks(model, kind, listing)
        # Kinks are at most zero, and rounding is monotone, so the sum of the two sides is too.
        check_offsetting_pairs(linear + long, -linear + short, labels, listing.names)
        return listing.expand(linear + long, -linear + short)

    true = TrueWeights(
        labels=labels,
        entries=listing.entry_map.labels,
        model_hash=model.hash,
        entry_map_hash=listing.entry_map.hash(),
        maintenance=weights("maintenance"),
        initial=weights("initial"),
    )
    # Whether a perpetual is held is not known, so what is due if one is held is due.
    return Rows(true), CollateralValues(*(model.charges(kind).collateral - model.charges(kind).held for kind in KINDS))


def linear_and_kinks(model: RowModel, kind: MarginKind, listing: Listing) -> tuple[Floats, Floats, Floats]:
    """Return (R + 1, J) parts of the weight of one unit of each instrument, USD.

    Returns:
        The linear part, which a short position has with the opposite sign; the kinks of a long and of a short position,
        each at most zero.
    """
    charges = model.charges(kind)
    legs = listing.legs.astype(np.float64).T
    # The perpetual has no legs, so what stands in the columns of its "expiry" -1 is multiplied by zero.
    group = listing.group
    now, shocked, basis = model.now @ legs, model.shocked @ legs, model.basis @ legs
    scale = charges.loss_factor * model.dampening[:, None]
    if len(model.positive):
        low, high, share = model.positive[group], model.negative[group], model.basis_share[group]
        doubt = np.where(listing.is_perpetual, 0.0, (charges.doubt + charges.held_doubt)[group])
    else:
        low = high = share = doubt = np.zeros(len(group))

    linear = np.where(model.skew[:, None], 0.0, scale * (high * shocked - now))
    linear += scale * model.move[:, None] * listing.is_perpetual
    linear = np.concatenate([linear, np.zeros((1, len(group)))]) + now

    _, site = model.sites
    places = np.zeros((len(site), max(site, default=-1) + 1))
    places[np.arange(len(site)), site] = 1.0
    net = legs.T @ places
    everywhere = np.abs(legs.T).sum(axis=1) * doubt + charges.perpetual * listing.is_perpetual

    def kinks(sign: int) -> Floats:
        value, mark = sign * shocked, sign * now
        discount = np.maximum(high - low, 0.0) * np.maximum(value, 0.0)
        skewed = np.maximum(np.abs(high * value - mark), np.where(low > high, -1.0, 1.0) * (mark - low * value))
        scenario = -scale * np.where(model.skew[:, None], skewed, discount)
        loss = charges.loss_factor * share * np.minimum(sign * basis, 0.0).min(axis=0)
        naked = charges.naked * np.maximum(-sign * net, 0.0).sum(axis=1)
        rows: Floats = np.concatenate([scenario, loss[None]]) - (naked + everywhere)
        return rows

    return linear, kinks(1), kinks(-1)

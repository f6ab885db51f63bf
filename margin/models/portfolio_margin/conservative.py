"""Slack-free rows: every kink replaced by a lower bound for each entry. These run under FHE.

For `compiled` and `split`. Each row of a `RowModel` is f(net legs) with f homogeneous and superadditive (a minimum of
linear functions, with two exceptions below), so with a book split into entries in any way, sum z_j f(entry_j) is at
most f(book). The weight of an entry is f of its own legs, long and short apart; long plus short is at most f(0) = 0.
What is lost is the offset between entries, which is why combinations are entries of their own.

Two terms are no minimum of linear functions. |disc(v) - V| of a skew scenario is not convex where disc(v) > V; it is
at most max(|D' v - V|, V - D v), which counts a gain without the discount. And should a parameter set value gains more
than losses, D > D', then disc(v) is at least D' v, and |disc(v) - V| at most max(|D' v - V|, D v - V).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from atomic_margin.margin.collateral import CollateralValues
from atomic_margin.margin.kinds import KINDS, MarginKind
from atomic_margin.margin.market.elementary import ordered_product, ordered_sum
from atomic_margin.margin.market.pricing import Floats
from atomic_margin.margin.models.portfolio_margin.listing import Listing
from atomic_margin.margin.models.portfolio_margin.model import BASIS, RowModel, unique_labels
from atomic_margin.margin.rows.rows import Booleans, Rows
from atomic_margin.margin.rows.weights import TrueWeights, check_offsetting_pairs

MOST_ROWS = 64
"""Rows of the widest profile."""


def conservative_rows(model: RowModel, listing: Listing, most_rows: int = MOST_ROWS) -> tuple[Rows, CollateralValues]:
    """Return the slack-free rows of both kinds, USD, labelled by `row_labels`.

    Args:
        model: at one market.
        listing: the instruments.
        most_rows: rows to spend; see `row_labels`.

    Raises:
        OffsettingPairGain: long plus short of an instrument has positive weight (never, for a sound `RowModel`).
        NonFiniteWeight: a weight is not finite.
    """
    labels, spent = row_labels(model.labels, model.skew, most_rows), SpentRows.of(model, most_rows)
    instruments = Instruments.of(model, listing)
    parts = {kind: spent.linear_and_kinks(kind, instruments) for kind in KINDS}

    def weights(kind: MarginKind) -> Floats:
        linear, long, short = parts[kind]
        # Kinks are at most zero, and rounding is monotone, so the sum of the two sides is too.
        check_offsetting_pairs(linear + long, -linear + short, labels, listing.names)
        return listing.expand(linear + long, -linear + short)

    def public(kind: MarginKind) -> Floats:
        linear, long, _ = parts[kind]
        charges = model.charges(kind)
        # Whether a perpetual is held is not known, so what is due if one is held is due.
        return (charges.collateral - charges.held)[spent.rows] + rounding_loss(linear + long, listing)

    true = TrueWeights(
        labels=labels,
        entries=listing.entries,
        model_hash=model.hash,
        entry_map_hash=listing.columns_hash,
        maintenance=weights("maintenance"),
        initial=weights("initial"),
    )
    return Rows(true), CollateralValues(*(public(kind) for kind in KINDS))


def row_labels(labels: tuple[str, ...], skew: Sequence[bool] | Booleans, most_rows: int) -> tuple[str, ...]:
    """Return the labels of slack-free rows: scenarios, each twice where `doubled`, and the basis row.

    >>> row_labels(("1.1 up", "skew abs"), [False, True], 4)
    ('1.1 up -', '1.1 up +', 'skew abs', 'basis')
    """
    twice = doubled(skew, most_rows)
    own = [
        name
        for label, is_skew in zip(labels, skew, strict=True)
        for name in ((f"{label} -", f"{label} +") if twice and not is_skew else (label,))
    ]
    return (*unique_labels(own), BASIS)


def doubled(skew: Sequence[bool] | Booleans, most_rows: int) -> bool:
    """Return whether all scenarios but the skew ones can stand twice in so many rows; parameters alone say so."""
    return 2 * len(skew) - int(np.count_nonzero(skew)) + 1 <= most_rows


def spent_on(skew: Sequence[bool] | Booleans, most_rows: int) -> npt.NDArray[np.intp]:
    """Return (R',) the scenario, or R for the basis, that each of the rows of `row_labels` is of."""
    every = np.arange(len(skew) + 1)
    if not doubled(skew, most_rows):
        return every
    return np.repeat(every, np.where(np.append(skew, True), 1, 2))


@dataclass(frozen=True)
class SpentRows:
    """Which rows there are: those of the model, or, spent on one expiry, its scenarios twice.

    The static discount of the expiry where it weighs most, D' - D, is then no kink: one row has the factor D for all of
    its value and one D', and the lesser of two linear functions is what is wanted, whatever the split. Skew scenarios
    stand once: for the modulus of a whole expiry either factor is worse than the bound of the entries.

    Attributes:
        models: that of the model itself; with the factor D', and with D, in the expiry.
        source: (R',) which of them gives a row.
        rows: (R',) which of its rows.
    """

    models: tuple[RowModel, ...]
    source: npt.NDArray[np.intp]
    rows: npt.NDArray[np.intp]

    @classmethod
    def of(cls, model: RowModel, most_rows: int) -> "SpentRows":
        """Return the rows for a budget."""
        rows = spent_on(model.skew, most_rows)
        if not doubled(model.skew, most_rows):
            return cls((model,), np.zeros(len(rows), dtype=np.intp), rows)
        once = np.append(model.skew, True)
        # The second of two rows of one scenario is the one with D.
        second = np.append(False, rows[1:] == rows[:-1])
        source = np.where(once[rows], 0, np.where(second, 2, 1))
        return cls((model, *_fixed(model)), source, rows)

    def linear_and_kinks(self, kind: MarginKind, instruments: "Instruments") -> tuple[Floats, Floats, Floats]:
        """Return what `linear_and_kinks` does, for all rows."""
        found = [linear_and_kinks(model, kind, instruments) for model in self.models]
        linear, long, short = (np.stack(part)[self.source, self.rows] for part in zip(*found, strict=True))
        return linear, long, short


def _fixed(model: RowModel) -> tuple[RowModel, RowModel]:
    """Return the model with the factor D', and with D, for all values of the expiry where they differ most."""
    gaps = model.negative - model.positive
    if not (gaps > 0).any():
        return model, model
    expiry = int(gaps.argmax())

    def with_factor(factor: float) -> RowModel:
        positive, negative = model.positive.copy(), model.negative.copy()
        positive[expiry] = negative[expiry] = factor
        return replace(model, positive=positive, negative=negative)

    return with_factor(float(model.negative[expiry])), with_factor(float(model.positive[expiry]))


def rounding_loss(long: Floats, listing: Listing) -> Floats:
    """Return (R,) what rounding quantities down to lots can lose in each row at most, USD, at most 0.

    A book is what its lots hold, and of each rounded leg and the perpetual less than a lot more, long. By
    superadditivity a row is at least that of the lots and of the rest apart. This holds of the exact form too: in a
    skew row values of what is long are at least zero, where the bound of an entry bounds the whole modulus.

    Args:
        long: (R, J) weights of one unit of each instrument, long.
        listing: the instruments.
    """
    lots = np.array([float(lot) for lot in listing.lots])
    return ordered_sum(np.where(listing.rounded, np.minimum(long * lots, 0.0), 0.0), axis=1)


@dataclass(frozen=True)
class Instruments:
    """One unit of each of the J instruments of a listing, the same for both kinds of margin.

    Attributes:
        listing: the instruments.
        now: (J,) value, USD.
        shocked: (R, J) values under the scenarios.
        basis: (2, J) values under the two basis moves, less ``now``.
        net: (J, S) net quantity at each place where naked shorts are counted.
        gross: (J,) quantity of legs, long and short.
    """

    listing: Listing
    now: Floats
    shocked: Floats
    basis: Floats
    net: Floats
    gross: Floats

    @classmethod
    def of(cls, model: RowModel, listing: Listing) -> "Instruments":
        """Put the legs of every instrument together."""
        values = ordered_product(np.vstack([model.now, model.shocked, model.basis]), listing.legs.T)
        _, site = model.sites
        places = np.zeros((len(site), max(site, default=-1) + 1))
        places[np.arange(len(site)), site] = 1.0
        return cls(
            listing=listing,
            now=values[0],
            shocked=values[1:-2],
            basis=values[-2:],
            net=ordered_product(listing.legs, places),
            gross=ordered_product(np.ones(listing.legs.shape[1]), np.abs(listing.legs.T)),
        )


def linear_and_kinks(model: RowModel, kind: MarginKind, instruments: Instruments) -> tuple[Floats, Floats, Floats]:
    """Return (R + 1, J) parts of the weight of one unit of each instrument, USD.

    Returns:
        The linear part, which a short position has with the opposite sign; the kinks of a long and of a short position,
        each at most zero.
    """
    charges, listing = model.charges(kind), instruments.listing
    # The perpetual has no legs, so what stands in the columns of its "expiry" -1 is multiplied by zero.
    group = listing.group
    now, shocked, basis = instruments.now, instruments.shocked, instruments.basis
    scale = charges.loss_factor * model.dampening[:, None]
    if len(model.positive):
        low, high, share = model.positive[group], model.negative[group], model.basis_share[group]
        doubt = np.where(listing.is_perpetual, 0.0, (charges.doubt + charges.held_doubt)[group])
    else:
        low = high = share = doubt = np.zeros(len(group))

    linear = np.where(model.skew[:, None], 0.0, scale * (high * shocked - now))
    linear += scale * model.move[:, None] * listing.is_perpetual
    linear = np.concatenate([linear, np.zeros((1, len(group)))]) + now

    everywhere = instruments.gross * doubt + charges.perpetual * listing.is_perpetual

    def kinks(sign: int) -> Floats:
        value, mark = sign * shocked, sign * now
        discount = np.maximum(high - low, 0.0) * np.maximum(value, 0.0)
        skewed = np.maximum(np.abs(high * value - mark), np.where(low > high, -1.0, 1.0) * (mark - low * value))
        scenario = -scale * np.where(model.skew[:, None], skewed, discount)
        loss = charges.loss_factor * share * np.minimum(sign * basis, 0.0).min(axis=0)
        naked = charges.naked * ordered_sum(np.maximum(-sign * instruments.net, 0.0), axis=1)
        rows: Floats = np.concatenate([scenario, loss[None]]) - (naked + everywhere)
        return rows

    return linear, kinks(1), kinks(-1)

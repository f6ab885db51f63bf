"""Rows with slack for the same model: exact for the book as a whole, whatever its split, if slack is the least.

For `compiled`. Slack values and their validity rows, for one kind of margin with loss factor L (see `model`):

    discount   L d (D' - D) v_E        positive part, one for each expiry and scenario; but the first two expiries need
                                       none: their scenarios stand twice, with factor D and D' (min of linear functions)
    basis      L share (V - v_E)       both moves, one for each expiry
    naked      naked * -net            one for each strike
    doubt      2 doubt * leg           one for each leg that is part of a combination; |leg| = 2 max(0, leg) - leg
    skew       L d |disc(v_E) - V_E|   one for each expiry and skew scenario. The modulus of a concave function needs a
                                       choice where disc(v) > V: one switch lets either D v - V or D' v - V count
    held       charges due once any perpetual is held, in universes where that is not known: one switch says so

|q| of the perpetual, and |leg| without combinations, are charged to long and short entries: exact unless both are held.
Where a parameter set values gains more than losses, D > D', scenarios have the lower bound D' v in place of disc(v).
"""

from dataclasses import dataclass, field, replace
from itertools import product

import numpy as np

from atomic_margin.margin.collateral import CollateralValues
from atomic_margin.margin.kinds import KINDS, MarginKind
from atomic_margin.margin.market.elementary import ordered_product, ordered_sum
from atomic_margin.margin.market.pricing import Floats
from atomic_margin.margin.models.portfolio_margin.conservative import Instruments, linear_and_kinks, rounding_loss
from atomic_margin.margin.models.portfolio_margin.listing import Listing
from atomic_margin.margin.models.portfolio_margin.model import BASIS, RowModel, plain, unique_labels
from atomic_margin.margin.rows.matrix import Integers
from atomic_margin.margin.rows.rows import Booleans, Rows, Slack
from atomic_margin.margin.rows.weights import TrueWeights

TWO_ROWS = 2
# A switch lifts a row by this much more than any book within the gross limit can need.
_LIFT = 1.01
# The row that ties the switch of a held perpetual to the entries is scaled down: only its sign matters, not its size.
_TIE = 1 / 16


@dataclass
class _Rows:
    """Rows of one kind while they are put together; J instruments, slack and switches by label."""

    instruments: int
    labels: list[str] = field(default_factory=list)
    odd: list[Floats] = field(default_factory=list)
    even: list[Floats] = field(default_factory=list)
    touched: list[Booleans] = field(default_factory=list)
    collateral: list[float] = field(default_factory=list)
    terms: list[dict[str, int]] = field(default_factory=list)
    switched: list[dict[str, float]] = field(default_factory=list)
    validity: list[bool] = field(default_factory=list)

    def add(
        self,
        label: str,
        odd: Floats,
        even: Floats,
        slack: dict[str, int],
        collateral: float,
        switched: dict[str, float],
        touched: Booleans | None = None,
    ) -> None:
        """Add a margin row, or one that only bounds slack, which touches a part of the instruments."""
        self.labels.append(label)
        self.odd.append(odd)
        self.even.append(even)
        self.touched.append(np.ones(self.instruments, dtype=np.bool_) if touched is None else touched)
        self.collateral.append(collateral)
        self.terms.append(slack)
        self.switched.append(switched)
        self.validity.append(touched is not None)

    def bound(
        self,
        label: str,
        slack: str,
        odd: Floats,
        touched: Booleans,
        collateral: float = 0.0,
        switched: dict[str, float] | None = None,
    ) -> None:
        """Add a validity row: slack + odd·z + collateral + switches >= 0."""
        self.add(label, odd, np.zeros(self.instruments), {slack: 1}, collateral, switched or {}, touched)


def exact_rows(model: RowModel, listing: Listing, gross_limit: int) -> tuple[Rows, CollateralValues]:
    """Return margin rows and validity rows of both kinds, USD.

    Args:
        model: at one market.
        listing: the instruments.
        gross_limit: G, whole USD; only the size of switches depends on it.

    Raises:
        NonFiniteWeight: a weight is not finite.
    """
    rows = {kind: _rows(model, kind, listing, gross_limit) for kind in KINDS}
    first = rows["maintenance"]
    slack = tuple(dict.fromkeys(name for terms in first.terms for name in terms))
    switches = tuple(dict.fromkeys(name for terms in first.switched for name in terms))
    weights = {
        kind: listing.expand(np.array(item.even) + np.array(item.odd), np.array(item.even) - np.array(item.odd))
        for kind, item in rows.items()
    }
    labels = unique_labels(first.labels)
    touched = np.array(first.touched)
    structure = listing.expand(touched.astype(np.float64), touched.astype(np.float64)) != 0
    exact = Rows(
        weights=TrueWeights(
            labels=labels,
            entries=listing.entries,
            model_hash=model.hash,
            entry_map_hash=listing.columns_hash,
            maintenance=np.where(structure, weights["maintenance"], 0.0),
            initial=np.where(structure, weights["initial"], 0.0),
        ),
        slack=Slack(
            labels=slack,
            maintenance=_coefficients(first.terms, slack),
            initial=_coefficients(rows["initial"].terms, slack),
            switch_labels=switches,
            switch_maintenance=_amounts(first.switched, switches),
            switch_initial=_amounts(rows["initial"].switched, switches),
            validity=np.array(first.validity),
            structure=structure,
        ),
    )
    return exact, CollateralValues(*(np.array(rows[kind].collateral) for kind in KINDS))


def _rows(model: RowModel, kind: MarginKind, listing: Listing, gross_limit: int) -> _Rows:
    charges = model.charges(kind)
    rows = _Rows(len(listing.names))
    legs = listing.legs.astype(np.float64).T
    all_values = ordered_product(np.vstack([model.now, model.shocked, model.basis]), legs)
    now, shocked, basis = all_values[0], all_values[1:-2], all_values[-2:]
    expiries = [plain(expiry) for expiry in model.legs.expiries]
    member = listing.group == np.arange(len(expiries))[:, None]
    scale = charges.loss_factor * model.dampening
    kinked = [e for e in range(len(expiries)) if model.positive[e] < model.negative[e]]
    # Rows are spent where a discount weighs most, as in the conservative form, and slack on the others.
    kinked.sort(key=lambda e: float(model.positive[e] - model.negative[e]))
    doubled, slacked = kinked[:TWO_ROWS], sorted(kinked[TWO_ROWS:])
    public = {
        choice: charges.collateral + _lost(model, kind, listing, dict(zip(doubled, choice, strict=True)))
        for choice in product((False, True), repeat=len(doubled))
    }
    alone = charges.collateral + _lost(model, kind, listing, {})
    gross = np.array(listing.gross_weights) / np.array([float(lot) for lot in listing.lots])
    perpetual = listing.is_perpetual.astype(np.float64)
    nothing = np.zeros(len(listing.names))

    # What every margin row has in common.
    everywhere: dict[str, int] = {}
    switched: dict[str, float] = {}
    base_odd, base_even = now.copy(), -charges.perpetual * perpetual
    combined = (listing.legs[ordered_sum(np.abs(listing.legs), axis=1) > 1] != 0).any(axis=0)
    sites, site = model.sites
    for number, name in enumerate(sites):
        touched = (listing.legs[:, site == number] != 0).any(axis=1)
        net = ordered_sum(legs[site == number])
        rows.bound(f"naked {name}", f"naked {name}", charges.naked * net, touched)
        everywhere[f"naked {name}"] = -1
    doubtful = model.maintenance.doubt + model.initial.doubt > 0
    for leg, key in enumerate(model.legs.keys):
        e = int(model.legs.group[leg])
        if not doubtful[e]:
            continue
        if combined[leg]:
            name = f"doubt {sites[site[leg]]} {'call' if key[2] else 'put'}"
            rows.bound(name, name, -2 * charges.doubt[e] * legs[leg], listing.legs[:, leg] != 0)
            everywhere[name] = -1
            base_odd += charges.doubt[e] * legs[leg]
        else:
            base_even -= charges.doubt[e] * np.abs(legs[leg])
    if any(item.held > 0 or (item.held_doubt > 0).any() for item in (model.maintenance, model.initial)):
        doubt = np.where(listing.is_perpetual, 0.0, charges.held_doubt[listing.group]) if expiries else nothing
        doubt = doubt * ordered_sum(np.abs(legs))
        lift = _LIFT * float((doubt / gross).max()) * gross_limit
        rows.add("held doubt", nothing, -doubt, {"held doubt": 1}, lift, {"held": -lift}, ~listing.is_perpetual)
        size = _TIE * gross * perpetual
        reach = _LIFT * _TIE * gross_limit
        rows.add("held tie", nothing, -size, {}, 0.0, {"held": reach}, listing.is_perpetual)
        everywhere["held doubt"] = -1
        switched["held"] = -charges.held

    # Scenarios: the discount of the first two expiries by doubled rows, of the others by slack.
    for i, label in enumerate(model.labels):
        if model.skew[i]:
            own = dict(everywhere)
            for e, name in enumerate(expiries):
                slack = f"{label} {name}"
                own[slack] = -1
                values = shocked[i] * member[e], now * member[e]
                most = float((np.abs(values[0]) / gross).max()) * gross_limit
                _skew(rows, slack, scale[i], (model.positive[e], model.negative[e]), values, member[e], most)
            rows.add(label, base_odd, base_even, own, float(alone[i]), switched)
            continue
        own = dict(everywhere)
        for e in slacked:
            slack = f"discount {label} {expiries[e]}"
            own[slack] = -1
            gap = scale[i] * (model.negative[e] - model.positive[e])
            rows.bound(slack, slack, -gap * shocked[i] * member[e], member[e])
        for choice in public:
            factor = model.negative.copy()
            for e, positive in zip(doubled, choice, strict=True):
                factor[e] = model.positive[e] if positive else model.negative[e]
            of_column = np.where(listing.is_perpetual, 0.0, factor[listing.group]) if expiries else nothing
            odd = base_odd + scale[i] * (of_column * shocked[i] - now + model.move[i] * perpetual)
            signs = "".join("-+"[positive] for positive in choice)
            rows.add(f"{label} {signs}".strip(), odd, base_even, own, float(public[choice][i]), switched)

    own = dict(everywhere)
    for e, name in enumerate(expiries):
        own[f"basis {name}"] = -1
        factor = charges.loss_factor * model.basis_share[e]
        for move, values in zip(("up", "down"), basis, strict=True):
            rows.bound(f"basis {name} {move}", f"basis {name}", factor * values * member[e], member[e])
    rows.add(BASIS, base_odd, base_even, own, float(alone[-1]), switched)
    return rows


def _lost(model: RowModel, kind: MarginKind, listing: Listing, positive: dict[int, bool]) -> Floats:
    """Return (R + 1,) what rounding to lots loses at most, where the factor of some expiries is D (true) or D'."""
    if not listing.rounded.any():
        return np.zeros(len(model.labels) + 1)
    low, high = model.positive.copy(), model.negative.copy()
    for expiry, gains in positive.items():
        low[expiry] = high[expiry] = (model.positive if gains else model.negative)[expiry]
    fixed = replace(model, positive=low, negative=high)
    linear, long, _ = linear_and_kinks(fixed, kind, Instruments.of(fixed, listing))
    return rounding_loss(linear + long, listing)


def _skew(
    rows: _Rows,
    slack: str,
    scale: float,
    factors: tuple[float, float],
    values: tuple[Floats, Floats],
    member: Booleans,
    most: float,
) -> None:
    """Add the validity rows of slack >= scale * |min(D v, D' v) - V|, for (D, D'), (v, V) and the most v can be."""
    (low, high), (shocked, now) = factors, values
    switch = f"{slack} sign"
    lift = _LIFT * scale * abs(high - low) * most
    # The side on which the modulus is convex needs both factors; on the other one of them will do.
    up, down = scale * (low * shocked - now), scale * (high * shocked - now)
    if low > high:
        up, down = -up, -down
    rows.bound(f"{slack} both +", slack, up, member)
    rows.bound(f"{slack} both -", slack, down, member)
    rows.bound(f"{slack} either +", slack, -up, member, 0.0, {switch: lift})
    rows.bound(f"{slack} either -", slack, -down, member, lift, {switch: -lift})


def _coefficients(terms: list[dict[str, int]], labels: tuple[str, ...]) -> Integers:
    found = np.zeros((len(terms), len(labels)), dtype=np.int64)
    index = {label: number for number, label in enumerate(labels)}
    for row, item in enumerate(terms):
        for label, value in item.items():
            found[row, index[label]] = value
    return found


def _amounts(terms: list[dict[str, float]], labels: tuple[str, ...]) -> Floats:
    found = np.zeros((len(terms), len(labels)))
    index = {label: number for number, label in enumerate(labels)}
    for row, item in enumerate(terms):
        for label, value in item.items():
            found[row, index[label]] = value
    return found

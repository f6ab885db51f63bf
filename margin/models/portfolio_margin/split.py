"""How an institution spells its book in entries: the split into combinations, chosen without looking at prices.

For the institution only. Any split with the same net legs is conservative; a good one loses little. What an entry loses
at a published *reference* valuation (one reference price, one volatility, no rates) does not depend on today's prices,
so a book needs no new split, and shows none, when they move. The split raises the *least row* there, of both kinds of
margin, by linear programming: a row that does not bind may lose what it likes. A small part of the sum of all losses is
counted too, so that rows that bind at other prices lose little as well. Entries are then rounded to whole lots.
"""

from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, OptimizeResult, linprog, milp
from scipy.sparse import csr_matrix

from atomic_margin.margin.kinds import KINDS
from atomic_margin.margin.market.pricing import Floats
from atomic_margin.margin.models.portfolio_margin.conservative import Instruments, SpentRows
from atomic_margin.margin.models.portfolio_margin.listing import Listing
from atomic_margin.margin.rows.matrix import Integers

REFERENCE_VOLATILITY = Decimal("0.8")

_WHOLE = 1e-6
# Share of the reference price a leg counts for, in each scenario.
_LEG = 1e-3
# What the sum over all rows counts for, beside the least row.
_SUM = 0.01
# A book of fewer lots is split in whole numbers from the start: there a fraction of a lot that is dropped is much.
_FEW = 2000
_NODES = 300


def split(
    listing: Listing, net: Integers, reference: SpentRows, reference_price: Decimal, perpetuals: int = 0
) -> tuple[Integers, Integers]:
    """Return (J,) lots long and short of every instrument but the perpetual, with exactly these net legs.

    Args:
        listing: the instruments.
        net: (n,) net lots of each leg.
        reference: the rows at the reference valuation.
        reference_price: of the underlying there, USD.
        perpetuals: net lots of perpetuals; they say which row binds.
    """
    count = len(net)
    single = np.zeros((2, len(listing.names)), dtype=np.int64)
    single[:, :count] = np.maximum(net, 0), np.maximum(-net, 0)
    if not (np.abs(listing.legs).sum(axis=1) > 1).any() or not net.any():
        return single[0], single[1]
    program = _Program.of(listing, net, reference, reference_price, perpetuals)
    found = program.solved(whole=False)
    tried = [single]
    if found is not None:
        tried += [program.rounded(np.floor(found + _WHOLE)), program.rounded(np.round(found))]
        if np.abs(found - np.round(found)).max() > _WHOLE and np.abs(net).sum() < _FEW:
            whole = program.solved(whole=True)
            tried += [] if whole is None else [program.rounded(np.round(whole))]
    fitting = [sides for sides in tried if (sides >= 0).all() and (sides <= listing.most).all()]
    best = max(fitting, key=program.value, default=single)
    return best[0], best[1]


@dataclass(frozen=True)
class _Program:
    """Lots of J' instruments on two sides, x, of given net legs, so that the least rows are large.

    Attributes:
        listing: the instruments.
        columns: (J',) those that are options.
        net: (n,) net lots of each leg.
        costs: (2 J',) what a lot loses, summed over all rows.
        kinks: for each kind, (R + 1, 2 J') what a lot loses in each row, at most 0.
        rest: for each kind, (R + 1,) what the rows are without kinks.
    """

    listing: Listing
    columns: Integers
    net: Integers
    costs: Floats
    kinks: tuple[Floats, ...]
    rest: tuple[Floats, ...]

    @classmethod
    def of(
        cls, listing: Listing, net: Integers, reference: SpentRows, reference_price: Decimal, perpetuals: int
    ) -> "_Program":
        """Value one lot of every instrument at the reference valuation.

        Legs count a little too: where a feed is of low confidence, each leg of each entry is charged.
        """
        columns = np.flatnonzero(~listing.is_perpetual)
        lots, count = np.array([float(lot) for lot in listing.lots]), len(net)
        leg = _LEG * float(reference_price) * len(reference.rows)
        costs = np.tile(leg * lots[columns] * np.abs(listing.legs[columns]).sum(axis=1), 2)
        instruments, kinks, rest = Instruments.of(reference.models[0], listing), [], []
        for kind in KINDS:
            linear, long, short = reference.linear_and_kinks(kind, instruments)
            kinks.append(np.concatenate([(side * lots)[:, columns] for side in (long, short)], axis=1))
            costs -= kinks[-1].sum(axis=0)
            rest.append((linear[:, :count] * lots[:count]) @ net)
            if listing.is_perpetual.any():
                rest[-1] = rest[-1] + linear[:, -1] * lots[-1] * perpetuals
        return cls(listing, columns.astype(np.int64), net, costs, tuple(kinks), tuple(rest))

    def value(self, sides: Integers) -> float:
        """Return what the program maximises, of (2, J) lots: the least rows, less a part of all losses."""
        x = sides[:, self.columns].reshape(-1)
        least = (float((rest + kinks @ x).min()) for rest, kinks in zip(self.rest, self.kinks, strict=True))
        return sum(least) - _SUM * float(self.costs @ x)

    def solved(self, whole: bool) -> Floats | None:
        """Return (2 J',) lots, or None where the solver finds none; ``whole`` asks for whole ones."""
        unit = float(np.abs(self.costs).max()) or 1.0
        legs, size = self.listing.legs[self.columns], len(self.costs)
        net = csr_matrix(np.concatenate([np.concatenate([legs, -legs]).T, np.zeros((len(self.net), 2))], axis=1))
        above = [np.concatenate([-kinks, np.zeros((len(kinks), 2))], axis=1) for kinks in self.kinks]
        for number, rows in enumerate(above):
            # The two least rows are variables in units of ``unit``, below every row of their kind.
            rows[:, size + number] = unit
        least, room = csr_matrix(np.concatenate(above) / unit), np.concatenate(self.rest) / unit
        costs = np.append(_SUM * self.costs / unit, [-1.0, -1.0])
        most = np.append(np.tile(self.listing.most[self.columns], 2).astype(np.float64), [np.inf, np.inf])
        lowest = np.append(np.zeros(size), [-np.inf, -np.inf])
        found: OptimizeResult
        if whole:
            found = milp(
                costs,
                constraints=[
                    LinearConstraint(net, self.net, self.net),
                    LinearConstraint(least, np.full(len(room), -np.inf), room),
                ],
                bounds=Bounds(lowest, most),
                integrality=np.append(np.ones(size), [0, 0]),
                options={"node_limit": _NODES, "mip_rel_gap": 1e-3},
            )
        else:
            bounds = np.column_stack([lowest, most])
            found = linprog(costs, least, room, net, self.net, bounds, method="highs")
        return None if found.x is None else np.asarray(found.x[:size], dtype=np.float64)

    def rounded(self, x: Floats) -> Integers:
        """Return (2, J) lots of whole combinations as given, and of single legs for whatever is left."""
        count, sides = len(self.net), np.zeros((2, len(self.listing.names)), dtype=np.int64)
        sides[:, self.columns] = x.astype(np.int64).reshape(2, -1)
        sides[:, :count] = 0
        rest = self.net - self.listing.legs.T @ (sides[0] - sides[1])
        sides[:, :count] = np.maximum(rest, 0), np.maximum(-rest, 0)
        return sides


def rounded_price(price: Decimal) -> Decimal:
    """Return a price rounded to two significant digits: the reference price where none is published."""
    return price.quantize(Decimal(1).scaleb(price.adjusted() - 1))

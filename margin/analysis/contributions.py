"""Contributions: what each line, cash and collateral add to the row that binds; together they are the excess.

A line counts its lots in the binding scenario with charges and with its profit since it was traded. `cash` is what
trades of lines no longer held have left. Under `expected_shortfall` a part is its average over the moves in the tail;
under `cross_margin` it is counted as its venue is.
"""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from atomic_margin.margin.analysis.account import Account, require_account
from atomic_margin.margin.kinds import MarginKind
from atomic_margin.margin.market.instruments import Side
from atomic_margin.margin.market.valuation import value
from atomic_margin.margin.models.case import AnyCase

What = Literal["line", "cash", "collateral", "constant"]


@dataclass(frozen=True)
class Contribution:
    """One part of the excess.

    Attributes:
        what: line, cash, collateral, or a constant of the model such as a transfer limit.
        name: instrument, ``cash``, pool of collateral, or name of the constant.
        side: of a line.
        lots: of a line.
        profit: of a line, since it was traded, funding taken off, USD; it is in `amount` as the model counts it.
        amount: what it adds to the binding row, USD.
    """

    what: What
    name: str
    amount: float
    side: Side | None = None
    lots: int | None = None
    profit: float | None = None

    @property
    def label(self) -> str:
        """How people call it, such as ``BTC-PERP long 780``."""
        return self.name if self.side is None else f"{self.name} {self.side} {self.lots}"


@dataclass(frozen=True)
class Contributions:
    """An account's excess under one kind of margin, taken apart.

    Attributes:
        kind: of margin.
        row: label of what binds.
        parts: lines in the book's order, then cash, collateral and constants.
    """

    kind: MarginKind
    row: str
    parts: tuple[Contribution, ...]

    @property
    def excess(self) -> float:
        """What the parts come to, USD."""
        return math.fsum(part.amount for part in self.parts)


def contributions(account: Account | AnyCase, kind: MarginKind) -> Contributions:
    """Return what everything in an account adds to its excess.

    Raises:
        NotAnalysed: for a case, whose rows are not a sum over lines.
        DocumentError: the documents do not fit together.
    """
    given = require_account(account, "a contribution of each line")
    universe, book = given.published.universe, given.book
    row = given.model.binding_row(given.published, book, given.posted, kind)
    now = value(universe, given.published.market)
    index = {item.id: i for i, item in enumerate(universe.instruments)}
    parts = []
    for number, line in enumerate(book.lines):
        item = universe.named(line.instrument, f"lines[{number}].instrument")
        i, sign = index[item.id], 1 if line.side == "long" else -1
        per_unit = item.cash_of(line.price, line.funding_index, f"lines[{number}]")
        cash = float(sign * line.lots * Fraction(item.lot) * per_unit)
        profit = sign * line.lots * float(now.lot[i] * now.profit[i]) + cash
        held = line.lots * float((row.long if line.side == "long" else row.short)[i])
        parts.append(Contribution("line", item.id, held + cash, line.side, line.lots, profit))
    parts.append(Contribution("cash", "cash", float(book.cash or 0)))
    parts += [Contribution("collateral", pool, amount) for pool, amount in row.collateral.items()]
    parts += [Contribution("constant", name, amount) for name, amount in row.constants.items()]
    return Contributions(kind, row.label, tuple(parts))

"""How implied volatilities move in a scenario: by one factor, by underlying, and by time to expiry.

Anyone may read it. A move is a relative one, as a decimal or as nodes in days to expiry (ACT/365, as everywhere),
linear between two nodes and held before the first and after the last: a step between two expiries would pay whoever
straddles it, and would jump as time passes.

>>> from pydantic import TypeAdapter
>>> term = TypeAdapter(VolatilityMove).validate_python([{"days": "30", "move": "0.2"}, {"days": "90", "move": "0.1"}])
>>> at_days(term, np.array([7.0, 30.0, 60.0, 365.0])).round(12).tolist()
[0.2, 0.2, 0.15, 0.1]
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Annotated, TypeAlias

import numpy as np
from pydantic import AfterValidator, Discriminator, Tag

from atomic_margin.documents.errors import MalformedDocument, OutOfRange
from atomic_margin.documents.strict import IdMap, NonEmptyListOf, Part, in_range, problem
from atomic_margin.margin.errors import UnknownUnderlying
from atomic_margin.margin.market.interpolation import interpolate
from atomic_margin.margin.market.pricing import Floats, read_only
from atomic_margin.margin.market.universe import Universe
from atomic_margin.margin.market.valuation import Valuation

__all__ = ["ScenarioVolatility", "TenorNode", "VolatilityMove", "at_days", "check_underlyings", "volatility_moves"]

MAX_NODES = 64
# Valuations count times to expiry in years of 365 days.
_YEAR_DAYS = 365.0


class TenorNode(Part):
    """A move at one time to expiry.

    Attributes:
        days: to expiry, from 0 to 36,500.
        move: relative move of the volatility there, at least -1 and at most 10.
    """

    days: Annotated[Decimal, in_range("0", "36500")]
    move: Annotated[Decimal, in_range("-1", "10")]


def _rising(nodes: tuple[TenorNode, ...]) -> tuple[TenorNode, ...]:
    if len(nodes) > MAX_NODES:
        raise problem(MalformedDocument, f"at most {MAX_NODES} nodes here, got {len(nodes)}")
    for before, after in pairwise(nodes):
        if after.days <= before.days:
            raise problem(OutOfRange, f"days rise from node to node, got {after.days:f} after {before.days:f}")
    return nodes


def _form(value: object) -> str:
    return "\0nodes" if isinstance(value, list | tuple) else "\0factor"


def _form_in_scenario(value: object) -> str:
    return "\0underlyings" if isinstance(value, dict) else "\0factor"


Factor: TypeAlias = Annotated[Decimal, in_range("-1", "10")]
Nodes: TypeAlias = Annotated[NonEmptyListOf[TenorNode], AfterValidator(_rising)]

VolatilityMove: TypeAlias = Annotated[
    Annotated[Factor, Tag("\0factor")] | Annotated[Nodes, Tag("\0nodes")], Discriminator(_form)
]
"""Of one underlying: a factor for all expiries, or nodes."""

ScenarioVolatility: TypeAlias = Annotated[
    Annotated[Factor, Tag("\0factor")] | Annotated[IdMap[VolatilityMove], Tag("\0underlyings")],
    Discriminator(_form_in_scenario),
]
"""Of one scenario: a factor for everything, or a move for every underlying."""


def at_days(move: Decimal | tuple[TenorNode, ...], days: Floats) -> Floats:
    """Return a move at times to expiry in days, of any shape."""
    if isinstance(move, Decimal):
        return np.full(np.shape(days), float(move))
    places, values = [float(node.days) for node in move], [float(node.move) for node in move]
    return np.asarray(interpolate(days, places, values), dtype=np.float64)


def volatility_moves(
    moves: Sequence[Decimal | Mapping[str, Decimal | tuple[TenorNode, ...]]], universe: Universe, values: Valuation
) -> Floats:
    """Return the relative moves of implied volatility of I instruments in S scenarios, (S, I); read-only.

    Args:
        moves: S of them, each a factor, or a move for every underlying of the universe.
        universe: the instruments.
        values: of the universe at the tick that days are counted from.
    """
    days = values.years * _YEAR_DAYS
    found = np.empty((len(moves), len(days)))
    for row, given in enumerate(moves):
        for number, name in enumerate(universe.underlyings):
            of_name = values.underlying == number
            found[row, of_name] = at_days(given if isinstance(given, Decimal) else given[name], days[of_name])
    return read_only(found)


def check_underlyings(given: Mapping[str, object], path: str, universe: Universe) -> None:
    """Raise UnknownUnderlying unless a map in a scenario names exactly the underlyings of ``universe``."""
    for name in sorted(given.keys() ^ universe.underlyings.keys()):
        what = "the universe has no such underlying" if name in given else 'missing; write "0" for no move'
        raise UnknownUnderlying(f"{path}.{name}", what)

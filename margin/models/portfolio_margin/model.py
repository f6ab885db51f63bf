"""What a portfolio-margin model is once prices are known: the one form both kinds of rows of both models are made from.

For `conservative`, `exact` and `split`; `pmrm.rows` and `pmrm2.rows` build it. With E expiries, n option instruments
("legs"), q perpetuals, v_E and V_E the value of an expiry's net options in a scenario and now, L the loss factor and d
the dampening of the scenario, the surplus of one kind is

    scenario   L d [ sum_E (disc_E(v_E) - V_E) + q * move ] + rest       disc_E(v) = D_E v if v > 0, else D'_E v
    skew       - L d sum_E |disc_E(v_E) - V_E| + rest
    basis      L sum_E share_E min(0, v_E up - V_E, v_E down - V_E) + rest
    rest  =    sum_E V_E + collateral - perpetual |q| - naked sum_strikes max(0, -net) - sum_E doubt_E sum |leg|

The least row is the excess. Everything is in USD for one unit of a leg or perpetual.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from atomic_margin.documents.canonical import canonical_hash
from atomic_margin.margin.kinds import MarginKind
from atomic_margin.margin.market.pricing import Floats
from atomic_margin.margin.models.portfolio_margin.positions import Legs

BASIS = "basis"


@dataclass(frozen=True)
class KindCharges:
    """What differs between the two kinds of margin, USD.

    Attributes:
        loss_factor: L.
        perpetual: charge on one perpetual, long or short, all of it.
        naked: charge on one short option left at a strike.
        doubt: (E,) charge on one option, long or short, for feeds of low confidence.
        collateral: (R + 1,) what the operator's ledger knows of the account, less its charges, in each scenario and in
            the basis row.
        held: charge due once, if any perpetual is held and that is not known to the operator; else 0.
        held_doubt: (E,) likewise, on one option.
    """

    loss_factor: float
    perpetual: float
    naked: float
    doubt: Floats
    collateral: Floats
    held: float
    held_doubt: Floats


@dataclass(frozen=True)
class RowModel:
    """A portfolio-margin model at one market, R scenarios. Values are of one unit of a leg, USD.

    Attributes:
        hash: names the rules and their parameters.
        legs: the n instruments.
        labels: R scenario labels, unique.
        skew: (R,) true for skew scenarios.
        dampening: (R,) d.
        now: (n,) value V.
        shocked: (R, n) values v.
        basis: (2, n) values under the two basis moves, less ``now``.
        positive: (E,) D, factor of a positive shocked value.
        negative: (E,) D'.
        basis_share: (E,) share of a basis loss that is charged.
        move: (R,) profit of one perpetual.
        lists_perpetual: whether the universe lists the perpetual.
        maintenance: charges of maintenance margin.
        initial: charges of initial margin.
    """

    hash: str
    legs: Legs
    labels: tuple[str, ...]
    skew: npt.NDArray[np.bool_]
    dampening: Floats
    now: Floats
    shocked: Floats
    basis: Floats
    positive: Floats
    negative: Floats
    basis_share: Floats
    move: Floats
    lists_perpetual: bool
    maintenance: KindCharges
    initial: KindCharges

    def charges(self, kind: MarginKind) -> KindCharges:
        """Return the charges of one kind."""
        return self.maintenance if kind == "maintenance" else self.initial

    @property
    def sites(self) -> tuple[list[str], npt.NDArray[np.intp]]:
        """The S places (expiry, strike) where naked shorts are counted: their names, and (n,) the place of each leg."""
        names = [f"{plain(expiry)}/{plain(strike)}" for expiry, strike, _ in self.legs.keys]
        index = {name: number for number, name in enumerate(dict.fromkeys(names))}
        return list(index), np.array([index[name] for name in names], dtype=np.intp)


def plain(value: object) -> str:
    """Return a decimal in its shortest plain spelling."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


class Labelled(Protocol):
    """A scenario, as far as its name and kind go."""

    @property
    def label(self) -> str:
        """What people call it."""

    @property
    def is_skew(self) -> bool:
        """Whether it bends volatilities and never gains."""


def rules_hash(rules: str, parameters_hash: str) -> str:
    """Return what names a version's rules and its parameters in a matrix."""
    return canonical_hash(f"{rules}-rows", {"parameters": parameters_hash})


def scenario_labels(scenarios: Iterable[Labelled]) -> tuple[str, ...]:
    """Return R unique row labels, one for each scenario."""
    return unique_labels([item.label for item in scenarios])


def unique_labels(labels: list[str]) -> tuple[str, ...]:
    """Return printable labels of at most 64 characters, each with its number where it is too long or not unique.

    >>> unique_labels(["1.15 up", "1.15 up"])
    ('1.15 up', '1.15 up #1')
    """
    found: list[str] = []
    seen: set[str] = set()
    for number, label in enumerate(labels):
        name = label if len(label) <= 64 and label not in seen else f"{label[:56]} #{number}"
        seen.add(name)
        found.append(name)
    return tuple(found)

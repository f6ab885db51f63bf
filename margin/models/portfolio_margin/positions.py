"""Option rows netted into positions and grouped by expiry, for the references and the rows of both versions of `pmrm`.

Netting rounds nothing (decimals), so a position bought and sold in parts that sum to nothing is dropped, and what is
left becomes arrays that a whole scenario grid is priced from in one call.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from atomic_margin.documents.errors import DuplicateId
from atomic_margin.margin.market.pricing import Floats

YEAR_SECONDS = 365 * 86400
_EXACT = 120

# Seconds to expiry, strike, and whether it is a call: what makes an option instrument.
OptionKey: TypeAlias = tuple[Decimal, Decimal, bool]


@dataclass(frozen=True)
class OptionRow:
    """One option row of a case.

    Attributes:
        expiry: seconds to expiry.
        strike: in the currency of spot.
        is_call: a call, or else a put.
        volatility: annualised, as a fraction.
        amount: signed quantity, negative when short.
    """

    expiry: Decimal
    strike: Decimal
    is_call: bool
    volatility: Decimal
    amount: Decimal


@dataclass(frozen=True)
class Legs:
    """n option instruments, each once, in the order of their keys, over E expiries.

    Attributes:
        keys: n (seconds to expiry, strike, is a call), ascending.
        expiries: E seconds to expiry, ascending.
        years: (E,) time to expiry in years of 365 days.
        group: (n,) index into ``expiries``.
        strike: (n,).
        is_call: (n,).
        volatility: (n,).
    """

    keys: tuple[OptionKey, ...]
    expiries: tuple[Decimal, ...]
    years: Floats
    group: npt.NDArray[np.intp]
    strike: Floats
    is_call: npt.NDArray[np.bool_]
    volatility: Floats

    def by_expiry(self, values: Floats) -> Floats:
        """Return ``values`` of shape (…, n), per position, summed to shape (…, E)."""
        member: Floats = (self.group[:, None] == np.arange(len(self.expiries))).astype(np.float64)
        total: Floats = values @ member
        return total


@dataclass(frozen=True)
class NetOptions(Legs):
    """The n net option positions, none of them zero.

    Attributes:
        amount: (n,) signed quantity.
        gross: (E,) sum of |amount|.
        naked: (E,) short quantity left at each strike after calls and puts, long and short, are offset; summed.
    """

    amount: Floats
    gross: Floats
    naked: Floats


def require_one_volatility(rows: Iterable[OptionRow], path: Callable[[int], str]) -> None:
    """Raise DuplicateId, at ``path`` of its row, when one instrument appears with two volatilities."""
    seen: dict[tuple[Decimal, Decimal, bool], Decimal] = {}
    for number, row in enumerate(rows):
        known = seen.setdefault((row.expiry, row.strike, row.is_call), row.volatility)
        if known != row.volatility:
            raise DuplicateId(
                path(number),
                f"the same expiry, strike and type already has volatility {known}, here {row.volatility}; give it one",
            )


def net_amounts(rows: Iterable[OptionRow]) -> dict[OptionKey, Decimal]:
    """Return the unrounded net quantity of every instrument that appears, zeros included, in the order of keys."""
    net: dict[OptionKey, Decimal] = {}
    with localcontext() as context:
        context.prec = _EXACT
        for row in rows:
            key = (row.expiry, row.strike, row.is_call)
            net[key] = net.get(key, Decimal(0)) + row.amount
    return dict(sorted(net.items()))


def option_legs(rows: Iterable[OptionRow]) -> Legs:
    """Return every instrument that appears, whatever its net quantity."""
    volatilities = {(row.expiry, row.strike, row.is_call): row.volatility for row in rows}
    keys = tuple(sorted(volatilities))
    expiries = tuple(sorted({key[0] for key in keys}))
    index = {expiry: number for number, expiry in enumerate(expiries)}
    return Legs(
        keys=keys,
        expiries=expiries,
        years=floats(expiries) / YEAR_SECONDS,
        group=np.array([index[key[0]] for key in keys], dtype=np.intp),
        strike=floats(key[1] for key in keys),
        is_call=np.array([key[2] for key in keys], dtype=np.bool_),
        volatility=floats(volatilities[key] for key in keys),
    )


def net_options(rows: Iterable[OptionRow]) -> NetOptions:
    """Return the net positions: rows of one expiry, strike and type add up, and those that come to zero are dropped."""
    given = tuple(rows)
    net = {key: amount for key, amount in net_amounts(given).items() if amount != 0}
    legs = option_legs(row for row in given if (row.expiry, row.strike, row.is_call) in net)
    index = {expiry: number for number, expiry in enumerate(legs.expiries)}
    strikes: dict[tuple[Decimal, Decimal], Decimal] = {}
    gross, naked = [Decimal(0)] * len(index), [Decimal(0)] * len(index)
    with localcontext() as context:
        context.prec = _EXACT
        for key, amount in net.items():
            strikes[key[:2]] = strikes.get(key[:2], Decimal(0)) + amount
            gross[index[key[0]]] += amount.copy_abs()
        for (expiry, _), amount in strikes.items():
            naked[index[expiry]] += max(Decimal(0), -amount)
    return NetOptions(**vars(legs), amount=floats(net.values()), gross=floats(gross), naked=floats(naked))


def floats(values: Iterable[Decimal]) -> Floats:
    """Return decimals as an array, each rounded once to the nearest double."""
    return np.array([float(value) for value in values], dtype=np.float64)

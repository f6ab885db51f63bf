"""Options quoted, netted into positions and grouped by expiry, for references and rows of both versions of `pmrm`.

Netting rounds nothing (decimals), so a position bought and sold in parts that sum to nothing is dropped, and what is
left becomes arrays that a whole scenario grid is priced from in one call.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from atomic_margin.documents.errors import DuplicateId
from atomic_margin.margin.errors import UnpricedInstrument
from atomic_margin.margin.market.pricing import Floats

YEAR_SECONDS = 365 * 86400
_DIGITS = 120

# Seconds to expiry, strike, and whether it is a call: what makes an option instrument.
OptionKey: TypeAlias = tuple[Decimal, Decimal, bool]


@dataclass(frozen=True)
class OptionQuote:
    """What a market says of one option.

    Attributes:
        expiry: seconds to expiry.
        strike: in the currency of spot.
        is_call: a call, or else a put.
        volatility: annualised, as a fraction.
    """

    expiry: Decimal
    strike: Decimal
    is_call: bool
    volatility: Decimal

    @property
    def key(self) -> OptionKey:
        """What makes the instrument."""
        return self.expiry, self.strike, self.is_call


@dataclass(frozen=True)
class CaseBook:
    """What an account holds.

    Attributes:
        options: exact net quantity of every instrument, negative when short, in the order of the keys.
        perpetuals: net quantity.
    """

    options: Mapping[OptionKey, Decimal]
    perpetuals: Decimal


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


def require_one_volatility(quotes: Iterable[OptionQuote], path: Callable[[int], str]) -> None:
    """Raise DuplicateId, at ``path`` of its row, when one instrument appears with two volatilities."""
    seen: dict[OptionKey, Decimal] = {}
    for number, quote in enumerate(quotes):
        known = seen.setdefault(quote.key, quote.volatility)
        if known != quote.volatility:
            raise DuplicateId(
                path(number),
                "the same expiry, strike and type already has volatility "
                f"{known}, here {quote.volatility}; give it one",
            )


def require_quoted(book: CaseBook, quotes: Iterable[OptionQuote]) -> None:
    """Raise UnpricedInstrument when the book holds an option that the market does not quote."""
    known = {quote.key for quote in quotes}
    for expiry, strike, is_call in book.options:
        if (expiry, strike, is_call) not in known:
            what = f"{'call' if is_call else 'put'} of strike {strike} at {expiry} seconds"
            raise UnpricedInstrument("options", f"the market has no quote for the {what}; add it")


def net_amounts(amounts: Iterable[tuple[OptionKey, Decimal]]) -> dict[OptionKey, Decimal]:
    """Return the unrounded net quantity of every instrument that appears, zeros included, in the order of keys."""
    net: dict[OptionKey, Decimal] = {}
    with localcontext() as context:
        context.prec = _DIGITS
        for key, amount in amounts:
            net[key] = net.get(key, Decimal(0)) + amount
    return dict(sorted(net.items()))


def option_legs(quotes: Iterable[OptionQuote]) -> Legs:
    """Return every instrument that is quoted."""
    volatilities = {quote.key: quote.volatility for quote in quotes}
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


def realised(profit: Decimal, funding: Decimal, held: bool) -> float:
    """Return what unrealised profit and funding of the perpetual count for.

    Both count while one is held. Once none is, nothing is left to be unrealised: a gain no longer counts until it is
    settled to cash, and a loss is a debt that stays until it is.
    """
    total = float(profit) + float(funding)
    return total if held else min(total, 0.0)


def net_options(quotes: Iterable[OptionQuote], book: CaseBook) -> NetOptions:
    """Return the net positions at their quotes; those that come to zero are dropped."""
    net = {key: amount for key, amount in book.options.items() if amount != 0}
    legs = option_legs(quote for quote in quotes if quote.key in net)
    index = {expiry: number for number, expiry in enumerate(legs.expiries)}
    strikes: dict[tuple[Decimal, Decimal], Decimal] = {}
    gross, naked = [Decimal(0)] * len(index), [Decimal(0)] * len(index)
    with localcontext() as context:
        context.prec = _DIGITS
        for key, amount in net.items():
            strikes[key[:2]] = strikes.get(key[:2], Decimal(0)) + amount
            gross[index[key[0]]] += amount.copy_abs()
        for (expiry, _), amount in strikes.items():
            naked[index[expiry]] += max(Decimal(0), -amount)
    return NetOptions(**vars(legs), amount=floats(net.values()), gross=floats(gross), naked=floats(naked))


def floats(values: Iterable[Decimal]) -> Floats:
    """Return decimals as an array, each rounded once to the nearest double."""
    return np.array([float(value) for value in values], dtype=np.float64)

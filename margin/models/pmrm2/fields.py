"""Number fields of the case format of `pmrm2`: JSON numbers or decimal strings in plain units, with their limits."""

import re
from decimal import Decimal
from typing import Annotated, Literal, TypeAlias

from pydantic import ConfigDict, PlainValidator
from pydantic.alias_generators import to_pascal

from atomic_margin.documents.errors import (
    DocumentError,
    MalformedDocument,
    NegativeHolding,
    NegativeVolatility,
    NonPositivePrice,
    NotADecimal,
    OutOfRange,
)
from atomic_margin.documents.strict import MAX_PRICE, MAX_QUANTITY, MAX_VOLATILITY, Part, problem
from atomic_margin.margin.errors import ExpiredInstrument
from atomic_margin.margin.models.portfolio_margin.fields import MAX_EXPIRY, MAX_RATE

Direction: TypeAlias = Literal["up", "none", "down", "linear", "abs"]

_SPELLING = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_MAX_CHARACTERS = 100


def _number(value: object) -> Decimal:
    known = not isinstance(value, bool) and isinstance(value, (int, float, Decimal, str))
    if isinstance(value, int) and value.bit_length() > 256:
        raise problem(OutOfRange, "at most 256 bits here")
    text = str(value)
    if not known or len(text) > _MAX_CHARACTERS or not _SPELLING.fullmatch(text):
        raise problem(NotADecimal, f'write a finite number or decimal string such as "0.25", got {repr(value)[:40]}')
    return Decimal(text)


def number_in(
    low: Decimal | int,
    high: Decimal | int,
    too_low: type[DocumentError] = OutOfRange,
    *,
    above: bool = False,
    what: str = "a number here",
) -> PlainValidator:
    """Return a validator for a number in [low, high]; ``above`` leaves out ``low``."""

    def check(value: object) -> Decimal:
        number = _number(value)
        if number < low or (above and number == low):
            raise problem(too_low, f"{what} is {'above' if above else 'at least'} {low}, got {number}")
        if number > high:
            raise problem(OutOfRange, f"{what} is at most {high}, got {number}")
        return number

    return PlainValidator(check)


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    number = _number(value)
    if number not in (0, 1):
        raise problem(OutOfRange, f"write 1 or 0, got {number}")
    return bool(number)


def direction(value: object) -> str:
    """Return the direction of a volatility shock, in lower case."""
    if isinstance(value, str) and value.lower() in ("up", "none", "down", "linear", "abs"):
        return value.lower()
    raise problem(MalformedDocument, f"write Up, None, Down, Linear or Abs, got {repr(value)[:40]}")


def least_confidence(value: object) -> Decimal:
    """Return one confidence, or the least of a list."""
    values = value if isinstance(value, list) and value else [value]
    numbers = [_number(item) for item in values]
    if not all(0 <= number <= 1 for number in numbers):
        raise problem(OutOfRange, f"a confidence is from 0 to 1, got {repr(value)[:40]}")
    return min(numbers)


Flag = Annotated[bool, PlainValidator(_flag)]
Expiry = Annotated[Decimal, number_in(0, MAX_EXPIRY, ExpiredInstrument, what="seconds to expiry")]
Price = Annotated[Decimal, number_in(0, MAX_PRICE, NonPositivePrice, above=True, what="a price")]
PriceOrZero = Annotated[Decimal, number_in(0, MAX_PRICE, NonPositivePrice, what="a price here")]
Volatility = Annotated[Decimal, number_in(0, MAX_VOLATILITY, NegativeVolatility, what="a volatility")]
Signed = Annotated[Decimal, number_in(-MAX_QUANTITY, MAX_QUANTITY)]
Holding = Annotated[Decimal, number_in(0, MAX_QUANTITY, NegativeHolding, what="a holding")]
Rate = Annotated[Decimal, number_in(-MAX_RATE, MAX_RATE, what="a rate")]
Confidence = Annotated[Decimal, number_in(0, 1, what="a confidence")]
Share = Annotated[Decimal, number_in(0, 1, what="a share")]
Factor = Annotated[Decimal, number_in(0, 100, what="a factor")]
SignedFactor = Annotated[Decimal, number_in(-100, 100, what="a factor")]
Multiplier = Annotated[Decimal, number_in(0, 100, above=True, what="a spot multiplier")]


class Fields(Part):
    """A piece of a case; names are in Pascal case, unknown ones are not looked at."""

    model_config = ConfigDict(alias_generator=to_pascal, populate_by_name=True, extra="ignore")


class Settings(Part):
    """A group of parameters; names are in capitals, unknown ones are not looked at."""

    model_config = ConfigDict(alias_generator=str.upper, populate_by_name=True, extra="ignore")

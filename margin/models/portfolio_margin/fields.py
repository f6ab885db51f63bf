"""What the two documents of the outside `pmrm` format share: number fields, limits, and errors that name the field.

For `pmrm.cases` and `pmrm.parameters`. In a case every number is an integer, 10^18 times the decimal it stands for,
except expiries and flags; both documents are kept as decimals, without rounding.
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any

from pydantic import PlainValidator

from atomic_margin.documents.errors import (
    DocumentError,
    MalformedDocument,
    NegativeHolding,
    NegativeVolatility,
    NonPositivePrice,
    NotADecimal,
    OutOfRange,
)
from atomic_margin.documents.strict import MAX_PRICE, MAX_QUANTITY, MAX_VOLATILITY, D, problem
from atomic_margin.margin.errors import ExpiredInstrument

_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,9}")
MAX_EXPIRY = 50 * 365 * 86400
MAX_RATE = 10
_DECIMALS = 18


def integer(value: object) -> int:
    """Return a JSON integer of at most 256 bits."""
    if isinstance(value, bool) or not isinstance(value, int):
        shown = repr(value)[:40]
        raise problem(NotADecimal, f"write an integer, as digits without a point or an exponent, got {shown}")
    if value.bit_length() > 256:
        raise problem(OutOfRange, "at most 256 bits here")
    return value


def _fixed(value: object) -> Decimal:
    return Decimal(f"{integer(value)}e-{_DECIMALS}")


def _fixed_in(
    low: int, high: int, too_low: type[DocumentError] = OutOfRange, *, above: bool = False, what: str = "this"
) -> PlainValidator:
    """Return a validator for an integer that stands for a decimal in [low, high]; ``above`` leaves out ``low``."""

    def check(value: object) -> Decimal:
        number = _fixed(value)
        if number < low or (above and number == low):
            wanted = "above" if above else "at least"
            raise problem(too_low, f"{what} is {wanted} {low} (times 10^18), got {number:f} (times 10^18)")
        if number > high:
            raise problem(OutOfRange, f"{what} is at most {high} (times 10^18), got {number:f} (times 10^18)")
        return number

    return PlainValidator(check)


def _seconds(value: object) -> int:
    seconds = integer(value)
    if seconds < 0:
        raise problem(ExpiredInstrument, f"at least zero seconds to expiry, got {seconds}")
    if seconds > MAX_EXPIRY:
        raise problem(OutOfRange, f"at most {MAX_EXPIRY} seconds to expiry, got {seconds}")
    return seconds


def _flag(value: object) -> bool:
    if integer(value) not in (0, 1):
        raise problem(OutOfRange, f"write 1 for a call or 0 for a put, got {value}")
    return bool(value)


def written(value: object) -> object:
    """Return a whole number as it stands in a canonical form, where it is text, as a number; anything else as it is.

    >>> written("-1"), written(7), written("x")
    (-1, 7, 'x')
    """
    return int(value) if isinstance(value, str) and _WHOLE.fullmatch(value) else value


def floor_seconds(value: object) -> int:
    """Return a whole number of seconds, at least 0: a floor, which 0 turns off."""
    seconds = integer(written(value))
    if not 0 <= seconds <= MAX_EXPIRY:
        raise problem(OutOfRange, f"a whole number of seconds from 0 to {MAX_EXPIRY} here, got {seconds}")
    return seconds


Seconds = Annotated[int, PlainValidator(_seconds)]
Flag = Annotated[bool, PlainValidator(_flag)]
Price = Annotated[Decimal, _fixed_in(0, int(MAX_PRICE), NonPositivePrice, above=True, what="a price")]
PriceOrZero = Annotated[Decimal, _fixed_in(0, int(MAX_PRICE), NonPositivePrice, what="a price here")]
Volatility = Annotated[Decimal, _fixed_in(0, int(MAX_VOLATILITY), NegativeVolatility, what="a volatility")]
Signed = Annotated[Decimal, _fixed_in(-MAX_QUANTITY, MAX_QUANTITY)]
Holding = Annotated[Decimal, _fixed_in(0, MAX_QUANTITY, NegativeHolding, what="a holding")]
Rate = Annotated[Decimal, _fixed_in(-MAX_RATE, MAX_RATE, what="a rate")]
Confidence = Annotated[Decimal, _fixed_in(0, 1, what="a confidence")]


def parse_at(kind: type[D], value: object, path: str) -> D:
    """Return ``kind.parse(value)``; errors name the field below ``path``."""
    try:
        return kind.parse(value)
    except DocumentError as error:
        field = path if error.field == "$" else f"{path}.{error.field}"
        raise type(error)(field, error.problem) from None


def json_object(value: object, path: str) -> Mapping[str, Any]:
    """Return ``value`` if it is a JSON object; raise MalformedDocument at ``path`` otherwise."""
    if not isinstance(value, dict):
        raise MalformedDocument(path, "a JSON object is wanted here")
    return value

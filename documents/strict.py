"""What every input document shares: strict parsing, errors that name the field, and one canonical form to hash.

For every module that defines a document; callers use `parse` and `hash` of the documents themselves. Numbers are
decimal strings with one spelling each (no exponent, sign ``+``, leading zeros, whitespace, ``-0``; at most 30
characters), kept as given, so a document's canonical form is the document:

>>> class Position(Document):
...     lots: Lots
>>> Position.parse({"lots": "1e3"})
Traceback (most recent call last):
    ...
atomic_margin.documents.errors.NotADecimal: lots: write a plain decimal such as "1250" or "-0.15", got '1e3'
"""

import re
from collections.abc import Callable, Hashable, Iterable, Mapping
from datetime import datetime, timezone
from decimal import Decimal
from functools import cache
from typing import Annotated, Any, ClassVar, TypeAlias, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, PlainValidator, ValidationError
from pydantic_core import PydanticCustomError

from atomic_margin.documents.canonical import CanonicalValue, canonical_hash, canonical_text
from atomic_margin.documents.errors import (
    DocumentError,
    DuplicateId,
    MalformedDocument,
    NegativeHolding,
    NegativeLots,
    NegativeVolatility,
    NonPositivePrice,
    NotADecimal,
    OutOfRange,
)

MAX_DIGITS = 30
MAX_ITEMS = 4096
MAX_LONG = 1_000_000
MAX_PRICE = Decimal(10) ** 12
MAX_QUANTITY = 10**24
MAX_VOLATILITY = Decimal(1000)

# Key under which a field's validator hands its error on; no text of a document can be taken for it.
_ERROR = "\0error"
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")
_COUNT = re.compile(r"0|[1-9][0-9]*")
_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_INSTANT = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})Z")

K = TypeVar("K")
T = TypeVar("T")
D = TypeVar("D", bound="Part")


class Part(BaseModel):
    """A piece of a document: strict, frozen, no unknown fields."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    @classmethod
    def parse(cls: type[D], value: object) -> D:
        """Return what a parsed JSON object holds.

        Raises:
            DocumentError: the first wrong field, named by its JSON path.
        """
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            raise _named(error) from None

    def canonical(self) -> CanonicalValue:
        """Return the canonical form: the part as given, fields that are null left out."""
        return _canonical(self)

    def changed(self: D, changes: Mapping[str, object]) -> D:
        """Return a copy with other values in some fields, which are not checked: a quicker `model_copy`."""
        copy = type(self).__new__(type(self))
        object.__setattr__(copy, "__dict__", {**self.__dict__, **changes})
        object.__setattr__(copy, "__pydantic_fields_set__", self.__pydantic_fields_set__ | changes.keys())
        object.__setattr__(copy, "__pydantic_extra__", None)
        object.__setattr__(copy, "__pydantic_private__", None)
        return copy


class Document(Part):
    """A hashed document. Subclasses add a `format` field and their hash tag."""

    TAG: ClassVar[str]

    def hash(self) -> str:
        """Return the SHA-256, in hex, of the canonical form under this document type's tag."""
        return canonical_hash(self.TAG, self.canonical())


def instant(text: str) -> datetime:
    """Return the instant that a field of type `InstantText` spells."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def format_instant(instant: datetime) -> str:
    """Return ``instant`` as documents spell it, in UTC to the second."""
    return instant.replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def require_unique(ids: Iterable[Hashable], path: Callable[[int], str], error: type[DuplicateId] = DuplicateId) -> None:
    """Raise ``error`` at the first identifier that was there before; ``path`` turns its position into a JSON path."""
    seen: dict[Hashable, int] = {}
    for index, name in enumerate(ids):
        if name in seen:
            raise error(path(index), f"{name} is already at {path(seen[name])}; give each its own or merge the two")
        seen[name] = index


def problem(error: type[DocumentError], text: str) -> PydanticCustomError:
    """Return what a field's validator raises, so that `parse` raises ``error`` with the field's path."""
    return PydanticCustomError(error.__name__, text, {_ERROR: error})


def _shown(value: object) -> str:
    text = str(value) if isinstance(value, Decimal) else repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _decimal(value: object) -> Decimal:
    if not isinstance(value, str):
        raise problem(NotADecimal, f'write the number as a decimal string such as "0.25", got {_shown(value)}')
    if len(value) > MAX_DIGITS:
        raise problem(NotADecimal, f"write at most {MAX_DIGITS} characters, got {len(value)}")
    if not _DECIMAL.fullmatch(value):
        raise problem(NotADecimal, f'write a plain decimal such as "1250" or "-0.15", got {_shown(value)}')
    number = Decimal(value)
    if number.is_zero() and value.startswith("-"):
        raise problem(NotADecimal, f'write zero without a sign ("0"), got {_shown(value)}')
    return number


def _price(value: object) -> Decimal:
    number = _decimal(value)
    if number <= 0:
        raise problem(NonPositivePrice, f"a price is above zero, got {value}")
    return _at_most(number, MAX_PRICE)


def _volatility(value: object) -> Decimal:
    number = _decimal(value)
    if number < 0:
        raise problem(NegativeVolatility, f"a volatility is a fraction a year, at least 0, got {value}")
    return _at_most(number, MAX_VOLATILITY)


def _at_most(number: Decimal, limit: Decimal) -> Decimal:
    if number > limit:
        raise problem(OutOfRange, f"at most {limit:f} here, got {number:f}")
    return number


def _integer(value: object) -> int:
    if isinstance(value, str) and len(value) <= MAX_DIGITS and _COUNT.fullmatch(value):
        return int(value)
    number = _decimal(value)
    if "." in str(value):
        raise problem(NotADecimal, f'write a whole number such as "12", got {_shown(value)}')
    return int(number)


def _non_negative(error: type[OutOfRange]) -> Callable[[object], int]:
    def check(value: object) -> int:
        number = _integer(value)
        if number < 0:
            raise problem(error, f"at least 0 here, got {number}")
        if number > MAX_QUANTITY:
            raise problem(OutOfRange, f"at most {MAX_QUANTITY} here, got {number}")
        return number

    return check


def in_range(low: str, high: str, *, above: bool = False, below: bool = False) -> PlainValidator:
    """Return a validator for a decimal in [low, high]; ``above`` and ``below`` leave out the ends."""
    bottom, top = Decimal(low), Decimal(high)
    text = f"{'above' if above else 'at least'} {low} and {'below' if below else 'at most'} {high}"

    def check(value: object) -> Decimal:
        number = _decimal(value)
        if number < bottom or number > top or (above and number == bottom) or (below and number == top):
            raise problem(OutOfRange, f"{text} here, got {value}")
        return number

    return PlainValidator(check)


def integer_in(low: int, high: int) -> PlainValidator:
    """Return a validator for a whole number in [low, high]."""

    def check(value: object) -> int:
        number = _integer(value)
        if not low <= number <= high:
            raise problem(OutOfRange, f"a whole number from {low} to {high} here, got {value}")
        return number

    return PlainValidator(check)


def _identifier(value: object) -> str:
    if not isinstance(value, str) or not _IDENTIFIER.fullmatch(value):
        raise problem(
            MalformedDocument,
            "an identifier is 1 to 64 letters, digits, dots, dashes or underscores, starting with a letter or digit, "
            f"got {_shown(value)}",
        )
    return value


def _label(value: object) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= 64 or not value.isascii() or not value.isprintable():
        raise problem(MalformedDocument, f"a label is 1 to 64 printable ASCII characters, got {_shown(value)}")
    return value


def _instant(value: object) -> datetime:
    spelt = _INSTANT.fullmatch(value) if isinstance(value, str) else None
    if spelt is not None:
        year, month, day, hour, minute, second = map(int, spelt.groups())
        try:
            return datetime(year, month, day, hour, minute, second, tzinfo=timezone.utc)
        except ValueError:
            pass
    raise problem(MalformedDocument, f'write a UTC time such as "2026-12-25T08:00:00Z", got {_shown(value)}')


def _instant_text(value: object) -> str:
    _instant(value)
    return str(value)


def _price_text(value: object) -> str:
    _price(value)
    return str(value)


def _tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _bounded_list(value: tuple[T, ...]) -> tuple[T, ...]:
    if len(value) > MAX_ITEMS:
        raise problem(MalformedDocument, f"at most {MAX_ITEMS} items here, got {len(value)}")
    return value


def _long_list(value: tuple[T, ...]) -> tuple[T, ...]:
    if len(value) > MAX_LONG:
        raise problem(MalformedDocument, f"at most {MAX_LONG} items here, got {len(value)}")
    return value


def _not_empty(value: tuple[T, ...]) -> tuple[T, ...]:
    if not value:
        raise problem(MalformedDocument, "at least one item here")
    return value


def _bounded_map(value: dict[K, T]) -> dict[K, T]:
    if len(value) > MAX_ITEMS:
        raise problem(MalformedDocument, f"at most {MAX_ITEMS} items here, got {len(value)}")
    return value


Price: TypeAlias = Annotated[Decimal, PlainValidator(_price)]
Volatility: TypeAlias = Annotated[Decimal, PlainValidator(_volatility)]
Lots: TypeAlias = Annotated[int, PlainValidator(_non_negative(NegativeLots))]
Quantity: TypeAlias = Annotated[int, PlainValidator(_non_negative(NegativeHolding))]
Identifier: TypeAlias = Annotated[str, PlainValidator(_identifier)]
Label: TypeAlias = Annotated[str, PlainValidator(_label)]
Instant: TypeAlias = Annotated[datetime, PlainValidator(_instant)]
InstantText: TypeAlias = Annotated[str, PlainValidator(_instant_text)]
PriceText: TypeAlias = Annotated[str, PlainValidator(_price_text)]
ListOf: TypeAlias = Annotated[tuple[T, ...], BeforeValidator(_tuple), AfterValidator(_bounded_list)]
LongListOf: TypeAlias = Annotated[tuple[T, ...], BeforeValidator(_tuple), AfterValidator(_long_list)]
"""Of what somebody reads who limits the bytes: the entries of an account, which a minute's ticks make 4,320 a day."""
NonEmptyListOf: TypeAlias = Annotated[ListOf[T], AfterValidator(_not_empty)]
MapOf: TypeAlias = Annotated[dict[K, T], AfterValidator(_bounded_map)]
IdMap: TypeAlias = MapOf[Identifier, T]


def _path(parts: tuple[int | str, ...]) -> str:
    path = ""
    for part in parts:
        if isinstance(part, int):
            path += f"[{part}]"
        # No fields: the mark of a key, and tags of the forms that a field may have, which no document's text is.
        elif part != "[key]" and not part.startswith("\0"):
            path += f".{_shown(part)[1:-1]}"
    return path.lstrip(".") or "$"


_ADVICE = {
    "missing": "this field is missing; add it",
    "extra_forbidden": "no such field in this format; remove it or correct its name",
    "model_type": "a JSON object is wanted here",
    "dict_type": "a JSON object is wanted here",
    "tuple_type": "a JSON list is wanted here",
}


def _named(error: ValidationError) -> DocumentError:
    first: Mapping[str, Any] = error.errors(include_url=False, include_input=False)[0]
    error_type: type[DocumentError] = first.get("ctx", {}).get(_ERROR, MalformedDocument)
    return error_type(_path(first["loc"]), _ADVICE.get(first["type"], first["msg"]))


class PartWriter:
    """Writes one frozen part of documents after the other, all of one class, and writes anew only what is new.

    A field that holds the same object as in the part before has the same text. At most one part is kept. Nothing in
    a part may be changed in place meanwhile, as nothing in a frozen one is.

    >>> class Held(Part):
    ...     asset: Identifier
    ...     quantity: Quantity
    >>> PartWriter().text(Held.parse({"quantity": "5", "asset": "USDC"}))
    '{"asset":"USDC","quantity":"5"}'
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self._kept: dict[str, tuple[object, str]] = {}
        self._inner: dict[str, PartWriter] = {}

    def text(self, part: Part) -> str:
        """Return the canonical text of a part, fields that are null left out."""
        fields, members = vars(part), []
        for name in _sorted_names(type(part)):
            value = fields[name]
            if value is None:
                continue
            kept = self._kept.get(name)
            if kept is None or kept[0] is not value:
                if type(value) is str:
                    text = canonical_text(value)
                elif isinstance(value, Part):
                    text = self._inner.setdefault(name, PartWriter()).text(value)
                else:
                    text = canonical_text(_canonical(value))
                kept = self._kept[name] = (value, f'"{name}":{text}')
            members.append(kept[1])
        return "{" + ",".join(members) + "}"


def _canonical(value: object) -> CanonicalValue:
    if isinstance(value, str) or value is None or isinstance(value, bool):
        return value
    if isinstance(value, BaseModel):
        fields = vars(value)
        return {name: _canonical(fields[name]) for name in _names(type(value)) if fields[name] is not None}
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, int):
        return str(value)
    if isinstance(value, datetime):
        return format_instant(value)
    if isinstance(value, (tuple, list)):
        return [_canonical(item) for item in value]
    if isinstance(value, dict):
        return {key: _canonical(item) for key, item in value.items()}
    raise TypeError(f"{type(value).__name__} has no place in a document")


@cache
def _names(model: type[BaseModel]) -> tuple[str, ...]:
    return tuple(model.model_fields)


@cache
def _sorted_names(model: type[BaseModel]) -> tuple[str, ...]:
    return tuple(sorted(model.model_fields))

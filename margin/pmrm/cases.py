"""The outside case and parameter formats of `pmrm`, strict: ``testAndVerifyScenarios.json`` and ``parameters.json``.

In a case every number is an integer, 10^18 times the decimal it stands for, except expiries (whole seconds to expiry)
and ``OptionIsCall`` (1 or 0); in a parameter set they are decimal strings. Both are kept as exact decimals. The fields
the specification calls informative (``Forwards``, ``SVIparams``, …) may stand in a case and are not looked at.

>>> parse_cases({"Mine": {"Scenario": {"OptionExpiries": [0]}}})
Traceback (most recent call last):
    ...
atomic_margin.margin.errors.ExpiredInstrument: Mine.Scenario.OptionExpiries[0]: seconds to expiry are above zero, got 0
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, PlainValidator, model_validator
from pydantic.alias_generators import to_pascal
from pydantic_core import PydanticCustomError

from atomic_margin.margin.documents import (
    MAX_PRICE,
    MAX_QUANTITY,
    D,
    Document,
    ListOf,
    NonEmptyListOf,
    Part,
    in_range,
    require_unique,
)
from atomic_margin.margin.errors import (
    DocumentError,
    DuplicateId,
    ExpiredInstrument,
    MalformedDocument,
    NegativeHolding,
    NegativeVolatility,
    NonPositivePrice,
    NotADecimal,
    OutOfRange,
    UnknownId,
    UnpricedInstrument,
)
from atomic_margin.margin.pmrm.positions import OptionRow, require_one_volatility

MAX_EXPIRY = 50 * 365 * 86400
MAX_VOLATILITY = 50
MAX_RATE = 10
_DECIMALS = 18
_INFORMATIVE = frozenset(
    {
        "Forwards",
        "PercentFixed",
        "SettlementPrice",
        "SVIparams",
        "StableConfidence",
        "VolShockDown",
        "VolShockUp",
    }
)


def _problem(error: type[DocumentError], text: str) -> PydanticCustomError:
    return PydanticCustomError(error.__name__, text)


def _integer(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        shown = repr(value)[:40]
        raise _problem(NotADecimal, f"write an integer, as digits without a point or an exponent, got {shown}")
    if value.bit_length() > 256:
        raise _problem(OutOfRange, "at most 256 bits here")
    return value


def _fixed(value: object) -> Decimal:
    return Decimal(f"{_integer(value)}e-{_DECIMALS}")


def _fixed_in(
    low: int, high: int, too_low: type[DocumentError] = OutOfRange, *, above: bool = False, what: str = "this"
) -> PlainValidator:
    """Return a validator for an integer that stands for a decimal in [low, high]; ``above`` leaves out ``low``."""

    def check(value: object) -> Decimal:
        number = _fixed(value)
        if number < low or (above and number == low):
            wanted = "above" if above else "at least"
            raise _problem(too_low, f"{what} is {wanted} {low} (times 10^18), got {number:f} (times 10^18)")
        if number > high:
            raise _problem(OutOfRange, f"{what} is at most {high} (times 10^18), got {number:f} (times 10^18)")
        return number

    return PlainValidator(check)


def _seconds(value: object) -> int:
    seconds = _integer(value)
    if seconds <= 0:
        raise _problem(ExpiredInstrument, f"seconds to expiry are above zero, got {seconds}")
    if seconds > MAX_EXPIRY:
        raise _problem(OutOfRange, f"at most {MAX_EXPIRY} seconds to expiry, got {seconds}")
    return seconds


def _flag(value: object) -> bool:
    if _integer(value) not in (0, 1):
        raise _problem(OutOfRange, f"write 1 for a call or 0 for a put, got {value}")
    return bool(value)


def _positive_seconds(value: object) -> int:
    seconds = _integer(value)
    if not 0 < seconds <= MAX_EXPIRY:
        raise _problem(OutOfRange, f"a whole number of seconds from 1 to {MAX_EXPIRY} here, got {seconds}")
    return seconds


def _direction(value: object) -> int:
    direction = _integer(value)
    if direction not in (-1, 0, 1):
        raise _problem(OutOfRange, f"write 1 for volatility up, 0 for unchanged or -1 for down, got {direction}")
    return direction


_Seconds = Annotated[int, PlainValidator(_seconds)]
_Flag = Annotated[bool, PlainValidator(_flag)]
_Price = Annotated[Decimal, _fixed_in(0, int(MAX_PRICE), NonPositivePrice, above=True, what="a price")]
_PriceOrZero = Annotated[Decimal, _fixed_in(0, int(MAX_PRICE), NonPositivePrice, what="a price here")]
_Volatility = Annotated[Decimal, _fixed_in(0, MAX_VOLATILITY, NegativeVolatility, what="a volatility")]
_Signed = Annotated[Decimal, _fixed_in(-MAX_QUANTITY, MAX_QUANTITY)]
_Holding = Annotated[Decimal, _fixed_in(0, MAX_QUANTITY, NegativeHolding, what="a holding")]
_Rate = Annotated[Decimal, _fixed_in(-MAX_RATE, MAX_RATE, what="a rate")]
_Confidence = Annotated[Decimal, _fixed_in(0, 1, what="a confidence")]


@dataclass(frozen=True)
class Feed:
    """One row of the forward and rate feeds.

    Attributes:
        forward_variable: the part of the forward that moves with spot.
        forward_fixed: the part already observed.
        forward_confidence: in [0, 1].
        rate: interest rate a year, as a fraction.
        rate_confidence: in [0, 1].
    """

    forward_variable: Decimal
    forward_fixed: Decimal
    forward_confidence: Decimal
    rate: Decimal
    rate_confidence: Decimal


class PmrmCase(Document):
    """One ``Scenario`` of the case format: an account and the market it stands in, under its names in snake case.

    Options are parallel lists, feed rows likewise; prices are in the currency of cash.
    """

    model_config = ConfigDict(alias_generator=to_pascal)
    TAG: ClassVar[str] = "pmrm-case"

    option_expiries: ListOf[_Seconds]
    option_strikes: ListOf[_Price]
    option_is_call: ListOf[_Flag]
    option_amounts: ListOf[_Signed]
    option_vols: ListOf[_Volatility]
    option_vol_confidences: ListOf[_Confidence]
    feed_expiries: ListOf[_Seconds]
    forwards_variable: ListOf[_PriceOrZero]
    forwards_fixed: ListOf[_PriceOrZero]
    forward_confidences: ListOf[_Confidence]
    rates: ListOf[_Rate]
    rate_confidences: ListOf[_Confidence]
    cash: _Signed
    perps: _Signed
    perp_price: _PriceOrZero
    perp_confidence: _Confidence
    unrealised_perp_pnl: Annotated[_Signed, Field(alias="UnrealisedPerpPNL")]
    unrealised_funding: _Signed
    base: _Holding
    spot_price: _Price
    spot_confidence: _Confidence
    stable_price: _Price

    @model_validator(mode="before")
    @classmethod
    def _drop_informative(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: item for name, item in value.items() if name not in _INFORMATIVE}
        return value

    @model_validator(mode="after")
    def _check(self) -> "PmrmCase":
        _same_length(
            self,
            "option_expiries",
            ("option_strikes", "option_is_call", "option_amounts", "option_vols", "option_vol_confidences"),
        )
        _same_length(
            self,
            "feed_expiries",
            ("forwards_variable", "forwards_fixed", "forward_confidences", "rates", "rate_confidences"),
        )
        if self.perps != 0 and self.perp_price == 0:
            raise NonPositivePrice("PerpPrice", "a perpetual that is held has a price above zero")
        feeds: dict[int, Feed] = {}
        for number, (expiry, feed) in enumerate(zip(self.feed_expiries, self._feed_rows(), strict=True)):
            if feed.forward_variable == feed.forward_fixed == 0:
                raise NonPositivePrice(f"ForwardsVariable[{number}]", "the two parts of a forward sum to above zero")
            if feeds.setdefault(expiry, feed) != feed:
                raise DuplicateId(
                    f"FeedExpiries[{number}]", f"an earlier row for {expiry} seconds says otherwise; keep one of them"
                )
        confidences: dict[int, Decimal] = {}
        for number, expiry in enumerate(self.option_expiries):
            if expiry not in feeds:
                raise UnpricedInstrument(
                    f"OptionExpiries[{number}]", f"no row of FeedExpiries is for {expiry} seconds; add it"
                )
            confidence = self.option_vol_confidences[number]
            if confidences.setdefault(expiry, confidence) != confidence:
                raise DuplicateId(
                    f"OptionVolConfidences[{number}]",
                    f"{expiry} seconds already has {confidences[expiry]:f} (times 10^18); one value per expiry",
                )
        require_one_volatility(self.options(), "OptionVols[{}]".format)
        return self

    def _feed_rows(self) -> tuple[Feed, ...]:
        columns = zip(
            self.forwards_variable,
            self.forwards_fixed,
            self.forward_confidences,
            self.rates,
            self.rate_confidences,
            strict=True,
        )
        return tuple(Feed(*row) for row in columns)

    def options(self) -> tuple[OptionRow, ...]:
        """Return the option rows, in order, not yet netted."""
        rows = zip(
            self.option_expiries,
            self.option_strikes,
            self.option_is_call,
            self.option_vols,
            self.option_amounts,
            strict=True,
        )
        return tuple(OptionRow(Decimal(row[0]), row[1], row[2], row[3], row[4]) for row in rows)

    def feeds(self) -> dict[int, Feed]:
        """Return the feed row of each expiry, by seconds to expiry."""
        return dict(zip(self.feed_expiries, self._feed_rows(), strict=True))

    def volatility_confidences(self) -> dict[int, Decimal]:
        """Return the confidence of each expiry's volatility feed, by seconds to expiry."""
        return dict(zip(self.option_expiries, self.option_vol_confidences, strict=True))


class SpotVolShock(Part):
    """One scenario of a parameter set.

    Attributes:
        spot: spot multiplier, above 0.
        vol: 1 for volatility up, 0 for unchanged, -1 for down.
    """

    spot: Annotated[Decimal, in_range("0", "100", above=True)]
    vol: Annotated[Literal[-1, 0, 1], PlainValidator(_direction)]

    @property
    def label(self) -> str:
        """Name of the scenario, such as ``1.15 up``."""
        return f"{self.spot} {('down', 'none', 'up')[self.vol + 1]}"


_Share = Annotated[Decimal, in_range("0", "1")]
_Factor = Annotated[Decimal, in_range("0", "100")]


class PmrmParameters(Document):
    """One parameter set in the format of ``parameters.json``; the specification's README names what each enters.

    Percentages, ranges and confidences are fractions, ``dte_floor_seconds`` whole seconds.
    """

    TAG: ClassVar[str] = "pmrm-parameters"

    note: str = ""
    scenarios: NonEmptyListOf[SpotVolShock]
    vol_range_up: _Factor
    vol_range_down: _Factor
    short_term_power: _Factor
    long_term_power: _Factor
    dte_floor_seconds: Annotated[int, PlainValidator(_positive_seconds)]
    basis_spot_up: Annotated[Decimal, in_range("0", "100", above=True)]
    basis_spot_down: Annotated[Decimal, in_range("0", "100", above=True)]
    basis_add: _Factor
    basis_mult: _Factor
    base_percent: _Share
    perp_percent: _Share
    option_percent: _Share
    conf_threshold: _Share
    conf_margin: _Factor
    peg_loss_threshold: _Factor
    peg_loss_factor: _Factor
    im_factor: _Factor
    base_static_discount: _Share
    rate_mult_scale: _Factor
    rate_add_scale: _Factor

    @model_validator(mode="after")
    def _check(self) -> "PmrmParameters":
        require_unique(((item.spot, item.vol) for item in self.scenarios), "scenarios[{}]".format)
        return self


def parse_cases(value: object) -> dict[str, PmrmCase]:
    """Return the cases of a parsed JSON object ``{name: {"Scenario": …, …}}``; what stands beside it is not read.

    Raises:
        DocumentError: the first wrong field, named by its JSON path.
    """
    found: dict[str, PmrmCase] = {}
    for name, item in _object(value, "$").items():
        if "Scenario" not in _object(item, name):
            raise MalformedDocument(f"{name}.Scenario", "this field is missing; add it")
        found[name] = parse_at(PmrmCase, item["Scenario"], f"{name}.Scenario")
    return found


def parse_parameters(value: object, name: str) -> PmrmParameters:
    """Return the parameter set called ``name`` of a parsed JSON object ``{name: {…}}``.

    Raises:
        DocumentError: there is no such set (UnknownId), or a field of it is wrong, missing or unknown.
    """
    sets = _object(value, "$")
    if name not in sets:
        raise UnknownId("$", f"no parameter set {name!r} here, only {', '.join(map(repr, sorted(sets))) or 'none'}")
    return parse_at(PmrmParameters, sets[name], name)


def parse_at(kind: type[D], value: object, path: str) -> D:
    """Return ``kind.parse(value)``; errors name the field below ``path``."""
    try:
        return kind.parse(value)
    except DocumentError as error:
        field = path if error.field == "$" else f"{path}.{error.field}"
        raise type(error)(field, error.problem) from None


def _object(value: object, path: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise MalformedDocument(path, "a JSON object is wanted here")
    return value


def _same_length(case: PmrmCase, first: str, others: tuple[str, ...]) -> None:
    wanted = len(getattr(case, first))
    for name in others:
        if len(getattr(case, name)) != wanted:
            raise MalformedDocument(
                to_pascal(name), f"as long as {to_pascal(first)}, {wanted}, got {len(getattr(case, name))}"
            )

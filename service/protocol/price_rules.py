"""Whose prices count, how many of them it takes, and within which bounds: part of what everyone pins.

>>> bounds = {"price": "0.02", "volatility": "0.05", "rate": "0.01"}
>>> rules = PriceRules.parse({"format": "atomic-margin/price-rules/1", "sources": ["1a" * 32, "22" * 32, "33" * 32],
...                           "required": "1", "max_skew_seconds": "30", "max_age_seconds": "300",
...                           "outlier": bounds, "move": bounds})
Traceback (most recent call last):
    ...
atomic_margin.documents.errors.OutOfRange: required: more than half of the 3 sources and at most all, got 1
"""

from decimal import Decimal
from typing import Annotated, ClassVar, Final, Literal, TypeAlias

from pydantic import Discriminator, Tag, model_validator

from atomic_margin.documents.errors import OutOfRange
from atomic_margin.documents.fields import PublicKey
from atomic_margin.documents.strict import Document, NonEmptyListOf, Part, in_range, integer_in, require_unique

MAX_SOURCES = 64
UNBOUNDED: Final = "unbounded"
_DAY = 86400


def _form(value: object) -> str:
    return "\0word" if value == UNBOUNDED else "\0seconds"


MaxAge: TypeAlias = Annotated[
    Annotated[int, integer_in(1, _DAY), Tag("\0seconds")] | Annotated[Literal["unbounded"], Tag("\0word")],
    Discriminator(_form),
]
"""Seconds, or the word that there is no bound."""


class Bounds(Part):
    """How far one quote may be from another.

    Attributes:
        price: relative, of spots, perpetuals, forwards, settlement and collateral prices; of a funding index, as a
            fraction of its underlying's spot.
        volatility: absolute, a fraction a year.
        rate: absolute, a fraction a year.
    """

    price: Annotated[Decimal, in_range("0", "10", above=True)]
    volatility: Annotated[Decimal, in_range("0", "50", above=True)]
    rate: Annotated[Decimal, in_range("0", "2", above=True)]


class PriceRules(Document):
    """How a tick comes about, format ``atomic-margin/price-rules/1``.

    Attributes:
        sources: n public keys of price sources, at most 64.
        required: k, the sources that must agree: more than half of n, so that no two sets without a source in common
            can make two different ticks.
        max_skew_seconds: a source's time may be so far from the median time of the sources.
        max_age_seconds: and so far before the operator's clock when the prices arrive; `unbounded`: no clock is asked,
            for histories that are played back. It cannot be left out: without a bound two sources that stand still
            outvote one that is right, and prices of last week make a tick.
        outlier: bound on a source's quote against the median; a source beyond it is dropped.
        move: bound on the combined quote against the tick before; a tick beyond it is refused, or staged.
        confirm_after_seconds: prices beyond `move` are staged, and count when as many sources as are required still say
            so at least so much later. Absent: they are refused, and only other rules go on from them.
    """

    TAG: ClassVar[str] = "price-rules"

    format: Literal["atomic-margin/price-rules/1"]
    sources: NonEmptyListOf[PublicKey]
    required: Annotated[int, integer_in(1, MAX_SOURCES)]
    max_skew_seconds: Annotated[int, integer_in(0, _DAY)]
    max_age_seconds: MaxAge
    outlier: Bounds
    move: Bounds
    confirm_after_seconds: Annotated[int, integer_in(1, 3600)] | None = None

    @model_validator(mode="after")
    def _check(self) -> "PriceRules":
        if len(self.sources) > MAX_SOURCES:
            raise OutOfRange("sources", f"at most {MAX_SOURCES} sources, got {len(self.sources)}")
        require_unique(self.sources, "sources[{}]".format)
        count = len(self.sources)
        if not count < 2 * self.required <= 2 * count:
            raise OutOfRange("required", f"more than half of the {count} sources and at most all, got {self.required}")
        return self

"""The outside parameter format of `pmrm`, strict: ``parameters.json``, sets of decimal strings by name.

>>> parse_parameters({"mine": {}}, "yours")
Traceback (most recent call last):
    ...
atomic_margin.documents.errors.UnknownId: $: no parameter set 'yours' here, only 'mine'
"""

from decimal import Decimal
from typing import Annotated, ClassVar, Literal

from pydantic import PlainValidator, model_validator

from atomic_margin.documents.errors import OutOfRange, UnknownId
from atomic_margin.documents.strict import Document, NonEmptyListOf, Part, in_range, problem, require_unique
from atomic_margin.margin.models.portfolio_margin.fields import (
    floor_seconds,
    integer,
    json_object,
    parse_at,
    written,
)


def _direction(value: object) -> int:
    direction = integer(written(value))
    if direction not in (-1, 0, 1):
        raise problem(OutOfRange, f"write 1 for volatility up, 0 for unchanged or -1 for down, got {direction}")
    return direction


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

    @property
    def is_skew(self) -> bool:
        """No; this version has no skew scenarios."""
        return False


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
    dte_floor_seconds: Annotated[int, PlainValidator(floor_seconds)]
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

    def numbers(self) -> dict[str, float]:
        """Return every parameter that is one number, by name, rounded to double precision."""
        names = (name for name in type(self).model_fields if name not in ("note", "scenarios"))
        return {name: float(getattr(self, name)) for name in names}


def parse_parameters(value: object, name: str) -> PmrmParameters:
    """Return the parameter set called ``name`` of a parsed JSON object ``{name: {…}}``.

    Raises:
        DocumentError: there is no such set (UnknownId), or a field of it is wrong, missing or unknown.
    """
    sets = json_object(value, "$")
    if name not in sets:
        raise UnknownId("$", f"no parameter set {name!r} here, only {', '.join(map(repr, sorted(sets))) or 'none'}")
    return parse_at(PmrmParameters, sets[name], name)

"""Joint scenarios for correlated underlyings, drawn from a covariance matrix with a seed.

For whoever publishes a model. What is drawn goes into the model document as data, hashed with it: nobody who checks a
run depends on a random generator, on its bits, or on the linear algebra of another machine. Draws are
numpy.random.Generator(PCG64(seed)) normals times a square root of the matrix (of its eigendecomposition, so that
singular matrices are allowed), rounded to six decimals and held within what a move may be.

>>> both = [{"underlying": "BTC", "field": field} for field in ("spot", "volatility")]
>>> joint = JointDistribution.parse({"format": "atomic-margin/joint-distribution/1", "factors": both,
...                                  "covariance": [["0.0016", "-0.0008"], ["-0.0008", "0.0025"]]})
>>> moves = generate_moves(joint, 2, seed=7)
>>> [move.label for move in moves], sorted(moves[0].basis.items())
(['joint 1', 'joint 2'], [('BTC', Decimal('0'))])
"""

from decimal import Decimal
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import model_validator

from atomic_margin.documents.errors import MalformedDocument
from atomic_margin.documents.strict import Document, Identifier, NonEmptyListOf, Part, in_range, require_unique
from atomic_margin.margin.errors import NotACovariance
from atomic_margin.margin.models.moves import JointMove

_DECIMALS = 6
_FIELDS: tuple[Literal["spot", "volatility", "basis"], ...] = ("spot", "volatility", "basis")
# Moves are above -1 and at most 10.
_LOWEST, _HIGHEST = -0.999999, 10.0
# An eigenvalue so far below zero, relative to the largest, is rounding of the published decimals, not a mistake.
_TOLERANCE = 1e-9


class Factor(Part):
    """One random quantity: the relative move of spot, volatility or basis of an underlying."""

    underlying: Identifier
    field: Literal["spot", "volatility", "basis"]


class JointDistribution(Document):
    """Normal moves of mean zero, format ``atomic-margin/joint-distribution/1``.

    Attributes:
        factors: F of them, each underlying and field once.
        covariance: F rows of F numbers, of relative moves over the margin period.
    """

    TAG: ClassVar[str] = "joint-distribution"

    format: Literal["atomic-margin/joint-distribution/1"]
    factors: NonEmptyListOf[Factor]
    covariance: NonEmptyListOf[NonEmptyListOf[Annotated[Decimal, in_range("-100", "100")]]]

    @model_validator(mode="after")
    def _check(self) -> "JointDistribution":
        require_unique((f"{item.underlying} {item.field}" for item in self.factors), "factors[{}]".format)
        size = len(self.factors)
        if len(self.covariance) != size or any(len(row) != size for row in self.covariance):
            raise MalformedDocument("covariance", f"{size} rows of {size} numbers, one for each factor")
        for row in range(size):
            for column in range(row):
                if self.covariance[row][column] != self.covariance[column][row]:
                    raise NotACovariance(f"covariance[{row}][{column}]", "differs from its mirror image")
        values = np.linalg.eigvalsh(np.array(self.covariance, dtype=np.float64))
        if values[0] < -_TOLERANCE * max(values[-1], 0.0) or values[-1] < 0:
            raise NotACovariance("covariance", f"not positive semidefinite: an eigenvalue is {values[0]:.3g}")
        return self


def generate_moves(
    distribution: JointDistribution, count: int, *, seed: int, prefix: str = "joint"
) -> tuple[JointMove, ...]:
    """Return ``count`` moves labelled ``prefix`` and a number; fields without a factor do not move.

    The same numpy on the same platform draws the same moves; see the module for why nothing relies on it.
    """
    draw = np.random.Generator(np.random.PCG64(seed))
    values, vectors = np.linalg.eigh(np.array(distribution.covariance, dtype=np.float64))
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    drawn = np.clip(draw.standard_normal((count, len(values))) @ root.T, _LOWEST, _HIGHEST)
    names = sorted({item.underlying for item in distribution.factors})
    return tuple(
        JointMove.model_validate(
            {
                "label": f"{prefix} {number + 1}",
                **{
                    field: {
                        name: next(
                            (
                                _text(row[at])
                                for at, item in enumerate(distribution.factors)
                                if (item.underlying, item.field) == (name, field)
                            ),
                            "0",
                        )
                        for name in names
                    }
                    for field in _FIELDS
                },
            }
        )
        for number, row in enumerate(drawn)
    )


def _text(value: float) -> str:
    shown = f"{value:.{_DECIMALS}f}"
    return "0" if float(shown) == 0 else shown

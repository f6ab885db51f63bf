"""The expected-shortfall model: historical joint moves, a tail fraction, charges, and optionally a cover of the tail.

Anyone may read it. With S moves and tail fraction a, the tail is k = a S moves deep, which need not be a whole number.
A *cover* is what the slack-free rows need (see `cover`): a few published scores of every move, and corner points in the
space of scores whose convex hull contains every tail average of the moves. A cover that does not is refused on parsing,
so whoever holds a parsed model holds a sound one.

    model = ExpectedShortfallModel.parse(json.loads(text))
    model.depth                                              # Fraction(13, 2) for 260 moves at 2.5 %
"""

from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import AfterValidator, model_validator

from atomic_margin.documents.errors import MalformedDocument, OutOfRange
from atomic_margin.documents.strict import Document, NonEmptyListOf, Part, in_range, require_unique
from atomic_margin.margin.collateral import SpotMoves
from atomic_margin.margin.market.pricing import Floats, read_only
from atomic_margin.margin.models.expected_shortfall.cover import MAX_FACTORS, check_cover
from atomic_margin.margin.models.lot_charges import LotCharges
from atomic_margin.margin.models.moves import JointMove

# The exact form has 1 + S rows, and a matrix at most 1024.
MAX_MOVES = 1023
# The exact form multiplies by numerator and denominator of the depth; larger ones would cost bits.
MAX_NUMERATOR = 1 << 12
# Label of the margin row of the exact form; the others are labelled like the moves.
MARGIN_ROW = "expected shortfall"


def _few_moves(moves: tuple[JointMove, ...]) -> tuple[JointMove, ...]:
    if len(moves) > MAX_MOVES:
        raise MalformedDocument("scenarios", f"at most {MAX_MOVES} moves here, got {len(moves)}")
    return moves


Point = NonEmptyListOf[Annotated[Decimal, in_range("-1000000", "1000000")]]


class Cover(Part):
    """What the slack-free rows are made of.

    Attributes:
        scores: S points of d numbers, one for each move, d from 2 to 8.
        corners: K points of d numbers; each becomes a row.
    """

    scores: NonEmptyListOf[Point]
    corners: NonEmptyListOf[Point]


class ExpectedShortfallModel(Document):
    """A margin model, format ``atomic-margin/model/1``, name ``expected_shortfall``.

    Attributes:
        tail: a, the fraction of moves averaged, such as 0.025 for a confidence level of 97.5 %.
        initial_factor: initial margin counts what positions gain or lose in a move, and charges, this many times;
            moves are those of maintenance margin. Collateral moves by this many times as much of spot.
        minimum_transfer_amount: USD; no margin call is smaller.
        charges: per lot, as fractions of spot, added to the expected shortfall.
        scenarios: S joint moves of equal probability, at most 1023.
        cover: of the tail; without one the slack-free rows are one for each move.
    """

    TAG: ClassVar[str] = "model"

    format: Literal["atomic-margin/model/1"]
    name: Literal["expected_shortfall"]
    tail: Annotated[Decimal, in_range("0", "1", above=True)]
    initial_factor: Annotated[Decimal, in_range("1", "10")]
    minimum_transfer_amount: Annotated[Decimal, in_range("0", "1000000000000")]
    charges: LotCharges
    scenarios: Annotated[NonEmptyListOf[JointMove], AfterValidator(_few_moves)]
    cover: Cover | None = None

    @model_validator(mode="after")
    def _check(self) -> "ExpectedShortfallModel":
        require_unique((item.label for item in self.scenarios), "scenarios[{}].label".format)
        if MARGIN_ROW in self.labels:
            raise MalformedDocument(f"scenarios[{self.labels.index(MARGIN_ROW)}].label", "this label is taken")
        if self.depth.numerator > MAX_NUMERATOR:
            raise OutOfRange(
                "tail",
                f"{self.tail} of {len(self.scenarios)} moves is {self.depth}, whose numerator must be at most "
                f"{MAX_NUMERATOR}: use a rounder fraction",
            )
        if self.cover is not None:
            self._check_cover(self.cover)
        return self

    def _check_cover(self, cover: Cover) -> None:
        if len(cover.scores) != len(self.scenarios):
            raise MalformedDocument("cover.scores", f"one for each of the {len(self.scenarios)} scenarios")
        width = len(cover.scores[0])
        if not 2 <= width <= MAX_FACTORS:
            raise MalformedDocument("cover.scores[0]", f"2 to {MAX_FACTORS} numbers, got {width}")
        for field in ("scores", "corners"):
            for index, point in enumerate(getattr(cover, field)):
                if len(point) != width:
                    raise MalformedDocument(f"cover.{field}[{index}]", f"{width} numbers, as in scores[0]")
        check_cover(self.scores, self.corners, float(self.depth))

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels of the moves, in order."""
        return tuple(item.label for item in self.scenarios)

    @property
    def spot_moves(self) -> SpotMoves:
        """What collateral goes by: no move, then the spot move of each scenario in full."""
        return SpotMoves.full(self.labels, tuple(item.spot for item in self.scenarios), self.initial_factor).with_now()

    @cached_property
    def depth(self) -> Fraction:
        """How many moves the tail holds, k = max(1, a S).

        Below one move the expected shortfall is the largest loss, as it is at one.
        """
        return max(Fraction(1), Fraction(self.tail) * len(self.scenarios))

    @cached_property
    def scores(self) -> Floats:
        """Scores of the cover, (S, d), read-only; empty without a cover."""
        return _points(self.cover.scores) if self.cover else read_only(np.zeros((0, 0)))

    @cached_property
    def corners(self) -> Floats:
        """Corners of the cover, (K, d), read-only; empty without a cover."""
        return _points(self.cover.corners) if self.cover else read_only(np.zeros((0, 0)))


def _points(points: tuple[tuple[Decimal, ...], ...]) -> Floats:
    return read_only([[float(value) for value in point] for point in points])

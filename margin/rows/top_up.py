"""The margin call: how much collateral an account in breach must add, coarse enough to tell little more than "breach".

For the institution, which knows its surplus, and for everyone who checks that a claimed amount is a multiple of the
step.

>>> step_units(-2, Decimal(100), 51_200)
800
"""

import math
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from atomic_margin.margin.errors import MatrixMismatch
from atomic_margin.margin.rows.matrix import Integers, MarginMatrix, usd


@dataclass(frozen=True)
class TopUp:
    """A margin call.

    Attributes:
        units: X, in units of the initial-margin proof matrix.
        usd: the same in USD, without rounding.
        step: X is a multiple of so many units.
    """

    units: int
    usd: Decimal
    step: int


def step_units(unit_exponent: int, minimum_transfer_amount: Decimal, gross_limit: int) -> int:
    """Return the step of margin calls in units of 2^unit_exponent USD.

    The rule: the larger of the model's minimum transfer amount and G/256, in USD, rounded up to a whole unit.
    """
    step = max(Fraction(minimum_transfer_amount), Fraction(gross_limit, 256))
    return max(1, math.ceil(step / Fraction(2) ** unit_exponent))


def compute_top_up(
    initial_proof: MarginMatrix, z: Integers, *, minimum_transfer_amount: Decimal, gross_limit: int
) -> TopUp:
    """Return the smallest multiple X of the step that restores initial margin: surplus + X >= 0 in every row.

    Rounded up, never down. X is 0 if initial margin is met.

    Args:
        initial_proof: the initial-margin proof matrix of the run.
        z: the portfolio vector.
        minimum_transfer_amount: of the model, USD.
        gross_limit: G, whole USD.

    Raises:
        EntryOutOfRange: ``z`` is no vector of the matrix.
        MatrixMismatch: another matrix than initial margin's for the proof.
    """
    if (initial_proof.kind, initial_proof.place) != ("initial", "proof"):
        raise MatrixMismatch("a top-up is computed from the initial-margin proof matrix")
    step = step_units(initial_proof.unit_exponent, minimum_transfer_amount, gross_limit)
    short = max(0, -int(initial_proof.surplus(z).min()))
    units = -(-short // step) * step
    return TopUp(units, usd(units, initial_proof.unit_exponent), step)

"""The margin call: how much collateral an account in breach must add, coarse enough to tell little more than "breach".

For the institution, which knows its surplus, and for everyone who checks that a claimed amount is a multiple of the
step, or chooses a unit.

>>> step_units(-2, Decimal(100), 51_200)
800
>>> finest_exponent(Decimal(100), 51_200, 20)
-13
"""

import math
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from atomic_margin.margin.errors import MatrixMismatch
from atomic_margin.margin.rows.matrix import Integers, MarginMatrix, usd

TOP_UP_BITS = 2
"""So many bits more than other rows have those with X added: X covers the widest row, and is rounded up to its step."""


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

    @classmethod
    def of(cls, short: int, unit_exponent: int, minimum_transfer_amount: Decimal, gross_limit: int) -> "TopUp":
        """Return the smallest multiple of the step that is at least what is missing.

        Args:
            short: what is missing of initial margin in the worst row, units, at least 0.
            unit_exponent: of the initial-margin rows.
            minimum_transfer_amount: of the model, USD.
            gross_limit: G, whole USD.

        >>> TopUp.of(801, -2, Decimal(100), 51_200)
        TopUp(units=1600, usd=Decimal('400'), step=800)
        """
        step = step_units(unit_exponent, minimum_transfer_amount, gross_limit)
        units = -(-short // step) * step
        return cls(units, usd(units, unit_exponent), step)


def step_units(unit_exponent: int, minimum_transfer_amount: Decimal, gross_limit: int) -> int:
    """Return the step of margin calls in units of 2^unit_exponent USD.

    The rule: the larger of the model's minimum transfer amount and G/256, in USD, rounded up to a whole unit.
    """
    return max(1, math.ceil(_step(minimum_transfer_amount, gross_limit) / Fraction(2) ** unit_exponent))


def finest_exponent(minimum_transfer_amount: Decimal, gross_limit: int, bits: int) -> int:
    """Return the exponent of the finest FHE unit in which every top-up can be proven, whatever prices and collateral.

    Prices do not bound the unit from below: without risk every unit fits, and a step of some USD has any number of
    units. So the step does. Let a row of the proof matrix have W = bits + proof_shift bits, sign included, and let the
    step be s units of 2^(e - proof_shift) USD. No row is as wide as 2^(W-1), so X, the smallest multiple of s that no
    row falls short of, or one step, is below 2^(W-1) + s, and a row with X added is below 2^W + s. It has W +
    TOP_UP_BITS bits in its proof, without a sign. Hence

        s <= (2^TOP_UP_BITS - 1) 2^W

    suffices. With a step of T USD, s is T / 2^(e - proof_shift) rounded up and the bound is whole, so this is the same
    as T <= (2^TOP_UP_BITS - 1) 2^(bits + e), in which `proof_shift` no longer occurs. The least such e is returned.

    A limit that passes `check_gross_limit` is at least the minimum transfer amount, hence T <= G, and the finest unit
    is below 2 G / (3 * 2^bits): G itself is at least 3 * 2^(bits-1) units, more than the width of a row, so the step
    costs a book no more precision than a row as wide as its gross limit does.

    Args:
        minimum_transfer_amount: of the model, USD.
        gross_limit: G, whole USD, at least 1.
        bits: width of a row of the FHE profile, sign included.
    """
    wanted = _step(minimum_transfer_amount, gross_limit) / (((1 << TOP_UP_BITS) - 1) << bits)
    # Off by one at most: the quotient of two numbers of p and q bits is between 2^(p-q-1) and 2^(p-q+1).
    exponent = wanted.numerator.bit_length() - wanted.denominator.bit_length() - 1
    while wanted > Fraction(2) ** exponent:
        exponent += 1
    return exponent


def _step(minimum_transfer_amount: Decimal, gross_limit: int) -> Fraction:
    return max(Fraction(minimum_transfer_amount), Fraction(gross_limit, 256))


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
    short = max(0, -int(initial_proof.surplus(z).min()))
    return TopUp.of(short, initial_proof.unit_exponent, minimum_transfer_amount, gross_limit)

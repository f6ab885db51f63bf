"""Why no slack saves a book: multipliers of rows under which all slack drops out. Public, checked in integers alone.

For whoever opens a book of a model with slack, and everyone who checks what was found. An account is covered if there
is slack u, 0 <= u_j < 2^w_j, with which no row is negative. Take one margin row r, times an integer scale m >= 1, and
validity rows k, times integers l_k >= 0. Where for every slack value j

    m S_rj + sum_k l_k S_kj  <=  0

no slack makes the *combined row*

    (m A_r + sum_k l_k A_k) z + m c_r + sum_k l_k c_k

smaller than what the same sum of rows is with it. So a negative combined row says that some row is negative whatever
the slack (Farkas' lemma; Farkas, *Theorie der einfachen Ungleichungen*, 1902). It is a row of A z + c like any other.

*Switches* are 0 or 1, and are relaxed: 1 - b >= 0 may be added as often as it takes, which is as often as a switch's
coefficient is above 0. A row that is negative for one value of a switch alone stays as it is or gets larger so, and is
not certified. Nothing of that kind is done for other slack: a coefficient above 0 is refused. So for expected shortfall
the multipliers of the tail must add up to all of it: with a shorter one t- is left over.

>>> from atomic_margin.margin.rows.matrix import MarginMatrix
>>> plain = MarginMatrix("maintenance", "proof", 0, ("up", "kink"), [[5], [-2]], [-10, 0], "00" * 32, "11" * 32)
>>> exact = ExactMatrix(plain, [[-1], [1]], ("u",), (9,), 0, [False, True])
>>> combined_row(exact, Certificate(0, 1, ((1, 1),)))
CombinedRow(weights=(3,), offset=-10, scale=1)
>>> combined_row(exact, Certificate(0, 1, ((1, 2),)))
Traceback (most recent call last):
    ...
atomic_margin.margin.errors.SlackLeftOver: slack 'u' keeps coefficient 1 in the combined row: no form without it follows
"""

from dataclasses import dataclass

from atomic_margin.margin.errors import CertificateInvalid, CombinedRowTooWide, SlackLeftOver
from atomic_margin.margin.rows.matrix import Integers
from atomic_margin.margin.rows.slack_matrix import ExactMatrix

BOUND = 1 << 48
"""Weights, offsets and factors are below it in absolute value: what statements of proofs take."""


@dataclass(frozen=True)
class Certificate:
    """Which rows are added, and how often.

    Attributes:
        row: index of the margin row.
        scale: m, of that row, at least 1. The combined row is in units of 1/m of the matrix's.
        multipliers: validity row and l, at least 1, by ascending rows; what is not named is taken 0 times.
    """

    row: int
    scale: int
    multipliers: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class CombinedRow:
    """A row that is at least as large as any slack makes the margin row, times the scale.

    Attributes:
        weights: of the N entries.
        offset: what is public.
        scale: m.
    """

    weights: tuple[int, ...]
    offset: int
    scale: int

    def value(self, z: Integers) -> int:
        """Return what it comes to for a portfolio vector, in units of 1/m of the matrix's."""
        return sum(weight * int(entry) for weight, entry in zip(self.weights, z, strict=True)) + self.offset

    @property
    def more_bits(self) -> int:
        """How many bits it is wider than a row of the matrix."""
        return (self.scale - 1).bit_length()


def combined_row(exact: ExactMatrix, certificate: Certificate) -> CombinedRow:
    """Return the row that a certificate makes of an exact matrix.

    Raises:
        CertificateInvalid: it names rows that there are not, or of the other sort, or factors that are none.
        SlackLeftOver: a slack value that is no switch keeps a coefficient above 0.
        CombinedRowTooWide: a number of the combined row is 2^48 or more: the book stays frozen.
    """
    factors = _factors(exact, certificate)
    rows = list(factors)
    # Python's integers: 2^48 times 2^42, of a thousand rows.
    A, S = (_weighted(array[rows].tolist(), list(factors.values())) for array in (exact.matrix.weights, exact.slack))
    offset = sum(factor * int(exact.matrix.collateral[row]) for row, factor in factors.items())
    first = len(S) - exact.switches
    for label, coefficient in zip(exact.slack_labels[:first], S[:first], strict=True):
        if coefficient > 0:
            raise SlackLeftOver(
                f"slack {label!r} keeps coefficient {coefficient} in the combined row: no form without it follows"
            )
    offset += sum(max(0, coefficient) for coefficient in S[first:])
    largest = max(map(abs, (*A, offset)))
    if largest >= BOUND:
        raise CombinedRowTooWide(
            f"the combined row of {exact.matrix.labels[certificate.row]!r} has a number of {largest.bit_length()} "
            "bits, and a proof takes 48: it cannot be proven, and the book stays frozen"
        )
    return CombinedRow(tuple(A), offset, certificate.scale)


def _factors(exact: ExactMatrix, certificate: Certificate) -> dict[int, int]:
    """Return the factor of every row that is taken."""
    _require_row(exact, certificate.row, validity=False)
    _require_factor("scale", certificate.scale)
    named = [row for row, _ in certificate.multipliers]
    if named != sorted(set(named)):
        raise CertificateInvalid("validity rows ascend, and each is named once")
    for row, factor in certificate.multipliers:
        _require_row(exact, row, validity=True)
        _require_factor(f"multiplier of row {row}", factor)
    return {certificate.row: certificate.scale, **dict(certificate.multipliers)}


def _require_row(exact: ExactMatrix, row: int, *, validity: bool) -> None:
    if not 0 <= row < exact.matrix.rows or bool(exact.validity[row]) is not validity:
        raise CertificateInvalid(f"row {row} is no {'validity' if validity else 'margin'} row of the matrix")


def _require_factor(name: str, factor: int) -> None:
    if not 1 <= factor < BOUND:
        raise CertificateInvalid(f"the {name} is {factor}: at least 1 and below 2^48 is wanted")


def _weighted(rows: list[list[int]], factors: list[int]) -> list[int]:
    return [
        sum(factor * value for factor, value in zip(factors, column, strict=True)) for column in zip(*rows, strict=True)
    ]

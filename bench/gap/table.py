"""Gaps over many accounts: mean and worst, as shares of the requirement and of gross.

For measurements. Every account is checked on the way, both kinds of margin: a form or an integer above the reference
ends the measurement. Shares are of initial margin.

    table = Tally("pmrm", "generated")
    for account in accounts:
        table.add(account)
    table.lines()
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from atomic_margin.bench.gap.forms import AccountExcess, Gap
from atomic_margin.margin.kinds import KINDS, Form
from atomic_margin.margin.rows.matrix import Place

# Shares of next to nothing say nothing: a book counts if its requirement is above this share of its gross.
LEAST_REQUIREMENT = 1e-3


@dataclass(frozen=True)
class Share:
    """A share over many accounts, in percent."""

    mean: float
    worst: float

    @classmethod
    def of(cls, parts: Iterable[tuple[float, float]]) -> "Share":
        """Return mean and largest of part / whole."""
        shares = [100 * part / whole for part, whole in parts]
        return cls(sum(shares) / len(shares), max(shares))


@dataclass(frozen=True)
class Line:
    """Gaps of one form at one width.

    Attributes:
        form: conservative or exact.
        place: fhe or proof.
        bits: width of a row, sign included.
        rows: the most rows of any account, rows that bound slack included.
        rounding: rounding gap, % of the requirement.
        model: model gap, % of the requirement.
        total: both, % of the requirement.
        rounding_of_gross: rounding gap, % of gross.
        model_of_gross: model gap, % of gross.
    """

    form: Form
    place: Place
    bits: int
    rows: int
    rounding: Share
    model: Share
    total: Share
    rounding_of_gross: Share
    model_of_gross: Share


@dataclass
class Tally:
    """Collects accounts of one model.

    Attributes:
        model: its name.
        books: what they are, such as ``generated``.
        counted: how many the shares are over.
        skipped: how many require next to nothing.
        without_integers: how many have no integers.
    """

    model: str
    books: str
    counted: int = 0
    skipped: int = 0
    without_integers: int = 0
    _found: dict[tuple[Form, Place, int], list[tuple[int, Gap, float, float]]] = field(default_factory=dict, repr=False)

    def add(self, account: AccountExcess) -> None:
        """Count one account.

        Raises:
            NegativeGap: a form, or integers, exceed the reference, or the conservative form the exact one.
        """
        gaps = {kind: account.gaps(kind) for kind in KINDS}["initial"]
        gross, requirement = float(account.gross or 0), account.reference.requirement["initial"]
        if not account.forms:
            self.without_integers += 1
        elif gross == 0 or requirement <= LEAST_REQUIREMENT * gross:
            self.skipped += 1
        else:
            self.counted += 1
            for item, gap in zip(account.forms, gaps, strict=True):
                found = self._found.setdefault((item.form, item.place, item.bits), [])
                found.append((item.rows, gap, requirement, gross))

    def lines(self) -> tuple[Line, ...]:
        """Return a line for each form, place and width; none if nothing was counted."""
        order = sorted(self._found, key=lambda key: (key[0], key[1], key[2]))
        return tuple(
            Line(
                form=key[0],
                place=key[1],
                bits=key[2],
                rows=max(rows for rows, _, _, _ in self._found[key]),
                rounding=Share.of((gap.rounding, need) for _, gap, need, _ in self._found[key]),
                model=Share.of((gap.model, need) for _, gap, need, _ in self._found[key]),
                total=Share.of((gap.total, need) for _, gap, need, _ in self._found[key]),
                rounding_of_gross=Share.of((gap.rounding, gross) for _, gap, _, gross in self._found[key]),
                model_of_gross=Share.of((gap.model, gross) for _, gap, _, gross in self._found[key]),
            )
            for key in order
        )

"""Rows of a margin model before rounding: true weights of every column, and what slack they hold, if any.

Every model compiles to this one type. Slack-free rows run under FHE and in every proof (`rounding`); rows with slack
run in the sufficiency proof only (`slack_rounding`). Who wants one of the two asks for it, and is told by name if the
rows are the other.

>>> weights = TrueWeights(("up",), ("lot",), "00" * 32, "11" * 32, np.ones((1, 1)), np.ones((1, 1)))
>>> Rows(weights).require_slack()
Traceback (most recent call last):
    ...
atomic_margin.margin.errors.RowsWithoutSlack: the rows hold no slack: compile them with `compile_run`
"""

from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from atomic_margin.margin.errors import MatrixMismatch, NonFiniteWeight, RowsWithoutSlack, RowsWithSlack
from atomic_margin.margin.kinds import KINDS, MarginKind
from atomic_margin.margin.market.entries import EntryMap
from atomic_margin.margin.market.pricing import Floats, read_only
from atomic_margin.margin.rows.matrix import Integers
from atomic_margin.margin.rows.weights import TrueWeights

Booleans = npt.NDArray[np.bool_]
Kind = TypeVar("Kind", bound=np.generic)


def _none() -> Floats:
    return np.zeros((0, 0))


@dataclass(frozen=True)
class Slack:
    """The slack of R rows in N entries: M slack values and B switches. All read-only.

    What is left out is filled in by `Rows`, which knows R and N.

    Attributes:
        labels: of the M slack values. A slack value is counted in units of the matrix, so every factor belongs into A
            and c, and its coefficients are small.
        maintenance: (R, M) int64 coefficients, small integers.
        initial: likewise.
        switch_labels: of the B switches.
        switch_maintenance: (R, B) USD, rounded down like weights, but exactly 0 stays 0; left out if there are none.
        switch_initial: likewise.
        validity: (R,) which rows bound slack; left out: those with a positive slack coefficient in either kind.
        structure: (R, N) where a weight may differ from zero; elsewhere it is zero for every price, and not rounded.
            Left out: everywhere.
        caps: (M,) USD, what a slack value never needs to exceed; inf, or left out, for what the validity rows say.
    """

    labels: tuple[str, ...]
    maintenance: Integers
    initial: Integers
    switch_labels: tuple[str, ...] = ()
    switch_maintenance: Floats = field(default_factory=_none)
    switch_initial: Floats = field(default_factory=_none)
    validity: Booleans = field(default_factory=lambda: np.zeros(0, dtype=np.bool_))
    structure: Booleans = field(default_factory=lambda: np.zeros((0, 0), dtype=np.bool_))
    caps: Floats = field(default_factory=lambda: np.zeros(0))

    def of(self, kind: MarginKind) -> Integers:
        """Return the slack coefficients of one kind, (R, M)."""
        return self.maintenance if kind == "maintenance" else self.initial

    def switch(self, kind: MarginKind) -> Floats:
        """Return the switch coefficients of one kind, (R, B), USD."""
        return self.switch_maintenance if kind == "maintenance" else self.switch_initial

    @property
    def all_labels(self) -> tuple[str, ...]:
        """Labels of slack values and switches, in the order of a matrix."""
        return (*self.labels, *self.switch_labels)

    def filled(self, rows: int, entries: int) -> "Slack":
        """Return the same for rows of this shape, nothing left out.

        Raises:
            MatrixMismatch: an array has another shape.
            NonFiniteWeight: a coefficient of a switch is not finite, or a cap not a number.
        """
        slack, switches = len(self.labels), len(self.switch_labels)
        positive = (self.maintenance > 0).any(axis=-1) | (self.initial > 0).any(axis=-1)
        full = Slack(
            labels=self.labels,
            maintenance=frozen(self.maintenance, np.int64),
            initial=frozen(self.initial, np.int64),
            switch_labels=self.switch_labels,
            switch_maintenance=_or(self.switch_maintenance, np.zeros((rows, switches))),
            switch_initial=_or(self.switch_initial, np.zeros((rows, switches))),
            validity=frozen(self.validity if self.validity.size else positive, np.bool_),
            structure=frozen(self.structure if self.structure.size else np.ones((rows, entries)), np.bool_),
            caps=_or(self.caps, np.full(slack, np.inf)),
        )
        shapes = {"validity": (rows,), "structure": (rows, entries), "caps": (slack,)}
        for kind in KINDS:
            shapes |= {kind: (rows, slack), f"switch_{kind}": (rows, switches)}
        for name, shape in shapes.items():
            if getattr(full, name).shape != shape:
                raise MatrixMismatch(f"slack {name} has shape {getattr(full, name).shape}, wanted {shape}")
        if not all(np.isfinite(full.switch(kind)).all() for kind in KINDS) or np.isnan(full.caps).any():
            raise NonFiniteWeight("the coefficients of switches must be finite, and caps numbers")
        return full


@dataclass(frozen=True)
class Rows:
    """R rows in N entries, before rounding, with or without slack.

    Attributes:
        weights: true weights of the R rows in the N entries, USD.
        slack: what the rows hold of slack; None for slack-free rows.

    Raises:
        MatrixMismatch: slack has another shape than the weights, or a weight outside its structure is not zero.
        NonFiniteWeight: a coefficient of a switch is not finite, or a cap not a number.
    """

    weights: TrueWeights
    slack: Slack | None = None

    def __post_init__(self) -> None:
        if self.slack is None:
            return
        slack = self.slack.filled(*self.weights.shape)
        if any((self.weights.of(kind)[~slack.structure] != 0).any() for kind in KINDS):
            raise MatrixMismatch("a weight outside the declared structure is not zero")
        object.__setattr__(self, "slack", slack)

    @property
    def labels(self) -> tuple[str, ...]:
        """R row labels."""
        return self.weights.labels

    def spread(self, entry_map: EntryMap) -> "Rows":
        """Return the rows in an account's columns, from rows in single lots.

        Cash counts in margin rows, and not in rows that only bound slack.

        Raises:
            MatrixMismatch: the rows are not of single lots of the entry map's universe.
        """
        if self.slack is None:
            return Rows(self.weights.spread(entry_map))
        source, lots = entry_map.sources(self.weights.entries)
        margin = ~self.slack.validity
        structure = self.slack.structure[:, source] & (lots > 0)
        structure[:, entry_map.is_cash] = margin[:, None]
        return Rows(self.weights.spread(entry_map, margin), replace(self.slack, structure=structure))

    def slack_free(self) -> TrueWeights:
        """Return the weights of rows without slack.

        Raises:
            RowsWithSlack: there is slack, without which the weights say something else.
        """
        if self.slack is not None:
            raise RowsWithSlack(
                f"the rows hold {len(self.slack.all_labels)} slack values, which neither FHE rows nor the four "
                "matrices of a run can take: compile them with `compile_exact`, or ask the model for its "
                "conservative form"
            )
        return self.weights

    def require_slack(self) -> Slack:
        """Return the slack of rows that hold some.

        Raises:
            RowsWithoutSlack: there is none.
        """
        if self.slack is None:
            raise RowsWithoutSlack("the rows hold no slack: compile them with `compile_run`")
        return self.slack


def frozen(values: npt.ArrayLike, kind: type[Kind]) -> npt.NDArray[Kind]:
    """Return a read-only copy of that type."""
    array = np.array(values, dtype=kind, order="C")
    array.flags.writeable = False
    return array


def _or(given: Floats, otherwise: Floats) -> Floats:
    return read_only(given if given.size else otherwise)

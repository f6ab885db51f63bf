"""The trees that join flags, for numbers of rows that no profile has."""

from dataclasses import replace

import numpy as np
import pytest

from .simulated import one_function, simulated


def rows_of_trees(usual: tuple[int, ...], more: tuple[int, ...]) -> pytest.MarkDecorator:
    """Numbers of rows; the last ones are marked slow."""
    return pytest.mark.parametrize("rows", [*usual, *(pytest.param(rows, marks=pytest.mark.slow) for rows in more)])


@rows_of_trees((2, 3, 7, 8, 9, 33), (24, 49, 50, 64))
def test_breach_joins_any_number_of_rows(rows: int) -> None:
    """Every single negative row must reach the flag, whatever the tree's shape; so must all, and none must set it."""
    run = simulated(one_function("breach", rows=rows), "breach")
    z, A = np.zeros(2, dtype=np.int64), np.zeros((rows, 2), dtype=np.int64)
    for negative in [[], *([row] for row in range(rows)), list(range(rows))]:
        c = np.zeros(rows, dtype=np.int64)
        c[negative] = -1
        assert run(z, A, c).tolist() == [int(bool(negative))], f"negative rows {negative}"


@pytest.mark.long
@rows_of_trees((2, 3, 7, 9, 64), (8, 33, 50))
def test_exceedances_counts_any_number_of_rows(rows: int) -> None:
    """Counts are exact over their whole range, up to 64 of 64 rows."""
    run = simulated(one_function("exceedances", rows=rows), "exceedances")
    z, A, rng = np.zeros(2, dtype=np.int64), np.zeros((rows, 2), dtype=np.int64), np.random.default_rng(rows)
    for count in range(rows + 1):
        c = -rng.permutation(np.where(np.arange(rows) < count, 1, 0))
        for allowed in {0, rows - 1, count - 1, count, count + 1} & set(range(rows)):
            assert run(z, A, c, {"allowed": allowed}).tolist() == [int(count > allowed)], (count, allowed)


def test_the_anchor_never_shows() -> None:
    """In a module with `shortfall`, a bit of the first row goes through the flags, times a clear 0."""
    profile = replace(one_function("breach", rows=3), functions=("breach", "exceedances", "known_shortfall"))
    breach, exceedances = simulated(profile, "breach"), simulated(profile, "exceedances")
    z, A = np.zeros(2, dtype=np.int64), np.zeros((3, 2), dtype=np.int64)
    for first in (-2, -1, 0, 1, 126, 127):
        for others in ([0, 0], [-1, 0], [0, -2], [-1, -1]):
            c = np.array([first, *others], dtype=np.int64)
            count = int((c < 0).sum())
            assert breach(z, A, c).tolist() == [int(count > 0)]
            for allowed in range(3):
                assert exceedances(z, A, c, {"allowed": allowed}).tolist() == [int(count > allowed)]

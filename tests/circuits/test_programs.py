"""Simulated circuits against plain integers: random portfolios, rows at -1, 0, +1 and at the extremes."""

import numpy as np
import pytest

from atomic_margin.circuits import reference
from atomic_margin.circuits.compiling import compile_module, simulate
from atomic_margin.circuits.profile import KNOWN_ANSWER_ROWS, SMALL, STANDARD, Profile
from atomic_margin.circuits.programs import breach_of

from .cases import cases


@pytest.mark.parametrize(
    ("profile", "count"), [(SMALL, 300), (STANDARD, 300)], ids=lambda value: getattr(value, "name", "")
)
def test_simulated_circuits_agree_with_integers(profile: Profile, count: int) -> None:
    module = compile_module(profile, simulation=True)
    flags = []
    for z, A, c in cases(profile, count, seed=20261122):
        expected = reference.breach(z, A, c)
        assert np.array_equal(simulate(module, "surplus", z, A, c), reference.surplus(z, A, c))
        assert int(simulate(module, "breach", z, A, c)[0]) == expected
        two = int(simulate(module, "known_answer", z, A[:KNOWN_ANSWER_ROWS], c[:KNOWN_ANSWER_ROWS])[0])
        assert two == reference.breach(z, A[:KNOWN_ANSWER_ROWS], c[:KNOWN_ANSWER_ROWS])
        flags.append(expected)
    # Both answers occur often, so neither constant would pass.
    assert 0.2 < np.mean(flags) < 0.8


@pytest.mark.parametrize("offset", [-1, 0, 1])
def test_the_sign_turns_between_minus_one_and_zero_in_every_row(offset: int) -> None:
    module = compile_module(SMALL, simulation=True)
    z, A = np.ones(SMALL.entries, dtype=np.int64), np.ones((SMALL.rows, SMALL.entries), dtype=np.int64)
    for row in range(SMALL.rows):
        c = np.full(SMALL.rows, 100, dtype=np.int64)
        c[row] = offset - SMALL.entries
        assert int(simulate(module, "breach", z, A, c)[0]) == int(offset < 0), f"row {row}"


@pytest.mark.parametrize("rows", [2, 3, 4, 5, 7, 8, 16, 23, 24, 33])
def test_the_tree_joins_any_number_of_signs(rows: int) -> None:
    """Traced on plain arrays, every single negative row must reach the flag, whatever the tree's shape."""
    profile = Profile(f"rows-{rows}", entries=2, rows=rows, bits=8, weight_bits=4)
    module = compile_module(profile, simulation=True)
    z, A = np.zeros(2, dtype=np.int64), np.zeros((rows, 2), dtype=np.int64)
    assert breach_of(rows, 8).__name__ == "breach"
    for negative in [[], *([row] for row in range(rows)), list(range(rows))]:
        c = np.zeros(rows, dtype=np.int64)
        c[negative] = -1
        assert int(simulate(module, "breach", z, A, c)[0]) == int(bool(negative)), f"rows {negative}"

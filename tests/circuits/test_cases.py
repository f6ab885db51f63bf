"""What differential tests and measurements are made of: within the widths, at the boundaries, and never free."""

import numpy as np
import pytest

from atomic_margin.circuits.cases import cases
from atomic_margin.circuits.clear_inputs import checked_clear_inputs
from atomic_margin.circuits.profile import SMALL, STANDARD, Profile, profile_by_name

from .boundaries import boundary_values, with_rows

PROFILES = (SMALL, STANDARD, profile_by_name("1024x33x24"))


def assert_usable(profile: Profile, z: np.ndarray, A: np.ndarray, c: np.ndarray) -> None:
    checked_clear_inputs(profile, A, c, profile.rows)
    top = 1 << (profile.bits - 1)
    assert ((z >= 0) & (z < 1 << profile.entry_bits)).all()
    assert ((A @ z + c >= -top) & (A @ z + c < top)).all()
    # A row without a weight is a plain number: its lookups have no noise and take no time.
    assert (A != 0).any(axis=1).all()


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_every_row_of_every_case_is_a_ciphertext_within_the_widths(profile: Profile) -> None:
    values, rng = boundary_values(profile.bits), np.random.default_rng(2)
    at_zero = set()
    for z, A, c in cases(profile, 60, seed=1):
        assert_usable(profile, z, A, c)
        at_zero |= set((A @ z + c).tolist()) & {-1, 0, 1}
    assert at_zero == {-1, 0, 1}
    for _ in range(60):
        target = rng.choice(values, profile.rows)
        z, A, c = with_rows(profile, target, rng)
        assert_usable(profile, z, A, c)
        assert np.array_equal(A @ z + c, target)

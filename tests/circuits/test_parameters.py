"""What the compiler made of the profiles: security, failure probability, cheap lookups, one ciphertext for all."""

import json
import math

import pytest

from atomic_margin.circuits.compiling import compile_profile
from atomic_margin.circuits.layout import layout_of
from atomic_margin.circuits.profile import GRID, STANDARD, TINY, Profile
from atomic_margin.circuits.security import check_security
from atomic_margin.circuits.statistics import FunctionStatistics

OTHERS = [profile for profile in GRID.values() if profile is not STANDARD]
EVERY_PROFILE = pytest.mark.parametrize(
    "profile",
    [TINY, STANDARD, *(pytest.param(profile, marks=pytest.mark.slow) for profile in OTHERS)],
    ids=lambda profile: profile.name,
)


@EVERY_PROFILE
def test_compiled_parameters(profile: Profile) -> None:
    compiled = compile_profile(profile)
    statistics, specs = compiled.statistics, json.loads(compiled.client_specs)
    assert math.log2(statistics.p_error) <= profile.log2_p_error
    assert check_security(compiled.client_specs) >= profile.security_bits
    assert layout_of(profile).messages["breach"].dimension == 2048, "the flag's key sets the cost of its proof"

    # The institution encrypts z once: every function takes it under one key.
    described = {
        circuit["name"]: circuit["inputs"][0]["typeInfo"]["lweCiphertext"]["encryption"]
        for circuit in specs["circuits"]
    }
    assert described.keys() == set(profile.functions)
    for name, encryption in described.items():
        assert encryption == described["surplus"], name
        assert encryption["keyId"] == layout_of(profile).messages["input"].key, name

    assert statistics.functions["surplus"].bootstraps == 0
    for name in {"breach", "exceedances", "known_answer"} & set(profile.functions):
        # How many of four rows are negative is compared in tables of another size.
        assert_on_the_grid(name, statistics.functions[name], 3 if (profile, name) == (TINY, "exceedances") else 1)
    for name in ("shortfall", "known_shortfall"):
        rows = profile.rows if name == "shortfall" else 2
        on_grid, extracting = by_size(statistics.functions[name])
        assert on_grid > 0
        assert extracting == rows * profile.bits, "every bit of every row is taken off once"


def by_size(found: FunctionStatistics) -> tuple[int, int]:
    """Count lookups on the grid, with polynomials of 2048 coefficients and one level, and others."""
    on_grid = [
        one.count for one in found.lookups if (one.polynomial_size, one.glwe_dimension, one.levels) == (2048, 1, 1)
    ]
    total = sum(one.count for one in found.lookups)
    assert total == found.bootstraps
    return sum(on_grid), total - sum(on_grid)


def assert_on_the_grid(name: str, found: FunctionStatistics, wanted: int) -> None:
    """All but one lookup, which puts z under the key of `shortfall`, and what else is wanted, are of the cheap kind."""
    on_grid, others = by_size(found)
    assert on_grid > 0
    assert others == wanted, f"{name}: {found.lookups}"


@pytest.mark.parametrize("profile", [TINY, STANDARD, *OTHERS], ids=lambda profile: profile.name)
def test_evaluation_keys_of_all_functions_together_are_small(profile: Profile) -> None:
    assert layout_of(profile).evaluation_key_bytes <= 100_000_000


def test_breach_costs_a_lookup_for_each_level_and_join_of_a_row() -> None:
    # 24 rows, 7 readings joined in 3 and 1; one freshened anchor; 24 flags in 4 groups and 1.
    assert compile_profile(STANDARD).statistics.functions["breach"].bootstraps == 24 * (7 + 2 + 1) + 1 + 1 + 4 + 1

"""Input sets: they reach both ends of every input and of A z + c, and keep every lookup on the three-bit grid."""

from typing import Any

import pytest

from atomic_margin.circuits.profile import GRID, PROFILES, SMALL, STANDARD, TINY, Profile, profile_by_name
from atomic_margin.circuits.zoom import multipliers

from .traced import bounds_of, graph_of, too_wide

SERVED = [TINY, STANDARD]
OTHERS = [profile for profile in GRID.values() if profile not in SERVED]
EVERY_PROFILE = pytest.mark.parametrize(
    "profile",
    [*SERVED, *(pytest.param(profile, marks=pytest.mark.slow) for profile in OTHERS)],
    ids=lambda profile: profile.name,
)


def signed(bits: int) -> tuple[int, int]:
    return -(1 << (bits - 1)), (1 << (bits - 1)) - 1


def rows_of(graph: Any) -> Any:
    """The node A z + c: the one that consumes the product."""
    (product,) = [node for node in graph.query_nodes() if node.properties.get("name") == "matmul"]
    (rows,) = [node for node in graph.query_nodes() if product in graph.ordered_preds_of(node)]
    return rows


@EVERY_PROFILE
def test_input_sets_reach_both_ends_and_keep_to_the_grid(profile: Profile) -> None:
    for function in profile.functions:
        graph = graph_of(profile, function)
        reached = bounds_of(graph)
        assert reached["z"] == (0, (1 << profile.entry_bits) - 1), function
        assert reached["A"] == signed(profile.weight_bits), function
        assert reached["c"] == signed(profile.bits), function
        if "multipliers" in reached:
            assert reached["multipliers"] == (0, multipliers(profile.bits).max()), function
        if "anchor" in reached:
            assert reached["anchor"] == (0, 1), function
        if "allowed" in reached:
            assert reached["allowed"] == (0, profile.rows - 1), function
        assert rows_of(graph).bounds == signed(profile.bits), f"{function}: A z + c"
        for output in graph.ordered_outputs():
            low, high = output.bounds
            assert low < high, f"{function} is constant over its input set"
        assert too_wide(graph) == [], function


def test_the_grid_of_profiles() -> None:
    assert len(GRID) == 57
    assert set(PROFILES.values()) == {TINY, *GRID.values()}
    assert (PROFILES["16x16x16"], PROFILES["256x24x20"]) == (SMALL, STANDARD)
    assert len({profile.hash() for profile in GRID.values()}) == 57
    for name, profile in GRID.items():
        assert name == f"{profile.entries}x{profile.rows}x{profile.bits}"
        assert profile_by_name(profile.name) is profile

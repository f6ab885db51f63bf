"""Profiles are data with a hash, and the compiler's result is pinned."""

import re
from dataclasses import fields, replace
from itertools import product

import numpy as np
import pytest

from atomic_margin.circuits import compiling
from atomic_margin.circuits.clear_inputs import checked_clear_inputs
from atomic_margin.circuits.compiling import compile_profile
from atomic_margin.circuits.errors import ClearInputError, ProfileError
from atomic_margin.circuits.layout import layout_of
from atomic_margin.circuits.profile import (
    DEFAULT,
    GRID,
    STANDARD,
    TINY,
    profile_by_name,
    smallest,
    that_would_do,
)


def test_every_field_of_a_profile_is_in_its_hash() -> None:
    changes = {
        "name": "x",
        "entries": 128,
        "rows": 20,
        "bits": 18,
        "entry_bits": 4,
        "weight_bits": 15,
        "log2_p_error": -129,
        "security_bits": 132,
        "library": "another",
        "functions": ("surplus", "breach"),
        "revision": 99,
    }
    assert set(changes) == {field.name for field in fields(STANDARD)}
    hashes = {STANDARD.hash()} | {replace(STANDARD, **{field: value}).hash() for field, value in changes.items()}
    assert len(hashes) == 1 + len(changes)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("entries", 0),
        ("entries", 4097),
        ("rows", 65),
        ("bits", 40),
        ("entry_bits", 6),
        ("weight_bits", 30),
        ("log2_p_error", -40),
        ("security_bits", 100),
    ],
)
def test_a_profile_outside_the_limits_is_refused(field: str, value: int) -> None:
    with pytest.raises(ProfileError):
        replace(STANDARD, **{field: value})


def test_other_parameters_than_the_pinned_ones_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    other = replace(layout_of(TINY), client_specs_sha256="0" * 64)
    monkeypatch.setattr(compiling, "layout_of", lambda profile: other)
    with pytest.raises(ProfileError, match="install the versions"):
        compile_profile(TINY)


def test_a_profile_without_pinned_parameters_is_refused() -> None:
    with pytest.raises(ProfileError, match="nothing is pinned"):
        layout_of(replace(TINY, rows=12))


def test_a_profile_that_is_not_published_is_named_with_those_that_are() -> None:
    with pytest.raises(ProfileError, match=r"tiny, small, standard and entries x rows x bits") as refused:
        profile_by_name("48x16x16")
    assert "entries 64, 256, 1024, 4096 with rows 64 and bits 20, 24" in str(refused.value)


def test_every_profile_that_an_error_lists_is_there() -> None:
    with pytest.raises(ProfileError) as refused:
        profile_by_name("unknown")
    listed = set()
    for block in re.findall(r"entries ([\d, ]+) with rows ([\d, ]+) and bits ([\d, ]+)", str(refused.value)):
        entries, rows, bits = (re.findall(r"\d+", sizes) for sizes in block)
        listed |= {"x".join(sizes) for sizes in product(entries, rows, bits)}
    assert listed == set(GRID)


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        ({"entries": 200, "rows": 24, "bits": 24}, "256x24x24"),
        ({"entries": 256, "rows": 37, "bits": 24}, "256x64x24"),
        ({"entries": 257, "rows": 43, "bits": 20}, "1024x64x20"),
        ({"entries": 300, "rows": 33, "bits": 20}, "512x33x20"),
        ({"entries": 2412, "rows": 24, "bits": 24}, "4096x24x24"),
        ({"entries": 4096, "rows": 64, "bits": 24}, "4096x64x24"),
        # None of 16 bits has so many rows, or entries.
        ({"entries": 16, "rows": 34, "bits": 16}, "64x64x20"),
        ({"entries": 1025, "rows": 16, "bits": 16}, "4096x24x20"),
        ({"bits": 21}, "16x16x24"),
        ({"entries": 4097}, None),
        ({"rows": 65}, None),
        ({"bits": 25}, None),
    ],
    ids=str,
)
def test_the_smallest_profile_that_is_large_enough(wanted: dict[str, int], name: str | None) -> None:
    found = smallest(**wanted)
    assert found is (None if name is None else GRID[name])
    said = that_would_do(**wanted)
    assert said.startswith("no published profile is large enough" if found is None else f"profile {found.name} is")
    others = [one for one in GRID.values() if all(getattr(one, size) >= least for size, least in wanted.items())]
    assert (found is None) == (others == [])
    assert all(found is not None and found.bits <= one.bits for one in others)


def test_who_names_no_profile_gets_24_bits_and_every_name_keeps_its_meaning() -> None:
    assert (DEFAULT.name, DEFAULT.bits) == ("256x24x24", 24)
    assert profile_by_name("standard") is STANDARD is GRID["256x24x20"]
    # What frozen proofs, attestations and trust files name.
    assert STANDARD.hash() == "d8f827499bcfc7862a5f2e27ef07451d130ed7d1916581b071d3462a2dc3b97b"
    assert DEFAULT.hash() == "953aee3553ba3d3a779ec1a9314d42373547ad66f6e85828360bfc193eaa9f6f"


def test_profiles_of_many_rows_do_not_count_and_say_which_do() -> None:
    for profile in GRID.values():
        assert ("exceedances" in profile.functions) == (profile.rows <= 33)
        for function in ("surplus", "breach", "shortfall", "known_answer", "known_shortfall"):
            profile.require(function)
    with pytest.raises(ProfileError, match=r"'256x64x24' has no function 'exceedances', only .*; 256x33x24 has it"):
        profile_by_name("256x64x24").require("exceedances")
    with pytest.raises(ProfileError, match="no published profile has it"):
        STANDARD.require("unknown")


def test_a_research_circuit_enters_no_profile_that_is_served() -> None:
    with pytest.raises(ProfileError, match="research only"):
        compile_profile(replace(TINY, functions=(*TINY.functions, "approximate_breach")))


def fitting() -> tuple[np.ndarray, np.ndarray]:
    return np.zeros((TINY.rows, TINY.entries), dtype=np.int64), np.zeros(TINY.rows, dtype=np.int64)


@pytest.mark.parametrize(("value", "fits"), [(8191, True), (8192, False), (-8192, True), (-8193, False)])
def test_a_weight_that_the_circuit_would_wrap_is_refused(value: int, fits: bool) -> None:
    A, c = fitting()
    A[3, 5] = value
    if fits:
        checked_clear_inputs(TINY, A, c)
    else:
        with pytest.raises(ClearInputError, match=r"A\[3, 5\]"):
            checked_clear_inputs(TINY, A, c)


@pytest.mark.parametrize(("value", "fits"), [(32767, True), (32768, False), (-32768, True), (-32769, False)])
def test_collateral_that_the_circuit_would_wrap_is_refused(value: int, fits: bool) -> None:
    A, c = fitting()
    c[3] = value
    if fits:
        checked_clear_inputs(TINY, A, c)
    else:
        with pytest.raises(ClearInputError, match=r"c\[3\]"):
            checked_clear_inputs(TINY, A, c)


def test_wrong_shapes_and_types_are_refused() -> None:
    A, c = fitting()
    for bad_A, bad_c in [(A[:-1], c), (A, c[:-1]), (A.astype(float), c), (A, c.astype(np.int32))]:
        with pytest.raises(ClearInputError):
            checked_clear_inputs(TINY, bad_A, bad_c)

"""Profiles are data with a hash, and the compiler's result is pinned."""

from dataclasses import fields, replace

import numpy as np
import pytest

from atomic_margin.circuits import compiling
from atomic_margin.circuits.clear_inputs import checked_clear_inputs
from atomic_margin.circuits.compiling import compile_profile
from atomic_margin.circuits.errors import ClearInputError, ProfileError
from atomic_margin.circuits.layout import layout_of
from atomic_margin.circuits.profile import STANDARD, TINY, profile_by_name


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
    with pytest.raises(ProfileError, match=r"tiny, small, standard and entries x rows x bits"):
        profile_by_name("48x16x16")


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

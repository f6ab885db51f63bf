"""What the lookups of a circuit read is known before it is compiled."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from atomic_margin.bench.fhe.sources import module_profile
from atomic_margin.circuits import Circuit, Profile, circuit_by_name, extreme_inputs
from atomic_margin.circuits.baselines import NAIVE_BREACH, STRAIGHTFORWARD_BREACH
from atomic_margin.circuits.concrete import cfhe
from atomic_margin.circuits.errors import LookupTooWide
from atomic_margin.circuits.lookups import MOST_BITS, lookups_of, require_practical
from atomic_margin.circuits.profile import FUNCTIONS, GRID, SMALL, TINY


def read(circuit: Circuit, profile: Profile = SMALL) -> list[int]:
    return [lookup.bits for lookup in lookups_of(circuit, profile)]


def rounded(bits: int) -> Circuit:
    """Rows below zero, by a lookup that reads so many bits of 16."""

    def program(profile: Profile) -> object:
        def below_zero(z: object, A: object, c: object) -> object:
            y = A @ z + c  # type: ignore[operator]
            if bits < profile.bits:
                y = cfhe.round_bit_pattern(y, profile.bits - bits, overflow_protection=False)
            return cfhe.univariate(lambda x: np.where(np.asarray(x) < 0, 1, 0))(y)

        return below_zero

    return Circuit(
        name="below_zero",
        summary="rows below zero",
        program=program,  # type: ignore[arg-type]
        integers=lambda profile, z, A, c: ((A @ z + c) < 0).astype(np.int64),
        inputs=lambda profile: extreme_inputs(profile, profile.rows),
    )


def served() -> Iterator[tuple[Circuit, Profile]]:
    for profile in (TINY, GRID["256x24x24"]):
        for name in (*FUNCTIONS, "approximate_breach"):
            yield circuit_by_name(name), profile
        yield from ((baseline, profile) for baseline in (NAIVE_BREACH, STRAIGHTFORWARD_BREACH))


@pytest.mark.parametrize(("circuit", "profile"), list(served()), ids=lambda one: one.name)
def test_every_circuit_that_is_here_is_narrow_enough(circuit: Circuit, profile: Profile) -> None:
    require_practical(circuit, module_profile(circuit, profile))


def test_a_lookup_reads_what_rounding_left() -> None:
    assert [max(read(rounded(bits))) for bits in (3, 5, 7, 16)] == [3, 5, 7, 16]
    assert read(circuit_by_name("surplus"), TINY) == []


def test_the_widest_is_named_with_what_to_change() -> None:
    require_practical(rounded(MOST_BITS), SMALL)
    with pytest.raises(LookupTooWide) as caught:
        require_practical(rounded(MOST_BITS + 1), SMALL)
    said = str(caught.value)
    assert said.startswith("below_zero: the lookup `<lambda>` (")
    assert f"test_lookups.py:30) reads {MOST_BITS + 1} bits, and keys for more than {MOST_BITS} are too large" in said
    with pytest.raises(LookupTooWide, match=r"reads 20 bits"):
        require_practical(rounded(20), replace(SMALL, name="wider", bits=20))

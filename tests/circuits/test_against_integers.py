"""Every circuit, simulated, against plain integers: random portfolios, boundary rows, boundary choices.

A circuit that is defined is tested here without being named.
"""

from collections import Counter
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest

from atomic_margin.circuits import baselines as _baselines  # noqa: F401  # defines the circuits of comparisons
from atomic_margin.circuits.cases import EITHER
from atomic_margin.circuits.circuit import Circuit, circuit_by_name, defined
from atomic_margin.circuits.compiling import compile_module, simulate
from atomic_margin.circuits.profile import SMALL, STANDARD, TINY, Profile

from .boundaries import boundary_values, comfortable, with_rows
from .cases import cases
from .simulated import simulated, with_circuit

IntArray = npt.NDArray[np.int64]
Case = tuple[IntArray, IntArray, IntArray]

PROFILES = pytest.mark.parametrize("profile", [SMALL, STANDARD], ids=lambda profile: profile.name)
CIRCUITS = pytest.mark.parametrize("circuit", defined(), ids=lambda circuit: circuit.name)

# What takes longest to compile, and what no service evaluates, is tested on the tiny profile; the rest is marked slow.
TINY_FIRST = pytest.mark.parametrize(
    ("circuit", "profile"),
    [
        pytest.param(
            circuit,
            profile,
            id=f"{circuit.name}-{profile.name}",
            marks=[pytest.mark.slow] * (profile is not (TINY if slowest else STANDARD)),
        )
        for circuit in defined()
        for slowest in [circuit.name == "shortfall" or circuit.research_only]
        for profile in (TINY, SMALL, STANDARD)
    ],
)


def choices(circuit: Circuit, profile: Profile, case: Case, rng: np.random.Generator) -> list[dict[str, int]]:
    """Values for what a caller chooses: both bounds, a random one, the count of negative rows and one less."""
    z, A, c = case
    count = int((A @ z + c < 0).sum())
    bounds = circuit.chosen(profile).items()
    found = [
        {name: low for name, (low, _) in bounds},
        {name: high for name, (_, high) in bounds},
        {name: int(rng.integers(low, high + 1)) for name, (low, high) in bounds},
        *({name: min(max(value, low), high) for name, (low, high) in bounds} for value in (count, count - 1)),
    ]
    return found if bounds else found[:1]


def assert_agrees(circuit: Circuit, profile: Profile, case: Case, chosen: dict[str, int]) -> tuple[int, ...]:
    """Compare one run with the integers; return these."""
    z, A, c = case
    found = simulated(with_circuit(profile, circuit), circuit.name)(z, A, c, chosen)
    expected = circuit.integers(profile, z, A, c, *circuit.clear_inputs(profile, chosen))
    assert found.shape == expected.shape
    either = (expected == EITHER) & circuit.research_only
    assert np.array_equal(found[~either], expected[~either]), f"rows {(A @ z + c).tolist()}, chosen {chosen}"
    return tuple(expected.tolist())


def agree(circuit: Circuit, profile: Profile, many: Iterator[Case], seed: int) -> Counter[tuple[int, ...]]:
    """Compare on many cases, choices in turn; return how often each result was expected."""
    rng, results = np.random.default_rng(seed), Counter[tuple[int, ...]]()
    for number, (z, A, c) in enumerate(many):
        rows = circuit.rows_of(profile)
        case = z, A[:rows], c[:rows]
        options = choices(circuit, profile, case, rng)
        results[assert_agrees(circuit, profile, case, options[number % len(options)])] += 1
    return results


def boundary_cases(circuit: Circuit, profile: Profile, seed: int, *, every_row: bool = False) -> Iterator[Case]:
    """One boundary row among comfortable ones, in each position in turn or in all; then boundary rows throughout."""
    rng, rows, values = np.random.default_rng(seed), circuit.rows_of(profile), boundary_values(profile.bits)
    for number, value in enumerate(values):
        for row in range(rows) if every_row else [number % rows]:
            target = comfortable(profile, rows, rng)
            target[row] = value
            yield with_rows(profile, target, rng)
    for _ in values[::3]:
        yield with_rows(profile, rng.choice(values, rows), rng)
    for row in range(rows):
        for value in (-1, 0):
            target = comfortable(profile, rows, rng)
            target[row] = value
            yield with_rows(profile, target, rng)


def random_cases(profile: Profile, count: int, seed: int) -> Iterator[Case]:
    """Portfolios, then rows without any of their structure."""
    yield from cases(profile, count, seed)
    rng, top = np.random.default_rng(seed), 1 << (profile.bits - 1)
    for number in range(count):
        low = [-top, -1 << (number % profile.bits), 0][number % 3]
        yield with_rows(profile, rng.integers(low, top, profile.rows) >> int(rng.integers(profile.bits)), rng)


def assert_no_constant_passes(circuit: Circuit, results: Counter[tuple[int, ...]]) -> None:
    """A circuit that always gave the commonest result would be found out."""
    assert results.most_common(1)[0][1] < 0.9 * results.total(), circuit.name


@TINY_FIRST
def test_random_portfolios(circuit: Circuit, profile: Profile) -> None:
    # What no service evaluates takes longest to simulate.
    count = 30 if circuit.research_only else 80
    assert_no_constant_passes(circuit, agree(circuit, profile, random_cases(profile, count, 20261122), 1))


@pytest.mark.long
@TINY_FIRST
def test_boundary_rows(circuit: Circuit, profile: Profile) -> None:
    assert_no_constant_passes(circuit, agree(circuit, profile, boundary_cases(circuit, profile, 2), 2))


@pytest.mark.slow
@PROFILES
@CIRCUITS
def test_thousands_of_portfolios_and_boundary_rows_in_every_position(circuit: Circuit, profile: Profile) -> None:
    assert_no_constant_passes(circuit, agree(circuit, profile, random_cases(profile, 2500, 3), 3))
    every = boundary_cases(circuit, profile, 4, every_row=True)
    assert_no_constant_passes(circuit, agree(circuit, profile, every, 4))


@pytest.mark.long
@PROFILES
def test_the_count_turns_exactly_at_what_is_allowed(profile: Profile) -> None:
    """For every count of negative rows, in random positions: allowed as it is, one less, one more, and the bounds."""
    circuit, rng = circuit_by_name("exceedances"), np.random.default_rng(5)
    for count in range(profile.rows + 1):
        target = rng.permutation(np.where(np.arange(profile.rows) < count, -1, 0))
        case = with_rows(profile, target, rng)
        for allowed in {count - 1, count, count + 1, 0, profile.rows - 1} & set(range(profile.rows)):
            assert assert_agrees(circuit, profile, case, {"allowed": allowed}) == (int(count > allowed),)


def test_the_quick_simulation_is_the_library_s() -> None:
    profile, rng = TINY, np.random.default_rng(6)
    for circuit in defined():
        module = compile_module(with_circuit(profile, circuit), simulation=True)
        rows = circuit.rows_of(profile)
        z, A, c = with_rows(profile, rng.integers(-5, 6, rows) * 1000, rng)
        for chosen in choices(circuit, profile, (z, A, c), rng):
            quick = simulated(with_circuit(profile, circuit), circuit.name)(z, A, c, chosen)
            slow = simulate(module, circuit.name, z, A, c, *circuit.clear_inputs(profile, chosen))
            assert np.array_equal(quick, slow)

"""The FHE library's traps: how each bites, and what here keeps out of it.

Tests of the library as it is end in `STILL`: when one fails, the library has changed, and the guard that the test names
may be dropped. Elsewhere: archives are code (`test_cache`), malformed keys abort the process and keys of another
profile are refused (`tests/fhe/test_hostile_bytes.py`), differential tests around zero (`test_against_integers`).
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from atomic_margin.circuits.circuit import Circuit, defined
from atomic_margin.circuits.clear_inputs import checked_clear_inputs
from atomic_margin.circuits.compiling import compile_module as compile_profile_module
from atomic_margin.circuits.compiling import compiled_module, simulate
from atomic_margin.circuits.concrete import cfhe, prepare_thread
from atomic_margin.circuits.errors import ClearInputError, ProfileError
from atomic_margin.circuits.layout import layout_of
from atomic_margin.circuits.limbs import LIMB_BITS
from atomic_margin.circuits.profile import SMALL, STANDARD, Profile
from atomic_margin.circuits.signals import kept_signal_handlers

from .simulated import one_function, simulated, with_circuit
from .traced import graph_of

pytestmark = pytest.mark.long

STILL = "the library no longer does this; the guard named in this test's docstring can be dropped"
TINY = Profile("two", entries=2, rows=2, bits=8, weight_bits=4)


def compiled(function: Callable[..., Any], inputs: list[Any], **clear: str) -> Any:
    """Compile a function of encrypted x (and y, unless they are named clear) for simulation."""
    prepare_thread()
    names = function.__code__.co_varnames[: function.__code__.co_argcount]
    compiler = cfhe.Compiler(function, {name: clear.get(name, "encrypted") for name in names})
    configuration = cfhe.Configuration(fhe_simulation=True, p_error=2.0**-40, show_progress=False)
    return compiler.compile(inputs, configuration)


def run(circuit: Any, *values: int) -> int:
    with kept_signal_handlers():
        return int(circuit.simulate(*values))


def test_booleans_add_as_booleans() -> None:
    """Trap: the sum of two comparisons is measured as their OR, one bit, and overflows. Guard: tables give integers."""
    pairs = [(x, y) for x in range(8) for y in range(8)]

    def as_booleans(x: Any, y: Any) -> Any:
        return cfhe.univariate(lambda total: 1 * (total > 0))((x > 3) + (y > 3))

    def as_integers(x: Any, y: Any) -> Any:
        return cfhe.univariate(lambda total: 1 * (total > 0))((x > 3).astype(np.int64) + (y > 3).astype(np.int64))

    assert run(compiled(as_integers, pairs), 7, 7) == 1
    assert run(compiled(as_booleans, pairs), 7, 0) == 1
    assert run(compiled(as_booleans, pairs), 7, 7) == 0, STILL


@pytest.mark.parametrize("circuit", defined(), ids=lambda circuit: circuit.name)
def test_no_circuit_adds_booleans(circuit: Circuit) -> None:
    """Trap: booleans add as booleans. Where a circuit has one, it only makes a number of it."""
    graph = graph_of(with_circuit(SMALL, circuit), circuit.name)
    for values in circuit.inputs(with_circuit(SMALL, circuit))[:3]:
        for node, value in graph.evaluate(*values).items():
            if np.asarray(value).dtype == np.bool_:
                assert {after.properties["name"] for after in graph.graph.successors(node)} == {"astype"}


def test_a_flag_for_every_row_reaches_the_sum() -> None:
    """Trap: booleans add as booleans. All rows negative at once is the sum that would overflow."""
    for rows in (2, 7, 8, 24):
        z, A = np.zeros(2, dtype=np.int64), np.zeros((rows, 2), dtype=np.int64)
        assert simulated(one_function("breach", rows=rows), "breach")(z, A, np.full(rows, -1)).tolist() == [1]


def test_widths_come_from_the_input_set_alone() -> None:
    """Trap: a value that the input set did not reach wraps without an error. Guard: input sets reach both ends."""

    def square(x: Any, y: Any) -> Any:
        return cfhe.univariate(lambda total: total * total)(x + y)

    wide = compiled(square, [(7, 7), (0, 0)])
    narrow = compiled(square, [(7, 0), (0, 7), (0, 0)])
    assert (run(wide, 4, 5), run(narrow, 3, 4)) == (81, 49)
    assert run(narrow, 4, 5) != 81, STILL
    # `test_widths` compares what our input sets reach with every profile; here a run at all four ends at once.
    top, digit = 1 << (SMALL.bits - 1), 31
    surplus = simulated(one_function("surplus", rows=2, bits=SMALL.bits), "surplus")
    for weights, c in ([-8, 0], top - 1), ([7, 0], -top), ([0, 0], -top), ([0, 0], top - 1):
        A = np.array([weights, weights])
        assert surplus(np.array([digit, digit]), A, np.full(2, c)).tolist() == [digit * weights[0] + c] * 2


def test_an_input_set_that_misses_an_end_gives_wrong_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trap: widths come from the input set alone. Without its lower end our circuit fails in silence."""
    profile = one_function("surplus", rows=2)
    narrow = replace(profile, name="narrow")
    (circuit,) = [one for one in defined() if one.name == "surplus"]
    kept = circuit.inputs

    def without_low_ends(given: Profile) -> list[Any]:
        return [case for case in kept(given) if (case[1] >= 0).all() and (case[2] >= 0).all()]

    z, A, c = np.array([1, 0]), np.array([[-8, 0], [0, 0]]), np.array([-120, 5])
    assert simulated(profile, "surplus")(z, A, c).tolist() == [-128, 5]
    with monkeypatch.context() as during:
        during.setattr(
            "atomic_margin.circuits.compiling.circuit_by_name", lambda name: replace(circuit, inputs=without_low_ends)
        )
        assert simulated(narrow, "surplus")(z, A, c).tolist() != [-128, 5], STILL


def test_widths_are_unified_across_linear_operations() -> None:
    """Trap: scaling a bit widens every lookup of it. Guard: bits are weighted by a table (`shortfall._values`)."""

    def linked(x: Any) -> Any:
        bit = cfhe.univariate(lambda value: value // 4)(x)
        return bit * 512 + cfhe.univariate(lambda value: 1 - value)(bit)

    def broken(x: Any) -> Any:
        bit = cfhe.univariate(lambda value: value // 4)(x)
        return cfhe.univariate(lambda value: value * 512)(bit) + cfhe.univariate(lambda value: 1 - value)(bit)

    def width_of_the_bit(circuit: Any) -> int:
        (x,) = circuit.graph.input_nodes.values()
        (bit,) = circuit.graph.graph.successors(x)
        return int(bit.output.dtype.bit_width)

    assert width_of_the_bit(compiled(broken, list(range(8)))) == 1
    assert width_of_the_bit(compiled(linked, list(range(8)))) >= 10, STILL
    for profile in (SMALL, STANDARD):
        widths = {name: message.width for name, message in layout_of(profile).messages.items()}
        assert widths["breach"] <= 4
        assert widths["exceedances"] <= 4
        assert widths["shortfall"] <= LIMB_BITS + 1, "limbs, not one wide number"


def test_wide_clear_inputs_wrap_silently() -> None:
    """Trap: clear values beyond the input set's width wrap. Guard: `checked_clear_inputs` before every run."""
    profile = one_function("surplus", rows=2)
    module = compile_profile_module(profile, simulation=True)
    z, A, c = np.array([1, 0]), np.zeros((2, 2), dtype=np.int64), np.array([5, 5])
    A[0, 0] = 16 + 3
    assert simulate(module, "surplus", z, A, c)[0] != 24, STILL
    with pytest.raises(ClearInputError, match=r"A\[0, 0\] = 19 does not fit 4 signed bits"):
        checked_clear_inputs(profile, A, c)
    A[0, 0], c[1] = 0, 128
    with pytest.raises(ClearInputError, match=r"c\[1\] = 128 does not fit 8 signed bits"):
        checked_clear_inputs(profile, A, c)


def test_lookups_read_sixteen_bits_at_most() -> None:
    """Trap: wider tables are refused. Guard: rows are read on a three-bit grid (`test_widths` checks every lookup)."""
    with pytest.raises(RuntimeError, match="17-bit value is used as an input to a table lookup"):
        compiled(lambda x: cfhe.univariate(lambda value: value % 2)(x), [0, (1 << 17) - 1])


def test_constant_outputs_go_wrong() -> None:
    """Trap: a circuit with a constant output does not run. Guard: `test_widths` finds no output constant."""
    constant = compiled(lambda x: np.array([3]), list(range(8)))
    with pytest.raises(ValueError, match="Expected argument 0"):
        pytest.fail(f"{constant.simulate(5)}: {STILL}")


def test_keys_depend_on_the_compiled_circuit() -> None:
    """Trap: other functions, other parameters. Guard: keys belong to a profile's hash, which has all of it.

    Refusals of keys made for another profile: `tests/fhe/test_hostile_bytes.py`.
    """
    fewer = replace(TINY, functions=("surplus", "breach"))
    alone = replace(TINY, functions=("surplus",))
    assert compiled_module(fewer).client_specs != compiled_module(alone).client_specs, STILL
    assert len({one.hash() for one in (TINY, fewer, alone, replace(TINY, revision=TINY.revision + 1))}) == 4
    with pytest.raises(ProfileError, match="nothing is pinned"):
        layout_of(replace(SMALL, revision=SMALL.revision + 1))

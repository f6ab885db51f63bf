"""The functions between prices and integers: right, and the same to the bit by arrays, plain floats and processors."""

import ast
import json
import math
import os
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pytest

import atomic_margin.margin
from atomic_margin.margin.market.elementary import (
    ARRAYS,
    SCALARS,
    Floats,
    Operations,
    exp,
    log,
    normal_cdf,
    ordered_product,
    ordered_sum,
    power,
)
from atomic_margin.margin.market.pricing import black76, option_value

from .matrices import example_hashes

Function = Callable[[Any, Operations], Any]

SAMPLES: dict[str, tuple[Function, Callable[[np.random.Generator, int], Floats]]] = {
    "exp": (exp, lambda draw, n: draw.normal(0, 100, n)),
    "log": (log, lambda draw, n: np.exp(draw.normal(0, 30, n))),
    "power": (lambda x, on: power(x, 0.3, on), lambda draw, n: np.exp(draw.normal(0, 3, n))),
    "normal_cdf": (normal_cdf, lambda draw, n: draw.normal(0, 8, n)),
}
SPECIAL = [
    0.0,
    -0.0,
    5e-324,
    -5e-324,
    1e-300,
    0.5,
    1.0,
    -1.0,
    37.5,
    -38.4,
    -38.6,
    709.78,
    709.79,
    -745.1,
    -746.0,
    1e308,
]


def bits(values: Any) -> bytes:
    return np.asarray(values, dtype=np.float64).tobytes()


def by_plain_floats(function: Function, values: Floats) -> bytes:
    return b"".join(struct.pack("<d", function(value, SCALARS)) for value in values.tolist())


@pytest.mark.parametrize("name", SAMPLES)
def test_arrays_and_plain_floats_give_the_same_bits(name: str) -> None:
    function, sample = SAMPLES[name]
    values = np.concatenate(
        [sample(np.random.default_rng(1), 20_000), np.abs(SPECIAL) if name in ("log", "power") else SPECIAL]
    )
    if name == "power":
        values = values[values > 0]
    assert bits(function(values, ARRAYS)) == by_plain_floats(function, values)


@pytest.mark.slow
@pytest.mark.parametrize("name", SAMPLES)
def test_a_million_values_give_the_same_bits(name: str) -> None:
    function, sample = SAMPLES[name]
    values = sample(np.random.default_rng(2), 1_000_000)
    assert bits(function(values, ARRAYS)) == by_plain_floats(function, values)


def test_options_are_valued_to_the_same_bits() -> None:
    draw = np.random.default_rng(3)
    n = 5_000
    f, k = np.exp(draw.normal(8, 2, (2, n)))
    v, t, r = draw.uniform(0, 3, n), draw.uniform(0, 5, n), draw.normal(0, 0.1, n)
    v[:50], t[50:100], f[100:150] = 0.0, 0.0, 0.0
    call = draw.random(n) < 0.5
    plain = [option_value(*item, SCALARS) for item in zip(*(x.tolist() for x in (f, k, v, t, call, r)), strict=True)]
    assert bits(black76(f, k, v, t, call, r)) == bits(plain)


EXACT: dict[str, Callable[[Any], Any]] = {
    "exp": mpmath.exp,
    "log": mpmath.log,
    "power": lambda x: mpmath.power(x, mpmath.mpf(0.3)),
    "normal_cdf": lambda x: mpmath.erfc(-x / mpmath.sqrt(2)) / 2,
}


@pytest.mark.parametrize(
    ("name", "most"), [("exp", 1.3e-16), ("log", 1.6e-16), ("power", 2e-15), ("normal_cdf", 1e-15)]
)
def test_they_are_as_good_as_float64_can_be(name: str, most: float) -> None:
    function, sample = SAMPLES[name]
    values = np.clip(sample(np.random.default_rng(4), 1_500), -700 if name == "exp" else -37, 700)
    if name in ("log", "power"):
        values = sample(np.random.default_rng(4), 1_500)
    with mpmath.workdps(60):
        for value, found in zip(values.tolist(), function(values, ARRAYS).tolist(), strict=True):
            true = EXACT[name](mpmath.mpf(value))
            assert abs(mpmath.mpf(found) - true) <= most * abs(true), value


def test_limits() -> None:
    for on in (ARRAYS, SCALARS):
        assert [float(exp(x, on)) for x in (0.0, -800.0, 710.0, -math.inf, math.inf)] == [
            1.0,
            0.0,
            math.inf,
            0.0,
            math.inf,
        ]
        assert [float(log(x, on)) for x in (1.0, 0.0, math.inf)] == [0.0, -math.inf, math.inf]
        assert [float(normal_cdf(x, on)) for x in (0.0, -40.0, 40.0, -math.inf, math.inf)] == [0.5, 0.0, 1.0, 0.0, 1.0]


def test_sums_have_an_order() -> None:
    values = [1e16, 1.0, -1e16, 1.0]
    assert float(ordered_sum(values)) == ((1e16 + 1.0) - 1e16) + 1.0 == 1.0
    assert ordered_sum(np.zeros((0, 3))).tolist() == [0.0, 0.0, 0.0]
    assert ordered_sum(np.zeros((3, 0)), axis=1).tolist() == [0.0, 0.0, 0.0]


def test_products_are_those_of_plain_loops() -> None:
    draw = np.random.default_rng(5)
    left, right = draw.normal(0, 1e3, (7, 40)), draw.normal(0, 1, (40, 5)) * (draw.random((40, 5)) < 0.5)
    plain = [[0.0] * 5 for _ in range(7)]
    for row in range(7):
        for column in range(5):
            for at in range(40):
                if right[at, column]:
                    plain[row][column] += float(left[row, at]) * float(right[at, column])
    assert bits(ordered_product(left, right)) == bits(plain)
    assert bits(ordered_product(left[0], right)) == bits(plain[0])


HASHES = """
import json, sys
from tests.margin.matrices import example_hashes
print(json.dumps(example_hashes({cases}), sort_keys=True))
"""
OTHER_UNITS = {"NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3", "OPENBLAS_CORETYPE": "Prescott", "OPENBLAS_NUM_THREADS": "1"}


@pytest.mark.parametrize(
    ("cases", "least"), [pytest.param(1, 120, marks=pytest.mark.long), pytest.param(3, 140, marks=pytest.mark.slow)]
)
def test_matrices_do_not_depend_on_the_processor(cases: int, least: int) -> None:
    """With the vector units that numpy and its BLAS would use switched off, every hash is the same."""
    done = subprocess.run(
        [sys.executable, "-c", HASHES.format(cases=cases)],
        env={**os.environ, **OTHER_UNITS},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    assert found == example_hashes(cases)
    assert len(found) > least


ROOT = Path(atomic_margin.margin.__file__).parent
# Plain floating point for people, what is published as data, and what is private to an institution: nobody compares it.
NOT_COMPARED = {
    "models/books.py",
    "models/scan/reference.py",
    "models/pmrm/reference.py",
    "models/pmrm2/reference.py",
    "models/expected_shortfall/reference.py",
    "models/expected_shortfall/fitting.py",
    "models/expected_shortfall/cover.py",
    "models/cross_margin/reference.py",
    "models/cross_margin/joint.py",
    "models/cross_margin/rules.py",
    "models/expected_shortfall/rules.py",
    "models/portfolio_margin/split.py",
    "models/portfolio_margin/positions.py",
    "rows/least_slack.py",
}
PRIVATE = {"tail_slack"}
FORBIDDEN = {
    *("exp", "expm1", "log", "log2", "log10", "log1p", "power", "pow", "sin", "cos", "tan", "tanh", "erf", "erfc"),
    *(
        "dot",
        "matmul",
        "einsum",
        "inner",
        "vdot",
        "tensordot",
        "sum",
        "mean",
        "average",
        "prod",
        "cumsum",
        "std",
        "var",
    ),
}
# Their arrays are int64: exact in any order.
INTEGERS = {
    *("rows/matrix.py", "rows/slack_matrix.py", "rows/active_pieces.py", "rows/tier_rows.py", "rows/top_up.py"),
    "market/entries.py",
}


def test_nothing_on_the_way_to_a_weight_is_left_to_a_library() -> None:
    """Outside `elementary` no exponential, product or sum of numpy, nor `sum`: from Python 3.12 on it compensates."""
    looked_at = 0
    for path in sorted(ROOT.rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        if name in NOT_COMPARED | INTEGERS or name == "market/elementary.py" or not uses_numpy(path):
            continue
        looked_at += 1
        for node in nodes(ast.parse(path.read_text())):
            where = f"{name}:{getattr(node, 'lineno', 0)}"
            assert not (isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult)), f"{where}: a matrix product"
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id != "sum", f"{where}: sum"
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                assert node.func.attr not in FORBIDDEN or ours(node.func), f"{where}: {node.func.attr}"
    assert looked_at > 15


def nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node, but for the functions that are private to an institution."""
    for child in ast.iter_child_nodes(tree):
        if not (isinstance(child, ast.FunctionDef) and child.name in PRIVATE):
            yield child
            yield from nodes(child)


def uses_numpy(path: Path) -> bool:
    return "import numpy" in path.read_text()


def ours(called: ast.Attribute) -> bool:
    return isinstance(called.value, ast.Name) and called.value.id == "elementary"

"""Rows with slack: what is computed of them, what is refused, and the check of agent and verifier."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atomic_margin.documents import errors as document_errors
from atomic_margin.margin import CollateralValues, Column, EntryMap, TrueWeights, errors
from atomic_margin.margin.kinds import KINDS
from atomic_margin.margin.rows.least_slack import least_slack, true_rows
from atomic_margin.margin.rows.rows import Rows, Slack
from atomic_margin.margin.rows.slack_matrix import exact_surplus
from atomic_margin.margin.rows.slack_rounding import ExactRun, compile_exact, slack_bounds

from .rounded import assert_compiled_exact

MODEL = "ab" * 32
ENTRIES = EntryMap("cd" * 32, tuple(Column(name, side, 0, 1, 5, 100) for name in "ab" for side in ("long", "short")))
LIMIT = 10_000
# Two assets, long and short. The first row charges half of a positive net value and the second says so; the third is a
# row of collateral alone.
NET = np.array([30.7, -30.7, -12.3, 12.3])


def rows_of(weights: TrueWeights | None = None, **changes: Any) -> Rows:
    values = np.array([NET, -0.5 * NET, NET * 0])
    given: dict[str, Any] = {
        "labels": ("u",),
        "maintenance": np.array([[-1], [1], [0]]),
        "initial": np.array([[-1], [1], [0]]),
        "structure": np.array([[True] * 4, [True] * 4, [False] * 4]),
    } | changes
    plain = TrueWeights(("up", "half", "cap"), ENTRIES.labels, MODEL, ENTRIES.hash(), values, 1.3 * values)
    return Rows(weights or plain, Slack(**given))


def collateral() -> CollateralValues:
    return CollateralValues(np.array([100.0, 0.0, 1.0]), np.array([100.0, 0.0, 1.0]))


def run(**changes: Any) -> ExactRun:
    return compile_exact(rows_of(**changes), collateral(), ENTRIES, LIMIT)


def test_the_margin_row_with_the_least_slack_is_the_kinked_margin() -> None:
    for z in (np.array([3, 0, 1, 0]), np.array([0, 5, 0, 0]), np.array([0, 0, 0, 0])):
        net = float(NET @ z)
        for kind, factor in (("maintenance", 1.0), ("initial", 1.3)):
            expected = 100 + factor * (net - 0.5 * max(net, 0.0))
            assert true_rows(rows_of(), collateral(), kind, z)[0] == pytest.approx(expected)
            matrix = run().of(kind)
            units = exact_surplus(matrix, z, least_slack(matrix, z))[matrix.margin_rows]
            surplus = float(units[0]) * float(matrix.matrix.unit)
            assert expected - 50 * float(matrix.matrix.unit) <= surplus <= expected


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 24), min_size=4, max_size=4), st.integers(0, 1000))
def test_more_slack_than_needed_only_costs_surplus(lots: list[int], extra: int) -> None:
    matrix, z = run().maintenance, np.array(lots)
    u = least_slack(matrix, z)
    assert exact_surplus(matrix, z, u + extra)[0] == exact_surplus(matrix, z, u)[0] - extra
    if u[0] > 0:
        with pytest.raises(errors.SlackTooSmall, match="half"):
            exact_surplus(matrix, z, u - 1)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 31), min_size=4, max_size=4))
def test_no_book_within_the_gross_limit_overflows_or_needs_wider_slack(lots: list[int]) -> None:
    z = np.array(lots)
    if ENTRIES.gross(z) > LIMIT:
        return
    matrix = run().maintenance
    rows = exact_surplus(matrix, z, least_slack(matrix, z))
    assert np.abs(rows).max() < 2**31


def test_zeros_by_construction_are_not_rounded() -> None:
    matrix = run().maintenance
    assert matrix.matrix.weights[2].tolist() == [0, 0, 0, 0]
    loose = run(structure=np.ones((3, 4), dtype=bool)).maintenance
    assert loose.matrix.weights[2].tolist() == [-1, -1, -1, -1]


def test_the_unit_is_the_smallest_that_fits() -> None:
    matrix = run().maintenance
    bounds = slack_bounds(matrix, rows_of().require_slack().caps, ENTRIES, LIMIT)
    reach = np.abs(matrix.matrix.collateral) + np.abs(matrix.matrix.weights).max(axis=1) / 100 * LIMIT
    total = reach + np.abs(matrix.slack) @ bounds
    assert 2**30 / 1.01 <= total.max() < 2**31
    assert matrix.slack_widths == (int(bounds[0]).bit_length(),)


def test_a_switch_lifts_a_row() -> None:
    """u >= min(net, -net): either row of the two will do."""
    values = np.array([NET * 0, NET, -NET])
    lift = 40_000.0
    rows = Rows(
        TrueWeights(("m", "plus", "minus"), ENTRIES.labels, MODEL, ENTRIES.hash(), values, values),
        Slack(
            labels=("u",),
            maintenance=np.array([[-1], [1], [1]]),
            initial=np.array([[-1], [1], [1]]),
            switch_labels=("s",),
            switch_maintenance=np.array([[0.0], [lift], [-lift]]),
            switch_initial=np.array([[0.0], [lift], [-lift]]),
        ),
    )
    ledger = CollateralValues(np.array([5.0, 0.0, lift]), np.array([5.0, 0.0, lift]))
    found = compile_exact(rows, ledger, ENTRIES, LIMIT)
    assert_compiled_exact(found, rows, ledger, ENTRIES, LIMIT)
    matrix = found.maintenance
    assert matrix.switches == 1
    assert matrix.slack_widths[-1] == 1
    for z, expected in ((np.array([2, 0, 0, 0]), 0), (np.array([0, 2, 0, 0]), 1)):
        u = least_slack(matrix, z)
        assert u[1] == expected
        assert float(u[0]) * float(matrix.matrix.unit) < 0.01
        assert true_rows(rows, ledger, "maintenance", z) == pytest.approx([5.0])


def test_slack_that_lowers_another_row_widens_it() -> None:
    """v >= u - 10 with u >= net / 2: v may need what u needs."""
    values = np.array([NET, -0.5 * NET, NET * 0])
    rows = rows_of(
        weights=TrueWeights(("up", "half", "chain"), ENTRIES.labels, MODEL, ENTRIES.hash(), values, values),
        labels=("u", "v"),
        maintenance=np.array([[-1, -1], [1, 0], [-1, 1]]),
        initial=np.array([[-1, -1], [1, 0], [-1, 1]]),
    )
    matrix = compile_exact(rows, collateral(), ENTRIES, LIMIT).maintenance
    u, v = slack_bounds(matrix, rows.require_slack().caps, ENTRIES, LIMIT)
    assert v >= u
    with pytest.raises(errors.SlackNeedsSolver):
        least_slack(matrix, np.array([3, 0, 0, 0]))


def test_slack_without_a_bound_needs_a_cap() -> None:
    free = np.array([[-1], [0], [0]])
    with pytest.raises(errors.SlackUnbounded, match="'u'"):
        run(maintenance=free, initial=free)
    capped = run(maintenance=free, initial=free, caps=np.array([250.0])).maintenance
    assert 250 / float(capped.matrix.unit) < 2 ** capped.slack_widths[0] <= 500 / float(capped.matrix.unit) + 1


def test_a_smaller_unit_would_overflow() -> None:
    """With one bit more, half the unit fits."""
    wider = compile_exact(rows_of(), collateral(), ENTRIES, LIMIT, bits=33)
    for kind in KINDS:
        assert wider.of(kind).matrix.unit_exponent == run().of(kind).matrix.unit_exponent - 1


def test_slack_out_of_its_width_is_refused() -> None:
    matrix, z = run().maintenance, np.array([1, 0, 0, 0])
    for u in (np.array([-1]), np.array([1 << matrix.slack_widths[0]]), np.array([1, 2]), np.array([1.0])):
        with pytest.raises(errors.SlackOutOfRange):
            exact_surplus(matrix, z, u)


def test_everything_is_in_the_hash() -> None:
    matrix = run().initial
    assert matrix == run().initial
    assert hash(matrix) == hash(run().initial)
    weights = matrix.matrix.weights.copy()
    weights[0, 0] += 1
    for changes in (
        {"matrix": replace(matrix.matrix, weights=weights)},
        {"slack": 2 * matrix.slack},
        {"slack_widths": (matrix.slack_widths[0] + 1,)},
        {"slack_labels": ("w",)},
        {"validity": ~matrix.validity},
    ):
        changed: dict[str, Any] = dict(changes)
        assert replace(matrix, **changed).hash() != matrix.hash()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("slack", np.array([[-1], [1]])),
        ("slack_widths", (0,)),
        ("slack_widths", (63,)),
        ("slack_labels", ("u", "u")),
        ("switches", 2),
        ("switches", -1),
        ("validity", np.array([False])),
    ],
)
def test_a_matrix_of_other_contents_is_refused(field: str, value: object) -> None:
    other: dict[str, Any] = {field: value}
    with pytest.raises(document_errors.DocumentError):
        replace(run().maintenance, **other)


def test_weights_that_do_not_fit_together_are_refused() -> None:
    with pytest.raises(errors.MatrixMismatch, match="slack initial"):
        rows_of(initial=np.zeros((3, 2), dtype=np.int64))
    with pytest.raises(errors.MatrixMismatch, match="structure"):
        rows_of(structure=np.zeros((3, 4), dtype=bool))
    with pytest.raises(errors.NonFiniteWeight):
        rows_of(switch_labels=("s",), switch_maintenance=np.full((3, 1), np.inf))
    short = CollateralValues(np.zeros(2), np.zeros(2))
    with pytest.raises(errors.MatrixMismatch, match="rows"):
        compile_exact(rows_of(), short, ENTRIES, LIMIT)


def test_rows_are_refused_by_name_where_their_slack_does_not_belong() -> None:
    plain = Rows(rows_of().weights)
    with pytest.raises(errors.RowsWithSlack, match=r"hold 1 slack values.*`compile_exact`"):
        rows_of().slack_free()
    with pytest.raises(errors.RowsWithoutSlack, match="`compile_run`"):
        compile_exact(plain, collateral(), ENTRIES, LIMIT)
    assert plain.slack_free() is plain.weights

"""Certificates of rows with slack: none that holds is of a covered book, and the active pieces say all there is."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atomic_margin.margin import EntryMap, Market, Published, errors
from atomic_margin.margin.kinds import KINDS, MarginKind
from atomic_margin.margin.market.portfolio import encode
from atomic_margin.margin.models.books import sample_books
from atomic_margin.margin.models.pmrm2 import compile_case
from atomic_margin.margin.models.portfolio_margin.compiled import exact_matrices
from atomic_margin.margin.rows.active_pieces import Maxima, Tail, active_pieces, certify, shape_of, worst_moves
from atomic_margin.margin.rows.certificate import BOUND, Certificate, combined_row
from atomic_margin.margin.rows.matrix import Integers, MarginMatrix
from atomic_margin.margin.rows.slack_matrix import ExactMatrix, exact_surplus
from atomic_margin.margin.rows.slack_rounding import compile_exact

from .books import LIMIT, book_of
from .settings import setting_of
from .test_pmrm2_rows import generated
from .test_registry import read

MAXIMA = ("cross_margin", "pmrm", "pmrm2")
TAIL = "expected_shortfall"
A, C = "ab" * 32, "cd" * 32


def made(
    rows: Sequence[Sequence[int]], offsets: Sequence[int], slack: Any, margin: int = 1, **more: Any
) -> ExactMatrix:
    """A matrix by hand: the first rows are margin rows."""
    labels = tuple(f"row {index}" for index in range(len(rows)))
    plain = MarginMatrix("maintenance", "proof", 0, labels, np.array(rows), np.array(offsets), A, C)
    columns = np.array(slack).shape[1]
    given: dict[str, Any] = {
        "slack_labels": tuple(f"u{index}" for index in range(columns)),
        "slack_widths": (12,) * columns,
        "switches": 0,
        "validity": np.arange(len(rows)) >= margin,
    } | more
    return ExactMatrix(plain, np.array(slack), **given)


def of_model(name: str, seed: int, tick: int, kind: MarginKind) -> tuple[Any, ExactMatrix, Integers]:
    """The exact matrix of the example documents, and a generated book."""
    setting = setting_of(name)
    market = Market.parse(read(f"market-{tick}.json"))
    book = book_of(sample_books(setting.universe, market, 4, seed)[seed % 4], setting.universe)
    columns = EntryMap.of(setting.universe, LIMIT, 24)
    published = Published(setting.universe, market, setting.schedule)
    found = setting.model.account_rows(published, setting.posted, columns, LIMIT, "exact")
    matrix = compile_exact(found.rows, found.collateral, columns, LIMIT).of(kind)
    return setting.model, matrix, encode(book, setting.universe, columns)


def moved(exact: ExactMatrix, units: int) -> ExactMatrix:
    """The same with so much more collateral in every margin row."""
    more = np.where(exact.validity, 0, units)
    return replace(exact, matrix=replace(exact.matrix, collateral=exact.matrix.collateral + more))


def covered(exact: ExactMatrix, z: Integers) -> bool:
    """Whether some slack leaves no row negative, of maxima: the least slack for every choice of switches."""
    shape = shape_of(exact)
    assert isinstance(shape, Maxima)
    first = len(exact.slack_labels) - exact.switches
    for choice in product((0, 1), repeat=exact.switches):
        now = exact.matrix.surplus(z) + exact.slack[:, first:] @ np.array(choice, dtype=np.int64)
        need = [max([0, *(-(int(now[one.row]) // one.coefficient) for one in pieces)]) for pieces in shape.pieces]
        if any(value >> width for value, width in zip(need, exact.slack_widths, strict=False)):
            continue
        if (now + exact.slack[:, :first] @ np.array(need, dtype=np.int64) >= 0).all():
            return True
    return False


def least_combined(exact: ExactMatrix, z: Integers) -> int:
    """The least combined row, in whole units of the matrix, rounded up."""
    found = [combined_row(exact, certify(exact, z, int(row))) for row in exact.margin_rows]
    return min(-(-one.value(z) // one.scale) for one in found)


def least_row(model: Any, exact: ExactMatrix, z: Integers) -> int:
    return int(exact_surplus(exact, z, model.least_slack(exact, z))[exact.margin_rows].min())


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10**6), tick=st.integers(1, 4), kind=st.sampled_from(KINDS))
@pytest.mark.parametrize("name", MAXIMA)
def test_active_pieces_give_the_row_with_the_least_slack(name: str, seed: int, tick: int, kind: MarginKind) -> None:
    """Of models of maxima alone just that; switches, which are granted, can leave it larger."""
    model, exact, z = of_model(name, seed, tick, kind)
    shape = shape_of(exact)
    assert isinstance(shape, Maxima)
    rows = exact_surplus(exact, z, model.least_slack(exact, z))
    active = active_pieces(exact, shape, z)
    for row in exact.margin_rows.tolist():
        found = combined_row(exact, shape.certificate(row, active))
        assert found.value(z) >= found.scale * rows[row]
        if not exact.slack[[row, *exact.validity.nonzero()[0]]][:, len(exact.slack_labels) - exact.switches :].any():
            assert (found.value(z), found.scale) == (rows[row], 1)


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 10**6), tick=st.integers(1, 4), by=st.sampled_from([-1000, -1, 0, 1]))
@pytest.mark.parametrize("name", MAXIMA)
def test_what_is_certified_no_slack_covers(name: str, seed: int, tick: int, by: int) -> None:
    model, exact, z = of_model(name, seed, tick, "maintenance")
    exact = moved(exact, by - least_row(model, exact, z))
    breach = least_combined(exact, z) < 0
    if not exact.switches:
        assert breach is (by < 0)
    assert not (breach and covered(exact, z))


@pytest.mark.parametrize("seed", [1, 4, 5, 12, 14, 17, 21])
def test_generated_books_with_switches(seed: int) -> None:
    """The least row is seldom one that a switch decides: of these books it is certified to the unit."""
    case = compile_case(generated(seed), "exact")
    for kind in KINDS:
        exact = exact_matrices(case).of(kind)
        assert exact.switches
        shape = shape_of(exact)
        assert isinstance(shape, Maxima)
        least = least_combined(exact, case.z)
        assert least_combined(moved(exact, -least), case.z) == 0
        assert covered(moved(exact, -least), case.z)
        assert not covered(moved(exact, -least - 1), case.z)


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10**6), tick=st.integers(1, 4), kind=st.sampled_from(KINDS))
def test_the_tail_of_expected_shortfall(seed: int, tick: int, kind: MarginKind) -> None:
    """At least the row with the best whole slack, and above it by what whole units of slack lose, no more."""
    model, exact, z = of_model(TAIL, seed, tick, kind)
    shape = shape_of(exact)
    assert isinstance(shape, Tail)
    found, least = combined_row(exact, certify(exact, z, shape.row)), least_row(model, exact, z)
    assert least * found.scale <= found.value(z) <= (least + shape.whole + 3) * found.scale
    # Any other tail says less.
    worst = worst_moves(exact, shape, z)
    others = [move for move in shape.moves if move not in worst]
    for place in range(len(worst)):
        other = shape.certificate([*worst[:place], others[place], *worst[place + 1 :]])
        assert combined_row(exact, other).value(z) >= found.value(z)


def test_a_short_tail_is_refused(of_tail: tuple[ExactMatrix, Certificate]) -> None:
    exact, right = of_tail
    for place in range(len(right.multipliers)):
        short = right.multipliers[:place] + right.multipliers[place + 1 :]
        with pytest.raises(errors.SlackLeftOver, match="'t-'"):
            combined_row(exact, replace(right, multipliers=short))
    # Without the part of the boundary move, and scaled up to the whole instead.
    with pytest.raises(errors.SlackLeftOver, match="'t-'"):
        combined_row(exact, replace(right, multipliers=right.multipliers[:1], scale=right.scale))
    row, factor = right.multipliers[0]
    with pytest.raises(errors.SlackLeftOver):
        combined_row(exact, Certificate(right.row, factor * 1000, ((row, 1000 * factor * right.scale),)))


def test_a_tail_that_is_too_heavy_is_refused(of_tail: tuple[ExactMatrix, Certificate]) -> None:
    exact, right = of_tail
    (row, factor), *others = right.multipliers
    with pytest.raises(errors.SlackLeftOver, match=r"'t\+'|'tail"):
        combined_row(exact, replace(right, multipliers=((row, factor + 1), *others)))


@pytest.fixture(scope="module")
def of_tail() -> tuple[ExactMatrix, Certificate]:
    _, exact, z = of_model(TAIL, 3, 2, "maintenance")
    shape = shape_of(exact)
    assert isinstance(shape, Tail)
    certificate = certify(exact, z, shape.row)
    # 260 moves, of which 6.5 count.
    assert (shape.whole, shape.part, certificate.scale) == (6, 1, 26)
    assert sorted({factor for _, factor in certificate.multipliers}) == [1, 2]
    return exact, certificate


@pytest.mark.parametrize(("p", "q", "moves"), [(3, 1, 5), (1, 1, 2), (7, 2, 4), (1, 3, 2), (2, 3, 2), (4, 2, 4)])
def test_tails_of_every_length(p: int, q: int, moves: int) -> None:
    """Whole, with a part, and shorter than one move, against the average itself."""
    rng = np.random.default_rng(p * 100 + q * 10 + moves)
    slack = [[-1, 1, *[-1] * moves], *([q, -q, *(p * np.eye(moves, dtype=int)[s]).tolist()] for s in range(moves))]
    for _ in range(20):
        gains = rng.integers(-500, 500, moves)
        exact = made([[0]] * (1 + moves), [10, *(q * gains).tolist()], slack)
        shape = shape_of(exact)
        assert isinstance(shape, Tail)
        found = combined_row(exact, certify(exact, np.array([0]), 0))
        ordered, left, average = sorted(gains.tolist()), p, 0
        for gain in ordered:
            average += min(q, left) * gain
            left -= min(q, left)
        # (10 + sum of the tail / k) times the scale.
        assert found.value(np.array([0])) * p == found.scale * (10 * p + average)


def test_a_row_that_one_switch_alone_makes_negative_is_not_certified() -> None:
    """u >= 50 with the switch, and 0 without: 40 of surplus covers the second."""
    exact = made([[0], [0]], [40, -50], [[-1, 0], [1, 50]], slack_widths=(12, 1), switches=1, slack_labels=("u", "off"))
    z = np.array([0])
    assert covered(exact, z)
    # The switch is granted: the row says nothing against the book.
    assert combined_row(exact, Certificate(0, 1, ((1, 1),))).value(z) == 40
    assert least_combined(exact, z) == 40
    # Where the switch helps too little, it is a breach for both of its values.
    little = made([[0], [0]], [40, -50], [[-1, 0], [1, 9]], slack_widths=(12, 1), switches=1)
    assert not covered(little, z)
    assert least_combined(little, z) == -1


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_no_certificate_of_any_kind_holds_against_a_covered_book(data: st.DataObject) -> None:
    """Small matrices of any form, any multipliers, and slack that is tried out: what is negative has none."""
    rows, plain, switches = (data.draw(st.integers(*span)) for span in ((2, 3), (1, 2), (0, 1)))
    number = st.integers(-2, 2)
    columns = plain + switches
    slack = data.draw(st.lists(st.lists(number, min_size=columns, max_size=columns), min_size=rows, max_size=rows))
    offsets = data.draw(st.lists(st.integers(-3, 3), min_size=rows, max_size=rows))
    exact = made([[0]] * rows, offsets, slack, slack_widths=(2,) * plain + (1,) * switches, switches=switches)
    factors = data.draw(st.lists(st.integers(0, 3), min_size=rows - 1, max_size=rows - 1))
    scale = data.draw(st.integers(1, 3))
    certificate = Certificate(0, scale, tuple((row + 1, factor) for row, factor in enumerate(factors) if factor))
    try:
        negative = combined_row(exact, certificate).value(np.array([0])) < 0
    except errors.SlackLeftOver:
        return
    if negative:
        for u in product(*(range(1 << width) for width in exact.slack_widths)):
            assert min(np.array(offsets) + np.array(slack) @ np.array(u)) < 0


def test_slack_that_is_credit_needs_its_bound_from_above() -> None:
    """Collateral tiers: what counts is at most each line."""
    exact = made([[-1], [2], [1]], [0, 0, 30], [[1], [-1], [-1]])
    assert combined_row(exact, Certificate(0, 1, ((1, 1),))).weights == (1,)
    with pytest.raises(errors.SlackLeftOver):
        combined_row(exact, Certificate(0, 1, ()))
    with pytest.raises(errors.SlackNeedsSolver, match="stay frozen"):
        shape_of(exact)


def test_coefficients_other_than_1_scale_the_row() -> None:
    exact = made([[1], [-5], [-2]], [7, 0, 0], [[-2, -1], [3, 0], [0, 2]])
    z = np.array([4])
    found = certify(exact, z, 0)
    assert found == Certificate(0, 6, ((1, 4), (2, 3)))
    assert combined_row(exact, found) == combined_row(exact, certify(exact, np.array([9]), 0))
    assert combined_row(exact, found).value(z) == 6 * (4 + 7) - 4 * 20 - 3 * 8
    assert combined_row(exact, found).more_bits == 3


@pytest.mark.parametrize(
    "wrong",
    [
        Certificate(1, 1, ()),
        Certificate(3, 1, ()),
        Certificate(-1, 1, ()),
        Certificate(0, 0, ()),
        Certificate(0, -1, ((1, 1),)),
        Certificate(0, BOUND, ()),
        Certificate(0, 1, ((1, -1),)),
        Certificate(0, 1, ((1, 0),)),
        Certificate(0, 1, ((0, 1),)),
        Certificate(0, 1, ((3, 1),)),
        Certificate(0, 1, ((-1, 1),)),
        Certificate(0, 1, ((2, 1), (1, 1))),
        Certificate(0, 1, ((1, 1), (1, 1))),
        Certificate(0, 1, ((1, BOUND),)),
    ],
)
def test_rows_and_factors_that_are_none_are_refused(wrong: Certificate) -> None:
    exact = made([[1], [-1], [-2]], [0, 0, 0], [[-1], [1], [1]])
    with pytest.raises(errors.CertificateInvalid):
        combined_row(exact, wrong)


def test_a_combined_row_that_no_proof_takes_stays_frozen() -> None:
    exact = made([[1 << 40], [-1]], [0, 0], [[-1], [1]])
    assert combined_row(exact, Certificate(0, (1 << 8) - 1, ())).weights[0] < BOUND
    with pytest.raises(errors.CombinedRowTooWide, match="stays frozen"):
        combined_row(exact, Certificate(0, 1 << 8, ()))


@pytest.mark.parametrize(
    "slack",
    [
        # Two slack values in a validity row, and no tail.
        [[-1, -1], [1, 1]],
        # One that lowers a validity row.
        [[-1, -1], [-1, 1]],
    ],
)
def test_other_shapes_are_refused_by_name(slack: list[list[int]]) -> None:
    with pytest.raises(errors.SlackNeedsSolver, match="stay frozen"):
        shape_of(made([[1], [1]], [0, 0], slack))

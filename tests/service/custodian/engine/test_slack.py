"""Rows of models with slack, computed jointly: as in the clear, by one party and by processes, and to the finding."""

import json
from dataclasses import replace
from typing import Any

import pytest

from atomic_margin.margin.errors import CertificateInvalid
from atomic_margin.margin.rows.active_pieces import Maxima, Piece, Tail, certificate_by, certify, shape_of
from atomic_margin.margin.rows.certificate import combined_row
from atomic_margin.service.custodian.engine.errors import EngineTaskInvalid
from atomic_margin.service.custodian.engine.shapes import MAX_COMPARISONS
from atomic_margin.service.custodian.engine.slack import comparisons
from atomic_margin.service.custodian.engine.task import EngineTask, Verdict, parse_json
from atomic_margin.service.protocol.opening_claims import verify_finding
from atomic_margin.zk.groups import Group
from tests.margin.settings import setting_of
from tests.service.custodian.engine.present import Custodian, present, together
from tests.service.custody.slack_case import SlackCase

from .test_comparing import holds

MAXIMA = Maxima(
    ((Piece(2, 1, 0), Piece(3, 1, 4)), (Piece(4, 3, 0),), ()), {0: ((0, -1), (1, -2)), 1: ((1, -1), (2, -1))}
)
TAIL = Tail(0, (1, 2, 3, 4), 5, 2)


def engaged(
    maintenance: list[int], initial: list[int], shapes: tuple[Maxima | Tail, Maxima | Tail], bits: int = 12, **more: Any
) -> list[Custodian]:
    return present((1, 3, 4), 2, maintenance, initial, bits, more.get("seconds", 20), shapes)


def test_the_least_of_a_table_several_times() -> None:
    holds("""
for size in range(1, 7):
    for table in random.sample(list(itertools.product((-2, 0, 3), repeat=size)), min(3 ** size, 40)):
        for count in range(1, size + 1):
            found = await arithmetic.least_several(table, count, 3)
            values = await arithmetic.open([one.value for one in found])
            assert [value - ORDER if value > 9 else value for value in values] == sorted(table)[:count]
            places = await arithmetic.open([one.place for one in found])
            assert len(set(places)) == count and [table[place] for place in places] == sorted(table)[:count]
""")


def test_maxima_of_any_rows() -> None:
    holds("""
from atomic_margin.margin.rows.active_pieces import Maxima, Piece, Tail
from atomic_margin.service.custodian.engine.slack import open_choice, solve
shape = Maxima(((Piece(2, 1, 0), Piece(3, 1, 4)), (Piece(4, 3, 0),), ()), {0: ((0, -1), (1, -2)), 1: ((1, -1),)})
for _ in range(60):
    rows = [random.randint(-30, 30) for _ in range(5)]
    solved = await solve(arithmetic, shape, rows, 8)
    found = [value - ORDER if value > ORDER // 2 else value for value in await arithmetic.open(solved.rows)]
    u, v = max(0, -rows[2], -rows[3] - 4), max(0, -rows[4])
    assert found == [3 * rows[0] - 3 * u - 2 * v, 3 * rows[1] - v] and solved.labels == (0, 1)
    first = () if u == 0 else (2,) if u == -rows[2] else (3,)
    last = (4,) if v else ()
    assert await open_choice(arithmetic, shape, solved, 0) == first + last
    assert await open_choice(arithmetic, shape, solved, 1) == last
""")


def test_tails_of_any_length() -> None:
    holds("""
from atomic_margin.margin.rows.active_pieces import Maxima, Piece, Tail
from atomic_margin.service.custodian.engine.slack import open_choice, solve
for p, q in ((1, 1), (2, 1), (5, 2), (7, 2), (1, 3), (4, 1), (10, 3)):
    for _ in range(6):
        tail, rows = Tail(0, (1, 2, 3, 4), p, q), [random.randint(-9, 9), *random.sample(range(-30, 30), 4)]
        solved = await solve(arithmetic, tail, rows, 8)
        (value,) = await arithmetic.open(solved.rows)
        worst = sorted(range(1, 5), key=lambda move: rows[move])
        full, part = tail.factors
        expected = tail.scale * rows[0] + full * sum(rows[move] for move in worst[:tail.whole])
        expected += part * rows[worst[tail.whole]] if tail.part else 0
        assert (value - expected) % ORDER == 0
        chosen = await open_choice(arithmetic, tail, solved, 0)
        assert chosen == (*sorted(worst[:tail.whole]), *worst[tail.whole : tail.whole + (tail.part > 0)])
""")


def test_custodians_find_active_pieces() -> None:
    # Maintenance: u = 9 by row 3, v = 6 by row 4; row 0 is 20 - 9 - 2 * 2 and row 1 is 1 - 2.
    maintenance, initial = [20, 1, -7, -13, -6], [3, 5, 2, 0, -30]
    found = together(engaged(maintenance, initial, (MAXIMA, MAXIMA)))
    assert found == [Verdict(True, 1, 0, (4,), (4,))] * 3
    covered = together(engaged([20, 2, -7, -13, -6], initial, (MAXIMA, MAXIMA)))
    assert covered == [Verdict(breach=False)] * 3


def test_custodians_find_a_tail() -> None:
    # Two moves of 2.5 in full and half of a third: 10 + (-9 - 7 - 5 / 2) / 5 is 6.3, and 5.3 less is below 0.
    found = together(engaged([10, -9, 4, -5, -7], [0, 8, -1, -2, -3], (TAIL, TAIL)))
    assert found == [Verdict(breach=False)] * 3
    found = together(engaged([-1, -9, 4, -5, -7], [0, 8, -1, -2, -3], (TAIL, TAIL)))
    assert found == [Verdict(True, 0, 0, (1, 4, 3), (3, 4, 2))] * 3


def opened_jointly(case: SlackCase, seconds: int = 60) -> Verdict:
    kinds = ("maintenance", "initial")
    rows = [case.exact(kind).matrix.surplus(case.z).tolist() for kind in kinds]  # type: ignore[arg-type]
    shapes = tuple(shape_of(case.exact(kind)) for kind in kinds)  # type: ignore[arg-type]
    found = together(engaged(rows[0], rows[1], (shapes[0], shapes[1]), bits=37, seconds=seconds))
    assert isinstance(found[0], Verdict), found[0]
    assert found == [found[0]] * 3
    return found[0]


@pytest.mark.long
@pytest.mark.parametrize("name", ["pmrm", "pmrm2", "expected_shortfall"])
def test_from_shares_of_rows_to_a_finding_that_holds(name: str, group: Group) -> None:
    """Real engines, deals and proofs, of the example documents."""
    case = SlackCase(setting_of(name), group, {}, seed=0)
    verdict = opened_jointly(case)
    assert verdict.breach
    found = {}
    for kind, row, chosen in (
        ("maintenance", verdict.maintenance_row, verdict.maintenance_chosen),
        ("initial", verdict.initial_row, verdict.initial_chosen),
    ):
        exact = case.exact(kind)  # type: ignore[arg-type]
        assert row is not None
        assert chosen is not None
        found[kind] = certificate_by(shape_of(exact), row, chosen)
        value = combined_row(exact, found[kind]).value(case.z)
        # As in the clear, where everything is known.
        best = case.certificate(kind)  # type: ignore[arg-type]
        assert value == combined_row(exact, best).value(case.z)
        assert value == combined_row(exact, certify(exact, case.z, row)).value(case.z)
    finding = case.breach(found["maintenance"], found["initial"])
    verify_finding(finding, case.ground, group)


@pytest.mark.long
def test_a_covered_book_says_nothing_but_that(group: Group) -> None:
    case = SlackCase(setting_of("pmrm2"), group, {"USDC": 10**17}, seed=0)
    assert opened_jointly(case) == Verdict(breach=False)


def test_a_task_with_slack_travels_and_its_shape_is_in_the_hash() -> None:
    task = engaged([1] * 5, [1] * 5, (MAXIMA, TAIL))[0].task
    assert EngineTask.from_fields(parse_json(json.dumps(task.to_fields()).encode())) == task
    other = replace(MAXIMA, pieces=((Piece(2, 1, 0), Piece(3, 1, 5)), (Piece(4, 3, 0),), ()))
    for slack in ((TAIL, TAIL), (other, TAIL), (MAXIMA, replace(TAIL, numerator=6)), None):
        assert replace(task, slack=slack).hash != task.hash


@pytest.mark.parametrize(
    "shape",
    [
        Maxima(((Piece(5, 1, 0),),), {0: ((0, -1),)}),
        Maxima(((Piece(2, 0, 0),),), {0: ((0, -1),)}),
        Maxima(((Piece(2, 1, -1),),), {0: ((0, -1),)}),
        Maxima(((Piece(2, 1, 0),), (Piece(2, 1, 0),)), {0: ((0, -1),)}),
        Maxima(((Piece(0, 1, 0),),), {0: ((0, -1),)}),
        Maxima(((Piece(2, 1, 0),),), {0: ((0, 1),)}),
        Maxima(((Piece(2, 1, 0),),), {0: ((1, -1),)}),
        Maxima(((Piece(2, 1, 0),),), {}),
        Maxima(((Piece(2, 60_000, 0),), (Piece(3, 60_001, 0),)), {0: ((0, -1),)}),
        Tail(0, (1, 2, 3, 5), 5, 2),
        Tail(0, (1, 2, 3, 3), 5, 2),
        Tail(0, (0, 1, 2), 5, 2),
        Tail(0, (1, 2), 5, 2),
        Tail(0, (1, 2), 0, 1),
        Tail(0, (1, 2), 1, 0),
    ],
)
def test_shapes_that_no_engine_takes_are_refused(shape: Maxima | Tail) -> None:
    task = engaged([1] * 5, [1] * 5, (TAIL, TAIL))[0].task
    with pytest.raises(EngineTaskInvalid, match="slack: "):
        replace(task, slack=(shape, TAIL))


@pytest.mark.parametrize(
    "value", [None, [], [1, 2], [{}, {}], [{"pieces": 1, "used": []}] * 2, [{"pieces": [[[1]]], "used": []}] * 2]
)
def test_a_shape_of_another_form_is_refused(value: object) -> None:
    fields = engaged([1] * 5, [1] * 5, (TAIL, TAIL))[0].task.to_fields()
    with pytest.raises(EngineTaskInvalid, match="slack: "):
        EngineTask.from_fields(fields | {"slack": value})


def test_too_many_comparisons_stay_frozen() -> None:
    moves = tuple(range(1, 1000))
    tail = Tail(0, moves, 50, 1)
    assert comparisons(tail) > MAX_COMPARISONS
    task = engaged([1] * 1000, [1] * 1000, (Tail(0, moves, 2, 1),) * 2)[0].task
    with pytest.raises(EngineTaskInvalid, match="stays frozen"):
        replace(task, slack=(tail, tail))


@pytest.mark.parametrize(
    ("shape", "row", "chosen"),
    [
        (MAXIMA, 0, (2, 3)),
        (MAXIMA, 0, (1,)),
        (MAXIMA, 2, ()),
        (TAIL, 0, (1, 2)),
        (TAIL, 0, (1, 2, 2)),
        (TAIL, 1, (1, 2, 3)),
    ],
)
def test_what_certifies_nothing_is_refused(shape: Maxima | Tail, row: int, chosen: tuple[int, ...]) -> None:
    with pytest.raises(CertificateInvalid):
        certificate_by(shape, row, chosen)


def test_rows_as_wide_as_the_task_says() -> None:
    top = (1 << 35) - 1
    shape = Maxima(((Piece(1, 1, 0),),), {0: ((0, -1),)})
    found = together(engaged([0, 1 - top], [top, top], (shape, shape), bits=36))
    assert found == [Verdict(True, 0, 0, (1,), ())] * 3

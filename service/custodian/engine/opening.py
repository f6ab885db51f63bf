"""The computation, from each custodian's row shares to the verdict.

Custodians have shares at points of their own; MPyC computes with shares at 1, 2, 3 and on. So each puts its row shares
in as a secret, and a row is, in shares, the sum of those of the lowest t points times Lagrange's factors. Before
anything is compared, one number that is zero if all row shares lie on polynomials of degree t - 1 is tested for zero:
that somebody put in shares of another deal or tick by mistake is noticed. On purpose it is not: who deviates can spoil
the test too.

Then one bit is opened: whether a maintenance row is negative. Only if it is, two indexes are. Of models with slack that
is said of combined rows, and the validity rows that certify the two are opened too (`slack`).
"""

import hashlib
from collections.abc import Sequence

from atomic_margin.service.custodian.engine.comparing import Arithmetic
from atomic_margin.service.custodian.engine.errors import PeerMalformed, ShareMismatch
from atomic_margin.service.custodian.engine.slack import Shape, open_choice, solve
from atomic_margin.service.custodian.engine.task import EngineTask, Verdict
from atomic_margin.zk.groups import ORDER
from atomic_margin.zk.sharing.interpolation import evaluate, lagrange, weighted


async def open_book(task: EngineTask, arithmetic: Arithmetic) -> Verdict:
    """Compute the verdict with all that are present.

    Raises:
        ShareMismatch: the row shares put in do not fit one another.
        PeerMalformed: what was opened is no bit, or no index.
    """
    points = [one.point for one in task.present]
    dealt = await arithmetic.put_in((*task.maintenance, *task.initial))
    await _require_polynomials(arithmetic, points, task.threshold, dealt, bytes.fromhex(task.hash))
    rows = weighted(lagrange(points[: task.threshold]), dealt[: task.threshold])
    maintenance, initial = rows[: len(task.maintenance)], rows[len(task.maintenance) :]
    if task.slack is not None:
        return await _open_with_slack(arithmetic, task.slack, (maintenance, initial), task.bits)
    if not await _breached(arithmetic, maintenance, task.bits):
        return Verdict(breach=False)
    worst, worst_initial = await arithmetic.open(await arithmetic.least((maintenance, initial), task.bits))
    _require(worst < len(maintenance) and worst_initial < len(initial))
    return Verdict(True, worst, worst_initial)


async def _open_with_slack(
    arithmetic: Arithmetic, shapes: tuple[Shape, Shape], rows: tuple[Sequence[int], Sequence[int]], bits: int
) -> Verdict:
    """Compute the same of combined rows; of initial ones only after the bit says that there is a breach."""
    maintenance = await solve(arithmetic, shapes[0], rows[0], bits)
    if not await _breached(arithmetic, maintenance.rows, maintenance.bits):
        return Verdict(breach=False)
    solved = maintenance, await solve(arithmetic, shapes[1], rows[1], bits)
    wide = max(one.bits for one in solved)
    places = await arithmetic.open(await arithmetic.least([one.rows for one in solved], wide))
    _require(all(place < len(one.labels) for place, one in zip(places, solved, strict=True)))
    worst, worst_initial = (one.labels[place] for place, one in zip(places, solved, strict=True))
    first = await open_choice(arithmetic, shapes[0], solved[0], worst)
    second = await open_choice(arithmetic, shapes[1], solved[1], worst_initial)
    _require(first is not None and second is not None)
    return Verdict(True, worst, worst_initial, first, second)


async def _breached(arithmetic: Arithmetic, rows: Sequence[int], bits: int) -> bool:
    (flag,) = await arithmetic.open([await arithmetic.any(await arithmetic.negative(rows, bits - 1))])
    _require(flag in (0, 1))
    return flag == 1


def _require(holds: bool) -> None:
    if not holds:
        raise PeerMalformed(
            "what was opened is no bit, or the index of no row: a row has more bits than the task says, or a custodian "
            "deviated; compare the bit length with the rows, then open with others"
        )


async def _require_polynomials(
    arithmetic: Arithmetic, points: Sequence[int], threshold: int, dealt: Sequence[Sequence[int]], seed: bytes
) -> None:
    """Make sure that the shares of each row are values, at ``points``, of a polynomial of degree t - 1.

    They are if and only if they are orthogonal to x^e / prod (x - x_j) for e from 0 to m - t - 1, at all points x: the
    dual of a Reed-Solomon code. All that is tested at once, under weights from the task's hash.
    """
    count = len(dealt[0])
    checks = len(points) - threshold
    numbers = [
        int.from_bytes(hashlib.sha512(seed + place.to_bytes(4, "big")).digest(), "big") % ORDER
        for place in range(count + checks)
    ]
    by_row, by_check = numbers[:count], numbers[count:]
    # The factor of x in the coefficient of x^(m - 1) of the polynomial through all points.
    leading = [_leading(points, place) for place in range(len(points))]
    factors = [evaluate(by_check, point) * factor % ORDER for point, factor in zip(points, leading, strict=True)]
    sums = [sum(weight * share for weight, share in zip(by_row, shares, strict=True)) for shares in dealt]
    tested = sum(factor * total for factor, total in zip(factors, sums, strict=True)) % ORDER
    _, _, units = await arithmetic.randomness(0, 0, 1)
    (holds,) = await arithmetic.are_zero([tested], units)
    if not holds:
        raise ShareMismatch(
            "the row shares put in are not of one deal and the same rows: compare the deal's hash, tick and terms, "
            "check the stored shares against the deal, and open again"
        )


def _leading(points: Sequence[int], place: int) -> int:
    product = 1
    for other in (*points[:place], *points[place + 1 :]):
        product = product * (points[place] - other) % ORDER
    return pow(product, -1, ORDER)

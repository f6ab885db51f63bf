"""Who computes together in an opening: chosen by what custodians said, and by nothing else. Pure.

>>> parts = [Part(point) for point in (1, 2, 3, 4)]
>>> chosen(parts, None, present=3, threshold=2, over=False)
(1, 2, 3)
>>> parts = [Part(1, gave_up=1), Part(2, gave_up=1), Part(3), Part(4)]
>>> chosen(parts, Session(1, (1, 2, 3)), present=3, threshold=2, over=False)
(1, 2, 4)
"""

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple


class Part(NamedTuple):
    """A custodian that takes part.

    Attributes:
        point: of it.
        gave_up: number of the last session that it says came to nothing.
        failed: how many sessions before the present one it gave up on, or was missing in.
    """

    point: int
    gave_up: int = 0
    failed: int = 0


class Session(NamedTuple):
    """The present session: its number, and the points of who computes."""

    number: int
    present: tuple[int, ...]


def chosen(
    parts: Sequence[Part],
    session: Session | None,
    *,
    present: int,
    threshold: int,
    over: bool,
    tried: Sequence[tuple[int, ...]] = (),
) -> tuple[int, ...] | None:
    """Return the points of the next session, ascending; None while it is not its time, or too few take part.

    Another session takes the place of one that came to nothing: once as many of its custodians say so as have a book
    together, so that no fewer can keep others from computing, or when its time is over. No set of custodians computes
    again before every other one did: one that deviates in secret says as soon as the honest ones that it came to
    nothing, and is in all sessions but those without it. Among sets, one with fewer that say nothing comes first, then
    one whose custodians gave up on fewer sessions.

    Args:
        parts: of custodians that take part.
        session: the present one, if there is one.
        present: how many compute together.
        threshold: how many have a book together.
        over: whether the time of the present one is over.
        tried: the points of every session so far.
    """
    points = sorted(part.point for part in parts)
    if session is None:
        return tuple(points[:present]) if len(points) >= present else None
    said = {part.point for part in parts if part.point in session.present and part.gave_up >= session.number}
    if len(said) < threshold and not over:
        return None
    silent = set(session.present) - said
    failed = {part.point: part.failed + 2 * (part.point in silent) + (part.point in said) for part in parts}

    def order(some: tuple[int, ...]) -> tuple[int, int, int, tuple[int, ...]]:
        return tried.count(some), len(silent.intersection(some)), sum(failed[point] for point in some), some

    found = min(combinations(points, present), key=order, default=None)
    # Who has not said anything may compute still: it is waited for.
    return found if found is None or over or not silent.intersection(found) else None

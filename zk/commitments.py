"""Pedersen commitments V = v G + gamma H, as far as everyone may see them. Anyone may call it.

Making them takes the secret values and lives in `atomic_margin.zk.prove.commit`.

>>> from atomic_margin.zk.groups import load_group
>>> decode_commitments(load_group("auto"), (b"short",))
Traceback (most recent call last):
    ...
atomic_margin.zk.errors.PointEncodingError: commitment 0: a compressed G1 point is 48 bytes, got 5
"""

from collections.abc import Sequence

from atomic_margin.zk.errors import PointEncodingError
from atomic_margin.zk.groups import Group, Point


def decode_commitments(group: Group, commitments: Sequence[bytes]) -> list[Point]:
    """Decode and check every commitment.

    Raises:
        PointEncodingError: one is not canonical, or is the identity (a commitment to 0 that hides nothing).
    """
    points: list[Point] = []
    try:
        # One by one, so that the number decoded so far names the one that fails.
        for data in commitments:
            points.append(group.decode_point(data))  # noqa: PERF401
    except PointEncodingError as error:
        raise PointEncodingError(f"commitment {len(points)}: {error}") from None
    return points

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
from atomic_margin.zk.generators import load_generators
from atomic_margin.zk.groups import Group, Point


def decode_commitments(
    group: Group, commitments: Sequence[bytes], known: dict[bytes, Point] | None = None
) -> list[Point]:
    """Decode and check every commitment.

    Args:
        group: backend.
        commitments: compressed points.
        known: points of this backend decoded before, by their bytes; those decoded now are added.

    Raises:
        PointEncodingError: one is not canonical, or is the identity (a commitment to 0 that hides nothing).
    """
    points: list[Point] = []
    known = {} if known is None else known
    try:
        # One by one, so that the number decoded so far names the one that fails.
        for data in commitments:
            if data not in known:
                known[data] = group.decode_point(data)
            points.append(known[data])
    except PointEncodingError as error:
        raise PointEncodingError(f"commitment {len(points)}: {error}") from None
    return points


def row_commitment(group: Group, commitments: Sequence[Point], weights: Sequence[int], offset: int) -> Point:
    """Return the commitment to a row a·z + c that follows from those to the entries: sum_j a_j V_j + c G.

    It may be the identity, which `decode_commitments` refuses.

    Args:
        group: backend.
        commitments: V, decoded.
        weights: a, as many.
        offset: c.
    """
    row = group.msm(commitments, group.scalars(weights))
    return row + group.multiply(load_generators(group, 0).value, group.scalar(offset))

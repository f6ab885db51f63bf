"""Tail averages, and the cover of all of them by a few corner points.

For the model document and `conservative`. Write D for the weights a tail average may use: w >= 0, Σ_s w_s = 1 and
w_s <= 1/k. Expected shortfall is the largest of the averages they make (Rockafellar & Uryasev, "Conditional
value-at-risk for general loss distributions", Journal of Banking & Finance 26 (2002), 1443-1471; a coherent measure in
the sense of Artzner, Delbaen, Eber & Heath, Mathematical Finance 9 (1999), 203-228):

    ES(L) = max over w in D of Σ_s w_s L_s                                                                   (1)

Let x_s be published scores of move s, points of d dimensions, and T = {Σ_s w_s x_s : w in D} the region of their tail
averages (the trimmed region of Koshevoy & Mosler, Annals of Statistics 25 (1997), 1998-2017). Corners a_1 … a_K *cover*
the tail if their convex hull contains T. For any linear function p, (1) then gives

    ES(p · x) = max over T of p · y  <=  max over g of p · a_g                                               (2)

A convex hull of full dimension is the intersection of the half-spaces n · y <= b of its facets, so it contains T if and
only if ES(n · x) <= b for every facet: that is what `check_cover` computes, with room of 1e-9 for floating point.

>>> float(tail_average(np.array([1.0, 5.0, 3.0, 2.0]), 1.5))
4.333333333333333
"""

import numpy as np
from scipy.spatial import ConvexHull, QhullError

from atomic_margin.margin.errors import CoverTooSmall
from atomic_margin.margin.market.elementary import ordered_sum
from atomic_margin.margin.market.pricing import Floats

MAX_FACTORS = 8
_ROOM = 1e-9


def tail_average(losses: Floats, depth: float) -> Floats:
    """Return the average of the ``depth`` largest losses along the first axis: expected shortfall.

    The last of them counts with the fraction that is left of the depth (Rockafellar & Uryasev 2002).

    Args:
        losses: (S, …).
        depth: k, from 1 to S.

    Returns:
        Of the shape that is left without the first axis.
    """
    whole = min(int(depth), len(losses))
    ordered = -np.sort(-losses, axis=0)[: whole + 1]
    total = ordered_sum(ordered[:whole])
    if depth > whole and len(ordered) > whole:
        total = total + (depth - whole) * ordered[whole]
    average: Floats = np.asarray(total / depth, dtype=np.float64)
    return average


def facets(corners: Floats) -> tuple[Floats, Floats]:
    """Return outward unit normals, (F, d), and offsets, (F,), of the convex hull of ``corners``, (K, d).

    Raises:
        CoverTooSmall: the corners do not span d dimensions.
    """
    try:
        hull = ConvexHull(corners)
    except (QhullError, ValueError) as error:
        raise CoverTooSmall(
            "cover.corners",
            f"{len(corners)} corners do not span {corners.shape[1]} dimensions: use more corners or fewer scores",
        ) from error
    return hull.equations[:, :-1], -hull.equations[:, -1]


def check_cover(scores: Floats, corners: Floats, depth: float) -> None:
    """Make sure the convex hull of ``corners`` contains every tail average of ``scores``.

    Args:
        scores: (S, d).
        corners: (K, d).
        depth: k, moves in the tail.

    Raises:
        CoverTooSmall: by how much the worst facet is exceeded.
    """
    normals, offsets = facets(corners)
    over = tail_average(scores @ normals.T, depth) - offsets
    if over.max() > -_ROOM * np.abs(corners).max():
        raise CoverTooSmall(
            "cover.corners", f"a tail average of the scores lies {over.max():g} outside their hull: scale the corners"
        )

"""Fit a cover: choose scores of the moves and corners around their tail averages; for whoever publishes a model.

Not on any path of a run: the result is data in the model document, checked there, and sound for every book and market
whatever made it. Only the gap depends on the fit. Scores are the leading left singular vectors of the instruments'
losses per USD of gross weight (principal components of what the moves do to prices). Corners start from tail averages
in the directions of generated books, far from one another, and are then improved by seeded random steps, each scaled
until its convex hull holds all tail averages, so that the mean bound over the books falls.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from atomic_margin.documents.errors import MalformedDocument
from atomic_margin.margin.errors import CoverTooSmall
from atomic_margin.margin.market.market import Market
from atomic_margin.margin.market.pricing import Floats
from atomic_margin.margin.market.universe import Universe
from atomic_margin.margin.models.books import sample_books
from atomic_margin.margin.models.expected_shortfall.cover import facets, tail_average
from atomic_margin.margin.models.expected_shortfall.document import ExpectedShortfallModel
from atomic_margin.margin.models.moves import revalue_moves

_DECIMALS = 6
# Published corners are rounded to so many decimals, and have to contain the tail averages all the same.
_MARGIN = 1 + 1e-5


def fit_cover(
    model: ExpectedShortfallModel,
    universe: Universe,
    market: Market,
    *,
    factors: int = 4,
    rows: int = 33,
    books: int = 1500,
    steps: int = 3000,
    seed: int = 1,
) -> ExpectedShortfallModel:
    """Return ``model`` with a cover of ``rows`` corners in ``factors`` dimensions.

    Args:
        model: a model, with or without a cover.
        universe: the instruments to fit for.
        market: prices to fit at.
        factors: d, 2 to 8; more scores leave less to the instruments' own bounds, and are harder to surround.
        rows: K, more than ``factors``.
        books: generated books to fit to.
        steps: random steps to try.
        seed: of books and steps.

    Raises:
        DocumentError: the documents do not fit together.
        MalformedDocument: the moves do not span that many factors.
        CoverTooSmall: too few corners for so many factors.
    """
    values = revalue_moves(model.scenarios, model.charges, universe, market)
    losses = -values.gain
    gross = np.array([float(universe.gross_weight(item)) for item in universe.instruments])
    left, sizes, _ = np.linalg.svd(losses / gross, full_matrices=False)
    if len(sizes) < factors or sizes[factors - 1] <= 1e-9 * sizes[0]:
        raise MalformedDocument("scenarios", f"the moves do not span {factors} factors: use fewer")
    scores = np.round(left[:, :factors] * np.sqrt(len(losses)), _DECIMALS)
    depth = float(model.depth)
    lots = sample_books(universe, market, books, seed).astype(np.float64)
    slopes = lots @ (scores.T @ losses / len(losses)).T
    charges = np.maximum(lots, 0) @ values.charge_long + np.maximum(-lots, 0) @ values.charge_short
    requirement = tail_average(losses @ lots.T, depth) + charges
    corners = _fit(scores, slopes, requirement, depth, rows, steps, np.random.Generator(np.random.PCG64(seed)))
    document: Mapping[str, Any] = {
        **_json(model.canonical()),
        "cover": {"scores": _texts(scores), "corners": _texts(corners)},
    }
    return ExpectedShortfallModel.parse(document)


def _fit(
    scores: Floats,
    slopes: Floats,
    requirement: Floats,
    depth: float,
    rows: int,
    steps: int,
    draw: np.random.Generator,
) -> Floats:
    """Return corners, (K, d), for books of directions `slopes`, (B, d), and requirements, (B,)."""
    centre = scores.mean(axis=0)
    moved = scores - centre
    tails = _tail_points(moved, slopes, depth)
    spread = np.linalg.cholesky(np.cov(tails.T))
    whitened = np.linalg.solve(spread, tails.T).T
    chosen = [int((whitened**2).sum(axis=1).argmax())]
    distance = np.full(len(tails), np.inf)
    while len(chosen) < rows:
        distance = np.minimum(distance, ((whitened - whitened[chosen[-1]]) ** 2).sum(axis=1))
        chosen.append(int(distance.argmax()))

    def cost(corners: Floats) -> float:
        return float(((slopes @ corners.T).max(axis=1) / requirement).mean())

    best = _scaled(tails[chosen], moved, depth)
    least, step = cost(best), 0.3
    for number in range(steps):
        at = draw.integers(rows, size=int(draw.integers(1, 3)))
        tried = best.copy()
        if number % 2:
            tried[at] += step * draw.standard_normal((len(at), scores.shape[1])) @ spread.T
        else:
            tried[at] *= 1 - step * draw.random() / 2
        try:
            tried = _scaled(tried, moved, depth)
        except CoverTooSmall:
            continue
        if cost(tried) < least:
            best, least = tried, cost(tried)
        elif number % 50 == 49:
            step *= 0.93
    published: Floats = np.round(centre + best * _MARGIN, _DECIMALS)
    return published


def _tail_points(scores: Floats, slopes: Floats, depth: float) -> Floats:
    """Return the tail average of the scores in each direction, (B, d)."""
    order = np.argsort(-(scores @ slopes.T), axis=0)
    whole = min(int(depth), len(scores))
    total = scores[order[:whole]].sum(axis=0)
    if depth > whole and whole < len(scores):
        total = total + (depth - whole) * scores[order[whole]]
    points: Floats = total / depth
    return points


def _scaled(corners: Floats, moved: Floats, depth: float) -> Floats:
    """Return the corners scaled about the origin until their hull just holds the tail averages of ``moved``."""
    normals, offsets = facets(corners)
    if (offsets <= 0).any():
        raise CoverTooSmall("cover.corners", "the corners do not surround the mean of the scores")
    return corners * float((tail_average(moved @ normals.T, depth) / offsets).max())


def _texts(points: Floats) -> list[list[str]]:
    return [[format(value, f".{_DECIMALS}f") if round(value, _DECIMALS) else "0" for value in row] for row in points]


def _json(value: Any) -> dict[str, Any]:
    return dict(value)

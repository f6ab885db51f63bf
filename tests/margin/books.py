"""What the tests of expected shortfall and cross-margin share: books of generated lots, and shorter models."""

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np

from atomic_margin.margin import Portfolio, Side, Universe

from ..lines import portfolio_of

Json = dict[str, Any]
Posted = Mapping[str, Mapping[str, int]]
# Gross of the generated books goes beyond the example account's.
LIMIT = 1 << 29


def reduced(document: Json, moves: int, tail: str) -> Json:
    small = {key: value for key, value in document.items() if key != "cover"}
    return copy.deepcopy({**small, "tail": tail, "scenarios": document["scenarios"][:moves]})


def book_of(lots: np.ndarray[Any, Any], universe: Universe) -> Portfolio:
    held: list[tuple[str, Side, int]] = [
        (item.id, "long" if q > 0 else "short", abs(q))
        for item, q in zip(universe.instruments, lots.tolist(), strict=True)
        if q
    ]
    return portfolio_of(*held, universe=universe)

"""The example documents, as JSON objects to alter and as parsed documents."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from atomic_margin.margin import (
    CollateralHoldings,
    CollateralSchedule,
    EntryMap,
    Institution,
    Market,
    Portfolio,
    ScanModel,
    Universe,
)

EXAMPLES = Path(__file__).parents[2] / "examples"
Json = dict[str, Any]


@pytest.fixture(scope="session")
def _files() -> dict[str, Json]:
    return {path.stem: json.loads(path.read_text()) for path in EXAMPLES.glob("*.json")}


@pytest.fixture
def example(_files: dict[str, Json]) -> Callable[[str], Json]:
    """A fresh JSON object of an example, by file name without suffix."""
    return lambda name: copy.deepcopy(_files[name])


@pytest.fixture(scope="session")
def universe(_files: dict[str, Json]) -> Universe:
    return Universe.parse(_files["universe"])


@pytest.fixture(scope="session")
def entry_map(universe: Universe) -> EntryMap:
    return EntryMap.of(universe)


@pytest.fixture(scope="session")
def model(_files: dict[str, Json]) -> ScanModel:
    return ScanModel.parse(_files["model-scan"])


@pytest.fixture(scope="session")
def schedule(_files: dict[str, Json]) -> CollateralSchedule:
    return CollateralSchedule.parse(_files["collateral-schedule"])


@pytest.fixture(scope="session")
def portfolio(_files: dict[str, Json]) -> Portfolio:
    return Portfolio.parse(_files["portfolio"])


@pytest.fixture(scope="session")
def holdings(_files: dict[str, Json]) -> CollateralHoldings:
    return CollateralHoldings.parse(_files["collateral"])


@pytest.fixture(scope="session")
def gross_limit(_files: dict[str, Json]) -> int:
    return Institution.parse(_files["institution"]).gross_limit


@pytest.fixture(scope="session")
def markets(_files: dict[str, Json]) -> tuple[Market, ...]:
    return tuple(Market.parse(_files[f"market-{tick}"]) for tick in (1, 2, 3, 4))

"""The example documents, as JSON objects to alter and as parsed documents."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from atomic_margin.margin import (
    BITS,
    CollateralHoldings,
    CollateralSchedule,
    EntryMap,
    Institution,
    Market,
    Portfolio,
    ScanModel,
    Universe,
)

EXAMPLES = Path(__file__).parents[1] / "examples"
Json = dict[str, Any]


@pytest.fixture(scope="session")
def example_files() -> dict[str, Json]:
    return {path.stem: json.loads(path.read_text()) for path in EXAMPLES.glob("*.json")}


@pytest.fixture
def example(example_files: dict[str, Json]) -> Callable[[str], Json]:
    """A fresh JSON object of an example, by file name without suffix."""
    return lambda name: copy.deepcopy(example_files[name])


@pytest.fixture(scope="session")
def universe(example_files: dict[str, Json]) -> Universe:
    return Universe.parse(example_files["universe"])


@pytest.fixture(scope="session")
def entry_map(universe: Universe, gross_limit: int) -> EntryMap:
    return EntryMap.of(universe, gross_limit, BITS)


@pytest.fixture(scope="session")
def model(example_files: dict[str, Json]) -> ScanModel:
    return ScanModel.parse(example_files["model-scan"])


@pytest.fixture(scope="session")
def schedule(example_files: dict[str, Json]) -> CollateralSchedule:
    return CollateralSchedule.parse(example_files["collateral-schedule"])


@pytest.fixture(scope="session")
def portfolio(example_files: dict[str, Json]) -> Portfolio:
    return Portfolio.parse(example_files["portfolio"])


@pytest.fixture(scope="session")
def holdings(example_files: dict[str, Json]) -> CollateralHoldings:
    return CollateralHoldings.parse(example_files["collateral"])


@pytest.fixture(scope="session")
def gross_limit(example_files: dict[str, Json]) -> int:
    return Institution.parse(example_files["institution"]).gross_limit


@pytest.fixture(scope="session")
def markets(example_files: dict[str, Json]) -> tuple[Market, ...]:
    return tuple(Market.parse(example_files[f"market-{tick}"]) for tick in (1, 2, 3, 4))

"""Fixtures of the example documents, and of the examples of expected shortfall and cross-margin."""

import json

import pytest

from atomic_margin.margin.models.cross_margin import CrossMarginModel, PoolHoldings
from atomic_margin.margin.models.expected_shortfall import ExpectedShortfallModel

from ..example_documents import *  # noqa: F403
from ..example_documents import EXAMPLES
from .books import Json, Posted


@pytest.fixture(scope="session")
def given_model() -> Json:
    """The example model of expected shortfall."""
    document: Json = json.loads((EXAMPLES / "expected-shortfall" / "model.json").read_text())
    return document


@pytest.fixture(scope="session")
def shortfall(given_model: Json) -> ExpectedShortfallModel:
    return ExpectedShortfallModel.parse(given_model)


@pytest.fixture(scope="session")
def texts() -> dict[str, str]:
    """The example documents of cross-margin, by file name without suffix."""
    return {path.stem: path.read_text() for path in (EXAMPLES / "cross-margin").glob("*.json")}


@pytest.fixture
def document(texts: dict[str, str]) -> Json:
    """A fresh JSON object of the example model of cross-margin."""
    fresh: Json = json.loads(texts["model"])
    return fresh


@pytest.fixture(scope="session")
def cross(texts: dict[str, str]) -> CrossMarginModel:
    return CrossMarginModel.parse(json.loads(texts["model"]))


@pytest.fixture(scope="session")
def posted(texts: dict[str, str]) -> Posted:
    """A fifth of the example pools of cross-margin."""
    full = PoolHoldings.parse(json.loads(texts["pools"])).posted
    return {pool: {asset: quantity // 5 for asset, quantity in held.items()} for pool, held in full.items()}

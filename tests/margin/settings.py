"""Every model over a published universe, with documents that go together: the examples', of one underlying for some."""

from dataclasses import dataclass
from typing import Any

from atomic_margin.margin import CollateralSchedule, Universe, UniverseModel, models, parse_model
from atomic_margin.margin.models.registry import published_model

from .test_registry import read

NAMES = tuple(models())
"""All five: each has rules over a published universe."""


@dataclass(frozen=True)
class Setting:
    """A model with its universe, schedule and what an account has posted, as parsed JSON and as documents."""

    model: UniverseModel[Any, Any]
    posted: Any
    universe_document: dict[str, Any]
    schedule: CollateralSchedule

    @property
    def universe(self) -> Universe:
        return Universe.parse(self.universe_document)


def setting_of(name: str) -> Setting:
    """Return a model's examples; perpetuals have a reference funding index of 11."""
    rules = published_model(name)
    assert issubclass(rules, UniverseModel)
    folder = "pmrm2/" if name.startswith("pmrm") else ""
    posted = "pmrm2/collateral.json" if folder else rules.EXAMPLE_POSTED
    universe = read(f"{folder}universe.json")
    for item in universe["instruments"]:
        if item["kind"] == "perpetual":
            item["reference_funding_index"] = "11"
    model = parse_model(read(str(rules.EXAMPLE)))
    assert isinstance(model, UniverseModel)
    schedule = CollateralSchedule.parse(read(f"{folder}collateral-schedule.json"))
    return Setting(model, rules.parse_posted(read(posted)), universe, schedule)

"""Reading an operator's terms from files, for the commands that need them."""

from pathlib import Path
from typing import Annotated, Any

import typer

from atomic_margin.circuits.profile import profile_by_name
from atomic_margin.margin.collateral import CollateralSchedule
from atomic_margin.margin.market.universe import Universe
from atomic_margin.margin.models.registry import parse_model
from atomic_margin.margin.models.universe import UniverseModel
from atomic_margin.service.files import read_document
from atomic_margin.service.protocol.terms import Terms, served

ModelFile = Annotated[Path, typer.Option("--model", help="Margin model; examples/model-scan.json is one.")]
UniverseFile = Annotated[Path, typer.Option("--universe", help="Instruments; examples/universe.json is one.")]
ScheduleFile = Annotated[Path, typer.Option("--schedule", help="Eligible collateral and haircuts.")]
PriceRulesFile = Annotated[
    Path, typer.Option("--price-rules", help="Whose prices count and within which bounds; see `feed rules`.")
]
ProfileName = Annotated[str, typer.Option("--profile", help="FHE profile: its circuits and parameters.")]


def read_terms(model: Path, universe: Path, schedule: Path, profile: str) -> Terms:
    """Return the terms in three files and a profile.

    Raises:
        ConfigurationError: a file cannot be read. ModelNotServed: the model cannot be served.
        MarginError, ProfileError: a document is wrong, or does not fit the profile.
    """
    rules, listed, accepted = read_documents(model, universe, schedule)
    return Terms(rules, [listed], accepted, profile_by_name(profile))


def read_documents(
    model: Path, universe: Path, schedule: Path
) -> tuple[UniverseModel[Any, Any], Universe, CollateralSchedule]:
    """Return the documents of terms in three files; errors as for `read_terms`, which name file and field."""
    return (
        served(read_document(model, parse_model)),
        read_document(universe, Universe.parse),
        read_document(schedule, CollateralSchedule.parse),
    )

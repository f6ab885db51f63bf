"""Reading an operator's terms from files, for the commands that need them."""

from pathlib import Path
from typing import Annotated

import typer

from atomic_margin.circuits.profile import profile_by_name
from atomic_margin.service.files import read_json
from atomic_margin.service.protocol.terms import Terms

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
    return Terms.parse(read_json(model), read_json(universe), read_json(schedule), profile_by_name(profile))

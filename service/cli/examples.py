"""ExampleDocuments that the margin commands read, with those of `examples/` as the default."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from atomic_margin.bench.gap import ExampleDocuments
from atomic_margin.margin.collateral import CollateralSchedule
from atomic_margin.margin.market.market import Market, check_crossed, check_market
from atomic_margin.margin.market.portfolio import Institution
from atomic_margin.margin.market.universe import Universe
from atomic_margin.margin.models.case import AnyCase, CaseModel
from atomic_margin.margin.models.registry import AnyModel, models, parse_model
from atomic_margin.margin.models.universe import Published, UniverseModel
from atomic_margin.service.errors import ConfigurationError
from atomic_margin.service.files import examples_folder, read_json

EXAMPLES = examples_folder()
UNIVERSE = EXAMPLES / "universe.json"
SCHEDULE = EXAMPLES / "collateral-schedule.json"
INSTITUTION = EXAMPLES / "institution.json"
MARKET = EXAMPLES / "market-1.json"


def read_market(path: Path, universe: Universe) -> Market:
    """Return the prices in a file.

    Raises:
        ConfigurationError: the file cannot be read.
        DocumentError: it is no market, does not price the universe, or its prices are crossed.
    """
    market = Market.parse(read_json(path))
    check_market(market, universe)
    check_crossed(market)
    return market


def example_gross_limit() -> int:
    """Return the gross limit of the example's institution, whole USD."""
    return Institution.parse(read_json(INSTITUTION)).gross_limit


def read_published(universe: Path, market: Path, schedule: Path) -> Published:
    """Return universe, prices and collateral schedule of three files; errors as for `read_market`."""
    known = Universe.parse(read_json(universe))
    return Published(known, read_market(market, known), CollateralSchedule.parse(read_json(schedule)))


def read_model(model: str) -> AnyModel:
    """Return the example's model of that name, or the model of a document, told by its field ``name``.

    Raises:
        ConfigurationError: the file cannot be read.
        DocumentError: it is of no model, or a field is wrong.
    """
    rules = models().get(model)
    example = rules.EXAMPLE if rules is not None and issubclass(rules, UniverseModel) else None
    return parse_model(read_json(Path(model) if example is None else EXAMPLES / example), model)


def read_posted(model: UniverseModel[Any, Any], file: Path | None) -> Any:
    """Return what is posted under a model: that of a file, or of its example."""
    return model.parse_posted(read_json(file or EXAMPLES / model.EXAMPLE_POSTED))


def example_documents(market: Path = MARKET) -> ExampleDocuments:
    """Return the example documents, with the prices of a file.

    Raises:
        ConfigurationError: a file cannot be read.
        DocumentError: a document is wrong, or they do not fit together.
    """
    return ExampleDocuments(read_published(UNIVERSE, market, SCHEDULE), _example)


def _example(rules: type[UniverseModel[Any, Any]]) -> tuple[object, object]:
    if rules.EXAMPLE is None:
        raise ConfigurationError(f"the model {rules.NAME} has no example document; measure one of the others")
    return read_json(EXAMPLES / rules.EXAMPLE), read_json(EXAMPLES / rules.EXAMPLE_POSTED)


def read_cases(
    rules: type[CaseModel[Any, Any, Any, Any]], file: Path, parameters: Path | None, name: str | None
) -> Mapping[str, AnyCase]:
    """Return the cases of a file in a model's outside format, under one parameter set of another where it takes one.

    Raises:
        ConfigurationError: a file cannot be read, or parameters are missing, or given to a model that takes none.
        DocumentError: a field is wrong, or there is no such set.
    """
    if rules.PARAMETERS_IN_CASE:
        for option, value in (("parameters", parameters), ("set", name)):
            if value is not None:
                raise ConfigurationError(
                    f"--{option} does not go with this model, which takes its parameters from the case"
                )
        return rules.parse_file(read_json(file, numbers=True), file.stem)
    if parameters is None:
        raise ConfigurationError(
            f"{rules.NAME} takes its parameters from a file: give --parameters FILE and --set NAME"
        )
    sets = read_json(parameters, numbers=True)
    if name is None:
        names = sorted(sets) if isinstance(sets, dict) else []
        if len(names) != 1:
            raise ConfigurationError(f"--set NAME is wanted, one of {', '.join(names) or 'none'}")
        name = names[0]
    return rules.parse_file(read_json(file, numbers=True), file.stem, sets, name)

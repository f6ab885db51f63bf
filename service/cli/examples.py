"""What the margin commands read from files: markets, cases, and the documents of `examples/`."""

import re
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from atomic_margin.bench.gap import ExampleDocuments
from atomic_margin.documents.errors import DocumentError
from atomic_margin.margin.collateral import CollateralSchedule
from atomic_margin.margin.market.market import Market, check_crossed, check_market
from atomic_margin.margin.market.portfolio import Institution
from atomic_margin.margin.market.universe import Universe
from atomic_margin.margin.models.case import AnyCase, CaseModel
from atomic_margin.margin.models.universe import Published, UniverseModel
from atomic_margin.service.errors import ConfigurationError
from atomic_margin.service.files import examples_folder, in_file, placing, read_document, read_json

EXAMPLES = examples_folder()
UNIVERSE = EXAMPLES / "universe.json"
SCHEDULE = EXAMPLES / "collateral-schedule.json"
INSTITUTION = EXAMPLES / "institution.json"
MARKET = EXAMPLES / "market-1.json"


def read_market(path: Path, universe: Universe, universe_path: Path) -> Market:
    """Return the prices in a file.

    Args:
        path: of the file.
        universe: that is to be priced.
        universe_path: its file, for errors.

    Raises:
        ConfigurationError: the file cannot be read.
        DocumentError: it is no market, does not price the universe, or its prices are crossed; the file is named.
    """
    market = read_document(path, Market.parse)
    with placing(lambda error: _in_either(error, path, universe_path)):
        check_market(market, universe)
    with in_file(str(path)):
        check_crossed(market)
    return market


def _in_either(error: DocumentError, market: Path, universe: Path) -> DocumentError:
    file = universe if error.field.startswith("instruments") else market
    return type(error)(f"{file}: {error.field}", error.problem)


def example_gross_limit() -> int:
    """Return the gross limit of the example's institution, whole USD."""
    return read_document(INSTITUTION, Institution.parse).gross_limit


def read_resealed(universe: Path, market: Path, schedule: Path) -> Published:
    """Return universe, prices and collateral schedule of three files; errors as for `read_market`."""
    known = read_document(universe, Universe.parse)
    prices = read_market(market, known, universe)
    return Published(known, prices, read_document(schedule, CollateralSchedule.parse))


def example_documents(market: Path = MARKET) -> ExampleDocuments:
    """Return the example documents, with the prices of a file.

    Raises:
        ConfigurationError: a file cannot be read.
        DocumentError: a document is wrong, or they do not fit together.
    """
    return ExampleDocuments(read_resealed(UNIVERSE, market, SCHEDULE), _example)


def _example(rules: type[UniverseModel[Any, Any]]) -> tuple[object, object]:
    if rules.EXAMPLE is None:
        raise ConfigurationError(f"the model {rules.NAME} has no example document; measure one of the others")
    return read_json(EXAMPLES / rules.EXAMPLE), read_json(EXAMPLES / rules.EXAMPLE_POSTED)


def naming_cases(file: Path, parameters: Path | None, name: str | None) -> AbstractContextManager[None]:
    """Name the file where a case or a parameter set is wrong: cases may be read only when they are asked for.

    Args:
        file: of cases.
        parameters: of parameter sets.
        name: of the set.
    """

    def placed(error: DocumentError) -> DocumentError:
        head = re.split(r"[.\[]", error.field, maxsplit=1)[0]
        in_sets = parameters is not None and (head == name or "parameter set" in error.problem)
        return type(error)(f"{parameters if in_sets else file}: {error.field}", error.problem)

    return placing(placed)


def read_cases(
    rules: type[CaseModel[Any, Any, Any, Any]], file: Path, parameters: Path | None, name: str | None
) -> Mapping[str, AnyCase]:
    """Return the cases of a file in a model's outside format, under one parameter set of another where it takes one.

    Raises:
        ConfigurationError: a file cannot be read, or parameters are missing, or given to a model that takes none.
        DocumentError: a field is wrong, or there is no such set; see `naming_cases`.
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

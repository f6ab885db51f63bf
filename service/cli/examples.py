"""ExampleDocuments that the margin commands read, with those of `examples/` as the default."""

from pathlib import Path

from atomic_margin.bench.gap import ExampleDocuments
from atomic_margin.margin.collateral import CollateralHoldings, CollateralSchedule
from atomic_margin.margin.market.market import Market, check_crossed, check_market
from atomic_margin.margin.market.portfolio import Institution
from atomic_margin.margin.market.universe import Universe
from atomic_margin.margin.models.cross_margin import CrossMarginModel, PoolHoldings
from atomic_margin.margin.models.expected_shortfall import ExpectedShortfallModel
from atomic_margin.margin.models.pmrm import PmrmCase, PmrmParameters, parse_cases, parse_parameters
from atomic_margin.margin.models.scan.document import ScanModel
from atomic_margin.service.errors import ConfigurationError
from atomic_margin.service.files import examples_folder, read_json

EXAMPLES = examples_folder()
MODELS = {
    "scan": EXAMPLES / "model-scan.json",
    "expected_shortfall": EXAMPLES / "expected-shortfall" / "model.json",
    "cross_margin": EXAMPLES / "cross-margin" / "model.json",
}
UNIVERSE = EXAMPLES / "universe.json"
SCHEDULE = EXAMPLES / "collateral-schedule.json"
POSTED = EXAMPLES / "collateral.json"
POOLS = EXAMPLES / "cross-margin" / "pools.json"
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


def example_documents(market: Path = MARKET) -> ExampleDocuments:
    """Return the example documents, with the prices of a file.

    Raises:
        ConfigurationError: a file cannot be read.
        DocumentError: a document is wrong, or they do not fit together.
    """
    universe = Universe.parse(read_json(UNIVERSE))
    return ExampleDocuments(
        universe=universe,
        market=read_market(market, universe),
        schedule=CollateralSchedule.parse(read_json(SCHEDULE)),
        posted=CollateralHoldings.parse(read_json(POSTED)).posted,
        pools=PoolHoldings.parse(read_json(POOLS)).posted,
        scan=ScanModel.parse(read_json(MODELS["scan"])),
        expected_shortfall=ExpectedShortfallModel.parse(read_json(MODELS["expected_shortfall"])),
        cross_margin=CrossMarginModel.parse(read_json(MODELS["cross_margin"])),
    )


def read_pmrm(case: Path, parameters: Path | None, name: str | None) -> tuple[dict[str, PmrmCase], PmrmParameters]:
    """Return the cases of a file in the outside format of `pmrm`, and one parameter set of another.

    Raises:
        ConfigurationError: a file cannot be read, or no parameters are given.
        DocumentError: a field is wrong, or there is no such set.
    """
    if parameters is None:
        raise ConfigurationError("pmrm takes its parameters from a file: give --parameters FILE and --set NAME")
    sets = read_json(parameters, numbers=True)
    if name is None:
        names = sorted(sets) if isinstance(sets, dict) else []
        if len(names) != 1:
            raise ConfigurationError(f"--set NAME is wanted, one of {', '.join(names) or 'none'}")
        name = names[0]
    given = read_json(case, numbers=True)
    if isinstance(given, dict) and "Scenario" in given:
        given = {case.stem: given}
    return parse_cases(given), parse_parameters(sets, name)

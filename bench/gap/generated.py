"""Accounts to measure gaps on: generated books of every model, and outside cases.

Portfolios of the documents are those of `expected_shortfall.sample_books`, each with the smallest power of two of USD
that holds it as gross limit, and with the collateral given. Iterators are lazy, so that a caller can show progress.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from atomic_margin.bench.gap.accounts import Desk, cross_margin_desk, expected_shortfall_desk, scan_desk
from atomic_margin.bench.gap.books import pmrm2_case, pmrm_case, pmrm_parameters, portfolios
from atomic_margin.bench.gap.cases import measure_pmrm, measure_pmrm2
from atomic_margin.bench.gap.forms import AccountMargin
from atomic_margin.margin.collateral import CollateralSchedule
from atomic_margin.margin.market.market import Market
from atomic_margin.margin.market.portfolio import encode
from atomic_margin.margin.market.universe import Universe
from atomic_margin.margin.models.cross_margin import CrossMarginModel
from atomic_margin.margin.models.expected_shortfall import ExpectedShortfallModel
from atomic_margin.margin.models.pmrm import PmrmCase, PmrmParameters
from atomic_margin.margin.models.scan.document import ScanModel

MODELS = ("scan", "pmrm", "pmrm2", "expected_shortfall", "cross_margin")


@dataclass(frozen=True)
class ExampleDocuments:
    """What the models of a universe are measured with.

    Attributes:
        universe: the instruments.
        market: prices.
        schedule: haircuts.
        posted: collateral, smallest units by asset.
        pools: collateral by pool.
        scan: model.
        expected_shortfall: model.
        cross_margin: model.
    """

    universe: Universe
    market: Market
    schedule: CollateralSchedule
    posted: Mapping[str, int]
    pools: Mapping[str, Mapping[str, int]]
    scan: ScanModel
    expected_shortfall: ExpectedShortfallModel
    cross_margin: CrossMarginModel

    def desk(self, model: str) -> Desk:
        """Return the desk of a model by name.

        Raises:
            KeyError: it is none of these documents' models.
            DocumentError: the documents do not fit together.
        """
        common = self.universe, self.market, self.schedule
        desks: dict[str, Callable[[], Desk]] = {
            "scan": lambda: scan_desk(self.scan, *common, self.posted),
            "expected_shortfall": lambda: expected_shortfall_desk(self.expected_shortfall, *common, self.posted),
            "cross_margin": lambda: cross_margin_desk(self.cross_margin, *common, self.pools),
        }
        return desks[model]()


def generated_accounts(
    model: str, documents: ExampleDocuments, count: int, seed: int, bits: Sequence[int]
) -> Iterator[AccountMargin]:
    """Yield ``count`` measured accounts of one of `MODELS`.

    Args:
        model: its name.
        documents: for the models of a universe.
        count: of books.
        seed: of the generator.
        bits: widths of FHE rows.

    Raises:
        KeyError: there is no such model.
        DocumentError: the documents do not fit together.
    """
    if model == "pmrm":
        parameters = pmrm_parameters()
        for number in range(count):
            yield measure_pmrm(pmrm_case(number, seed), parameters, bits)
    elif model == "pmrm2":
        for number in range(count):
            yield measure_pmrm2(pmrm2_case(number, seed), bits)
    else:
        desk = documents.desk(model)
        smallest = 4 * max(desk.entry_map.gross_weights)
        for portfolio in portfolios(documents.universe, documents.market, count, seed):
            gross = desk.entry_map.gross(encode(portfolio, desk.entry_map))
            limit = 1 << (max(gross, smallest) - 1).bit_length()
            yield desk.measure(portfolio, limit, bits)


def case_accounts(
    cases: Mapping[str, PmrmCase], parameters: PmrmParameters, bits: Sequence[int]
) -> Iterator[AccountMargin]:
    """Yield every `pmrm` case, measured, in order."""
    for case in cases.values():
        yield measure_pmrm(case, parameters, bits)

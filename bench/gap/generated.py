"""Accounts to measure gaps on: generated books of every model, and outside cases.

Portfolios of a universe are those of `books`, each with the smallest power of two of USD that holds it as gross limit,
and with the collateral given. Iterators are lazy, so that a caller can show progress.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from atomic_margin.bench.gap.books import portfolios
from atomic_margin.bench.gap.desk import Desk
from atomic_margin.bench.gap.forms import AccountExcess
from atomic_margin.margin.errors import UnknownModel
from atomic_margin.margin.kinds import Books
from atomic_margin.margin.models.case import AnyCase, CaseModel
from atomic_margin.margin.models.registry import AnyModel, model_named
from atomic_margin.margin.models.universe import Published, UniverseModel


@dataclass(frozen=True)
class ExampleDocuments:
    """What the models of a universe are measured with.

    Attributes:
        published: universe, prices and haircuts.
        example: returns the example document of a model, and the example of what is posted under it.
    """

    published: Published
    example: Callable[[type[UniverseModel[Any, Any]]], tuple[object, object]]

    def desk(self, rules: type[AnyModel]) -> Desk[Any, Any, Any]:
        """Return the desk of an example's model.

        Raises:
            UnknownModel: it is no model of a universe.
            DocumentError: the documents do not fit together.
        """
        if not issubclass(rules, UniverseModel):
            raise UnknownModel(f"{rules.NAME} takes neither a universe nor cases, so no books are generated for it")
        model, posted = self.example(rules)
        return Desk(rules.parse(model), self.published, rules.parse_posted(posted))


def generated_accounts(
    model: str, documents: ExampleDocuments, count: int, seed: int, bits: Sequence[int], books: Books = "mixed"
) -> Iterator[AccountExcess]:
    """Yield ``count`` measured accounts of a registered model.

    Args:
        model: its name.
        documents: for the models of a universe.
        count: of books.
        seed: of the generator.
        bits: widths of FHE rows.
        books: what they are like.

    Raises:
        UnknownModel: there is no such model.
        DocumentError: the documents do not fit together.
    """
    rules = model_named(model)
    if issubclass(rules, CaseModel):
        for number in range(count):
            yield measure_case(rules.sample(number, seed, books), bits)
    else:
        desk, published = documents.desk(rules), documents.published
        for portfolio in portfolios(published.universe, published.market, count, seed, books):
            yield desk.measure(portfolio, bits=bits)


def measure_case(case: AnyCase, bits: Sequence[int] = (20,), gross_limit: int | None = None) -> AccountExcess:
    """Return true and integer margin of a case; arguments and errors as for `Desk.measure`."""
    return Desk(case.model, case.published, case.posted).measure(case.book, gross_limit, bits)


def case_accounts(cases: Mapping[str, AnyCase], bits: Sequence[int]) -> Iterator[AccountExcess]:
    """Yield every case, measured, in order."""
    for case in cases.values():
        yield measure_case(case, bits)

"""An account at one tick under a model of a universe: what every analysis begins with."""

from dataclasses import dataclass
from typing import Any, NoReturn

from atomic_margin.margin.errors import NotAnalysed
from atomic_margin.margin.market.portfolio import Portfolio
from atomic_margin.margin.models.case import AnyCase, OpenCase
from atomic_margin.margin.models.interface import Reference
from atomic_margin.margin.models.universe import Published, UniverseModel


@dataclass(frozen=True)
class Account:
    """A book with collateral at one tick. `dataclasses.replace` gives the same account with something else.

    Attributes:
        model: rules and parameters.
        published: universe, prices and collateral schedule.
        book: what is held.
        posted: what is posted, as the model's `parse_posted` returns it.
    """

    model: UniverseModel[Any, Any]
    published: Published
    book: Portfolio
    posted: Any

    def reference(self) -> Reference:
        """Return excess, requirement and worst row, unrounded.

        Raises:
            DocumentError: the documents do not fit together.
        """
        return self.model.reference(self.published, self.book, self.posted)


def require_account(account: Account | AnyCase, what: str) -> Account:
    """Return the account that an analysis wants.

    Raises:
        NotAnalysed: it is a case, which has neither lines, trades nor ticks.
    """
    if isinstance(account, OpenCase):
        _refuse(account.model.name, what)
    return account


def _refuse(model: str, what: str) -> NoReturn:
    raise NotAnalysed(
        f"{what} is not there for {model}: a case brings a book without trade prices, and a market that no tick "
        "follows; ask for its ladder"
    )

"""What `atomic-margin margin` reads: an account from the files that were named, and from no other.

Example documents count only with `--example`. An error of a document names the file, also where only two documents
together show it.
"""

import re
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from atomic_margin.documents.errors import DocumentError
from atomic_margin.margin.analysis import Account
from atomic_margin.margin.collateral import CollateralSchedule
from atomic_margin.margin.errors import UnknownModel
from atomic_margin.margin.market.universe import Universe
from atomic_margin.margin.models.registry import models, parse_model
from atomic_margin.margin.models.universe import Published, UniverseModel
from atomic_margin.service.books import BookFile, read_book_file
from atomic_margin.service.cli.examples import EXAMPLES, MARKET, SCHEDULE, UNIVERSE, read_market
from atomic_margin.service.errors import ConfigurationError
from atomic_margin.service.files import placing, read_document

PORTFOLIO = EXAMPLES / "portfolio.json"
NOTHING = "none"
"""In place of a file of posted collateral."""

_WHAT = {
    "model": "FILE, a model document",
    "portfolio": "FILE, the book or its trades",
    "market": "FILE, prices",
    "universe": "FILE, the instruments",
    "schedule": "FILE, what counts as collateral",
    "posted": f"FILE, what is posted, or {NOTHING}",
    "gross_limit": "USD, the account's public limit",
}
# By the first name of a field, the document that it is in; what stands nowhere here is in what is posted.
_FIELDS = {
    "instruments": "universe",
    **dict.fromkeys(("underlyings", "collateral", "as_of", "rate"), "market"),
    **dict.fromkeys(("effective_from", "assets"), "schedule"),
    **dict.fromkeys(("scenarios", "venues", "offsets", "charges", "tail", "cover", "loss"), "model"),
}


@dataclass(frozen=True)
class Files:
    """Files of an account, as they were named; None for what was not.

    Attributes:
        model: model document, or with `--example` the name of a model.
        portfolio: book or trades.
        market: prices.
        universe: instruments.
        schedule: collateral schedule.
        posted: what is posted; `NOTHING` for none of it.
    """

    model: str
    portfolio: Path | None = None
    market: Path | None = None
    universe: Path | None = None
    schedule: Path | None = None
    posted: str | None = None

    def missing(self, gross_limit: int | None, *, integers: bool) -> list[str]:
        """Return the options that have to be named and are not."""
        given = {**{item.name: getattr(self, item.name) for item in fields(self)}, "gross_limit": gross_limit}
        if self.model in models():
            given["model"] = None
        if not integers:
            del given["gross_limit"]
        return [name for name, value in given.items() if value is None]

    def with_examples(self) -> "Files":
        """Return the same files, and those of the examples for what was not named."""
        rules = models().get(self.model)
        if rules is None:
            rules = type(read_universe_model(self.model))
        if not issubclass(rules, UniverseModel) or (self.model in models() and rules.EXAMPLE is None):
            raise ConfigurationError(f"there is no example of the model {self.model}: name a model document")
        return Files(
            model=self.model if self.model not in models() else str(EXAMPLES / str(rules.EXAMPLE)),
            portfolio=self.portfolio or PORTFOLIO,
            market=self.market or MARKET,
            universe=self.universe or UNIVERSE,
            schedule=self.schedule or SCHEDULE,
            posted=self.posted or str(EXAMPLES / rules.EXAMPLE_POSTED),
        )

    def examples(self, filled: "Files") -> list[str]:
        """Return the example files that ``filled`` has beside these, relative to the examples' folder."""
        pairs = [(getattr(self, item.name), str(getattr(filled, item.name))) for item in fields(self)]
        return [path.removeprefix(f"{EXAMPLES}/") for given, path in pairs if str(given) != path]


def require_named(files: Files, gross_limit: int | None, *, integers: bool) -> None:
    """Raise ConfigurationError, saying what to give, unless everything is named that the margin depends on."""
    missing = files.missing(gross_limit, integers=integers)
    if missing:
        wanted = "; ".join(f"--{name.replace('_', '-')} {_WHAT[name]}" for name in missing)
        raise ConfigurationError(f"give {wanted}. With --example, what is not given is that of examples/")


@dataclass(frozen=True)
class Read:
    """An account and where it is from.

    Attributes:
        account: the account.
        book: the file of its book.
        files: all of its files, each of them named.
    """

    account: Account
    book: BookFile
    files: Files

    @property
    def prices(self) -> str:
        """Name of the file of prices, for tables."""
        return self.files.market.stem if self.files.market else ""

    def named(self) -> AbstractContextManager[None]:
        """Name the file where documents turn out not to fit together."""
        return placing(self._placed)

    def _placed(self, error: DocumentError) -> DocumentError:
        head = re.split(r"[.\[]", error.field, maxsplit=1)[0]
        if head in ("lines", "trades", "cash", "opening"):
            return self.book.placed(error)
        file = getattr(self.files, _FIELDS.get(head, "posted"))
        return type(error)(f"{file}: {error.field}", error.problem)


def read_universe_model(path: str) -> UniverseModel[Any, Any]:
    """Return the model of a document.

    Raises:
        ConfigurationError: the file cannot be read.
        DocumentError: a field is wrong. UnknownModel: the model takes cases, not portfolios.
    """
    model = read_document(Path(path), parse_model)
    if not isinstance(model, UniverseModel):
        raise UnknownModel(f"{path} is of a model that takes no portfolio: give --case")
    return model


def read_account(files: Files) -> Read:
    """Return the account of files that are all named.

    Raises:
        ConfigurationError: a file cannot be read, or is not named.
        DocumentError: a field is wrong, or the documents do not fit together; file and field are named.
    """
    if files.portfolio is None or files.market is None or files.universe is None or files.schedule is None:
        raise ConfigurationError("the files of an account have to be named")
    model = read_universe_model(files.model)
    universe = read_document(files.universe, Universe.parse)
    market = read_market(files.market, universe, files.universe)
    schedule = read_document(files.schedule, CollateralSchedule.parse)
    book = read_book_file(files.portfolio)
    account = Account(model, Published(universe, market, schedule), book.book(universe), _posted(model, files.posted))
    return Read(account, book, files)


def read_change(
    read: Read, market: Path, portfolio: Path | None, posted: str | None, model: str | None, schedule: Path | None
) -> Read:
    """Return the same account at another tick, with what else has changed by then.

    Raises:
        ConfigurationError, DocumentError: as `read_account`.
    """
    old, account = read.files, read.account
    universe = account.published.universe
    rules = account.model if model is None else read_universe_model(model)
    held = account.posted
    if posted is not None or type(rules) is not type(account.model):
        held = _posted(rules, posted or old.posted)
    book = read.book if portfolio is None else read_book_file(portfolio)
    after = Account(
        rules,
        Published(
            universe,
            read_market(market, universe, old.universe or UNIVERSE),
            account.published.schedule if schedule is None else read_document(schedule, CollateralSchedule.parse),
        ),
        account.book if portfolio is None else book.book(universe),
        held,
    )
    files = Files(model or old.model, book.path, market, old.universe, schedule or old.schedule, posted or old.posted)
    return Read(after, book, files)


def _posted(model: UniverseModel[Any, Any], file: str | None) -> Any:
    return model.nothing_posted() if file in (None, NOTHING) else read_document(Path(str(file)), model.parse_posted)

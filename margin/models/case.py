"""Models of cases: an account comes with the market it stands in, and a universe is made to fit it.

The formats are other people's. A case has one account; what is published, made of its market and of the sizes of its
positions, serves that account alone.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic

from atomic_margin.margin.kinds import Books
from atomic_margin.margin.models.interface import B, D, H, MarginModel, P


@dataclass(frozen=True)
class OpenCase(Generic[P, B, H]):
    """A case, ready to be margined.

    Attributes:
        model: rules and parameters.
        published: its market, with the universe made for it.
        book: what the account holds.
        posted: what is known of the account.
    """

    model: MarginModel[Any, P, B, H]
    published: P
    book: B
    posted: H


AnyCase = OpenCase[Any, Any, Any]


class CasesOfFile(Mapping[str, AnyCase]):
    """The cases of a file by name, each parsed when it is asked for: a wrong one blocks no other.

    >>> cases = CasesOfFile({"good": 1, "bad": 0}, lambda name, item: {name: 1 / item})
    >>> sorted(cases), cases["good"]
    (['bad', 'good'], {'good': 1.0})
    """

    def __init__(self, items: Mapping[str, Any], opened: Callable[[str, Any], AnyCase]) -> None:
        """Take parsed JSON by name, and what makes a case of a name and its item."""
        self._items = items
        self._opened = opened

    def __getitem__(self, name: str) -> AnyCase:
        """Return one case.

        Raises:
            KeyError: there is none of this name.
            DocumentError: the first wrong field of it, named by its JSON path.
        """
        return self._opened(name, self._items[name])

    def __iter__(self) -> Iterator[str]:
        """Yield the names."""
        return iter(self._items)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._items)


@dataclass(frozen=True)
class CaseModel(MarginModel[D, P, B, H], Generic[D, P, B, H]):
    """A model of cases.

    Attributes:
        PARAMETERS_IN_CASE: whether a case brings its parameters; if not, they are a set of a file of their own.
    """

    OWN_UNIVERSE: ClassVar[bool] = True
    PARAMETERS_IN_CASE: ClassVar[bool]

    @classmethod
    @abstractmethod
    def parse_file(cls, cases: object, stem: str, parameters: object = None, chosen: str = "") -> Mapping[str, AnyCase]:
        """Return the cases of a parsed JSON file, by name, each parsed when it is asked for.

        Args:
            cases: one case, or several by name.
            stem: name of a case that has none.
            parameters: parameter sets by name; only if a case does not bring its own.
            chosen: name of the set.

        Raises:
            DocumentError: the file is no JSON object, or there is no such set. A wrong field of a case is an error of
                that case.
        """

    @classmethod
    @abstractmethod
    def sample(cls, number: int, seed: int, books: Books = "mixed") -> AnyCase:
        """Return generated case ``number``, for measurements; it depends on number, seed and books alone."""

"""What a margin model is to everyone else: one interface, whatever it prices from.

Operator, agent, verifier, audit, command line and measurements know this and the registry, and no model by name. A
model is *rules*: a class here, and a document with its parameters. It is generic over what an account brings:

    Published    what is public of one time, prices first; `universe.Published` where a universe is listed
    Book         what an account holds and tells nobody; it becomes z
    Posted       what the operator's ledger knows of the account; it goes into c

so that the surplus of its rows is A(Published) z(Book) + c(Published, Posted). `universe` has the base of all models
of a published universe, docs/adding-a-model.md an example in a few lines.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar, Generic, TypeVar

from atomic_margin.documents.canonical import CanonicalValue
from atomic_margin.documents.strict import Document
from atomic_margin.margin.collateral import CollateralValues
from atomic_margin.margin.kinds import Form, MarginKind
from atomic_margin.margin.market.entries import EntryMap
from atomic_margin.margin.rows.least_slack import least_slack, true_rows
from atomic_margin.margin.rows.matrix import Integers
from atomic_margin.margin.rows.rows import Rows
from atomic_margin.margin.rows.slack_matrix import ExactMatrix

D = TypeVar("D", bound=Document)
P = TypeVar("P")
B = TypeVar("B")
H = TypeVar("H")
M = TypeVar("M", bound="MarginModel[Any, Any, Any, Any]")


@dataclass(frozen=True)
class Reference:
    """Margin of an account in plain floating point, straight from its positions: what rows are held against.

    Attributes:
        model: name of the margin model.
        excess: what is left above the requirement, of each kind, USD; negative for a deficit.
        requirement: what the positions ask for, of each kind, USD.
        worst: label of the row that binds, of each kind.
        mark_to_market: value of the account now, USD.
        details: further figures by name, USD, or plain numbers for factors.
    """

    model: str
    excess: Mapping[MarginKind, float]
    requirement: Mapping[MarginKind, float]
    worst: Mapping[MarginKind, str]
    mark_to_market: float
    details: Mapping[str, float]

    def shortfall(self, kind: MarginKind) -> float:
        """Return what is missing, max(0, -excess), USD."""
        return max(0.0, -self.excess[kind])


@dataclass(frozen=True)
class AccountRows:
    """Rows of one form with what is public of one account.

    Attributes:
        rows: true weights, with slack or without.
        collateral: public part of every row, USD.
    """

    rows: Rows
    collateral: CollateralValues


@dataclass(frozen=True)
class MarginModel(ABC, Generic[D, P, B, H]):
    """A margin model: its rules, with the parameters of one document.

    Attributes:
        NAME: of the rules; unique in the registry.
        DOCUMENT: type of the document.
        FORMS: forms of its rows; ``exact`` where it has kinks that conservative rows give up.
        OWN_UNIVERSE: whether an account brings its own instruments and gross limit, made to fit its quantities. What
            integers cannot hold of such an account is then no mistake of anybody's documents.
        document: the parameters.
    """

    NAME: ClassVar[str]
    DOCUMENT: ClassVar[type[Document]]
    FORMS: ClassVar[tuple[Form, ...]] = ("conservative",)
    OWN_UNIVERSE: ClassVar[bool] = False

    document: D

    # The document.

    @classmethod
    def parse(cls: type[M], document: object) -> M:
        """Return the model of a parsed JSON document.

        Raises:
            DocumentError: the first wrong field, named by its JSON path.
        """
        return cls(cls.DOCUMENT.parse(document))

    @property
    def name(self) -> str:
        """Name of the rules."""
        return self.NAME

    def hash(self) -> str:
        """Return what names rules and parameters in every matrix: SHA-256, in hex."""
        return self.document.hash()

    def canonical(self) -> CanonicalValue:
        """Return the document in canonical form."""
        return self.document.canonical()

    @property
    @abstractmethod
    def labels(self) -> tuple[str, ...]:
        """Labels of the conservative rows, in order; the document alone says them."""

    @property
    def scenario_labels(self) -> tuple[str, ...]:
        """Labels of the scenarios, in order; a scenario may have several rows, whose labels begin with its own."""
        return self.labels

    @property
    def minimum_transfer_amount(self) -> Decimal:
        """USD; no margin call is smaller. 0 where the document does not say."""
        return Decimal(getattr(self.document, "minimum_transfer_amount", 0))

    # Market data.

    @abstractmethod
    def check_market(self, published: P) -> None:
        """Make sure everything the model prices from is there.

        Raises:
            DocumentError: naming the field.
        """

    # Rows.

    @abstractmethod
    def columns(self, published: P, gross_limit: int, bits: int) -> EntryMap:
        """Return the columns of an account.

        Args:
            published: what is public at one time.
            gross_limit: G, whole USD.
            bits: width of a row of the FHE profile, sign included.
        """

    @abstractmethod
    def encode(self, published: P, book: B, columns: EntryMap) -> Integers:
        """Return z, int64 of shape (N,).

        Raises:
            UnknownInstrument, LotsTooLarge, CashTooLarge: the book does not fit the columns.
        """

    @abstractmethod
    def gross_limit(self, published: P, book: B) -> int:
        """Return a gross limit that suits a book, whole USD, for where none is agreed.

        Raises:
            UnknownInstrument, LotsTooLarge: the book does not fit what is published.
        """

    @abstractmethod
    def account_rows(
        self, published: P, posted: H, columns: EntryMap, gross_limit: int, form: Form = "conservative"
    ) -> AccountRows:
        """Return the rows of one form in an account's columns, and its c.

        Args:
            published: what is public at one time.
            posted: what the ledger knows of the account.
            columns: of the account.
            gross_limit: G, whole USD; the size of switches depends on it.
            form: one of `FORMS`.

        Raises:
            FormMissing: the model has no rows of that form.
            TooManyCuts: this form takes more rows than a matrix has; another may do.
            DocumentError, ModelError: published and posted do not fit together, or not the model.
        """

    def least_slack(self, matrix: ExactMatrix, z: Integers) -> Integers:
        """Return the slack that leaves most surplus, int64 of shape (M + B,), in units."""
        return least_slack(matrix, z)

    def true_excess(self, given: AccountRows, kind: MarginKind, z: Integers) -> float:
        """Return the least margin row of one kind before rounding, with the slack that leaves most, USD."""
        return float(true_rows(given.rows, given.collateral, kind, z).min())

    # The plain reference.

    @abstractmethod
    def reference(self, published: P, book: B, posted: H) -> Reference:
        """Return excess, requirement and worst row of an account, unrounded.

        Raises:
            DocumentError: the inputs do not fit together.
        """

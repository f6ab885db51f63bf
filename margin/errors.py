"""Every error this package raises, in one tree.

MarginError
├── CanonicalFormError              a value that has no canonical JSON form
├── DocumentError                   one field of a document is wrong: `.field` is its JSON path
│   ├── MalformedDocument           missing, unknown or wrongly typed field, wrong format, bad timestamp or identifier
│   ├── NotADecimal                 not a plain decimal string (NaN, Infinity, 1e999, +1, 007, a JSON number, …)
│   ├── OutOfRange                  a number outside its range
│   │   ├── NonPositivePrice
│   │   ├── NegativeVolatility
│   │   ├── NegativeLots
│   │   ├── NegativeHolding
│   │   └── LotsTooLarge
│   ├── DuplicateId
│   │   └── DuplicatePosition
│   ├── UnknownId                   refers to something the other document does not have
│   │   ├── UnknownInstrument
│   │   ├── UnknownUnderlying
│   │   └── UnknownAsset
│   ├── ExpiredInstrument           expiry at or before the market's time
│   └── Unpriced                    the market has no quote for something that needs one
│       ├── UnpricedInstrument
│       └── UnpricedAsset
├── EntryOutOfRange                 a portfolio vector of the wrong shape, or an entry outside its digit width
├── GrossLimitError
│   ├── GrossLimitExceeded          the book is larger than the account's gross limit
│   ├── GrossLimitTooSmall          one entry alone could force the unit up
│   └── GrossLimitTooLarge          so many lots fit that rounding alone could overflow a row
├── ModelError
│   ├── OffsettingPairGain          long + short of one instrument would add margin
│   └── NonFiniteWeight             a weight or a collateral value is not a finite number
├── MatrixError
│   ├── MarginOverflow              a row could leave its declared width: `.row`, `.entry`
│   ├── WeightMismatch              an entry is not the directed rounding of the true value: `.row`, `.entry`
│   ├── MatrixMismatch              made for another model, entry map, shape, kind or unit
│   ├── UnitTooCoarse               the unit wastes more than a factor of two
│   └── ProfileTooSmall             the matrix does not fit the profile it is padded to
└── TransferError
    ├── BadAmount                   not a positive, finite amount
    ├── TransferTooSmall            what was moved is worth less than the call in some row
    └── InsufficientFreeCollateral  all free collateral together does not reach the amount
"""


class MarginError(Exception):
    """Root of the errors of `atomic_margin.margin`. The message says which field is wrong and what would be right."""


class CanonicalFormError(MarginError):
    """A value that is to be hashed or signed has no canonical JSON form."""


class DocumentError(MarginError):
    """One field of a document is wrong.

    Attributes:
        field: JSON path of the field, such as ``positions[3].lots``; ``$`` is the document itself.
        problem: what is wrong and what would be right.
    """

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(field, problem)
        self.field = field
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.field}: {self.problem}"


class MalformedDocument(DocumentError):
    """A field is missing, unknown, of the wrong type or not of the form its document's format asks for."""


class NotADecimal(DocumentError):
    """A number is not a plain decimal string with one spelling."""


class OutOfRange(DocumentError):
    """A number is well formed but outside the range its meaning allows."""


class NonPositivePrice(OutOfRange):
    """A price is zero or negative."""


class NegativeVolatility(OutOfRange):
    """A volatility is negative."""


class NegativeLots(OutOfRange):
    """A position has negative lots; sides are told apart by `side`."""


class NegativeHolding(OutOfRange):
    """A ledger quantity is negative."""


class LotsTooLarge(OutOfRange):
    """A position does not fit the digits its instrument has."""


class DuplicateId(DocumentError):
    """Two items share an identifier."""


class DuplicatePosition(DuplicateId):
    """One instrument and side appear twice in a portfolio."""


class UnknownId(DocumentError):
    """An identifier has no counterpart in the document it refers to."""


class UnknownInstrument(UnknownId):
    """The universe has no such instrument."""


class UnknownUnderlying(UnknownId):
    """The universe, the model or the market has no such underlying."""


class UnknownAsset(UnknownId):
    """The collateral schedule has no such asset."""


class ExpiredInstrument(DocumentError):
    """An instrument's expiry is not after the market's time."""


class Unpriced(DocumentError):
    """The market lacks a quote; the field is where it would stand."""


class UnpricedInstrument(Unpriced):
    """The market lacks the spot, forward or volatility an instrument needs."""


class UnpricedAsset(Unpriced):
    """The market lacks the price of a collateral asset."""


class EntryOutOfRange(MarginError):
    """A portfolio vector has the wrong shape or type, or an entry outside 0 … 31."""


class GrossLimitError(MarginError):
    """The account's gross limit does not fit."""


class GrossLimitExceeded(GrossLimitError):
    """The book's gross weight g·z is above the account's gross limit."""


class GrossLimitTooSmall(GrossLimitError):
    """The gross limit is below four times the largest gross weight, so one entry could force the unit up."""


class GrossLimitTooLarge(GrossLimitError):
    """The gross limit lets in so many of the smallest lots that no unit could rule out an overflow."""


class ModelError(MarginError):
    """The margin model cannot be used as it is."""


class OffsettingPairGain(ModelError):
    """Long and short of one instrument together have positive weight, so padding a book would add margin."""


class NonFiniteWeight(ModelError):
    """A compiled value is infinite or not a number."""


class MatrixError(MarginError):
    """A margin matrix is not acceptable."""


class _EntryError(MatrixError):
    def __init__(self, row: str, entry: str, problem: str) -> None:
        super().__init__(row, entry, problem)
        self.row = row
        self.entry = entry
        self.problem = problem

    def __str__(self) -> str:
        return f"row {self.row!r}, {self.entry}: {self.problem}"


class MarginOverflow(_EntryError):
    """Some book within the gross limit, or the declared width, could be overrun at this row and entry.

    Attributes:
        row: label of the row.
        entry: label of the column, or ``collateral``.
        problem: what is too large and what would fit.
    """


class WeightMismatch(_EntryError):
    """An entry lies above the recomputed true value, or more than two units below it.

    Attributes:
        row: label of the row.
        entry: label of the column, or ``collateral``.
        problem: both values, in units.
    """


class MatrixMismatch(MatrixError):
    """The matrix belongs to another model, entry map, kind, place, unit or shape than the one it is compared with."""


class UnitTooCoarse(MatrixError):
    """The unit is coarser than the smallest admissible one by more than float noise explains."""


class ProfileTooSmall(MatrixError):
    """The matrix has more rows or entries, or wider collateral, than the profile it is padded to."""


class TransferError(MarginError):
    """A collateral transfer cannot be made up."""


class BadAmount(TransferError):
    """The amount asked for is not a positive finite number of USD."""


class TransferTooSmall(TransferError):
    """A transfer's value after haircut is below the amount called in some row."""


class InsufficientFreeCollateral(TransferError):
    """All free collateral after haircut, in the worst row, is worth less than the amount."""

"""Every error of reading a document, in one tree. Packages above raise these too, or errors of theirs that are these.

DocumentsError
├── CanonicalFormError              a value that has no canonical JSON form
└── DocumentError                   one field of a document is wrong: `.field` is its JSON path
    ├── MalformedDocument           missing, unknown or wrongly typed field, wrong format, bad timestamp or identifier
    ├── NotAPublicKey               no Ed25519 public key in its one spelling, or one of small order
    ├── NotADecimal                 not a plain decimal string (NaN, Infinity, 1e999, +1, 007, a JSON number, …)
    ├── OutOfRange                  a number outside its range
    │   ├── NonPositivePrice
    │   ├── NegativeVolatility
    │   ├── NegativeLots
    │   └── NegativeHolding
    ├── DuplicateId                 two items share an identifier
    └── UnknownId                   refers to something the other document does not have
"""


class DocumentsError(Exception):
    """Root of the errors of `atomic_margin.documents`. The message says which field is wrong and what would do."""


class CanonicalFormError(DocumentsError):
    """A value that is to be hashed or signed has no canonical JSON form."""


class DocumentError(DocumentsError):
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


class NotAPublicKey(DocumentError):
    """32 bytes are no Ed25519 public key in its one spelling, or one under which anybody can sign."""


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


class DuplicateId(DocumentError):
    """Two items share an identifier."""


class UnknownId(DocumentError):
    """An identifier has no counterpart in the document it refers to."""

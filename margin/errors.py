"""Every error this package raises of its own, in one tree; strict parsing raises those of `documents.errors`.

MarginError
├── (of one field of a document, under `documents.errors.DocumentError` too: `.field` is its JSON path)
│   ├── LotsTooLarge                a position does not fit its digits                             an OutOfRange
│   ├── CashTooLarge                cash does not fit its entries                                  an OutOfRange
│   ├── DuplicatePosition           one instrument and side twice                                  a DuplicateId
│   ├── UnknownInstrument           refers to something the other document does not have           an UnknownId
│   ├── UnknownUnderlying                                                                          an UnknownId
│   ├── UnknownAsset                                                                               an UnknownId
│   ├── UnknownVenue                                                                               an UnknownId
│   ├── ExpiredInstrument           a case with an option that has expired
│   ├── CrossedPrices               options of one expiry priced so that a spread is worth less than nothing
│   ├── TierError                   concentration tiers that are no table
│   │   ├── TierGap                 bands that do not join, or an empty band
│   │   └── TierRising              a percentage above the one of the band below
│   ├── IneligibleAsset             the schedule takes no more of an asset, or an agreement not what it becomes
│   ├── ScheduleNotInForce          the market is older than the schedule
│   ├── InitialBelowMaintenance     a book may be in breach of maintenance margin and lack no initial margin
│   ├── NotACovariance              a matrix that is not symmetric and positive semidefinite
│   ├── CoverTooSmall               corners that do not contain every tail average of the scores
│   └── Unpriced                    the market has no quote for something that needs one
│       ├── UnpricedInstrument
│       ├── NotSettled              what a book holds has expired, and its settlement price is not known yet
│       └── UnpricedAsset
├── EntryOutOfRange                 a portfolio vector of the wrong shape, or an entry outside its width
├── GrossLimitError
│   ├── GrossLimitExceeded          the book is larger than the account's gross limit
│   ├── GrossLimitTooSmall          one entry, or the step of margin calls, could force the unit up
│   └── GrossLimitTooLarge          so many lots fit that rounding alone could overflow a row
├── ModelError
│   ├── OffsettingPairGain          long + short of one instrument would add to the excess
│   ├── NonFiniteWeight             a weight or a collateral value is not a finite number
│   ├── MovesMismatch               spot moves of collateral that are not one for each row
│   ├── FormMissing                 the model has no rows of the form asked for
│   ├── UnknownModel                no model of this name is registered
│   ├── DuplicateModel              two models of one name
│   ├── NotAnalysed                 an analysis that a model, or two accounts, do not allow
│   └── NegativeGap                 integers, or a conservative form, say a larger excess than there is (by `bench.gap`)
├── MatrixError
│   ├── MarginOverflow              a row could leave its declared width: `.row`, `.entry`
│   ├── MatrixMismatch              made for another model, entry map, shape, kind or unit; another than is named
│   ├── ProfileTooSmall             the matrix does not fit the profile it is padded to
│   ├── ScaleTooFine                integer rows of tiers cannot hold the values
│   ├── FormTooLarge                rows with slack take more bits or slack than a proof has
│   ├── TooManyCuts                 venues times scenarios take more rows than a matrix has
│   └── TooManyRows                 tiers without slack values take too many rows
├── SlackError
│   ├── SlackTooSmall               a row that bounds slack from below is negative: `.row`
│   ├── SlackOutOfRange             slack values of the wrong shape, or outside their widths
│   ├── SlackUnbounded              nothing bounds what a slack value needs to be
│   ├── SlackNeedsSolver            the least slack depends on a choice only the model can make
│   ├── CertificateInvalid          names rows or factors that no combined row is made of
│   ├── SlackLeftOver               the rows that a certificate adds keep slack: they say nothing without it
│   ├── CombinedRowTooWide          a combined row with a number that no proof takes: the book stays frozen
│   ├── RowsWithSlack               rows with slack where only slack-free ones can be used
│   └── RowsWithoutSlack            slack-free rows where rows with slack are wanted
└── TransferError
    ├── BadAmount                   not a positive, finite amount
    ├── TransferTooSmall            what was moved is worth less than the call in some row
    └── InsufficientFreeCollateral  all free collateral together does not reach the amount
"""

from atomic_margin.documents.errors import DocumentError, DuplicateId, OutOfRange, UnknownId


class MarginError(Exception):
    """Root of the errors of `atomic_margin.margin`. The message says which field is wrong and what would be right."""


class LotsTooLarge(OutOfRange, MarginError):
    """A position does not fit the digits its instrument has."""


class CashTooLarge(OutOfRange, MarginError):
    """What trades have left in cash does not fit the entries an account of this gross limit has for it."""


class DuplicatePosition(DuplicateId, MarginError):
    """One instrument and side appear twice in a portfolio."""


class UnknownInstrument(UnknownId, MarginError):
    """The universe has no such instrument."""


class UnknownUnderlying(UnknownId, MarginError):
    """The universe, the model or the market has no such underlying."""


class UnknownAsset(UnknownId, MarginError):
    """The collateral schedule has no such asset."""


class UnknownVenue(UnknownId, MarginError):
    """The cross-margin model has no such venue."""


class ExpiredInstrument(DocumentError, MarginError):
    """An option of a case has expired: its seconds to expiry are below zero."""


class CrossedPrices(DocumentError, MarginError):
    """Volatilities of one expiry price a spread of two strikes below zero: prices are crossed."""


class TierError(DocumentError, MarginError):
    """Concentration tiers do not form a table."""


class TierGap(TierError):
    """Bands of a tier table do not join each other from 0 upwards, or one is empty."""


class TierRising(TierError):
    """A percentage of a tier table is above the one of the band below it."""


class IneligibleAsset(DocumentError, MarginError):
    """The collateral schedule takes no more of an asset, or an agreement takes it and not what it becomes."""


class ScheduleNotInForce(DocumentError, MarginError):
    """The market is of a time before the collateral schedule takes effect."""


class InitialBelowMaintenance(DocumentError, MarginError):
    """A book may be in breach of maintenance margin under these terms, and lack no initial margin."""


class Unpriced(DocumentError, MarginError):
    """The market lacks a quote; the field is where it would stand."""


class UnpricedInstrument(Unpriced):
    """The market lacks the spot, forward or volatility an instrument needs."""


class NotSettled(Unpriced):
    """The market has no settlement price of something that expires."""


class UnpricedAsset(Unpriced):
    """The market lacks the price of a collateral asset."""


class NotACovariance(DocumentError, MarginError):
    """A covariance matrix is not symmetric, or has a negative eigenvalue."""


class CoverTooSmall(DocumentError, MarginError):
    """The corners of an expected-shortfall cover leave out some tail average of the scores."""


class EntryOutOfRange(MarginError):
    """A portfolio vector has the wrong shape or type, or an entry outside its width."""


class GrossLimitError(MarginError):
    """The account's gross limit does not fit."""


class GrossLimitExceeded(GrossLimitError):
    """The book's gross weight g·z is above the account's gross limit."""


class GrossLimitTooSmall(GrossLimitError):
    """The gross limit is below four times the largest gross weight, or below the minimum transfer amount."""


class GrossLimitTooLarge(GrossLimitError):
    """The gross limit lets in so many of the smallest lots that no unit could rule out an overflow."""


class ModelError(MarginError):
    """The margin model cannot be used as it is."""


class OffsettingPairGain(ModelError):
    """Long and short of one instrument together have positive weight, so padding a book would add to the excess."""


class NonFiniteWeight(ModelError):
    """A compiled value is infinite or not a number."""


class MovesMismatch(ModelError):
    """Labels, spot moves and coverages of a model are not one of each for every row."""


class FormMissing(ModelError):
    """The model has no rows of the form asked for."""


class UnknownModel(ModelError):
    """No margin model of this name is registered."""


class DuplicateModel(ModelError):
    """A margin model of this name is registered already."""


class NotAnalysed(ModelError):
    """An analysis of `margin.analysis` is not there for this model, or not for these two accounts."""


class NegativeGap(ModelError):
    """Integers, or a conservative form, say a larger excess than there is: a defect of the model's rows."""


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


class MatrixMismatch(MatrixError):
    """The matrix belongs to another model, entry map, kind, place, unit or shape, or is another one than is named."""


class ProfileTooSmall(MatrixError):
    """The matrix has more rows or entries, or wider collateral, than the profile it is padded to."""


class SlackError(MarginError):
    """The slack values of an exact matrix, or their declaration, are not acceptable."""


class SlackTooSmall(SlackError):
    """A validity row is negative: slack does not reach the kink it stands for.

    Attributes:
        row: label of the row.
        missing: by how much, in units.
    """

    def __init__(self, row: str, missing: int) -> None:
        super().__init__(row, missing)
        self.row = row
        self.missing = missing

    def __str__(self) -> str:
        return f"row {self.row!r} is {self.missing} units short: raise its slack, the least is given by `least_slack`"


class SlackOutOfRange(SlackError):
    """Slack has the wrong shape or type, or a value outside its declared width."""


class SlackUnbounded(SlackError):
    """A slack value has neither a validity row nor a cap, so no width can be declared for it."""


class SlackNeedsSolver(SlackError):
    """A validity row holds several slack values, so the model has to supply them."""


class CertificateInvalid(SlackError):
    """A certificate names rows or factors that no combined row is made of."""


class SlackLeftOver(SlackError):
    """Rows that a certificate adds up keep slack that could lift their sum."""


class CombinedRowTooWide(SlackError):
    """A number of a combined row is larger than a proof takes: that book is not opened, and stays frozen."""


class RowsWithSlack(SlackError):
    """Rows hold slack, and are used where only slack-free rows can be."""


class RowsWithoutSlack(SlackError):
    """Rows hold no slack, and are used where their slack is wanted."""


class ScaleTooFine(MatrixError):
    """Integer rows of tiers cannot hold the values at this scale."""


class FormTooLarge(MatrixError):
    """Rows with slack take more slack values or more bits than one proof has."""


class TooManyCuts(MatrixError):
    """A cross-margin model without slack values takes more rows than a matrix has."""


class TooManyRows(MatrixError):
    """Writing tiers without slack values takes more rows than a matrix has."""


class TransferError(MarginError):
    """A collateral transfer cannot be made up."""


class BadAmount(TransferError):
    """The amount asked for is not a positive finite number of USD."""


class TransferTooSmall(TransferError):
    """A transfer's value after haircut is below the amount called in some row."""


class InsufficientFreeCollateral(TransferError):
    """All free collateral after haircut, in the worst row, is worth less than the amount."""

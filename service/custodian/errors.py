"""Why a custodian stores nothing, takes no part, or ends a session, in one tree.

CustodianError
├── KeysDamaged                  a key in its folder is missing, readable by others, or of another form
├── SharesDamaged                stored shares do not decrypt: another storage key, or a row that was changed
├── DealRefused                  a deal is not taken, and nobody is told: what is wrong is not the institution's shares
│   ├── PolicyNotAgreed          nobody agreed here to the policy that it is dealt under, or it names other keys
│   ├── InstitutionUnknown       the trust file does not name the institution
│   ├── DealingInvalid           it is not signed by the institution, or does not fit its policy
│   ├── DealDiffers              what the operator hands out is not what the institution signed
│   └── TooManyDeals             of this institution, or at all; a later round may take it
├── ResharingRefused             shares are not passed on, or new ones not taken, and nobody is told
├── SharesUnusable               there are no shares that fit; complained about, `.reason` and `.entry` say how
├── OpeningRefused               takes no part in an opening, and tells the operator so by this name
│   ├── RequestInvalid           it is not the operator's, or of an account, policy or deal that is not held here
│   ├── CheckpointRefused        no checkpoint of the log that enough witnesses cosigned lately
│   ├── LogDiffers               the log contradicts itself, or the history that is shown; what shows it is kept
│   ├── HistoryRefused           the history does not hold, is not whole, or is under what the trust file does not pin
│   ├── HistoryOlder             it has fewer entries than were seen here before: an old backup, or a hidden answer
│   ├── NotRequested             the history has no such request, or the log does not have it yet
│   ├── OpeningOver              the opening is over: it was answered, found, or given up
│   ├── TooEarly                 the time after which a book may be opened is not over
│   ├── RunOld                   a later tick with prices had long been known when it was asked for
│   ├── BookDiffers              the shares here are of another book than the run's, or that has no proof that holds
│   ├── RecordDiffers            tick, terms or matrices are others than those that the record names
│   ├── SlackNotOpened           rows with slack that no opening takes: none at this tick, too many, or too wide
│   ├── TooManySessions          so many computations of one opening came to nothing that a custodian deviates
│   └── TooManyOpenings          as many runs were opened here as are remembered
└── SessionFailed                nothing came of a session; another one may follow
    ├── SessionRefused           its custodians are not those that the policy allows
    ├── FoundOtherwise           the computation says something else than it said of this run before
    ├── RowShareWrong            a custodian signed and sent a wrong share of a row; `.point` is its
    ├── RowsUnsigned             a custodian's name is on shares of rows that it did not sign: nobody is to blame
    ├── RowsMissing              too few custodians sent shares of the rows that fit
    ├── NotProven                the rows are not what the computation said of them: a custodian deviated
    ├── VoidRefused              what should make a finding void is about another one, or its proof does not hold
    ├── FindingVoid              what was computed is void by a proof; the next session computes anew
    ├── TooManyVoids             as many findings of this run were void as may be: what is found now stays
    ├── FindingRefused           what the closer brought is not what was computed here, or a proof does not hold
    └── SessionOver              it took too long
"""

from atomic_margin.service.errors import ServiceError


class CustodianError(ServiceError):
    """Root of a custodian's errors."""


class KeysDamaged(CustodianError):
    """A key in the folder is missing, readable by others, or of another form."""


class SharesDamaged(CustodianError):
    """Stored shares do not decrypt: under another storage key, or of a row that was changed."""


class DealRefused(CustodianError):
    """A deal is not taken, and nobody is told."""


class PolicyNotAgreed(DealRefused):
    """Nobody agreed here to a custody policy, or it names other keys than this custodian's."""


class InstitutionUnknown(DealRefused):
    """The trust file does not name an institution."""


class DealingInvalid(DealRefused):
    """A dealing is not signed by its institution, or does not fit its policy."""


class DealDiffers(DealRefused):
    """What the operator hands out is not what the institution signed."""


class TooManyDeals(DealRefused):
    """There are as many deals of an institution, or at all, as a custodian takes."""


class ResharingRefused(CustodianError):
    """A re-sharing is not what the account's history allows, or what was passed on is not what was signed."""


class SharesUnusable(CustodianError):
    """There are no shares that fit a deal.

    Attributes:
        reason: as a complaint says it.
        entry: the first entry whose shares do not fit, where that is the reason.
    """

    def __init__(self, reason: str, message: str, entry: int | None = None) -> None:
        super().__init__(message)
        self.reason, self.entry = reason, entry


class OpeningRefused(CustodianError):
    """A custodian takes no part in an opening."""


class RequestInvalid(OpeningRefused):
    """A request is not the operator's, or of an account, policy or deal that is not held here."""


class CheckpointRefused(OpeningRefused):
    """There is no checkpoint that enough witnesses cosigned lately."""


class LogDiffers(OpeningRefused):
    """The log contradicts itself, or the history that is shown."""


class HistoryRefused(OpeningRefused):
    """The history of the account does not hold."""


class HistoryOlder(OpeningRefused):
    """The history has fewer entries than were seen before: an old backup, or a hidden answer."""


class NotRequested(OpeningRefused):
    """The history has no such request, or the log does not have it yet."""


class OpeningOver(OpeningRefused):
    """The opening is over: it was answered, found, or given up."""


class TooEarly(OpeningRefused):
    """The time after which a book may be opened is not over."""


class RunOld(OpeningRefused):
    """A later tick with prices had long been known when the opening was asked for: whoever asks could choose."""


class TooManySessions(OpeningRefused):
    """So many computations of one opening came to nothing that somebody may be after what each of them tells."""


class BookDiffers(OpeningRefused):
    """The shares are of another book than the run's, or no proof holds that keeps its entries in range."""


class RecordDiffers(OpeningRefused):
    """Tick, terms or matrices are others than those that the run's record names."""


class SlackNotOpened(OpeningRefused):
    """The model has slack, and there are no exact rows, or none that can be computed or proven: it stays frozen."""


class TooManyOpenings(OpeningRefused):
    """As many runs were opened here as are remembered."""


class SessionFailed(CustodianError):
    """Nothing came of a session."""


class SessionRefused(SessionFailed):
    """A session is not of as many custodians of the policy as compute, or has another closer."""


class FoundOtherwise(SessionFailed):
    """The computation says something else than it said of this run before: nothing is sent."""


class RowShareWrong(SessionFailed):
    """A custodian signed and sent a wrong share of a row.

    Attributes:
        point: of that custodian.
    """

    def __init__(self, point: int, message: str) -> None:
        super().__init__(message)
        self.point = point


class RowsUnsigned(SessionFailed):
    """A box of shares is not signed by the custodian in whose name it came: the operator, or anybody, may have made it.

    It says nothing about that custodian; but an operator that is honest knows from whom it took the box.
    """


class RowsMissing(SessionFailed):
    """Too few custodians sent shares of the rows that fit."""


class NotProven(SessionFailed):
    """The opened rows are not what the computation said of them: a custodian deviated in it."""


class VoidRefused(SessionFailed):
    """What should make a finding void is about another one than was found here, or its proof does not hold."""


class FindingVoid(SessionFailed):
    """What was computed is void: a row that it named is not negative, by a proof. The next session computes anew."""


class TooManyVoids(SessionFailed):
    """As many findings of a run were void as may be: what is found now is kept, and nothing else is said of it."""


class FindingRefused(SessionFailed):
    """What the closer brought is not what was computed here, or a proof of it does not hold."""


class SessionOver(SessionFailed):
    """A session took too long."""

"""Why a request is refused: 4xx, with the HTTP status each error becomes. Whoever raises one imports `service.errors`.

ServiceError
└── RequestError                 4xx: the request is wrong; nothing was stored
    ├── MalformedRequest         400  a field is wrong; `.field` is its JSON path
    ├── NotAuthorised            401  neither a signature nor a token that opens this
    │   ├── RequestSignatureInvalid 401 a request's signature is malformed or wrong, or covers too little
    │   ├── BodyDiffers          401  the body is not the one that was signed
    │   ├── EpochPast            401  signed for an earlier process, or before the clock was set back
    │   ├── KeyReplaced          401  the identity key that signed was replaced
    │   ├── KeyUnknown           401  the key that signed is nobody's here
    │   ├── RequestExpired       401  signed too long ago, or in the future
    │   └── RequestReplayed      401  the very request was taken before
    ├── NotPermitted             403  a key of the operator's staff without the scope for this
    ├── SignatureInvalid         403  a signature is wrong or by a key that is not trusted for this
    ├── NotFound                 404
    ├── Gone                     410  it was there, and is kept no longer
    ├── Conflict                 409  out of sequence, in the wrong state, or already done
    │   ├── IllegalTransition    409  an event that is not possible in the state of an account, run or shortfall
    │   ├── QuotaExceeded        409  an institution has as much of something as it may have
    │   ├── InsufficientFunds    409  a ledger account would go below zero
    │   ├── ClaimLost            409  a run that another caller has in hand by now
    │   ├── DealingOver          409  a deal that takes no receipts any more; deal anew
    │   ├── OpeningOver          409  an opening, or a session of one, that is over
    │   ├── RunOld               409  custodians would refuse to open a run at prices that are so old
    │   ├── AskedTooEarly        409  custodians would refuse an opening as too early; `.not_before` says how long
    │   ├── AccountHeld          409  the operator holds an account whose identity key somebody else may have
    │   └── EntriesMissing       409  somebody knows later entries of an account than are stored: an older backup
    ├── TooLarge                 413  a body over its limit
    ├── TooManyRequests          429  more requests than are taken from one caller
    ├── TooManyStreams           429  as many event streams are open as there may be
    └── Refused                  422  well-formed, but a check of the protocol fails (proof, keys, unit, limits)
        ├── UnknownUniverse      422  a universe that is none of the terms, nor a revision of one
        ├── NotOpened            422  a book that custodians cannot open here
        ├── SaleRefused          422  a sale of segregated collateral that the waterfall rules do not allow
        ├── FundBroken           422  documents of the guarantee fund that do not follow one another
        └── PricesRefused        422  prices that make no tick under the price rules
            ├── TooFewSources    422  fewer sources are fresh and agree than the rules require
            ├── PriceMoveTooLarge 422 a combined quote is too far from the tick before
            └── RulesNotSigned   422  a change of price rules that too few of the old sources signed, or for elsewhere
"""

from typing import ClassVar


class ServiceError(Exception):
    """Root of the errors of `atomic_margin.service`. The message tells a person what to do next."""


class RequestError(ServiceError):
    """A request that is refused; nothing was stored.

    Attributes:
        status: HTTP status.
        slug: last part of the problem's type URN.
        field: JSON path or name of the part that is wrong, if one is.
        not_before: from when the same request may be taken, UTC, where time alone is wrong.
    """

    status: ClassVar[int] = 400
    slug: ClassVar[str] = "request"
    title: ClassVar[str] = "The request is refused"
    not_before: str | None = None

    def __init__(self, detail: str, field: str | None = None) -> None:
        super().__init__(detail)
        self.field = field


class MalformedRequest(RequestError):
    """A field is missing, of the wrong form, or outside its range."""

    slug, title = "malformed", "A field is wrong"


class NotAuthorised(RequestError):
    """Neither a signature nor a token, or one that does not open this resource."""

    status, slug, title = 401, "not-authorised", "A signature or a token for this is needed"


class RequestSignatureInvalid(NotAuthorised):
    """The signature of a request (RFC 9421) is malformed or wrong, covers too little, or is for another operator."""

    slug, title = "request-signature", "The request's signature does not hold"


class BodyDiffers(NotAuthorised):
    """The body that arrived is not the one whose digest was signed."""

    slug, title = "body-differs", "The body is not the one that was signed"


class EpochPast(NotAuthorised):
    """A request was signed for an earlier process of the operator, or before its clock was set back."""

    slug, title = "epoch-past", "The request was signed for another epoch"


class KeyReplaced(NotAuthorised):
    """The identity key that signed a request was replaced by another one."""

    slug, title = "key-replaced", "The key that signed was replaced"


class KeyUnknown(NotAuthorised):
    """The key that signed a request is no institution's, reader's or source's here."""

    slug, title = "key-unknown", "The key that signed is not known here"


class RequestExpired(NotAuthorised):
    """A request was signed too long ago, or in the future, by the operator's clock."""

    slug, title = "request-expired", "The time of the request's signature is not now"


class RequestReplayed(NotAuthorised):
    """The very request was taken before."""

    slug, title = "request-replayed", "The request was taken before"


class NotPermitted(RequestError):
    """A key of the operator's staff does not have the scope that a call needs."""

    status, slug, title = 403, "not-permitted", "The key does not have the scope for this"


class SignatureInvalid(RequestError):
    """A signature is wrong, or by a key that is not trusted for this kind of document."""

    status, slug, title = 403, "signature", "The signature does not hold"


class NotFound(RequestError):
    """There is nothing under that name."""

    status, slug, title = 404, "not-found", "Nothing is there"


class Gone(RequestError):
    """It was there, and is kept no longer."""

    status, slug, title = 410, "gone", "It is kept no longer"


class Conflict(RequestError):
    """Out of sequence, in the wrong state, or already done otherwise."""

    status, slug, title = 409, "conflict", "The state does not allow it"


class IllegalTransition(Conflict):
    """An event that is not possible in the state of an account, a run or a shortfall; see `protocol.states`."""


class InsufficientFunds(Conflict):
    """A ledger account would go below zero."""

    slug, title = "insufficient-funds", "The account does not hold that much"


class ClaimLost(Conflict):
    """A run that another caller has in hand by now; see `operator.store.claims`."""

    slug, title = "claim-lost", "Another caller has it in hand"


class AccountHeld(Conflict):
    """The operator holds an account whose identity key may be somebody else's; see `operator.holds`."""

    slug, title = "account-held", "The account is held"


class DealingOver(Conflict):
    """A deal that takes no receipts any more: its time is over, or too many custodians complain. Deal anew."""

    slug, title = "dealing-over", "The deal is over"


class OpeningOver(Conflict):
    """An opening that is over, or a session of one that another session took the place of."""

    slug, title = "opening-over", "The opening, or its session, is over"


class RunOld(Conflict):
    """Custodians would refuse an opening, since the prices of the run are old; the run at the newest tick will do."""

    slug, title = "run-old", "The run is at old prices"


class AskedTooEarly(Conflict):
    """Custodians would refuse an opening, since the time of their policy is not over; nothing is lost by waiting."""

    slug, title = "opening-too-early", "It is too early to have the book opened"

    def __init__(self, detail: str, field: str | None = None, not_before: str | None = None) -> None:
        super().__init__(detail, field)
        self.not_before = not_before


class QuotaExceeded(Conflict):
    """An institution has as much of something here as it may have."""

    slug, title = "quota", "There is no more place for it"


class EntriesMissing(Conflict):
    """Somebody asks for entries after one that is not stored: the database was restored from an older backup."""

    slug, title = "entries-missing", "Entries of the account are not stored here"


class TooLarge(RequestError):
    """A body over its limit."""

    status, slug, title = 413, "too-large", "The body is too large"


class TooManyRequests(RequestError):
    """More requests than are taken from one caller in the time."""

    status, slug, title = 429, "too-many-requests", "Too many requests"


class TooManyStreams(RequestError):
    """As many event streams are open as there may be, of this caller or of all."""

    status, slug, title = 429, "too-many-streams", "Too many event streams are open"


class Refused(RequestError):
    """Well-formed, but a check of the protocol fails: a proof, keys, a unit, a limit."""

    status, slug, title = 422, "refused", "A check of the protocol fails"


class UnknownUniverse(Refused):
    """A universe that is none of the terms, nor a revision of one."""

    slug, title = "unknown-universe", "The universe is none of the terms"


class NotOpened(Refused):
    """A book that custodians cannot open: its rows have slack of another shape, or its collateral is in a vault."""

    slug, title = "not-opened", "The book cannot be opened"


class SaleRefused(Refused):
    """A sale of segregated collateral that the waterfall rules, or the prices of its tick, do not allow."""

    slug, title = "sale", "The sale is not allowed"


class FundBroken(Refused):
    """Documents of the guarantee fund do not follow one another, or count something else than members have."""

    slug, title = "fund", "The fund's documents do not follow"


class PricesRefused(Refused):
    """Prices do not make a tick under the price rules; nothing was stored."""

    slug, title = "prices", "The prices make no tick"


class TooFewSources(PricesRefused):
    """Fewer sources are fresh and agree than the price rules require."""

    slug, title = "too-few-sources", "Too few price sources agree"


class PriceMoveTooLarge(PricesRefused):
    """A combined quote is further from the tick before than the price rules allow."""

    slug, title = "price-move", "A price moved too far in one tick"


class RulesNotSigned(PricesRefused):
    """A change of price rules that too few sources of the old ones signed, or that is for another chain or number."""

    slug, title = "rules-not-signed", "The change of price rules does not hold"

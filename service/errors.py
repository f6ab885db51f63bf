"""Every error of this package, in one tree, with the HTTP status each becomes.

Those of requests are drawn in `service.request_errors`, and imported from here like the others. Under the same root,
those of an audit are in `service.audit.errors`, of the log in `service.log.errors`, of a witness in
`service.witness.errors`, of a monitor in `service.verifier.errors`, of names in `service.pointer.errors` and of
custodians' computation in `service.custodian.engine.errors`.

ServiceError
├── AttestationInvalid           a bundle does not verify; `.step` names what failed
├── ArchiveInvalid               an examiner's archive is not whole, or does not hold; `.step` names what failed
├── SourceError                  a price source has nothing it could sign
│   ├── SourceUnreachable        what it reads from does not answer
│   ├── RoundMalformed           an on-chain answer is not what an aggregator returns
│   ├── RoundIncomplete          an aggregator's round has no answer yet
│   ├── RoundStale               an aggregator's answer is too old, or carried over from an earlier round
│   └── AlreadySigned            it signed another document for this tick, or a later one
├── ChainBroken                  an operator's ticks do not follow one another
│   ├── TickForked               two ticks of one number, or one that follows another than was seen
│   ├── TickSkipped              a number is left out
│   └── TickGoneBack             a tick older than one that was seen
├── AgentRefused                 the institution's agent will not answer: the run is not what it pinned
│   ├── OperatorBehind           the operator lacks entries that the agent has: an older backup
│   ├── TickStale                its prices are older, by the agent's clock, than it answers
│   ├── DealOpen                 a book was dealt, and receipts of custodians are missing yet
│   ├── DealFailed               a deal of a book came to nothing; custodians are named
│   └── NotAdmitted              the operator has not admitted this institution under its identity key
├── ShareBoxError                shares of a book that cannot be sent to a custodian, or taken by it
│   ├── EncryptionKeyRefused     no X25519 public key in its one spelling, or one that hides nothing
│   ├── BoxMalformed             another length than a box with shares of so many entries has
│   └── BoxDoesNotOpen           sealed for somebody or something else, or changed on the way
├── DiskTooFull                  there is no room for what is to be made; nothing was begun
├── HistoryDiffers               what an operator has stored is not what its entries give
├── RemoteError                  the other side answered with a problem
│   └── MalformedResponse        it answered with something else than the protocol's message
├── StoreError                   what the operator keeps cannot be read or written now
│   ├── DatabaseBusy             503  the database was busy, or did not answer, for as long as a caller waits
│   ├── OutOfSpace               507  its disk has too little room for what was sent
│   ├── BlobsUnreachable         503  the store of large bytes does not answer
│   ├── BlobDamaged              stored bytes have another hash than their name
│   └── BackupInvalid            a backup is not whole, or is none
└── ConfigurationError           a file or option is missing or wrong; the message says what to do
    ├── DatabaseUnusable         a database that is not reachable, or none of ours
    │   └── SchemaUnknown        one whose tables this version does not know: a newer version, or somebody, made them
    └── ModelNotServed           a margin model that takes more than the service knows of an account
"""

from typing import Any

from atomic_margin.service.request_errors import AccountHeld as AccountHeld
from atomic_margin.service.request_errors import AskedTooEarly as AskedTooEarly
from atomic_margin.service.request_errors import BodyDiffers as BodyDiffers
from atomic_margin.service.request_errors import ClaimLost as ClaimLost
from atomic_margin.service.request_errors import Conflict as Conflict
from atomic_margin.service.request_errors import DealingOver as DealingOver
from atomic_margin.service.request_errors import EntriesMissing as EntriesMissing
from atomic_margin.service.request_errors import EpochPast as EpochPast
from atomic_margin.service.request_errors import FundBroken as FundBroken
from atomic_margin.service.request_errors import Gone as Gone
from atomic_margin.service.request_errors import IllegalTransition as IllegalTransition
from atomic_margin.service.request_errors import InsufficientFunds as InsufficientFunds
from atomic_margin.service.request_errors import KeyReplaced as KeyReplaced
from atomic_margin.service.request_errors import KeyUnknown as KeyUnknown
from atomic_margin.service.request_errors import MalformedRequest as MalformedRequest
from atomic_margin.service.request_errors import NotAuthorised as NotAuthorised
from atomic_margin.service.request_errors import NotFound as NotFound
from atomic_margin.service.request_errors import NotOpened as NotOpened
from atomic_margin.service.request_errors import NotPermitted as NotPermitted
from atomic_margin.service.request_errors import OpeningOver as OpeningOver
from atomic_margin.service.request_errors import PriceMoveTooLarge as PriceMoveTooLarge
from atomic_margin.service.request_errors import PricesRefused as PricesRefused
from atomic_margin.service.request_errors import QuotaExceeded as QuotaExceeded
from atomic_margin.service.request_errors import Refused as Refused
from atomic_margin.service.request_errors import RequestError as RequestError
from atomic_margin.service.request_errors import RequestExpired as RequestExpired
from atomic_margin.service.request_errors import RequestReplayed as RequestReplayed
from atomic_margin.service.request_errors import RequestSignatureInvalid as RequestSignatureInvalid
from atomic_margin.service.request_errors import RulesNotSigned as RulesNotSigned
from atomic_margin.service.request_errors import RunOld as RunOld
from atomic_margin.service.request_errors import SaleRefused as SaleRefused
from atomic_margin.service.request_errors import ServiceError as ServiceError
from atomic_margin.service.request_errors import SignatureInvalid as SignatureInvalid
from atomic_margin.service.request_errors import TooFewSources as TooFewSources
from atomic_margin.service.request_errors import TooLarge as TooLarge
from atomic_margin.service.request_errors import TooManyRequests as TooManyRequests
from atomic_margin.service.request_errors import TooManyStreams as TooManyStreams
from atomic_margin.service.request_errors import UnknownUniverse as UnknownUniverse


class AttestationInvalid(ServiceError):
    """A bundle does not verify.

    Attributes:
        step: what failed, as `atomic-margin verify` prints it.
    """

    def __init__(self, step: str, detail: str) -> None:
        super().__init__(f"{step}: {detail}")
        self.step = step
        self.detail = detail


class ArchiveInvalid(ServiceError):
    """An archive is not whole, or does not hold.

    Attributes:
        step: what failed, as `atomic-margin verify` prints it.
        detail: why.
    """

    def __init__(self, detail: str, step: str = "format") -> None:
        super().__init__(detail)
        self.step, self.detail = step, detail


class SourceError(ServiceError):
    """A price source has nothing it could sign."""


class SourceUnreachable(SourceError):
    """What a price source reads from does not answer, or with an error."""


class RoundMalformed(SourceError):
    """An on-chain answer is not of the form an aggregator returns."""


class RoundIncomplete(SourceError):
    """An aggregator's round has no answer yet."""


class RoundStale(SourceError):
    """An aggregator's answer is too old, of the future, or carried over from an earlier round."""


class AlreadySigned(SourceError):
    """The source signed another document for this tick, or for a later one: it never signs two for one."""


class ChainBroken(ServiceError):
    """An operator's ticks do not follow one another."""


class TickForked(ChainBroken):
    """Two ticks of one number, or one that follows another tick than was seen.

    Attributes:
        seen: the signed tick that was seen before.
        shown: the signed tick that contradicts it.
    """

    def __init__(self, detail: str, seen: dict[str, Any], shown: dict[str, Any]) -> None:
        super().__init__(detail)
        self.seen, self.shown = seen, shown


class TickSkipped(ChainBroken):
    """A number is left out between the newest tick that was seen and this one."""


class TickGoneBack(ChainBroken):
    """A tick older than the newest that was seen."""


class AgentRefused(ServiceError):
    """The institution's agent will not answer: the run is not what it pinned, or not about its submission."""


class OperatorBehind(AgentRefused):
    """The operator lacks entries of the account that it signed: it was restored from an older backup."""


class TickStale(AgentRefused):
    """The prices of a run's tick are older, by the agent's own clock, than it answers, or of the future."""


class NotAdmitted(AgentRefused):
    """The operator has not admitted the institution under its identity key: no keys are made for it."""


class DealOpen(AgentRefused):
    """A book was dealt to custodians, and receipts of some of them are missing yet."""


class DealFailed(AgentRefused):
    """A deal of a book came to nothing: receipts are missing, or too many custodians complain. They are named."""


class ShareBoxError(ServiceError):
    """Shares of a book cannot be sent to a custodian, or taken by it."""


class EncryptionKeyRefused(ShareBoxError):
    """A custodian's encryption key is no X25519 public key in its one spelling, or one that hides nothing."""


class BoxMalformed(ShareBoxError):
    """A box has another length than one with shares of so many entries."""


class BoxDoesNotOpen(ShareBoxError):
    """A box was sealed for another custodian, deal, account or key, or was changed on the way."""


class DiskTooFull(ServiceError):
    """There is no room for what is to be made; nothing was begun."""


class HistoryDiffers(ServiceError):
    """What an operator has stored is not what its entries give."""


class RemoteError(ServiceError):
    """The other side answered with a problem, or not at all.

    Attributes:
        status: HTTP status, or 0 when there was no answer.
        problem: the problem document.
        retry_after: seconds that the other side asked to wait, 0 if it asked for none.
    """

    def __init__(self, message: str, status: int = 0, problem: dict[str, object] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.problem = problem or {}
        self.retry_after = 0.0


class MalformedResponse(RemoteError):
    """The other side answered with something else than the protocol's message.

    Attributes:
        field: JSON path of the part that is wrong.
    """

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message)
        self.field = field


class StoreError(ServiceError):
    """What the operator keeps cannot be read or written now."""


class DatabaseBusy(StoreError):
    """The database was busy, or did not answer, for as long as a caller waits. Nothing was stored; ask again."""

    status, slug, title = 503, "busy", "The database is busy"


class OutOfSpace(StoreError):
    """The operator's disk has too little room for what was sent. Nothing was stored; send it again later."""

    status, slug, title = 507, "out-of-space", "The operator's disk is nearly full"


class BlobsUnreachable(StoreError):
    """The store of large bytes does not answer, or with an error."""

    status, slug, title = 503, "blobs", "The store of large bytes does not answer"


class BlobDamaged(StoreError):
    """Stored bytes have another hash than their name."""


class BackupInvalid(StoreError):
    """A backup is not whole, or is none."""


class ConfigurationError(ServiceError):
    """A file or option is missing or wrong."""


class DatabaseUnusable(ConfigurationError):
    """A database is not reachable, or none of ours."""


class SchemaUnknown(DatabaseUnusable):
    """A database's tables are none that this version knows."""


class ModelNotServed(ConfigurationError):
    """A margin model that the service cannot run: its rows rest on more than universe, schedule and one ledger."""

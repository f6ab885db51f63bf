"""Every error of the account machine and of the entries that it makes, under the service's `IllegalTransition`.

IllegalTransition            409  the table has no such event in that status
└── IllegalEvent             409  the status would allow it, the rest of the state does not
    ├── WrongSigner               it is not signed by the party whose event it is
    ├── WrongIdentity             it replaces another key than the one in force, or by one that may not take its place
    ├── OutOfSequence             a number is not the next one
    ├── WrongKeys                 it names other keys than those in force
    ├── WrongBook                 it is about another book than the one in force
    ├── WrongUniverse             its universe is not listed for the account, or is over
    ├── WrongTick                 it is at another tick than the one it has to be at
    ├── WrongCollateral           it counts other collateral than the account has, or moves it elsewhere
    ├── WrongAgreement            it names other figures, or another agreement, than the account is under
    ├── WrongRun                  it is about another run than the open one, or there is none
    ├── RunNotOver                a run is open, or due
    ├── NotCovered                the book in force was not proven covered, or another one waits
    ├── CoolingDown               a margin call was settled, and by the agreement nothing is released for some ticks
    ├── AllowanceExceeded         books of the account may not have gained so much more than those they replace
    ├── AccountHeld               a dispute holds what would leave
    ├── TooManyDisputes           one is open, or there were as many as may be
    ├── WrongDispute              it is about another dispute than the open one, or about what was disputed before
    ├── WrongNetting              party, scope, day, lines or sums of a netting are not those of the account
    ├── Halted                    the operator has halted it
    ├── WrongHalt                 it is about another halt, or not at the tick at which all have it
    ├── WrongCustody              it names another custody policy or deal than it must, or has too few receipts
    ├── WrongOpening              it is about another opening than the one that is open, or none may be asked for
    └── WrongDefault              it is about another default than the account's, or another step of it

EntryRefused                 an entry of the operator is not what the machine gives for its document
├── EntryGap                 a number is left out, or an entry does not follow the one before
├── EntryForked              two entries of one number
├── EntryForged              signature, account or a hash in it is wrong
└── EntryIllegal             its document is no legal event, or not what has to follow
    ├── EntryUnsent          it has a document of the institution's own that this directory never sent
    ├── AgreementNotPinned   it opens the account under another agreement than is pinned
    └── CustodyNotPinned     it opens the account under another custody policy than is pinned
"""

from typing import Any

from atomic_margin.service.errors import IllegalTransition, ServiceError


class IllegalEvent(IllegalTransition):
    """The status of the account allows the event, the rest of its state does not."""


class WrongSigner(IllegalEvent):
    """It is not signed by the party whose event it is."""


class WrongIdentity(IllegalEvent):
    """It replaces another identity key than the one in force, or by one that may not take its place."""


class OutOfSequence(IllegalEvent):
    """A number in it is not the next one."""


class WrongKeys(IllegalEvent):
    """It names other keys than those in force."""


class WrongBook(IllegalEvent):
    """It is about another book than the one in force."""


class WrongUniverse(IllegalEvent):
    """Its universe is not listed for the account, or is over."""


class WrongTick(IllegalEvent):
    """It is at another tick than the one it has to be at."""


class WrongCollateral(IllegalEvent):
    """It counts other collateral than the account has, or moves it elsewhere than it may."""


class WrongAgreement(IllegalEvent):
    """It names other figures, or another agreement, than the account is under."""


class WrongRun(IllegalEvent):
    """It is about another run than the open one, or none is open."""


class RunNotOver(IllegalEvent):
    """A run is open or due, and what is asked has to wait for its end."""


class NotCovered(IllegalEvent):
    """The book in force was not proven covered since it came, or another one waits."""


class CoolingDown(IllegalEvent):
    """A margin call was settled, and by the agreement nothing is released for so many ticks after it."""


class AllowanceExceeded(IllegalEvent):
    """A book asks to have gained more than the one it replaces than the account is allowed, at once or in a day."""


class AccountHeld(IllegalEvent):
    """A dispute is open, and what would leave the account has to wait for its end."""


class TooManyDisputes(IllegalEvent):
    """A dispute is open, or as many began on this day, or in default, as may."""


class WrongDispute(IllegalEvent):
    """It is about another dispute than the open one, or about what was disputed before, or ends it otherwise."""


class WrongNetting(IllegalEvent):
    """Party, scope, day, lines or sums are not what the account promised."""


class WrongDefault(IllegalEvent):
    """It is about another default than the account's, or comes before another step of it."""


class Halted(IllegalEvent):
    """The operator has halted all accounts, and this has to wait for the end of it."""


class WrongHalt(IllegalEvent):
    """It is about another halt than the account's, or not at the tick at which every account has it."""


class WrongCustody(IllegalEvent):
    """It names another custody policy or deal than it must, or too few custodians have signed."""


class WrongOpening(IllegalEvent):
    """It is about another opening than the one that is open, or none may be asked for."""


class EntryRefused(ServiceError):
    """An entry of the operator is not what the machine gives for its document.

    Attributes:
        evidence: the signed documents that contradict each other, as JSON, by what they are.
    """

    def __init__(self, detail: str, **evidence: Any) -> None:
        super().__init__(detail)
        self.evidence = evidence


class EntryGap(EntryRefused):
    """A number is left out, or an entry does not follow the one before."""


class EntryForked(EntryRefused):
    """There are two entries of one number."""


class EntryForged(EntryRefused):
    """The signature, the account, or a hash in the entry is wrong."""


class EntryIllegal(EntryRefused):
    """The document of the entry is no legal event, or says something else than has to follow."""


class EntryUnsent(EntryIllegal):
    """The entry has a document with the institution's own signature that its directory does not know."""


class AgreementNotPinned(EntryIllegal):
    """The account was opened under another collateral agreement than the trust file pins."""


class CustodyNotPinned(EntryIllegal):
    """An account was opened under another custody policy than the trust file pins, or under none."""

"""What an account is at one moment: a frozen value in two parts. Pure.

The public part holds whatever enters a run's matrices and whatever a reader needs to see that a run was legal; it goes
to readers of a bundle. The private part goes to the institution alone. Ticks are named by their numbers.
"""

from typing import Annotated, Literal

from pydantic import Field

from atomic_margin.documents.fields import AmountText, Counter, Hash, PublicKey
from atomic_margin.documents.strict import Document, Identifier, IdMap, Label, ListOf, Part, Quantity
from atomic_margin.margin.collateral.agreement import Agreed, Cents
from atomic_margin.service.protocol.account.default_state import Default, FundShare
from atomic_margin.service.protocol.account.halt_documents import HaltScope
from atomic_margin.service.protocol.disputes import DisputeKind
from atomic_margin.service.protocol.documents import MatrixHashes
from atomic_margin.service.protocol.states import AccountState
from atomic_margin.service.protocol.submissions import Allowances

# Strict types take the names of states as enums alone, and JSON has none.
Status = Annotated[AccountState, Field(strict=False)]
NOTHING = "0" * 64
"""What stands for the hash of a tick or an entry where there is none before."""
Stage = Literal["evaluating", "awaiting", "unproven", "not_proven", "breach"]
"""How far an open run is: being evaluated; recorded, to be answered; its time is over, evaluated or not; answered with
a breach that is not settled yet."""
ANSWERABLE_STAGES: frozenset[Stage] = frozenset({"awaiting", "unproven"})
"""Stages in which a run takes an answer, or what custodians found in its place."""


class SharedBook(Part):
    """What custodians have of a book.

    Attributes:
        policy: hash of the custody policy that it was dealt under.
        deal: hash of the deal: shares of another one fit nothing.
        threshold: how many custodians of that policy have the book together, and sign what an opening finds.
        most: of that policy, how often one book is opened at most.
        openings: how many were asked for of this book.
    """

    policy: Hash
    deal: Hash
    threshold: Counter
    most: Counter
    openings: Counter = 0


class Book(Part):
    """A submission that is in force, or waits.

    Attributes:
        submission: hash of the document.
        sequence: its number.
        universe: hash of the universe that it is in.
        commitments: hash of its commitments, columns and gross limit: two books with the same one are the same book.
        evaluation_keys: that it is encrypted under.
        key_commitments: to the secret keys.
        tick: the newest tick with a market when this book came, or the next one if a source's document for it was
            receipted by then; later ones alone are run on it.
        covered: the newest tick at which it was proven covered, or made so by a margin call.
        void: the tick of a run on it that was void, or that custodians found covered, if nothing was proven since.
        shared: among custodians; absent where the account has none.
    """

    submission: Hash
    sequence: Counter
    universe: Hash
    commitments: Hash
    evaluation_keys: Hash
    key_commitments: Hash
    tick: Counter
    covered: Counter | None = None
    void: Counter | None = None
    shared: SharedBook | None = None


class Newest(Part):
    """The newest ticks that an account's last entry was made under. Later entries are under these or newer ones.

    Attributes:
        tick: number of the newest tick, void or not; 0 for none.
        tick_hash: its hash.
        market: number of the newest tick with a market; 0 for none.
        market_hash: its hash.
        receipted: number of the tick that sources' documents were receipted for last, see `At`.
    """

    tick: Counter = 0
    tick_hash: Hash = NOTHING
    market: Counter = 0
    market_hash: Hash = NOTHING
    receipted: Counter = 0


class OpenRun(Part):
    """A run that is not over.

    Attributes:
        run_id: its name.
        price_sequence: number of its tick.
        tick: hash of the tick.
        submission: hash of the submission that it is on.
        commitments: of that book.
        evaluation_keys: of that submission.
        key_commitments: of that submission.
        instructions: number of the last collateral instruction that counts.
        posted: collateral that counts, in smallest units.
        agreed: figures of the agreement that the matrices count, if there is one.
        matrices: hashes of the matrices.
        second: whether it follows a run of the same tick that was not proven.
        stage: how far it is.
        record: hash of its record, once it has one.
        evaluated: whether that record names outputs.
        failed: whether its evaluation failed, and it is recorded all the same: custodians have its book.
        entry: hash of the entry that has the record; known from the next entry on.
        answer: hash of the breach answer.
        top_up: of that answer, in units of the initial proof matrix.
        reshared: hash of the last re-sharing of its book that was entered after its record.
    """

    run_id: Identifier
    price_sequence: Counter
    tick: Hash
    submission: Hash
    commitments: Hash
    evaluation_keys: Hash
    key_commitments: Hash
    instructions: Counter
    posted: IdMap[Quantity]
    agreed: Agreed | None = None
    matrices: MatrixHashes
    second: bool
    stage: Stage
    record: Hash | None = None
    evaluated: bool = False
    failed: bool = False
    entry: Hash | None = None
    answer: Hash | None = None
    top_up: Counter | None = None
    reshared: Hash | None = None

    @property
    def owes(self) -> bool:
        """Whether its book is owed when the time to answer is over; a run that is to be proven first is evaluated."""
        return self.evaluated or self.failed


class Listed(Part):
    """A universe that books of an account may be in.

    Attributes:
        universe: its hash.
        until: for one that is replaced, the day of prices after which it takes no more books, whole days since
            1970-01-01.
    """

    universe: Hash
    until: Counter | None = None


class OpenDispute(Part):
    """A dispute that holds the account.

    Attributes:
        dispute: hash of the document.
        subject: hash of the entry that is disputed.
        number: of that entry.
        kind: what it is about.
        amount: USD in dispute, if that was said.
        price_sequence: number of the newest tick with a market when it was entered; its longest time counts from there.
        tick: its hash.
    """

    dispute: Hash
    subject: Hash
    number: Counter
    kind: DisputeKind
    amount: AmountText | None = None
    price_sequence: Counter
    tick: Hash


class Disputes(Part):
    """What an account had of disputes.

    Attributes:
        sequence: number of the last one.
        day: of the prices that it began at, whole days since 1970-01-01.
        on_day: how many began at prices of that day.
        in_default: whether one began while the account was in default.
        open: that holds the account now.
        over: numbers of entries about which one was resolved or lapsed, the newest few.
        floor: entries up to this number are disputed no more.
    """

    sequence: Counter = 0
    day: Counter = 0
    on_day: Counter = 0
    in_default: bool = False
    open: OpenDispute | None = None
    over: ListOf[Counter] = ()
    floor: Counter = 0


class AgreementInForce(Part):
    """The collateral agreement that an account is under.

    Attributes:
        agreement: hash of the document.
        sequence: how often it was amended.
        agreed: its figures that enter c; what a run counts of them, `agreements.agreed_in_force` says.
        minimum_return_amount: USD.
        eligible: assets that may be posted; absent for all of the schedule.
        cool_down: so many ticks after a margin call nothing is released.
    """

    agreement: Hash
    sequence: Counter
    agreed: Agreed
    minimum_return_amount: Cents
    eligible: ListOf[Identifier] | None = None
    cool_down: Counter | None = None


class Opening(Part):
    """An opening that was asked for and is not over.

    Attributes:
        request: hash of the document.
        run_id: of the run that is owed.
    """

    request: Hash
    run_id: Identifier


class CustodyInForce(Part):
    """The custody policy that an account is under. A book may still be shared under the one before.

    Attributes:
        policy: hash of the document.
        threshold: how many custodians have a book together, and sign what an opening finds.
        receipts: how many bring a book in force.
        openings: of one book, at most.
        requests: number of the last request to open.
        opening: that is not over.
    """

    policy: Hash
    threshold: Counter
    receipts: Counter
    openings: Counter
    requests: Counter = 0
    opening: Opening | None = None


class Halts(Part):
    """What an account had of halts.

    Attributes:
        number: of the last halt or resume.
        halt: hash of the halt, unless it was ended.
        scope: what it stops.
        until: number of the last tick at which it holds.
    """

    number: Counter
    halt: Hash | None = None
    scope: ListOf[HaltScope] = ()
    until: Counter | None = None


class PublicState(Document):
    """The part of an account that readers of a bundle see.

    Attributes:
        institution: whose account.
        identity: its Ed25519 key in force.
        operator: at whom.
        terms: hash of the terms it is under.
        universes: those that its books may be in, the newest last; of replaced ones the newest few.
        status: what it may do.
        key_sequence: the highest number of keys so far.
        pending: hash of evaluation keys that are not confirmed.
        keys: hash of those in force.
        submissions: number of the last submission.
        book: in force.
        waiting: comes in force when the one in force was proven at a tick that is not older than it.
        posted: collateral in the margin account, in smallest units.
        instructions: number of the last collateral instruction.
        run: not over.
        last_run: number of the last tick that had a run; 0 for none.
        readers: number of the last list of readers.
        owed: hash of the commitments that must be proven covered, if an answer was not given in time.
        allowances: by how much books may have gained more, when they come, than those they replace.
        gain_day: day of the prices of the last submission, whole days since 1970-01-01.
        gained: USD of allowances used up on that day.
        given_up: hash of the submission that both sides gave up last, if no book was proven covered since.
        newest: the ticks that the last entry was made under.
        disputes: absent until there was one.
        default: a liquidation that is not closed out.
        fund: what the account has in the guarantee fund, if it ever had something there.
        agreement: terms of collateral between both sides; absent where there are none.
        halts: absent until there was one.
        called: number of the tick of its last margin call, where its agreement has a cool-down.
        former: identity keys that were replaced, oldest first; absent where there are none.
        custody: who holds shares of its books, and when they are opened; absent where nobody does.
        custody_amendments: how often that was amended; absent until it was.
    """

    TAG = "account-public"

    institution: Identifier
    identity: PublicKey
    operator: PublicKey
    terms: Hash
    universes: ListOf[Listed]
    status: Status
    key_sequence: Counter = 0
    pending: Hash | None = None
    keys: Hash | None = None
    submissions: Counter = 0
    book: Book | None = None
    waiting: Book | None = None
    posted: IdMap[Quantity] = Field(default_factory=dict)
    instructions: Counter = 0
    run: OpenRun | None = None
    last_run: Counter = 0
    readers: Counter = 0
    owed: Hash | None = None
    allowances: Allowances = Allowances.model_construct(submission=0, day=0)
    gain_day: Counter = 0
    gained: Counter = 0
    given_up: Hash | None = None
    newest: Newest = Newest()
    disputes: Disputes | None = None
    default: Default | None = None
    fund: FundShare | None = None
    agreement: AgreementInForce | None = None
    halts: Halts | None = None
    called: Counter | None = None
    former: ListOf[PublicKey] | None = None
    custody: CustodyInForce | None = None
    custody_amendments: Counter | None = None


class Pending(Part):
    """An obligation that no cycle has netted yet.

    Attributes:
        sequence: its number.
        obligation: hash of the document.
        direction: what is promised: to bring, or to take.
        asset: which one.
        quantity: in smallest units.
        settles: the day.
    """

    sequence: Counter
    obligation: Hash
    direction: Literal["delivery", "return"]
    asset: Identifier
    quantity: Quantity
    settles: Label


class NettingState(Part):
    """What an account has of netting.

    Attributes:
        namings: number of the last naming of its party.
        party: whose it is.
        scope: how far it is netted.
        obligations: number of the last obligation.
        pending: obligations that are not netted, in order.
        cycle: number of the last cycle it was in.
        settled: day of that cycle.
    """

    namings: Counter
    party: Identifier
    scope: Literal["party", "principal"]
    obligations: Counter = 0
    pending: ListOf[Pending] = ()
    cycle: Counter = 0
    settled: Label | None = None


class PrivateState(Document):
    """The part of an account that the operator and the institution alone know.

    Attributes:
        free: collateral that is not posted, in smallest units.
        netting: party and pending obligations; absent until the operator names a party.
    """

    TAG = "account-private"

    free: IdMap[Quantity] = Field(default_factory=dict)
    netting: NettingState | None = None


class Account(Part):
    """An account: what `machine.apply` takes and returns."""

    public: PublicState
    private: PrivateState

"""What institution and operator sign about a dispute: that there is one, what it ends by, and its end. Pure.

A dispute is about one entry of the account. It moves nothing and stops nothing that is due: it holds what would leave
the account (`account.disputes.require_not_held`), and stands in its history. What ends it moves nothing either: an
amount that both agree on is paid as everything else is, by the documents that there are for it.
"""

from decimal import Decimal
from typing import Annotated, Literal, TypeAlias

from pydantic import PlainValidator, model_validator

from atomic_margin.documents.errors import MalformedDocument
from atomic_margin.documents.fields import AmountText, Counter, Hash, PublicKey, Time
from atomic_margin.documents.strict import Identifier, Part, problem
from atomic_margin.service.protocol.bodies import Body

MAX_WORDS = 500
LONGEST_SECONDS = 14 * 86_400
"""Between the prices that a dispute was entered under and those under which its operator alone may let it lapse."""
MAX_A_DAY = 3
"""Disputes of one account that begin at prices of one day."""
MAX_OVER = 64
"""Ended disputes that a state names; of the entries before them all, none is disputed any more."""
MAX_OFFER_TICKS = 100_000
"""Ticks for which an institution may bind itself to what ends a dispute."""

DisputeKind = Literal["amount", "eligibility", "valuation", "settlement", "other"]
Outcome = Literal["upheld", "rejected", "agreed"]


def _words(value: object) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_WORDS or not value.isascii() or not value.isprintable():
        raise problem(MalformedDocument, f"1 to {MAX_WORDS} printable ASCII characters, in one line")
    return value


Words: TypeAlias = Annotated[str, PlainValidator(_words)]
"""What somebody says in its own words, for whoever is shown the account's history."""


class Dispute(Body):
    """The institution disputes an entry of its account; what would leave the account is held meanwhile.

    Attributes:
        sequence: its number among the account's disputes.
        entry: hash of the last entry that the institution saw.
        subject: hash of the entry that it disputes.
        number: of that entry.
        kind: what it is about.
        amount: USD in dispute, if that can be said.
        undisputed: USD of it that the institution agrees to, at most all of it.
        price_sequence: number of the newest tick with a market that the institution saw.
        tick: its hash.
        priced_at: time of its prices.
        reason: in the institution's words.
    """

    TYPE = "dispute"
    institution: Identifier
    operator: PublicKey
    sequence: Counter
    entry: Hash
    subject: Hash
    number: Counter
    kind: DisputeKind
    amount: AmountText | None = None
    undisputed: AmountText | None = None
    price_sequence: Counter
    tick: Hash
    priced_at: Time
    reason: Words

    @model_validator(mode="after")
    def _check(self) -> "Dispute":
        if self.kind == "amount" and self.amount is None:
            raise MalformedDocument("amount", "missing: whoever disputes an amount says which")
        if self.amount is not None and Decimal(self.amount) == 0:
            raise MalformedDocument("amount", "nothing is disputed by 0")
        part = None if self.undisputed is None else Decimal(self.undisputed)
        if self.undisputed is not None and self.amount is None:
            raise MalformedDocument("amount", "missing: what is undisputed is a part of it")
        if part is not None and self.amount is not None and part > Decimal(self.amount):
            raise MalformedDocument("undisputed", "a part of `amount` that is agreed to: at most that")
        return self


class DisputeResolution(Body):
    """What ends a dispute: the institution signs it, and the operator agrees by the entry that it makes of it.

    Attributes:
        entry: hash of the last entry that the institution saw.
        dispute: hash of the dispute that it ends.
        outcome: `upheld` for the institution, `rejected` for the operator, or an amount that both agree on.
        amount: that amount, USD.
        until: number of the last tick at which the operator may enter it; the institution is bound until then.
        words: what both say about it.
    """

    TYPE = "dispute-resolution"
    institution: Identifier
    operator: PublicKey
    entry: Hash
    dispute: Hash
    outcome: Outcome
    amount: AmountText | None = None
    until: Counter
    words: Words

    @model_validator(mode="after")
    def _check(self) -> "DisputeResolution":
        if (self.outcome == "agreed") != (self.amount is not None):
            missing = "missing: " if self.amount is None else ""
            raise MalformedDocument("amount", f"{missing}an amount goes with the outcome 'agreed', and with no other")
        return self


class DisputeWithdrawal(Body):
    """The institution disputes an entry no more.

    Attributes:
        entry: hash of the last entry that the institution saw.
        dispute: hash of its dispute.
    """

    TYPE = "dispute-withdrawal"
    institution: Identifier
    operator: PublicKey
    entry: Hash
    dispute: Hash


class PricedAt(Part):
    """A tick with a market, and the time of its prices."""

    price_sequence: Counter
    tick: Hash
    priced_at: Time


class DisputeLapse(Body):
    """The operator alone ends a dispute that stood for the longest time, by the time of prices.

    Attributes:
        dispute: hash of the dispute.
        begins: the newest prices at its entry.
        ends: the newest ones now.
        declared_at: the operator's time, on which nothing depends.
    """

    TYPE = "dispute-lapse"
    institution: Identifier
    operator: PublicKey
    dispute: Hash
    begins: PricedAt
    ends: PricedAt
    declared_at: Time


def about_a_dispute(kind: str) -> bool:
    """Return whether an event of that kind is about a dispute: no such entry is disputed itself."""
    return kind in ("disputed", "dispute resolved", "dispute withdrawn", "dispute lapsed")

"""Documents of netting: which legal party an account is of, what it promises to bring or take, and what a cycle did.

The operator says whose an account is, because it has to know its client; the institution agrees to be netted so by
naming the party in every obligation that it signs. So nobody is netted by one side's word. Pure.
"""

from datetime import date
from typing import Annotated, Literal

from pydantic import Field, PlainValidator, model_validator

from atomic_margin.documents.canonical import canonical_bytes
from atomic_margin.documents.errors import MalformedDocument
from atomic_margin.documents.fields import Counter, Hash, PublicKey, Time
from atomic_margin.documents.strict import Document, Identifier, Label, ListOf, Part, Quantity
from atomic_margin.service.protocol.bodies import Body

MAX_PENDING = 64
"""Obligations of one account that no cycle has netted yet."""
MAX_DAYS = 31
"""From today, until an obligation settles. Others bear nothing of a default while a delivery is promised."""
MAX_GROUP = 4096
"""Lines of one group that is shown line by line; a party's accounts have no more pending together."""


def _day(value: object) -> str:
    if not isinstance(value, str) or len(value) != 10:
        raise ValueError("a day, YYYY-MM-DD, here")
    if date.fromisoformat(value).isoformat() != value:
        raise ValueError("a day, YYYY-MM-DD, here")
    return value


Day = Annotated[str, PlainValidator(_day)]
"""A settlement date. Days are compared as text."""
Direction = Literal["delivery", "return"]
Scope = Literal["party", "principal"]
"""Within one legal party; or over all parties to whom the operator is itself the other side."""


class PartyNaming(Body):
    """The operator says which legal party an account is of, and how far its obligations are netted.

    Attributes:
        institution: whose account.
        operator: public key.
        number: of the naming, from 1 without a gap.
        entry: hash of the account's entry before; it is about nothing after another one.
        party: its identifier, such as an LEI.
        scope: `principal` only where the operator is the other side of every obligation by its published rules.
        named_at: time.
    """

    TYPE = "party"
    institution: Identifier
    operator: PublicKey
    number: Counter
    entry: Hash
    party: Identifier
    scope: Scope
    named_at: Time


class Obligation(Body):
    """The institution promises to bring an asset by a day, or lets free collateral leave on it.

    Attributes:
        institution: whose account.
        operator: public key.
        sequence: of the account's obligations, from 1 without a gap.
        entry: hash of an entry of the account that it saw.
        party: with whose obligations it may be netted.
        scope: how far.
        direction: a return is deducted from free collateral at once; a delivery counts nowhere before it arrived.
        asset: what is brought or taken.
        quantity: of it, in smallest units.
        settles: the day.
    """

    TYPE = "obligation"
    institution: Identifier
    operator: PublicKey
    sequence: Counter
    entry: Hash
    party: Identifier
    scope: Scope
    direction: Direction
    asset: Identifier
    quantity: Quantity
    settles: Day

    @model_validator(mode="after")
    def _check(self) -> "Obligation":
        if self.quantity == 0:
            raise MalformedDocument("quantity", "an obligation is of at least one smallest unit")
        return self


class Line(Document):
    """One obligation in a cycle, a leaf of its tree. `salt` hides it from whoever has the root alone.

    Attributes:
        obligation: hash of the signed obligation.
        arrived: false for a delivery that is undone; its return lines are paid in full.
    """

    TAG = "netting-line"
    salt: Hash
    institution: Identifier
    sequence: Counter
    obligation: Hash
    party: Identifier
    scope: Scope
    direction: Direction
    asset: Identifier
    quantity: Quantity
    settles: Day
    arrived: bool

    def to_bytes(self) -> bytes:
        """Return the leaf."""
        return canonical_bytes({"leaf": "line", "of": self.canonical()})


class Group(Document):
    """What is netted with each other: gross, net, and how many lines; a leaf of the tree.

    Attributes:
        party: the legal party; the operator's key where it is principal.
        deliveries: sum of those that count, in smallest units.
        returns: sum of returns.
        undone: sum of deliveries that did not arrive.
        arrives: net quantity that came from outside.
        leaves: net quantity that went outside. One of both is zero.
        lines: how many.
    """

    TAG = "netting-group"
    salt: Hash
    party: Label
    scope: Scope
    asset: Identifier
    settles: Day
    deliveries: Quantity
    returns: Quantity
    undone: Quantity
    arrives: Quantity
    leaves: Quantity
    lines: Counter

    def to_bytes(self) -> bytes:
        """Return the leaf."""
        return canonical_bytes({"leaf": "group", "of": self.canonical()})

    @model_validator(mode="after")
    def _check(self) -> "Group":
        net = self.deliveries - self.returns
        if (self.arrives, self.leaves) != (max(net, 0), max(-net, 0)):
            raise MalformedDocument("arrives", "deliveries less returns is not what arrives less what leaves")
        return self


class Placed(Part):
    """Where a leaf is in the tree."""

    index: Counter
    path: ListOf[Hash]


class ShownLine(Part):
    """A line and its place."""

    line: Line
    place: Placed


class ShownGroup(Part):
    """A group, its place, and all lines of it where they are of one party."""

    group: Group
    place: Placed
    lines: ListOf[ShownLine] = Field(default_factory=tuple)


class Netting(Body):
    """One account's part of a cycle: all its lines of the day and before, with their groups.

    Attributes:
        institution: whose account.
        operator: public key.
        cycle: number, from 1 without a gap over all accounts.
        settles: the day; nothing of that day or before is promised afterwards.
        entry: hash of the account's entry before.
        root: of the tree of the cycle's lines and groups, the same in every account's document.
        size: of that tree.
        lines: the account's own.
        groups: those that they are in.
        netted_at: time.
    """

    TYPE = "netting"
    institution: Identifier
    operator: PublicKey
    cycle: Counter
    settles: Day
    entry: Hash
    root: Hash
    size: Counter
    lines: ListOf[ShownLine]
    groups: ListOf[ShownGroup]
    netted_at: Time

"""What the operator signs to halt its own accounts, all of them at once, and to go on. Pure."""

from typing import Literal

from pydantic import model_validator

from atomic_margin.documents.errors import MalformedDocument
from atomic_margin.documents.fields import Counter, Hash, PublicKey, Time
from atomic_margin.documents.strict import Label, NonEmptyListOf, require_unique
from atomic_margin.service.protocol.bodies import Body

HaltScope = Literal["settlements", "leaving", "runs"]
"""What a halt stops: settlements of breaches and the sale of what was segregated; what leaves an account by its
institution's word or a cycle; runs that have not begun."""
SCOPES: tuple[HaltScope, ...] = ("settlements", "leaving", "runs")
LONGEST_TICKS = 2880
"""Ticks after which a halt is over at the latest: two days of one a minute."""


class Halt(Body):
    """The operator halts every account: one document, and every account has an entry about it.

    Attributes:
        operator: public key.
        number: of this halt or resume, from 1 without a gap.
        scope: what is halted.
        reason: in the operator's words.
        tick: hash of the newest tick when it was announced.
        tick_sequence: its number.
        until: number of the last tick at which it holds; then it is over by itself.
        announced_at: the operator's time.
    """

    TYPE = "halt"
    operator: PublicKey
    number: Counter
    scope: NonEmptyListOf[HaltScope]
    reason: Label
    tick: Hash
    tick_sequence: Counter
    until: Counter
    announced_at: Time

    @model_validator(mode="after")
    def _check(self) -> "Halt":
        require_unique(list(self.scope), "scope[{}]".format)
        if not self.tick_sequence <= self.until <= self.tick_sequence + LONGEST_TICKS:
            raise MalformedDocument("until", f"a halt ends within {LONGEST_TICKS} ticks of the newest one")
        return self


class Resume(Body):
    """The operator ends a halt, of every account, before it is over by itself.

    Attributes:
        operator: public key.
        number: of this halt or resume.
        halt: hash of the halt that it ends.
        reason: in the operator's words.
        tick: hash of the newest tick when it was announced.
        tick_sequence: its number.
        announced_at: the operator's time.
    """

    TYPE = "resume"
    operator: PublicKey
    number: Counter
    halt: Hash
    reason: Label
    tick: Hash
    tick_sequence: Counter
    announced_at: Time

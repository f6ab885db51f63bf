"""The price rules of the tick that comes next, and changes of them, which sources of the old ones sign.

The rules an operator was started with are the first. What changed since is in the newest tick; the one change that is
not in a tick yet waits here for its number.
"""

from typing import NamedTuple

from sqlalchemy.orm import Session

from atomic_margin.service.errors import Conflict
from atomic_margin.service.feed.changes import changed, rules_after, said
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.store.market_chain import newest_tick
from atomic_margin.service.operator.store.prices import receipted
from atomic_margin.service.operator.store.tables import RulesChangeRow
from atomic_margin.service.protocol.messages import RulesChangeTaken
from atomic_margin.service.protocol.price_rules import PriceRules
from atomic_margin.service.protocol.rule_changes import RulesChange
from atomic_margin.service.protocol.ticks import PriceTick

_ROW = 1


class InForce(NamedTuple):
    """What the next tick is made under.

    Attributes:
        rules: price rules.
        changes: that lead to them, as the tick carries them.
    """

    rules: PriceRules
    changes: tuple[RulesChange, ...]


def in_force(operator: Operator, session: Session, last: PriceTick | None) -> InForce:
    """Return the rules of the tick after `last`."""
    number, changes = (1, ()) if last is None else (last.sequence + 1, last.changes or ())
    row = beginning(session, number)
    if row is not None:
        changes = (*changes, RulesChange.parse(row.document))
    return InForce(rules_after(operator.settings.prices, changes, number, operator.identity.public_key), changes)


def beginning(session: Session, number: int) -> RulesChangeRow | None:
    """Return the change that begins with a tick, if one does."""
    row = session.get(RulesChangeRow, _ROW)
    return row if row is not None and row.from_sequence == number else None


def change_rules(operator: Operator, document: object) -> RulesChangeTaken:
    """Store a change of price rules for its number; one that waits gives way to it.

    Raises:
        RulesNotSigned: too few sources of the rules in force signed it, or it is for other rules or another operator.
        Conflict: there is no tick yet; or its number is gone, or was signed for already.
    """
    change = RulesChange.parse(document)
    with operator.store.unit_of_work() as session:
        row = newest_tick(session)
        if row is None:
            raise Conflict(
                "there is no tick yet: start with the new rules, and have everybody pin those", "from_sequence"
            )
        last = PriceTick.parse(row.document["body"])
        number, key = last.sequence + 1, operator.identity.public_key
        # Under the rules of the newest tick: what waits has not begun.
        rules = rules_after(operator.settings.prices, last.changes or (), last.sequence, key)
        new = changed(rules, change, key)
        least = number + 1 if receipted(session, number) else number
        if new.from_sequence < least:
            raise Conflict(
                f"a change can begin with tick {least} or later, this one with {new.from_sequence}: ticks before it "
                "are made, or were signed for, under the old rules",
                "from_sequence",
            )
        if least > number and beginning(session, number) is not None:
            raise Conflict(
                f"the change that begins with tick {number} is signed for already; wait for it", "from_sequence"
            )
        session.merge(RulesChangeRow(id=_ROW, from_sequence=new.from_sequence, document=change.canonical()))
    return RulesChangeTaken(rules=new.rules.hash(), from_sequence=said(change).from_sequence)

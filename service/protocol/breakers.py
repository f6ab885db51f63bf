"""Too many calls at once: how many breaches settle within a window, and in which order the others wait. Pure.

A breach waits from the leaf of the log that its answer has. Nobody passes it, and it waits no longer than the longest
delay, whatever the limits are; so an operator has nothing to choose.

>>> rules = BreakerRules.parse(
...     {
...         "format": "atomic-margin/breaker-rules/1",
...         "version": "1",
...         "settlements": "2",
...         "posted_share": "0.1",
...         "window_seconds": "60",
...         "longest_delay_seconds": "300",
...     }
... )
>>> since = datetime(2026, 11, 28, 8)
>>> waiting = [Waiting(leaf, since, Decimal(30)) for leaf in (7, 9, 12)]
>>> [one.leaf for one in releasable(rules, waiting, [], Decimal(1000), since)]
[7, 9]
>>> [one.leaf for one in releasable(rules, waiting, [], Decimal(1000), since + timedelta(seconds=300))]
[7, 9, 12]
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated, ClassVar, Literal, NamedTuple, TypeAlias

from pydantic import model_validator

from atomic_margin.documents.errors import MalformedDocument
from atomic_margin.documents.fields import Counter
from atomic_margin.documents.strict import Document, in_range, integer_in

Share: TypeAlias = Annotated[Decimal, in_range("0", "1", above=True)]


class BreakerRules(Document):
    """How many breaches settle at once: published, and pinned by whoever wants to check it.

    Attributes:
        format: of the document.
        version: of these rules, rising; informative.
        settlements: at most so many within a window.
        posted_share: their top-ups are at most this fraction of what all accounts have posted, USD at the newest
            prices. The first of a window settles however large it is.
        window_seconds: length of the window, by the times that the operator signs.
        longest_delay_seconds: a breach settles so long after its answer was entered, whatever the limits are.
    """

    TAG: ClassVar[str] = "breaker-rules"

    format: Literal["atomic-margin/breaker-rules/1"]
    version: Counter
    settlements: Annotated[int, integer_in(1, 1_000_000)]
    posted_share: Share
    window_seconds: Annotated[int, integer_in(1, 86_400)]
    longest_delay_seconds: Annotated[int, integer_in(1, 86_400)]

    @model_validator(mode="after")
    def _check(self) -> "BreakerRules":
        if self.longest_delay_seconds < self.window_seconds:
            raise MalformedDocument("longest_delay_seconds", "shorter than the window: no window would limit anything")
        return self


class Waiting(NamedTuple):
    """A verified breach that is not settled.

    Attributes:
        leaf: number of the leaf that the entry of its answer has.
        since: the time of that entry.
        usd: its top-up.
        run_id: its run.
    """

    leaf: int
    since: datetime
    usd: Decimal
    run_id: str = ""


class Done(NamedTuple):
    """A settlement: when, and its top-up in USD."""

    settled: datetime
    usd: Decimal


def releasable(
    rules: BreakerRules, waiting: Sequence[Waiting], done: Sequence[Done], posted_usd: Decimal, now: datetime
) -> list[Waiting]:
    """Return the breaches that settle now, in order: always the first of those that wait.

    Args:
        rules: limits.
        waiting: breaches, in any order.
        done: settlements; those before the window do not count.
        posted_usd: what all accounts have posted.
        now: the time.
    """
    ordered = sorted(waiting)
    longest = timedelta(seconds=rules.longest_delay_seconds)
    # Whoever is before one whose time is over settles too, whatever a clock said that went back.
    over = max((place + 1 for place, one in enumerate(ordered) if now - one.since >= longest), default=0)
    begin = now - timedelta(seconds=rules.window_seconds)
    within = [one.usd for one in done if one.settled > begin]
    count, total = len(within), sum(within, Decimal(0))
    released = list[Waiting]()
    for place, one in enumerate(ordered):
        fits = count < rules.settlements and total + one.usd <= rules.posted_share * posted_usd
        if place >= over and count and not fits:
            break
        released.append(one)
        count, total = count + 1, total + one.usd
    return released

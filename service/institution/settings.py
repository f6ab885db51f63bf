"""What an institution chooses for its agent."""

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from atomic_margin.margin.market.columns import ColumnChoice
from atomic_margin.service.protocol.terms import AccountColumns
from atomic_margin.service.protocol.trust import TrustFile


def present_time() -> datetime:
    """Return the time of this machine, in UTC."""
    return datetime.now(timezone.utc)


@dataclass(frozen=True)
class AgentSettings:
    """Settings of one agent.

    Attributes:
        directory: keys and database, readable by their owner only.
        institution: its name at the operator.
        operator_url: where the operator's server is.
        trust: pinned operator, price rules and terms.
        gross_limit: G of its submissions, whole USD.
        verify: what the operator's server is checked by to be it, where its address is https.
        columns: what its commitments cover of the universe; None for all of it.
        max_tick_age: seconds that prices may be old, by the agent's clock, for a run to be answered; None for no bound,
            for histories that are played back. There is no default: without a bound an operator can ask at old prices.
        clock: the agent's own, in UTC.
        unasked_after: seconds after which the agent proves its book covered by itself, where a run is owed or due, or
            was void, and the operator opens none.
        deliver_after: seconds after which a document that was sent and that no entry has is handed on, see `Outbox`.
    """

    directory: Path
    institution: str
    operator_url: str
    trust: TrustFile
    gross_limit: int
    max_tick_age: int | None
    clock: Callable[[], datetime] = present_time
    unasked_after: int = 120
    deliver_after: int = 60
    columns: ColumnChoice | None = None
    verify: ssl.SSLContext | bool = True

    def account(self, universe: str) -> AccountColumns:
        """Return what says which columns its submissions in a universe have."""
        return AccountColumns(universe, self.gross_limit, self.columns)

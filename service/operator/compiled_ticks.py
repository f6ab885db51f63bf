"""What a stored tick says and what follows from it for every account, parsed and compiled once.

Rows in single lots depend on no account, and a tick's document does not change. The operator keeps the newest ticks it
was asked for; an older one is compiled again. Safe to call from several threads: two that ask for one tick wait for
each other.
"""

import threading
from collections import OrderedDict
from dataclasses import dataclass

from atomic_margin.margin.market.market import Market
from atomic_margin.margin.rows.rows import Rows
from atomic_margin.service.operator.store.tables import Tick
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.terms import Terms

KEPT = 4
"""Ticks that are kept. Runs come in the order of ticks, so that more than two are wanted by a backlog alone."""


@dataclass(frozen=True)
class CompiledTick:
    """A tick as every account's run uses it.

    Attributes:
        sequence: of the tick.
        hash: of the signed document.
        market: combined prices.
        rows: of the published model under these prices, in single lots.
    """

    sequence: int
    hash: str
    market: Market
    rows: Rows


class CompiledTicks:
    """The newest ticks under the operator's terms, `KEPT` of them."""

    def __init__(self, terms: Terms) -> None:
        """Start with none."""
        self._terms = terms
        self._kept: OrderedDict[int, CompiledTick] = OrderedDict()
        self._lock = threading.Lock()

    def compile(self, sequence: int, signed: SignedDocument, market: Market) -> CompiledTick:
        """Return a tick, compiled; it is not kept, since it may never be stored.

        Raises:
            MarginError: the terms and the prices do not go together.
        """
        return CompiledTick(sequence, signed.body_hash(), market, self._terms.rows(market))

    def keep(self, tick: CompiledTick) -> None:
        """Keep a tick that is stored now."""
        with self._lock:
            self._put(tick)

    def of(self, row: Tick) -> CompiledTick:
        """Return a stored tick, compiled."""
        with self._lock:
            found = self._kept.get(row.sequence)
            if found is None:
                signed = SignedDocument.parse(row.document)
                found = self.compile(row.sequence, signed, Market.parse(signed.body["market"]))
                self._put(found)
            return found

    def _put(self, tick: CompiledTick) -> None:
        self._kept[tick.sequence] = tick
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)

"""What a stored tick says and what follows from it for every account, parsed and compiled once.

Rows in single lots depend on no account, and a tick's document does not change. The operator keeps the newest ticks it
was asked for; an older one is compiled again. Safe to call from several threads: two that ask for one tick wait for
each other.
"""

import threading
from collections import OrderedDict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field

from atomic_margin.margin.collateral.agreement import Agreed
from atomic_margin.margin.market.market import Market
from atomic_margin.margin.rows.rounding import RunMatrices
from atomic_margin.margin.rows.rows import Rows
from atomic_margin.margin.rows.weights import TrueWeights
from atomic_margin.service.operator.store.tables import Tick
from atomic_margin.service.protocol.kept import Kept
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.terms import Columned, Terms

KEPT = 4
"""Ticks that are kept. Runs come in the order of ticks, so that more than two are wanted by a backlog alone."""
KEPT_COLUMNS = 64
"""Of a tick: choices of columns whose rows are kept."""
KEPT_CELLS = 1 << 21
"""Of a tick: cells of matrices that are kept, 16 MB, and no fewer than the matrices of `LEAST_MATRICES` runs."""
LEAST_MATRICES = 4


@dataclass(frozen=True)
class CompiledTick:
    """A tick as every account's run uses it.

    Attributes:
        sequence: of the tick.
        hash: of the signed document.
        received_at: when its prices arrived.
        market: combined prices.
        terms: of the operator.
    """

    sequence: int
    hash: str
    received_at: str
    market: Market
    terms: Terms
    _rows: dict[str, Rows] = field(default_factory=dict, compare=False, repr=False)
    _weights: Kept[Hashable, TrueWeights] = field(default_factory=lambda: Kept(KEPT_COLUMNS), compare=False, repr=False)
    _matrices: Kept[Hashable, RunMatrices] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        profile = self.terms.profile
        kept = Kept[Hashable, RunMatrices](max(LEAST_MATRICES, KEPT_CELLS // (4 * profile.rows * profile.entries)))
        object.__setattr__(self, "_matrices", kept)

    def rows(self, universe: str) -> Rows:
        """Return the rows of the published model in a universe, by its hash, in single lots; compiled once.

        Raises:
            MarginError: the terms and the prices do not go together.
        """
        found = self._rows.get(universe)
        if found is None:
            found = self._rows[universe] = self.terms.rows(self.market, universe)
        return found

    def matrices(self, posted: Mapping[str, int], account: Columned, agreed: Agreed | None = None) -> RunMatrices:
        """Return the matrices of a run at this tick.

        Args:
            posted: collateral that counts, in smallest units.
            account: what the run is on.
            agreed: figures of the account's agreement, if it has one.

        Raises:
            MarginError: no unit fits, or the prices do not value the collateral.
        """

        def compile_matrices() -> RunMatrices:
            collateral = self.terms.collateral(self.market, posted)
            return self.terms.matrices_of_weights(self._spread(account), collateral, account, agreed)

        # A run wants them when it begins, and its answer once more.
        key = (_columns_of(account), tuple(sorted(posted.items())), agreed)
        return self._matrices.of(key, compile_matrices)

    def _spread(self, account: Columned) -> TrueWeights:
        """Return the rows in an account's columns, which many accounts may have in common."""
        rows, columns = self.rows(account.universe), self.terms.columns(account)
        return self._weights.of(_columns_of(account), lambda: rows.spread(columns).slack_free())


def _columns_of(account: Columned) -> Hashable:
    return account.universe, account.gross_limit, account.columns


class CompiledTicks:
    """The newest ticks under the operator's terms, `KEPT` of them."""

    def __init__(self, terms: Terms) -> None:
        """Start with none."""
        self._terms = terms
        self._kept: OrderedDict[int, CompiledTick] = OrderedDict()
        self._lock = threading.Lock()

    def compile(self, sequence: int, signed: SignedDocument, market: Market) -> CompiledTick:
        """Return a tick, compiled in the newest universe; it is not kept, since it may never be stored.

        Raises:
            MarginError: the terms and the prices do not go together.
        """
        tick = CompiledTick(sequence, signed.body_hash(), str(signed.body["received_at"]), market, self._terms)
        tick.rows(self._terms.universe.hash())
        return tick

    def keep(self, tick: CompiledTick) -> None:
        """Keep a tick that is stored now."""
        with self._lock:
            self._put(tick)

    def kept(self, sequence: int) -> CompiledTick | None:
        """Return a tick that is kept, without a look at its row."""
        with self._lock:
            return self._kept.get(sequence)

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

"""The agent's own memory of the operator's ticks: it answers a run when every tick up to the run's follows the last.

A new agent begins with the tick of the first run it is shown, on the word of its sources: they name the tick before, so
a second history needs the signatures of half of them. From then on ticks come one by one. Two that contradict each
other are kept as evidence in the folder `disputes`; that is no reason to replace keys, and no answer goes to the run.

How old a tick may be is measured by the agent's clock and the sources' time: the operator's has no say in it.
"""

import os
from collections.abc import Callable
from datetime import timedelta, timezone
from http import HTTPStatus
from typing import Any

from atomic_margin.documents.errors import DocumentsError
from atomic_margin.margin.errors import MarginError
from atomic_margin.margin.market.market import Market
from atomic_margin.service.errors import (
    AgentRefused,
    ChainBroken,
    RemoteError,
    RequestError,
    TickForked,
    TickGoneBack,
    TickSkipped,
    TickStale,
)
from atomic_margin.service.feed.chain import Known, begin, follow
from atomic_margin.service.files import write_json
from atomic_margin.service.institution.settings import AgentSettings
from atomic_margin.service.institution.store import InstitutionStore, SeenTick
from atomic_margin.service.protocol.documents import parse_signed
from atomic_margin.service.protocol.messages import RunView
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.ticks import PriceTick

KEPT = 64
"""Ticks that are kept, to recognise another one of their numbers; the last one with a market is kept besides."""
MAX_STEPS = 4096
"""Ticks that are followed at once. What is missing then is followed in the next round, from where this one ended."""


class OperatorContradicts(AgentRefused):
    """The operator signed two ticks that exclude each other; both are kept. Keys are not at fault and stay in use."""


class MarketChain:
    """The ticks that one agent has seen."""

    def __init__(
        self, settings: AgentSettings, store: InstitutionStore, fetch: Callable[[int], SignedDocument]
    ) -> None:
        """`fetch` asks the operator for a tick by its number."""
        self._settings, self._store, self._fetch = settings, store, fetch
        self._folder = settings.directory / "disputes"

    def follow(self, view: RunView) -> None:
        """Follow the chain from the newest tick seen to that of a run.

        Raises:
            OperatorContradicts: a tick excludes one that was seen; both are kept.
            AgentRefused: a number is left out, the tick is older than one seen, or not what its sources signed.
            RemoteError: the operator does not answer.
        """
        try:
            tick = SignedDocument.parse(view.tick)
            last_market = None if view.last_market is None else SignedDocument.parse(view.last_market)
            self._follow(tick, last_market)
        except TickForked as fork:
            self._keep_dispute(fork)
            raise OperatorContradicts(f"run {view.run_id!r}: {fork}; both are kept in {self._folder}") from fork
        except (ChainBroken, RequestError, DocumentsError, MarginError) as error:
            raise AgentRefused(f"run {view.run_id!r}: its tick does not follow those before: {error}") from error

    def require_fresh(self, market: Market) -> None:
        """Make sure prices are as new as the agent answers.

        Raises:
            TickStale: they are older, or from later than now.
        """
        bound = self._settings.max_tick_age
        if bound is None:
            return
        age = self._settings.clock() - market.as_of.astimezone(timezone.utc)
        if age > timedelta(seconds=bound):
            raise TickStale(
                f"the prices of tick {market.sequence} are {age.total_seconds():.0f} s old by this clock, and at most "
                f"{bound} s are answered: the operator shows old prices, or --max-tick-age is too low for it"
            )
        if age < -timedelta(seconds=self._settings.trust.prices.max_skew_seconds):
            raise TickStale(f"the prices of tick {market.sequence} are from later than now: check this machine's clock")

    @property
    def dispute(self) -> str | None:
        """What the operator signed that contradicts itself, or None."""
        names = sorted(path.name for path in self._folder.glob("*.json"))
        return f"the operator's ticks contradict each other: {', '.join(names)} in {self._folder}" if names else None

    def _follow(self, tick: SignedDocument, last_market: SignedDocument | None) -> None:
        rules, operator = self._settings.trust.prices, self._settings.trust.operator
        known = self._known()
        if known is None:
            self._keep(begin(tick, last_market, rules, operator))
            return
        number = parse_signed(tick, PriceTick)[1].sequence
        missing = range(known.sequence + 1, number)
        for between in missing[:MAX_STEPS]:
            known = follow(known, self._fetched(between), rules, operator)
            self._keep(known)
        if len(missing) > MAX_STEPS:
            raise AgentRefused(f"tick {number} is far ahead; {MAX_STEPS} ticks were followed, the rest comes next")
        try:
            self._keep(follow(known, tick, rules, operator))
        except TickGoneBack:
            self._compare(tick, number)
            raise

    def _fetched(self, sequence: int) -> SignedDocument:
        try:
            return self._fetch(sequence)
        except RemoteError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                raise TickSkipped(f"the operator shows no tick {sequence}, which comes before this one") from error
            raise

    def _compare(self, tick: SignedDocument, sequence: int) -> None:
        with self._store.unit_of_work() as session:
            seen = session.get(SeenTick, sequence)
        if seen is not None and SignedDocument.parse(seen.document).body_hash() != tick.body_hash():
            raise TickForked(f"there are two ticks of number {sequence}", seen.document, tick.to_json())

    def _known(self) -> Known | None:
        with self._store.unit_of_work() as session:
            ticks = session.query(SeenTick).order_by(SeenTick.sequence.desc())
            last, market = ticks.first(), ticks.filter(SeenTick.void.is_(False)).first()
        if last is None:
            return None
        return Known(
            SignedDocument.parse(last.document), None if market is None else SignedDocument.parse(market.document)
        )

    def _keep(self, known: Known) -> None:
        """Store the newest tick and the last market, and forget what is older than `KEPT` ticks."""
        with self._store.unit_of_work() as session:
            spared = None
            for signed in (known.last_market, known.last):
                if signed is not None:
                    sequence, void = int(signed.body["sequence"]), "market" not in signed.body
                    session.merge(SeenTick(sequence=sequence, void=void, document=signed.to_json()))
                    spared = sequence if spared is None else spared
            old = session.query(SeenTick).filter(SeenTick.sequence <= known.sequence - KEPT)
            old.filter(SeenTick.sequence != spared).delete()

    def _keep_dispute(self, fork: TickForked) -> None:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        shown = SignedDocument.parse(fork.shown)
        path = self._folder / f"tick-{shown.body['sequence']}-{shown.body_hash()[:16]}.json"
        evidence: dict[str, Any] = {"format": "atomic-margin/dispute/1", "reason": str(fork)}
        fresh = path.with_suffix(".new")
        write_json(fresh, evidence | {"seen": fork.seen, "shown": fork.shown})
        os.replace(fresh, path)

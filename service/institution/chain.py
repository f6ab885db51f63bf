"""The agent's own memory of the operator's ticks: every tick that an entry of its account names follows the last one.

A new agent begins with the tick of the first entry it is shown, on the word of its sources: they name the tick before,
so a second history needs the signatures of half of them. From then on ticks come one by one. Two that contradict each
other, or an entry that names another than was seen, are kept as evidence in the folder `contradictions`; that is no
reason to replace keys, and nothing is answered.

How old a tick may be is measured by the agent's clock and the sources' time: the operator's has no say in it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
from atomic_margin.service.feed.changes import rules_of
from atomic_margin.service.institution.contradictions import Contradictions
from atomic_margin.service.institution.settings import AgentSettings
from atomic_margin.service.institution.store import InstitutionStore, SeenTick
from atomic_margin.service.protocol.account.values import At
from atomic_margin.service.protocol.bodies import parse_signed
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.ticks import NO_TICK, PriceTick

JsonObject = dict[str, Any]

KEPT = 64
"""Ticks that are kept, to recognise another one of their numbers; the last one with a market is kept besides."""
MAX_STEPS = 4096
"""Ticks that are followed at once. What is missing then is followed in the next round, from where this one ended."""


class OperatorContradicts(AgentRefused):
    """The operator signed what excludes a tick that was seen; both are kept. Keys are not at fault and stay in use."""


class MarketChain:
    """The ticks that one agent has seen."""

    def __init__(
        self, settings: AgentSettings, store: InstitutionStore, fetch: Callable[[int], SignedDocument]
    ) -> None:
        """`fetch` asks the operator for a tick by its number."""
        self._settings, self._store, self._fetch = settings, store, fetch
        self.contradictions = Contradictions(settings.directory)

    def follow(self, at: At, entry: JsonObject) -> None:
        """Follow the chain to the newest tick of an entry, and check that it is the one, as is that of its market.

        Args:
            at: where the entry stands.
            entry: the entry itself, signed, for the case that it contradicts a tick.

        Raises:
            OperatorContradicts: it names another tick than was seen; both are kept.
            AgentRefused: a number is left out, or a tick is not what its sources signed.
            RemoteError: the operator does not answer.
        """
        with self._refusing(at.tick):
            if at.tick == 0:
                _require_nothing(at)
            else:
                self._check_market(at, self._reach(at.tick, at.tick_hash, entry), entry)

    def newest_market(self, newest: JsonObject) -> SignedDocument | None:
        """Follow the chain to the newest tick, as the operator shows it; return the newest one with a market.

        Raises:
            OperatorContradicts, AgentRefused, RemoteError: as `follow`.
        """
        with self._refusing("shown as the newest"):
            signed, tick = parse_signed(newest, PriceTick)
            signed.verify(frozenset({self._settings.trust.operator}))
            self._reach(tick.sequence, signed.body_hash(), newest)
        known = self._known()
        return None if known is None else known.last_market

    def market_of(self, number: int, wanted: str) -> Market:
        """Return the market of a tick that was followed, by its number and hash.

        Raises:
            AgentRefused: the operator shows another one under its number, or one without a market.
            RemoteError: it is not kept here, and the operator does not answer.
        """
        signed = self._stored(number) or self._fetched(number)
        tick = PriceTick.parse(signed.body)
        if signed.body_hash() != wanted or tick.market is None:
            raise AgentRefused(f"the operator shows another tick {number} than was followed")
        return tick.market

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

    @contextmanager
    def _refusing(self, number: int | str) -> Iterator[None]:
        try:
            yield
        except TickForked as fork:
            self._keep_contradiction(fork)
            raise OperatorContradicts(f"tick {number}: {fork}; both are kept in {self.contradictions.folder}") from fork
        except (ChainBroken, RequestError, DocumentsError, MarginError) as error:
            raise AgentRefused(f"tick {number} does not follow those before: {error}") from error

    def _reach(self, number: int, wanted: str, shown: JsonObject) -> SignedDocument:
        """Return a tick by its number and hash, having followed the chain up to it; `shown` is what names it."""
        signed = self._followed(number, wanted)
        if signed.body_hash() != wanted:
            other = f"there are two ticks of number {number}"
            raise TickForked(other, signed.to_json(), self._named(number, wanted, shown))
        return signed

    def _followed(self, number: int, wanted: str) -> SignedDocument:
        rules, operator = self._settings.trust.prices, self._settings.trust.operator
        known = self._known()
        if known is None:
            return self._begun(number, wanted)
        if number <= known.sequence:
            stored = self._stored(number)
            if stored is None:
                raise TickGoneBack(f"tick {number} comes after tick {known.sequence} was seen, and is not kept")
            return stored
        missing = range(known.sequence + 1, number + 1)
        for between in missing[:MAX_STEPS]:
            known = follow(known, self._fetched(between), rules, operator)
            self._keep(known)
        if len(missing) > MAX_STEPS:
            raise AgentRefused(f"tick {number} is far ahead; {MAX_STEPS} ticks were followed, the rest comes next")
        return known.last

    def _begun(self, number: int, wanted: str) -> SignedDocument:
        """Begin with a tick, if it is made under the pinned rules: of those before them order is all there is."""
        rules, operator = self._settings.trust.prices, self._settings.trust.operator
        signed = self._fetched(number)
        signed.verify(frozenset({operator}))
        _, tick = parse_signed(signed, PriceTick)
        if signed.body_hash() == wanted and tick.rules == rules_of(tick, rules, operator).hash():
            self._keep(begin(signed, self._last_market_of(tick), rules, operator))
        return signed

    def _last_market_of(self, tick: PriceTick) -> SignedDocument | None:
        """Return the tick that another one names as the last with a market, asked for one by one."""
        if tick.last_market == NO_TICK:
            return None
        for number in range(tick.sequence - 1, max(0, tick.sequence - 1 - MAX_STEPS), -1):
            signed = self._fetched(number)
            if signed.body_hash() == tick.last_market:
                return signed
        raise TickSkipped(f"the operator does not show the last tick with a market before tick {tick.sequence}")

    def _check_market(self, at: At, signed: SignedDocument, entry: JsonObject) -> None:
        """Check that an entry names the newest market at its tick."""
        tick = PriceTick.parse(signed.body)
        if tick.market is not None:
            wanted = (tick.sequence, signed.body_hash())
        else:
            with self._store.unit_of_work() as session:
                ticks = session.query(SeenTick).filter(SeenTick.void.is_(False), SeenTick.sequence <= at.tick)
                last = ticks.order_by(SeenTick.sequence.desc()).first()
            if last is not None:
                wanted = (last.sequence, SignedDocument.parse(last.document).body_hash())
            else:
                # Nobody here has seen one: what the void tick names, if it names one, is all there is.
                wanted = (at.market, at.market_hash if tick.last_market == NO_TICK else tick.last_market)
        if (at.market, at.market_hash) != wanted:
            other = f"the newest market at tick {at.tick} is that of tick {wanted[0]}, the entry names {at.market}"
            raise TickForked(other, signed.to_json(), entry)

    def _fetched(self, sequence: int) -> SignedDocument:
        try:
            return self._fetch(sequence)
        except RemoteError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                raise TickSkipped(f"the operator shows no tick {sequence}, which comes before this one") from error
            raise

    def _named(self, number: int, wanted: str, entry: JsonObject) -> JsonObject:
        """Return the tick that an entry names, if the operator shows it, signed; else the entry."""
        try:
            signed = self._fetched(number)
            signed.verify(frozenset({self._settings.trust.operator}))
        except (RemoteError, TickSkipped, RequestError):
            return entry
        return signed.to_json() if signed.body_hash() == wanted else entry

    def _stored(self, sequence: int) -> SignedDocument | None:
        with self._store.unit_of_work() as session:
            seen = session.get(SeenTick, sequence)
        return None if seen is None else SignedDocument.parse(seen.document)

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

    def _keep_contradiction(self, fork: TickForked) -> None:
        shown = SignedDocument.parse(fork.shown)
        evidence = {"seen": fork.seen, "shown": fork.shown}
        self.contradictions.keep(f"tick-{shown.body_hash()[:24]}", str(fork), evidence)


def _require_nothing(at: At) -> None:
    if (at.tick_hash, at.market, at.market_hash) != (NO_TICK, 0, NO_TICK):
        raise TickGoneBack("an entry before the first tick names one")

"""The public ticks of an operator over real HTTP, for what a source asks before it signs; and ticks made by hand."""

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from atomic_margin.margin.market.market import Market
from atomic_margin.service.feed.source import price_set, sign_market
from atomic_margin.service.feed.tick import make_tick, make_void
from atomic_margin.service.protocol.messages import LastTick
from atomic_margin.service.protocol.price_rules import PriceRules
from atomic_margin.service.protocol.rule_changes import RulesChange
from atomic_margin.service.protocol.signing import Identity, SignedDocument
from atomic_margin.service.protocol.ticks import NO_TICK, PriceTick, place_after

from .documents import Json, example

NOON = datetime(2026, 11, 20, 12, 0, 0, tzinfo=timezone.utc)


class Ticks:
    """An operator's ticks, made one after the other by its key from what the sources sign, and kept by number."""

    def __init__(self, rules: PriceRules, *sources: Identity, operator: Identity | None = None) -> None:
        self.rules, self.sources = rules, sources
        self.operator = operator or Identity.generate()
        self.signed: list[SignedDocument] = []
        self.changes: tuple[RulesChange, ...] = ()

    def copy(self) -> "Ticks":
        """The same chain so far, to go on with otherwise."""
        other = Ticks(self.rules, *self.sources, operator=self.operator)
        other.signed, other.changes = list(self.signed), self.changes
        return other

    @property
    def last(self) -> PriceTick | None:
        return PriceTick.parse(self.signed[-1].body) if self.signed else None

    @property
    def market(self) -> PriceTick | None:
        """The last tick with a market, whatever the rules."""
        ticks = [PriceTick.parse(signed.body) for signed in self.signed]
        return next((tick for tick in reversed(ticks) if tick.market is not None), None)

    def prices(self, minute: int, spot: str = "96420.5") -> list[SignedDocument]:
        """What every source signs for the next tick at a minute past eight."""
        body = example("market-1") | {"as_of": f"2026-11-20T08:{minute:02}:00Z"}
        body["underlyings"]["BTC"]["spot"] = spot
        place = place_after(self.last, self.rules)
        return [sign_market(source, Market.parse(body), place) for source in self.sources]

    def make(self, minute: int, spot: str = "96420.5", sources: int | None = None) -> SignedDocument:
        """Make the next tick of what the first sources sign."""
        return self.take(self.prices(minute, spot)[:sources])

    def take(self, documents: Sequence[SignedDocument]) -> SignedDocument:
        """Make the next tick of these documents."""
        signed = self.signed[-1] if self.signed else None
        sent = price_set(documents, self._next)
        tick = make_tick(sent, self.rules, NOON, self.last, self.market, self.changes, signed)
        self.signed.append(tick.signed_by(self.operator))
        return self.signed[-1]

    def void(self, *documents: SignedDocument) -> SignedDocument:
        """Use up the next number."""
        tick = make_void(price_set(documents, self._next), self.rules, NOON, self.last, self.market, self.changes)
        self.signed.append(tick.signed_by(self.operator))
        return self.signed[-1]

    def tick(self, sequence: int) -> SignedDocument:
        return self.signed[sequence - 1]

    def last_market_of(self, signed: SignedDocument) -> SignedDocument | None:
        """The tick that one names as the last with a market."""
        return next((one for one in self.signed if one.body_hash() == signed.body["last_market"]), None)

    def newest(self) -> LastTick:
        """What `GET /v1/ticks` answers."""
        if not self.signed:
            return LastTick(sequence=0, tick=NO_TICK, document=None, last_market=None)
        last = self.signed[-1]
        before = self.last_market_of(last)
        return LastTick(
            sequence=len(self.signed),
            tick=last.body_hash(),
            document=last.to_json(),
            last_market=None if before is None else before.to_json(),
        )

    @property
    def _next(self) -> int:
        return len(self.signed) + 1


class TickServer(ThreadingHTTPServer):
    """Answers as an operator does."""

    def __init__(self, ticks: Ticks) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.ticks = ticks

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def answer(self, path: str) -> Json | None:
        if path == "/v1/ticks":
            return self.ticks.newest().to_json()
        number = int(path.rpartition("/")[2])
        return self.ticks.tick(number).to_json() if 1 <= number <= len(self.ticks.signed) else None


class _Handler(BaseHTTPRequestHandler):
    server: TickServer

    def do_GET(self) -> None:
        answer = self.server.answer(self.path)
        body = json.dumps(answer).encode()
        self.send_response(404 if answer is None else 200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def serving(ticks: Ticks) -> Iterator[TickServer]:
    """Serve ticks for as long as the block takes."""
    with TickServer(ticks) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()

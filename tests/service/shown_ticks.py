"""Ticks that an operator shows an agent, and an agent that follows them, for tests."""

import json
from pathlib import Path
from typing import Any

import pytest

from atomic_margin.service.errors import RemoteError
from atomic_margin.service.institution.chain import MarketChain
from atomic_margin.service.institution.settings import AgentSettings
from atomic_margin.service.institution.store import InstitutionStore, SeenTick
from atomic_margin.service.protocol.account.values import At
from atomic_margin.service.protocol.signing import Identity, SignedDocument
from atomic_margin.service.protocol.ticks import NO_TICK
from atomic_margin.service.protocol.trust import TrustFile

from .bodies import TRUST
from .documents import FUND, Json, price_rules
from .tick_server import Ticks

SOURCES = tuple(Identity.generate() for _ in range(3))
RULES = price_rules(*SOURCES)


class Agent:
    """The part of an agent that sees ticks, on a folder, at an operator that shows one chain."""

    def __init__(self, directory: Path, ticks: Ticks, max_tick_age: int | None = None) -> None:
        trust = TrustFile.parse(
            {**TRUST, "operator": ticks.operator.public_key, "prices": dict(RULES.canonical())}  # type: ignore[call-overload]
        )
        self.settings = AgentSettings(directory, FUND, "http://127.0.0.1:9", trust, 1, max_tick_age)
        self.store = InstitutionStore(directory)
        self.ticks, self.served, self.asked = ticks, ticks, list[int]()
        self.chain = MarketChain(self.settings, self.store, self.fetch)

    def fetch(self, sequence: int) -> SignedDocument:
        self.asked.append(sequence)
        if sequence > len(self.served.signed):
            raise RemoteError("there is no such tick", 404)
        return self.served.tick(sequence)

    def shown(self, sequence: int, ticks: Ticks | None = None, **named: Any) -> None:
        """Be shown an entry at a tick, of the operator's chain or of another that it shows from now on."""
        self.served = ticks or self.ticks
        at = place(self.served, sequence)._replace(**named)
        self.chain.follow(at, entry_at(self.served.operator, at))

    @property
    def evidence(self) -> Json:
        """What the one contradiction has."""
        (path,) = self.chain.contradictions.folder.iterdir()
        value: Json = json.loads(path.read_text())
        return value

    def seen(self) -> list[int]:
        with self.store.unit_of_work() as session:
            return [row.sequence for row in session.query(SeenTick).order_by(SeenTick.sequence)]


def place(ticks: Ticks, sequence: int) -> At:
    """Where an entry stands while a tick is the newest."""
    markets = [signed for signed in ticks.signed[:sequence] if "market" in signed.body]
    market, marked = (int(markets[-1].body["sequence"]), markets[-1].body_hash()) if markets else (0, NO_TICK)
    return At(sequence, ticks.tick(sequence).body_hash(), market, marked, receipted=sequence)


def entry_at(operator: Identity, at: At) -> Json:
    """A document that stands for an entry there."""
    return operator.sign("entry", {"tick": at.tick_hash, "tick_sequence": str(at.tick)}).to_json()


def chain_of(*minutes: int, void: tuple[int, ...] = ()) -> Ticks:
    ticks = Ticks(RULES, *SOURCES)
    for minute in minutes:
        ticks.void() if minute in void else ticks.make(minute)
    return ticks


@pytest.fixture
def agent(tmp_path: Path) -> Agent:
    """An agent that saw the second of six ticks first; the fourth is void."""
    agent = Agent(tmp_path, chain_of(*range(6), void=(3,)))
    agent.shown(2)
    return agent

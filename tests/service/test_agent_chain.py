"""What an agent remembers of its operator's ticks: followed one by one, contradictions kept, old prices refused."""

import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from atomic_margin.margin.market.market import Market
from atomic_margin.service.errors import AgentRefused, RemoteError, TickStale
from atomic_margin.service.institution import chain
from atomic_margin.service.institution.chain import KEPT, MarketChain, OperatorContradicts
from atomic_margin.service.institution.settings import AgentSettings
from atomic_margin.service.institution.store import InstitutionStore, SeenTick
from atomic_margin.service.protocol.messages import RunView
from atomic_margin.service.protocol.signing import Identity, SignedDocument
from atomic_margin.service.protocol.states import RunState
from atomic_margin.service.protocol.ticks import NO_TICK, PriceTick
from atomic_margin.service.protocol.trust import TrustFile

from .bodies import TRUST
from .documents import FUND, Json, example, price_rules
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
        self.ticks, self.asked = ticks, list[int]()
        self.chain = MarketChain(self.settings, self.store, self.fetch)

    def fetch(self, sequence: int) -> SignedDocument:
        self.asked.append(sequence)
        if sequence > len(self.ticks.signed):
            raise RemoteError("there is no such tick", 404)
        return self.ticks.tick(sequence)

    def shown(self, sequence: int, ticks: Ticks | None = None, tick: Json | None = None) -> None:
        """Be shown a run of a tick, of the operator's chain or of another, or of what is no tick."""
        ticks = ticks or self.ticks
        last_market = ticks.last_market_of(ticks.tick(sequence))
        self.chain.follow(
            RunView(
                run_id=f"{FUND}.{sequence}",
                state=RunState.AWAITING_ANSWER,
                record=None,
                tick=tick or ticks.tick(sequence).to_json(),
                last_market=None if last_market is None else last_market.to_json(),
                seconds=None,
                evaluation=None,
                settlement=None,
                shortfall=None,
                problem=None,
            )
        )

    def seen(self) -> list[int]:
        with self.store.unit_of_work() as session:
            return [row.sequence for row in session.query(SeenTick).order_by(SeenTick.sequence)]


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


def test_every_tick_between_is_fetched_and_checked(agent: Agent, tmp_path: Path) -> None:
    assert agent.seen() == [2]
    agent.shown(6)
    assert (agent.asked, agent.seen()) == ([3, 4, 5], [2, 3, 4, 5, 6])
    # The second run of a tick, and another process later, ask for nothing more.
    agent.shown(6)
    Agent(tmp_path, agent.ticks).shown(6)
    assert agent.asked == [3, 4, 5]
    assert agent.chain.dispute is None


def test_a_skipped_tick_is_refused(agent: Agent) -> None:
    """The operator shows a run of tick 6 and has no tick 4 to show."""
    hidden = agent.fetch

    def fetch(sequence: int) -> SignedDocument:
        if sequence == 4:
            raise RemoteError("there is no tick 4", 404)
        return hidden(sequence)

    agent.chain = MarketChain(agent.settings, agent.store, fetch)
    with pytest.raises(AgentRefused, match="shows no tick 4"):
        agent.shown(6)
    # What followed so far is kept, and the next round goes on from there.
    assert agent.seen() == [2, 3]
    agent.chain = MarketChain(agent.settings, agent.store, hidden)
    agent.shown(6)
    assert agent.asked == [3, 4, 5]
    # Another tick in the place of the missing one is none either.
    ahead = agent.ticks.copy()
    for minute in (7, 8, 9):
        ahead.make(minute)
    agent.chain = MarketChain(agent.settings, agent.store, lambda sequence: ahead.tick(sequence + 1))
    with pytest.raises(AgentRefused, match="after tick 6 comes 7, this is 8"):
        agent.shown(9, ahead)


def test_what_is_no_tick_is_refused(agent: Agent, tmp_path: Path) -> None:
    good = agent.ticks.tick(3).to_json()
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    for wrong in (
        {"x": "1"},
        {**good, "type": "run"},
        {**good, "body": {}},
        {**good, "body": {**good["body"], "sequence": "x"}},
        {**good, "body": {**good["body"], "market": None}},
    ):
        for shown in (agent, Agent(fresh, agent.ticks)):
            with pytest.raises(AgentRefused, match="does not follow"):
                shown.shown(3, tick=wrong)
    assert agent.seen() == [2]


def test_an_operator_that_does_not_answer_is_asked_again(agent: Agent) -> None:
    def fetch(sequence: int) -> SignedDocument:
        raise RemoteError("the operator is restarting", 503)

    agent.chain = MarketChain(agent.settings, agent.store, fetch)
    with pytest.raises(RemoteError, match="restarting"):
        agent.shown(6)


def test_two_ticks_of_one_number_are_kept_and_get_no_answer(agent: Agent, tmp_path: Path) -> None:
    """From the same signed prices of the same sources, one of them left out: both are genuine by themselves."""
    other = agent.ticks.copy()
    other.signed = other.signed[:1]
    second = other.make(1, sources=2)
    assert second.body["market"] == agent.ticks.tick(2).body["market"]
    for _ in range(2):
        with pytest.raises(OperatorContradicts, match="two ticks of number 2; both are kept"):
            agent.shown(2, other)
    (path,) = (tmp_path / "disputes").iterdir()
    evidence = json.loads(path.read_text())
    assert evidence["format"] == "atomic-margin/dispute/1"
    assert (evidence["seen"], evidence["shown"]) == (agent.ticks.tick(2).to_json(), second.to_json())
    for name in ("seen", "shown"):
        SignedDocument.parse(evidence[name]).verify(frozenset({agent.settings.trust.operator}))
    assert agent.chain.dispute is not None
    assert path.name in agent.chain.dispute
    # Runs on the chain that was seen first are answered as before.
    agent.shown(6)


def test_another_tick_of_an_earlier_number_is_a_contradiction_and_the_same_one_is_old(agent: Agent) -> None:
    agent.shown(6)
    other = agent.ticks.copy()
    other.signed = other.signed[:4]
    fifth = other.make(4, sources=2)
    with pytest.raises(OperatorContradicts, match="two ticks of number 5") as refused:
        agent.shown(5, other)
    assert "both are kept" in str(refused.value)
    evidence = json.loads(next(agent.chain._folder.iterdir()).read_text())
    assert (evidence["seen"], evidence["shown"]) == (agent.ticks.tick(5).to_json(), fifth.to_json())
    with pytest.raises(AgentRefused, match="tick 5 comes after tick 6 was seen"):
        agent.shown(5)
    with pytest.raises(AgentRefused, match="tick 1 comes after tick 6 was seen"):
        agent.shown(1)


def test_a_fork_is_found_at_the_first_tick_after_it(agent: Agent) -> None:
    """The operator goes on with another second tick, whose sources signed after that one."""
    other = agent.ticks.copy()
    other.signed = other.signed[:1]
    other.make(1, sources=2)
    third = other.make(2)
    with pytest.raises(OperatorContradicts, match="tick 3 follows another tick 2"):
        agent.shown(3, other)
    evidence = json.loads(next(agent.chain._folder.iterdir()).read_text())
    assert (evidence["seen"], evidence["shown"]) == (agent.ticks.tick(2).to_json(), third.to_json())
    assert agent.seen() == [2]


def test_a_tick_that_says_it_follows_but_whose_sources_do_not_is_refused(agent: Agent) -> None:
    other = agent.ticks.copy()
    other.signed = other.signed[:1]
    other.make(1, sources=2)
    third, mine = other.make(2), agent.ticks.tick(2).body_hash()
    bent = PriceTick.parse({**third.body, "previous": mine, "last_market": mine})
    other.signed[2] = bent.signed_by(agent.ticks.operator)
    with pytest.raises(AgentRefused, match=r"0 of 3 sources count.*previous"):
        agent.shown(3, other)
    assert agent.chain.dispute is None


def test_a_tick_between_that_its_sources_did_not_sign_is_refused(agent: Agent) -> None:
    """Not only the tick of the run: every one up to it, or prices could jump where nobody answers."""
    moved = {**agent.ticks.tick(5).body["market"], "rate": "0.041"}
    bent = PriceTick.parse({**agent.ticks.tick(5).body, "market": moved}).signed_by(agent.ticks.operator)
    agent.ticks.signed[4:] = [bent]
    agent.ticks.make(7)
    with pytest.raises(AgentRefused, match="not what the signed documents combine to"):
        agent.shown(6)
    assert agent.seen() == [2, 3, 4]


def test_an_agent_does_not_begin_under_rules_it_did_not_pin(tmp_path: Path) -> None:
    ticks = Ticks(price_rules(*SOURCES, max_skew_seconds="59"), *SOURCES)
    ticks.make(0)
    with pytest.raises(AgentRefused, match="other price rules"):
        Agent(tmp_path, ticks).shown(1)
    assert Agent(tmp_path, ticks).seen() == []


def test_rules_swapped_between_two_ticks_are_refused(agent: Agent) -> None:
    """The same sources, under rules that let prices jump: for the agent nobody signed them."""
    wide = price_rules(*SOURCES, move={"price": "9", "volatility": "9", "rate": "1"})
    swapped = agent.ticks.copy()
    swapped.signed, swapped.rules = swapped.signed[:2], wide
    third = swapped.make(2, "300000")
    assert third.body["last_market"] == NO_TICK
    with pytest.raises(AgentRefused, match="never pinned"):
        agent.shown(3, swapped)
    # Said to be under the pinned rules, they are what no source signed.
    swapped.signed[2] = PriceTick.parse(
        {**third.body, "rules": RULES.hash(), "last_market": agent.ticks.tick(2).body_hash()}
    ).signed_by(agent.ticks.operator)
    with pytest.raises(AgentRefused, match=r"0 of 3 sources count.*rules"):
        agent.shown(3, swapped)


def test_old_ticks_are_forgotten_but_for_the_last_market(tmp_path: Path) -> None:
    ticks = chain_of(0)
    agent = Agent(tmp_path, ticks)
    agent.shown(1)
    for _ in range(KEPT + 3):
        ticks.void()
    ticks.make(1)
    agent.shown(len(ticks.signed) - 1)
    newest = len(ticks.signed) - 1
    assert agent.seen() == [1, *range(newest - KEPT + 1, newest + 1)]
    agent.shown(newest + 1)
    assert agent.seen() == list(range(newest + 2 - KEPT, newest + 2))


def test_far_ticks_are_followed_in_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain, "MAX_STEPS", 2)
    agent = Agent(tmp_path, chain_of(*range(7)))
    agent.shown(1)
    for seen in (3, 5):
        with pytest.raises(AgentRefused, match="the rest comes next"):
            agent.shown(7)
        assert agent.seen()[-1] == seen
    agent.shown(7)
    assert agent.seen()[-1] == 7


@pytest.mark.parametrize(
    ("bound", "seconds", "said"),
    [
        (600, 600, None),
        (600, 601, "601 s old by this clock, and at most 600 s are answered"),
        (600, 86400, "86400 s old"),
        (600, -60, None),
        (600, -61, "later than now"),
        (None, 10**9, None),
        (None, -(10**6), None),
    ],
)
def test_old_prices_are_refused_by_the_agents_own_clock(
    tmp_path: Path, bound: int | None, seconds: int, said: str | None
) -> None:
    agent = Agent(tmp_path, chain_of(0), bound)
    at = datetime(2026, 11, 20, 8, 0, 0, tzinfo=timezone.utc) + timedelta(seconds=seconds)
    clocked = MarketChain(replace(agent.settings, clock=lambda: at), agent.store, agent.fetch)
    market = Market.parse(example("market-1"))
    if said is None:
        clocked.require_fresh(market)
    else:
        with pytest.raises(TickStale, match=said):
            clocked.require_fresh(market)


def test_the_agent_has_the_machines_clock_and_no_bound_of_its_own(tmp_path: Path) -> None:
    agent = Agent(tmp_path, chain_of(0), 3600)
    with pytest.raises(TickStale):
        agent.chain.require_fresh(Market.parse(example("market-1") | {"as_of": "2020-01-01T00:00:00Z"}))
    with pytest.raises(TypeError, match="max_tick_age"):
        AgentSettings(tmp_path, FUND, "", agent.settings.trust, 1)  # type: ignore[call-arg]

"""What an agent remembers of its operator's ticks: followed one by one, contradictions kept, old prices refused."""

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from atomic_margin.margin.market.market import Market
from atomic_margin.service.errors import AgentRefused, RemoteError, TickStale
from atomic_margin.service.institution import chain
from atomic_margin.service.institution.chain import KEPT, MarketChain, OperatorContradicts
from atomic_margin.service.institution.settings import AgentSettings
from atomic_margin.service.protocol.account.values import At
from atomic_margin.service.protocol.rule_changes import NewRules, RulesChange
from atomic_margin.service.protocol.signing import Identity, SignedDocument
from atomic_margin.service.protocol.ticks import NO_TICK, PriceTick

from .documents import FUND, example, price_rules
from .shown_ticks import RULES, SOURCES, Agent, chain_of, entry_at, place
from .shown_ticks import agent as agent
from .tick_server import Ticks


def test_every_tick_between_is_fetched_and_checked(agent: Agent, tmp_path: Path) -> None:
    # The first one, and the one that its move is measured from.
    assert (agent.asked, agent.seen()) == ([2, 1], [2])
    agent.shown(6)
    assert (agent.asked[2:], agent.seen()) == ([3, 4, 5, 6], [2, 3, 4, 5, 6])
    # The next entry at a tick, one at an older one, and another process later, ask for nothing more.
    for sequence in (6, 4, 3):
        agent.shown(sequence)
    again = Agent(tmp_path, agent.ticks)
    again.shown(6)
    assert (agent.asked[6:], again.asked) == ([], [])
    assert agent.chain.contradictions.shown is None


def test_before_the_first_tick_an_entry_names_none(tmp_path: Path) -> None:
    agent = Agent(tmp_path, chain_of(0))
    agent.chain.follow(At(), {})
    for wrong in (At(tick_hash="1a" * 32), At(market=1), At(market_hash="1a" * 32)):
        with pytest.raises(AgentRefused, match="before the first tick names one"):
            agent.chain.follow(wrong, {})
    assert (agent.asked, agent.seen()) == ([], [])


@pytest.mark.parametrize(
    ("sequence", "market"),
    [(6, 5), (6, 4), (4, 4), (4, 2), (2, 1)],
    ids=["older", "void", "itself", "skipped", "first"],
)
def test_an_entry_at_an_older_market_than_there_is_is_refused(agent: Agent, sequence: int, market: int) -> None:
    """What a run would be opened at is the newest tick with a market; the fourth has none."""
    for seen in (False, True):
        with pytest.raises(OperatorContradicts, match=f"the entry names {market}"):
            agent.shown(sequence, market=market, market_hash=agent.ticks.tick(market).body_hash())
        if not seen:
            agent.shown(6)
    assert agent.evidence["seen"] == agent.ticks.tick(sequence).to_json()
    assert agent.evidence["shown"]["type"] == "entry"


def test_a_new_agent_may_begin_at_a_void_tick(tmp_path: Path) -> None:
    agent = Agent(tmp_path, chain_of(0, 1, 2, void=(1, 2)))
    agent.shown(3)
    assert agent.seen() == [1, 3]
    with pytest.raises(OperatorContradicts):
        agent.shown(3, market=0, market_hash=NO_TICK)
    (tmp_path / "other").mkdir()
    nothing = Agent(tmp_path / "other", chain_of(0, void=(0,)))
    nothing.shown(1)
    assert nothing.seen() == [1]


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
    agent.asked.clear()
    agent.shown(6)
    assert agent.asked == [4, 5, 6]
    # Another tick in the place of the missing one is none either.
    ahead = agent.ticks.copy()
    for minute in (7, 8, 9):
        ahead.make(minute)
    agent.chain = MarketChain(agent.settings, agent.store, lambda sequence: ahead.tick(sequence + 1))
    with pytest.raises(AgentRefused, match="after tick 6 comes 7, this is 8"):
        agent.shown(8, ahead)


def test_what_is_no_tick_is_refused(agent: Agent, tmp_path: Path) -> None:
    good = agent.ticks.tick(3)
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    for wrong in (
        agent.ticks.operator.sign("run", good.body),
        agent.ticks.operator.sign("tick", {}),
        agent.ticks.operator.sign("tick", {**good.body, "sequence": "x"}),
        agent.ticks.operator.sign("tick", {**good.body, "market": None}),
        Identity.generate().sign("tick", good.body),
    ):
        bent = agent.ticks.copy()
        bent.signed[2:] = [wrong]
        for shown in (agent, Agent(fresh, agent.ticks)):
            shown.served = bent
            with pytest.raises(AgentRefused, match="does not follow"):
                shown.chain.follow(At(3, wrong.body_hash(), 3, wrong.body_hash()), {})
    assert agent.seen() == [2]
    assert agent.chain.contradictions.shown is None


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
    (path,) = (tmp_path / "contradictions").iterdir()
    evidence = agent.evidence
    assert evidence["format"] == "atomic-margin/contradiction/1"
    assert (evidence["seen"], evidence["shown"]) == (agent.ticks.tick(2).to_json(), second.to_json())
    for name in ("seen", "shown"):
        SignedDocument.parse(evidence[name]).verify(frozenset({agent.settings.trust.operator}))
    assert path.name in (agent.chain.contradictions.shown or "")
    # Entries on the chain that was seen first are followed as before.
    agent.shown(6)


def test_an_entry_that_names_a_tick_nobody_is_shown_is_itself_the_evidence(agent: Agent, tmp_path: Path) -> None:
    """By an agent that knows the tick, and by one that begins with it."""
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    for shown in (agent, Agent(fresh, agent.ticks)):
        at = place(agent.ticks, 2)._replace(tick_hash="1a" * 32)
        entry = entry_at(agent.ticks.operator, at)
        with pytest.raises(OperatorContradicts, match="two ticks of number 2"):
            shown.chain.follow(at, entry)
        assert (shown.evidence["seen"], shown.evidence["shown"]) == (agent.ticks.tick(2).to_json(), entry)
    assert Agent(fresh, agent.ticks).seen() == []


def test_another_tick_of_an_earlier_number_is_a_contradiction(agent: Agent) -> None:
    agent.shown(6)
    other = agent.ticks.copy()
    other.signed = other.signed[:4]
    fifth = other.make(4, sources=2)
    with pytest.raises(OperatorContradicts, match="two ticks of number 5") as refused:
        agent.shown(5, other)
    assert "both are kept" in str(refused.value)
    assert (agent.evidence["seen"], agent.evidence["shown"]) == (agent.ticks.tick(5).to_json(), fifth.to_json())


def test_a_fork_is_found_at_the_first_tick_after_it(agent: Agent) -> None:
    """The operator goes on with another second tick, whose sources signed after that one."""
    other = agent.ticks.copy()
    other.signed = other.signed[:1]
    other.make(1, sources=2)
    third = other.make(2)
    with pytest.raises(OperatorContradicts, match="tick 3 follows another tick 2"):
        agent.shown(3, other)
    evidence = agent.evidence
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
    assert agent.chain.contradictions.shown is None


def test_a_tick_between_that_its_sources_did_not_sign_is_refused(agent: Agent) -> None:
    """Not only the tick of the run: every one up to it, or prices could jump where nobody answers."""
    moved = {**agent.ticks.tick(5).body["market"], "rate": "0.041"}
    bent = PriceTick.parse({**agent.ticks.tick(5).body, "market": moved}).signed_by(agent.ticks.operator)
    agent.ticks.signed[4:] = [bent]
    agent.ticks.make(7)
    with pytest.raises(AgentRefused, match="not what the signed documents combine to"):
        agent.shown(6)
    assert agent.seen() == [2, 3, 4]


def test_an_agent_begins_with_the_first_tick_under_the_rules_it_pinned(tmp_path: Path) -> None:
    """Of entries at ticks before, it checks that the operator signed the ticks that they name."""
    ticks = Ticks(price_rules(*SOURCES, max_skew_seconds="59"), *SOURCES)
    ticks.make(0)
    agent = Agent(tmp_path, ticks)
    agent.shown(1)
    assert agent.seen() == []
    with pytest.raises(OperatorContradicts):
        agent.shown(1, tick_hash="1a" * 32)
    ticks.rules = RULES
    ticks.make(1)
    ticks.make(2)
    agent.shown(2)
    agent.shown(3)
    assert agent.seen() == [2, 3]


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
    # One that is not kept any more cannot be compared.
    with pytest.raises(AgentRefused, match="is not kept"):
        agent.shown(2)
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


@pytest.mark.parametrize("begins", [0, 1, 2])
def test_an_agent_follows_a_change_of_rules_that_its_sources_signed(tmp_path: Path, begins: int) -> None:
    """It pins the first rules, and begins before the change, with it, or after it."""
    ticks, wider = chain_of(0, 1), price_rules(*SOURCES, max_skew_seconds="29")
    new = NewRules.parse(
        {
            "operator": ticks.operator.public_key,
            "previous": RULES.hash(),
            "from_sequence": "3",
            "rules": wider.canonical(),
        }
    )
    few, enough = (
        RulesChange.parse({"signed": [new.signed_by(source).to_json() for source in SOURCES[:count]]})
        for count in (1, 2)
    )
    bent = ticks.copy()
    for chain_, change in ((ticks, enough), (bent, few)):
        chain_.rules, chain_.changes = wider, (change,)
        for minute in (2, 3, 4):
            chain_.make(minute)
    for name in ("agent", "other", "new"):
        (tmp_path / name).mkdir()
    agent = Agent(tmp_path / "agent", ticks)
    agent.shown(2 + begins)
    agent.shown(5)
    assert agent.seen() == list(range(2 + begins, 6))
    assert agent.chain.market_of(5, ticks.tick(5).body_hash()).sequence == 5
    # Fewer than the old rules require are nobody: neither for one that was there before, nor for a new one.
    other = Agent(tmp_path / "other", bent)
    other.shown(2)
    with pytest.raises(AgentRefused, match="require 2"):
        other.shown(3)
    with pytest.raises(AgentRefused, match="require 2"):
        Agent(tmp_path / "new", bent).shown(4)

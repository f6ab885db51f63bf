"""Other sources, threshold or bounds: the sources of the old rules sign them, and whoever pinned these follows."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from atomic_margin.margin.market.market import Market
from atomic_margin.service.cli.main import app
from atomic_margin.service.errors import (
    AlreadySigned,
    PricesRefused,
    RulesNotSigned,
    SourceError,
)
from atomic_margin.service.feed.chain import begin, follow
from atomic_margin.service.feed.changes import changed, rules_after
from atomic_margin.service.feed.memory import remembering
from atomic_margin.service.feed.source import DocumentSource, price_set
from atomic_margin.service.feed.tick import make_tick, verify_tick
from atomic_margin.service.files import write_json
from atomic_margin.service.operator.web import views
from atomic_margin.service.protocol.price_rules import PriceRules
from atomic_margin.service.protocol.rule_changes import NewRules, RulesChange
from atomic_margin.service.protocol.signing import Identity, SignedDocument
from atomic_margin.service.protocol.ticks import NO_TICK, PriceSet, PriceTick
from atomic_margin.service.protocol.verification import VerifiedBreach
from atomic_margin.service.verifier.attestation import verify_attestation
from atomic_margin.service.verifier.monitor import Seen
from atomic_margin.zk.groups import Group

from .bundles import step_that_fails
from .documents import FUND, Json, example, price_rules
from .test_log import entries, ticks_of
from .test_monitor import Served, contradiction
from .three_sources import GOOD, RULES, SOURCES, last_tick, post, prices
from .tick_server import NOON
from .world import World

LATER = ("88212.5",) * 3
FRESH = tuple(Identity.generate() for _ in range(3))
SWAPPED = price_rules(*FRESH)
"""Three other sources."""
LOWER = price_rules(*SOURCES, outlier={"price": "0.5", "volatility": "0.5", "rate": "0.1"})
"""The same sources, other bounds."""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """An operator with three sources and no institutions, after its first tick."""
    world = World(tmp_path / "operator", Identity.generate(), {}, RULES)
    assert post(world, prices(1, *GOOD)).status_code == 202
    yield world
    world.close()


def change(
    operator: str,
    rules: PriceRules = LOWER,
    signers: tuple[Identity, ...] = SOURCES[:2],
    old: PriceRules = RULES,
    begins: int = 2,
) -> Json:
    """A change of rules as it is sent."""
    body = {
        "operator": operator,
        "previous": old.hash(),
        "from_sequence": str(begins),
        "rules": rules.canonical(),
    }
    new = NewRules.parse(body)
    return {"signed": [new.signed_by(signer).to_json() for signer in signers]}


def send(world: World, document: Json) -> Any:
    return world.client.post("/v1/price-rules", json=document, headers=world.admin)


def parsed(document: Json) -> RulesChange:
    return RulesChange.parse(document)


def test_a_change_begins_with_its_tick_and_everybody_follows(world: World) -> None:
    first = last_tick(world)
    response = send(world, change(world.key))
    assert (response.status_code, response.json()) == (201, {"rules": LOWER.hash(), "from_sequence": "2"})
    assert world.client.post("/v1/price-rules", json=change(world.key)).status_code == 401
    # What the old rules would have signed does not count any more; nobody pins anything new.
    assert post(world, prices(2, *LATER, after=first)).status_code == 422
    assert post(world, prices(2, *LATER, after=first, rules=LOWER)).status_code == 202
    second = last_tick(world)
    assert (second.rules, second.last_market, len(second.changes or ())) == (LOWER.hash(), NO_TICK, 1)
    assert post(world, prices(3, *LATER, after=second, rules=LOWER)).status_code == 202
    third = last_tick(world)
    assert (third.last_market, third.changes) == (second.hash(), second.changes)
    known = begin(ticks_of(world)[0], None, RULES, world.key)
    for signed in ticks_of(world)[1:]:
        known = follow(known, signed, RULES, world.key)
    assert known.sequence == 3
    # Offline, by the first rules and by the second ones, if somebody pins these.
    for pinned in (RULES, LOWER):
        assert verify_tick(third, pinned, second, world.key) == third.market
    with pytest.raises(RulesNotSigned, match="another operator"):
        verify_tick(third, RULES, second)
    # A new agent, or a source, may begin with any of them.
    assert begin(ticks_of(world)[2], ticks_of(world)[1], RULES, world.key).sequence == 3
    served = Served(world, ticks_of(world))
    served.entries = entries(world)
    served.size = len(served.entries)
    assert served.monitor().look(Seen(), 0).seen.counts.ticks == 3


def test_changes_follow_one_another_and_sources_are_replaced_one_threshold_at_a_time(world: World) -> None:
    send(world, change(world.key, SWAPPED, begins=2))
    world.void()
    # Those who are gone have no say in what comes next, and those who came have.
    back = change(world.key, RULES, SOURCES, old=SWAPPED, begins=3)
    assert send(world, back).json()["type"] == "urn:atomic-margin:problem:rules-not-signed"
    assert send(world, change(world.key, LOWER, FRESH[1:], old=SWAPPED, begins=3)).status_code == 201
    assert post(world, prices(2, *LATER, after=last_tick(world), rules=LOWER)).status_code == 202
    assert len(last_tick(world).changes or ()) == 2
    known = begin(ticks_of(world)[0], None, RULES, world.key)
    for signed in ticks_of(world)[1:]:
        known = follow(known, signed, RULES, world.key)
    assert known.sequence == 3
    again = world.restarted()
    assert post(again, prices(3, *LATER, after=last_tick(again), rules=LOWER)).status_code == 202
    again.close()


Refusal = tuple[str, Any, str]
REFUSED: list[Refusal] = [
    ("too few", lambda key: change(key, signers=SOURCES[:1]), "1 sources signed the change, each once"),
    ("one twice", lambda key: change(key, signers=(SOURCES[0], SOURCES[0])), "1 sources signed"),
    ("by the new sources", lambda key: change(key, SWAPPED, FRESH), "by a key that is not trusted"),
    ("one of them new", lambda key: change(key, SWAPPED, (SOURCES[0], FRESH[0])), "by a key that is not trusted"),
    ("of another chain", lambda key: change("1a" * 32), "ticks of another operator"),
    ("of other rules", lambda key: change(key, old=SWAPPED), "does not begin with the price rules"),
    ("two changes", lambda key: mixed(key), "signed different changes"),
    ("a wrong signature", lambda key: bent(key), "the signature does not match"),
    ("no change", lambda key: {"signed": prices(1, *GOOD)["prices"]}, "no change of price rules"),
]


def mixed(key: str) -> Json:
    one, other = change(key, signers=SOURCES[:1]), change(key, SWAPPED, SOURCES[1:2])
    return {"signed": [*one["signed"], *other["signed"]]}


def bent(key: str) -> Json:
    document = change(key)
    document["signed"][1]["signature"] = document["signed"][0]["signature"]
    return document


@pytest.mark.parametrize(("document", "said"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_what_the_old_sources_did_not_sign_is_refused_by_name(world: World, document: Any, said: str) -> None:
    made = document(world.key)
    response = send(world, made)
    assert (response.status_code, response.json()["type"]) == (422, "urn:atomic-margin:problem:rules-not-signed")
    assert said in response.json()["detail"]
    with pytest.raises(RulesNotSigned, match=said):
        changed(RULES, parsed(made), world.key)
    # An operator that makes the tick all the same is followed by nobody.
    tick = forced(world, made)
    known = begin(ticks_of(world)[0], None, RULES, world.key)
    with pytest.raises(PricesRefused, match=r"change|rules"):
        follow(known, tick, RULES, world.key)
    with pytest.raises(PricesRefused, match=r"change|rules"):
        verify_tick(PriceTick.parse(tick.body), RULES, None, world.key)
    served = Served(world, [*ticks_of(world), tick])
    assert "entry 7" in str(contradiction(served, Seen()))


def forced(world: World, document: Json, pinned: PriceRules = LOWER) -> SignedDocument:
    """The next tick under rules that the operator says were changed to."""
    before = last_tick(world)
    body = prices(2, *LATER, after=before, rules=pinned)
    made = make_tick(PriceSet.parse(body), pinned, NOON, before, before, [parsed(document)])
    return made.signed_by(world.operator.identity)


NUMBERS = [(1, "can begin with tick 2 or later, this one with 1"), (0, "this one with 0")]


@pytest.mark.parametrize(("begins", "said"), NUMBERS)
def test_a_number_that_is_gone_is_not_changed(world: World, begins: int, said: str) -> None:
    response = send(world, change(world.key, begins=begins))
    assert (response.status_code, response.json()["field"]) == (409, "from_sequence")
    assert said in response.json()["detail"]


def test_before_the_first_tick_rules_are_pinned(tmp_path: Path) -> None:
    world = World(tmp_path / "new", Identity.generate(), {}, RULES)
    assert send(world, change(world.key, begins=1)).json()["field"] == "from_sequence"
    world.close()


def test_a_change_that_is_signed_for_already_stays(world: World) -> None:
    """No number has prices under two rules: what is receipted for it is under the rules of the tick."""
    first = last_tick(world)
    under_old = prices(2, *LATER, after=first)["prices"][0]
    assert world.client.post("/v1/prices", json=under_old, auth=world.signed_by(SOURCES[0])).status_code == 201
    assert "tick 3 or later" in send(world, change(world.key, begins=2)).json()["detail"]
    assert send(world, change(world.key, begins=3)).status_code == 201
    assert post(world, prices(2, *LATER, after=first)).status_code == 202
    under_new = prices(3, *LATER, after=last_tick(world), rules=LOWER)["prices"][0]
    assert world.client.post("/v1/prices", json=under_new, auth=world.signed_by(SOURCES[0])).status_code == 201
    assert "signed for already" in send(world, change(world.key, SWAPPED, begins=4)).json()["detail"]
    assert post(world, prices(3, *LATER, after=last_tick(world), rules=LOWER)).status_code == 202


def test_one_that_waits_gives_way_to_another(world: World) -> None:
    assert send(world, change(world.key, SWAPPED, begins=9)).status_code == 201
    assert send(world, change(world.key, LOWER, begins=2)).status_code == 201
    assert post(world, prices(2, *LATER, after=last_tick(world), rules=LOWER)).status_code == 202


def test_a_change_that_comes_while_a_tick_is_made_is_in_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled, before = world.operator.compiled_ticks.compile, last_tick(world)

    def compile_slowly(*arguments: Any) -> Any:
        assert send(world, change(world.key, begins=2)).status_code == 201
        return compiled(*arguments)

    monkeypatch.setattr(world.operator.compiled_ticks, "compile", compile_slowly)
    # Its prices were signed under the old rules, so there is no tick of them any more.
    assert post(world, prices(2, *LATER, after=before)).status_code == 422
    assert last_tick(world) == before


def test_a_change_is_not_taken_back_skipped_or_played_again(world: World) -> None:
    key = world.key
    send(world, change(key, begins=2))
    assert post(world, prices(2, *LATER, after=last_tick(world), rules=LOWER)).status_code == 202
    second = last_tick(world)
    known = begin(ticks_of(world)[0], None, RULES, key)
    after = follow(known, ticks_of(world)[1], RULES, key)

    def next_tick(rules: PriceRules, *changes: Json) -> SignedDocument:
        body = PriceSet.parse(prices(3, *LATER, after=second, rules=rules))
        made = make_tick(body, rules, NOON, second, second, list(map(parsed, changes)))
        return made.signed_by(world.operator.identity)

    ours = change(key, begins=2)
    # Back to the old rules, with all their sources: without what the tick before carried.
    with pytest.raises(RulesNotSigned, match="takes a change of price rules back"):
        follow(after, next_tick(RULES), RULES, key)
    # The same change once more, when its number is gone.
    returned = change(key, RULES, SOURCES, old=LOWER, begins=3)
    honest = follow(after, next_tick(RULES, ours, returned), RULES, key)
    assert honest.sequence == 3
    with pytest.raises(RulesNotSigned, match="out of its order"):
        rules_after(RULES, [parsed(ours), parsed(returned), parsed(ours)], 4, key)
    # Before it begins, and in a later tick than the one it begins with.
    early = change(key, RULES, SOURCES, old=LOWER, begins=4)
    with pytest.raises(RulesNotSigned, match="begins elsewhere"):
        follow(after, next_tick(RULES, ours, early), RULES, key)
    late = change(key, RULES, SOURCES, old=LOWER, begins=2)
    with pytest.raises(RulesNotSigned, match="begins elsewhere"):
        follow(after, next_tick(RULES, ours, late), RULES, key)
    # The rules of the tick are those that the changes lead to, and no others.
    with pytest.raises(PricesRefused, match="never pinned"):
        follow(after, next_tick(price_rules(*SOURCES, max_skew_seconds="59"), ours), RULES, key)
    # Whoever sees one tick alone asks the same of it.
    skipped = PriceTick.parse(next_tick(RULES, ours, early).body)
    with pytest.raises(RulesNotSigned, match="out of its order"):
        verify_tick(skipped, RULES, None, key)


def test_a_source_signs_under_what_it_is_shown_to_be_changed_to(world: World, tmp_path: Path) -> None:
    market = Market.parse(example("market-2"))
    source = DocumentSource(SOURCES[0], market)
    send(world, change(world.key, begins=2))
    with remembering(tmp_path / "memory.json", RULES) as memory:
        place = memory.catch_up(views.last_tick(world.operator), lambda _: ticks_of(world)[0])
        assert (place.sequence, place.rules) == (2, LOWER.hash())
        signed = memory.sign_once(place, source.fetch)
        old = place._replace(rules=RULES.hash())
        with pytest.raises(AlreadySigned):
            memory.sign_once(old, source.fetch)
    for document in [signed.to_json(), *prices(2, *LATER, after=last_tick(world), rules=LOWER)["prices"][1:]]:
        assert world.client.post("/v1/prices", json=document, auth=world.signed_by(SOURCES[0])).status_code == 201
    assert post(world, price_set([], 2).canonical()).status_code == 202
    with remembering(tmp_path / "memory.json", RULES) as memory:
        place = memory.catch_up(views.last_tick(world.operator), lambda number: ticks_of(world)[number - 1])
        assert (place.sequence, place.rules) == (3, LOWER.hash())
    # A source that comes new begins with the newest, as a new agent does.
    with remembering(tmp_path / "other.json", RULES) as memory:
        assert memory.catch_up(views.last_tick(world.operator), lambda _: ticks_of(world)[0]) == place


@pytest.mark.parametrize(
    "shown",
    [
        lambda key: change(key, signers=SOURCES[:1]),
        lambda key: change(key, begins=3),
        lambda key: change(key, begins=1),
    ],
    ids=["too few", "a later number", "a number that is gone"],
)
def test_a_source_signs_nothing_under_a_change_that_does_not_hold(world: World, tmp_path: Path, shown: Any) -> None:
    newest = views.last_tick(world.operator).model_copy(update={"change": shown(world.key)})
    with (
        remembering(tmp_path / "memory.json", RULES) as memory,
        pytest.raises(SourceError, match="does not hold"),
    ):
        memory.catch_up(newest, lambda _: ticks_of(world)[0])


def test_the_commands_make_a_change(world: World, tmp_path: Path) -> None:
    write_json(tmp_path / "old.json", RULES.canonical())
    write_json(tmp_path / "new.json", LOWER.canonical())
    key = str(tmp_path / "source.key")
    options = ["--key", key, "--price-rules", str(tmp_path / "old.json"), "--operator-key", world.key]
    arguments = ["feed", "change-rules", str(tmp_path / "new.json"), *options, "--from-tick", "2"]
    made = CliRunner().invoke(app, arguments)
    assert made.exit_code == 0, made.output
    signed = SignedDocument.parse(json.loads(made.stdout))
    signed.verify(frozenset({Identity.load_or_create(Path(key)).public_key}))
    assert signed.body == change(world.key)["signed"][0]["body"]


def test_agent_and_bundle_follow_a_change_from_the_rules_that_are_pinned(three_sources: World, group: Group) -> None:
    world = three_sources
    assert post(world, prices(1, *GOOD)).status_code == 202
    send(world, change(world.key))
    assert post(world, prices(2, *LATER, after=last_tick(world), rules=LOWER)).json() == {"runs": [f"{FUND}.2"]}
    while world.evaluate() is not None:
        pass
    # The agent's own code checks the run by the trust file, which pins the first rules, and so does the verifier.
    world.answer(f"{FUND}.2")
    bundle = world.bundle(f"{FUND}.2")
    assert world.trust_file().prices == RULES
    report = verify_attestation(bundle, world.trust_file(), group)
    assert isinstance(report.result, VerifiedBreach)
    # Neither an operator that forgets who signed the rules, nor one that has them signed by fewer.
    for changes in (None, [{"signed": change(world.key, signers=SOURCES[:1])["signed"]}]):
        tick = {name: value for name, value in bundle["body"]["tick"]["body"].items() if name != "changes"}
        tick |= {} if changes is None else {"changes": changes}
        bent = world.operator.identity.sign("tick", tick).to_json()
        body = {**bundle["body"], "tick": bent}
        other = world.operator.identity.sign("attestation", body).to_json()
        assert step_that_fails(other, world.trust_file(), group) == "price tick"

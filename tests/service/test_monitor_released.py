"""A monitor checks a history that an institution released: real accounts of a real operator, and what one could do."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from atomic_margin.service.cli.main import app
from atomic_margin.service.errors import IllegalTransition
from atomic_margin.service.files import write_json
from atomic_margin.service.operator.accounts import disputes, giving_up, readers
from atomic_margin.service.operator.store import entries
from atomic_margin.service.operator.store.tables import Account
from atomic_margin.service.protocol.account import holdings, machine
from atomic_margin.service.protocol.account.entries import Chain, Salts, followed
from atomic_margin.service.protocol.account.errors import WrongDispute
from atomic_margin.service.protocol.account.events import EventKind, Readers
from atomic_margin.service.protocol.account.holdings import moved
from atomic_margin.service.protocol.account.values import with_public
from atomic_margin.service.protocol.disputes import DisputeWithdrawal
from atomic_margin.service.protocol.released import KEPT_BACK, release

from .documents import FUND, Json
from .test_disputes import by, disputed, resolution
from .test_giving_up import asking
from .told import Told
from .told import told as told
from .watching import Watch as Watch
from .watching import history as history
from .world import World

pytestmark = pytest.mark.long

Open = Callable[[str], World]
K = EventKind


@pytest.fixture
def watch_at(world_at: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Watch]:
    def at(stage: str) -> Watch:
        (tmp_path / stage).mkdir()
        return Watch(world_at(stage), tmp_path / stage, monkeypatch)

    return at


@pytest.mark.parametrize("stage", ["submitted", "calm-done", "fall-open", "fall-done", "crash-done"])
def test_every_stage_of_the_story_is_legal(watch_at: Callable[[str], Watch], stage: str) -> None:
    watch = watch_at(stage)
    released = history(watch.world)
    number = str(len(watch.world.entries()))
    found = watch.holds(released)
    assert (found["institution"], found["entries"], found["logged"]) == (FUND, number, number)
    # The third number of the story is void: nothing was due there.
    assert found["skipped"] == []
    # Deposits stay with the institution, and so does free collateral, unless a liquidation rests on it.
    shown = [set(item) & {"document", "private"} for item in released["entries"]]
    kinds = [K(item["entry"]["body"]["kind"]) for item in released["entries"]]
    assert [("document" in one) for one in shown] == [kind not in KEPT_BACK for kind in kinds]
    private = [at + 1 for at, one in enumerate(shown) if "private" in one]
    assert private == [at for at, kind in enumerate(kinds) if kind is K.LIQUIDATED]
    assert (watch.world.operator.account(FUND).seed in json.dumps(released), K.DEPOSITED in kinds) == (False, True)


def test_runs_that_were_left_out_are_named_by_tick(watch_at: Callable[[str], Watch]) -> None:
    watch = watch_at("calm-done")
    world = watch.world
    world.tick(2)
    # Its run is due and may come yet.
    assert watch.holds(history(world))["skipped"] == []
    world.play(4)
    # Tick 3 is void. That ticks are passed over under load contradicts nothing.
    found = watch.holds(history(world))
    assert found["skipped"] == ["2"]
    text = CliRunner().invoke(
        app,
        [
            "monitor", "--url", "http://a", "--trust", str(watch.folder / "trust.json"), "--dir",
            str(watch.folder / "watched"), "--log", str(world.operator.log_key), "--released",
            str(watch.folder / "0.json"),
        ],
    )  # fmt: skip
    assert f"{FUND}: {found['entries']} of {found['logged']} entries, each step legal; no run at tick 2" in text.stdout
    # Of a part of a history no more is said than it shows.
    part = history(world)
    part["entries"] = part["entries"][:-2]
    assert (watch.holds(part)["entries"], watch.holds(part)["skipped"]) == (str(int(found["entries"]) - 2), [])


def test_a_run_that_waits_for_its_answer_leaves_nothing_out(watch_at: Callable[[str], Watch]) -> None:
    watch = watch_at("calm-open")
    for number in (2, 4):
        watch.world.tick(number)
    assert watch.holds(history(watch.world))["skipped"] == []


def test_a_book_that_both_sides_gave_up(watch_at: Callable[[str], Watch]) -> None:
    """What was given up, and why, is shown. An operator that gives a book up alone has signed no legal step."""
    watch = watch_at("calm-open")
    world = watch.world
    head = world.head()
    document = asking(world)
    giving_up.ask(world.operator, FUND, document.to_json())
    giving_up.agree(world.operator, FUND, document.body_hash())
    released = history(world)
    assert watch.holds(released)["entries"] == str(len(world.entries()))
    last = released["entries"][-1]
    assert (last["document"], last["public"]["given_up"]) == (document.to_json(), document.body["submission"])
    assert document.body["entry"] == head


def test_a_dispute_and_its_end_are_shown_whole(watch_at: Callable[[str], Watch]) -> None:
    watch = watch_at("crash-open")
    world = watch.world
    document = disputed(world)
    world.answer(f"{FUND}.4")
    offer = resolution(world)
    disputes.offer(world.operator, FUND, offer.to_json())
    disputes.agree(world.operator, FUND, offer.body_hash())
    released = history(world)
    assert watch.holds(released)["entries"] == str(len(world.entries()))
    shown = [item["document"] for item in released["entries"] if "document" in item]
    assert [one for one in shown if one["type"].startswith("dispute")] == [
        document.to_json(),
        offer.to_json(),
    ]
    assert released["entries"][-2]["public"]["disputes"]["open"]["dispute"] == document.body_hash()


@pytest.mark.parametrize(
    "wrong",
    [{"subject": "1a" * 32}, {"number": "2"}, {"number": "0"}, {"number": "9999"}, {"number": "again"}],
    ids=str,
)
def test_a_dispute_of_what_is_no_entry_of_the_account_is_the_operators_fault(
    watch_at: Callable[[str], Watch], monkeypatch: pytest.MonkeyPatch, wrong: Json
) -> None:
    watch = watch_at("calm-done")
    world = watch.world
    if wrong == {"number": "again"}:
        first = disputed(world)
        withdrawal = by(world, DisputeWithdrawal, {"dispute": first.body_hash()})
        disputes.withdraw(world.operator, FUND, withdrawal.to_json())
        wrong = {}
    monkeypatch.setattr(disputes, "_require_subject", lambda *_: None)
    if wrong == {"number": "0"}:
        # That one the machine sees.
        with pytest.raises(WrongDispute):
            disputed(world, **wrong)
        return
    disputed(world, **wrong)
    reason, documents = watch.contradicted(history(world))
    assert "is about a dispute of what is no entry of it" in reason
    assert documents[-1]["document"]["type"] == "dispute"


def test_what_a_held_account_lets_go_is_no_legal_step(
    watch_at: Callable[[str], Watch], monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = watch_at("calm-done")
    world = watch.world
    disputed(world)
    asset, free = next(iter(world.account().private.free.items()))
    with monkeypatch.context() as cheat:
        cheat.setattr(holdings, "require_not_held", lambda public, what: None)
        world.instruct(FUND, "withdraw", asset, free)
        released = history(world)
    reason, _ = watch.contradicted(released)
    assert "holds the account; withdraw after it is" in reason


def test_a_book_that_the_operator_gave_up_alone(
    watch_at: Callable[[str], Watch], monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = watch_at("calm-open")
    world = watch.world
    alone = world.operator.identity.sign("giving-up", asking(world).body)
    with monkeypatch.context() as cheat:
        cheat.setattr(machine, "_check_signer", lambda public, event: None)
        with world.operator.store.unit_of_work() as session:
            entries.enter(session, world.operator.book, session.get_one(Account, FUND), alone)
        released = history(world)
    reason, shown = watch.contradicted(released)
    assert "'book given up', is no legal step: 'book given up' is signed by the institution" in reason
    assert [item["kind"] for item in shown] == ["checkpoint", "released", "released"]


def cheating(monkeypatch: pytest.MonkeyPatch, kind: EventKind, apply: Callable[..., Any]) -> None:
    """Have the operator run another machine; what it signs then, it signs."""
    monkeypatch.setitem(machine._APPLY, kind, apply)  # type: ignore[arg-type]


def test_a_withdrawal_before_the_book_was_covered(
    watch_at: Callable[[str], Watch], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The operator lets a friend's collateral go. Withdrawals are not shown, and the states round one are enough."""
    watch = watch_at("submitted")
    world = watch.world
    asset, free = next(iter(world.account().private.free.items()))
    with pytest.raises(IllegalTransition):
        world.instruct(FUND, "withdraw", asset, free)

    def apply(state: Any, event: Any, at: Any) -> Any:
        after = moved(state, [(event.body.asset, event.body.quantity, "free", None)])
        return with_public(after, instructions=event.body.sequence)

    with monkeypatch.context() as cheat:
        cheating(cheat, K.WITHDRAWN, apply)
        world.instruct(FUND, "withdraw", asset, free)
        released = history(world)
    reason, shown = watch.contradicted(released)
    number = len(world.entries())
    assert f"entry {number}, 'withdrawn', is no legal step: the book was not proven covered since it came" in reason
    assert [item["kind"] for item in shown] == ["checkpoint", "released", "released"]
    assert [item["entry"]["body"]["number"] for item in shown[1:]] == [str(number - 1), str(number)]
    assert all("private" not in item for item in shown)


def test_a_state_that_does_not_follow(watch_at: Callable[[str], Watch], monkeypatch: pytest.MonkeyPatch) -> None:
    """A deposit that counts as posted at once, of whose document nothing is shown."""
    watch = watch_at("submitted")
    world = watch.world

    def apply(state: Any, event: Any, at: Any) -> Any:
        place = "posted" if event.body.reference == "friend" else "free"
        return moved(state, [(event.body.asset, event.body.quantity, None, place)])

    with monkeypatch.context() as cheat:
        cheating(cheat, K.DEPOSITED, apply)
        world.deposit(FUND, "USDC", 5, "friend")
        released = history(world)
    reason, _ = watch.contradicted(released)
    assert "'deposited', makes another posted than follows" in reason


def test_a_run_that_was_not_due(watch_at: Callable[[str], Watch], monkeypatch: pytest.MonkeyPatch) -> None:
    """Two runs at one tick: the operator forgets the first, to have another answer."""
    watch = watch_at("calm-done")
    world = watch.world

    def apply(state: Any, event: Any, at: Any) -> Any:
        return with_public(state, readers=event.body.sequence, last_run=0)

    with monkeypatch.context() as cheat:
        cheating(cheat, K.READERS_NAMED, apply)
        body = {
            "institution": FUND,
            "operator": world.key,
            "sequence": "1",
            "entry": world.head(),
            "readers": [{"name": "auditor", "token_sha256": "1a" * 32}],
        }
        readers.name_readers(world.operator, FUND, Readers.parse(body).signed_by(world.funds[FUND].identity).to_json())
        released = history(world)
    reason, _ = watch.contradicted(released)
    assert "'readers named', makes another last_run than follows" in reason
    assert "document" not in released["entries"][-1]


def test_what_does_not_hold_by_itself_speaks_against_nobody(watch_at: Callable[[str], Watch]) -> None:
    watch = watch_at("crash-done")
    world = watch.world
    good = history(world)
    kinds = [item["entry"]["body"]["kind"] for item in good["entries"]]

    def refused(change: Callable[[list[Json]], None]) -> str:
        released = copy.deepcopy(good)
        change(released["entries"])
        return watch.refused(released)

    def at(kind: K) -> int:
        return kinds.index(kind)

    for change, said in (
        (lambda items: items.clear(), "has no entry"),
        (lambda items: items.pop(3), "entry 4 of the history is not the one that follows"),
        (lambda items: items.pop(0), "entry 1 of the history is not the one that follows"),
        (lambda items: items[2].update(salt="1a" * 32), "the public part of entry 3 is not the one"),
        (lambda items: items[2]["public"].update(submissions="7"), "the public part of entry 3 is not the one"),
        (lambda items: items[at(K.SUBMITTED)].pop("document"), "comes without its document"),
        (lambda items: items[at(K.SUBMITTED)].pop("document_salt"), "is not the one that the entry names"),
        (lambda items: items[at(K.SUBMITTED)]["document"]["body"].update(sequence="2"), "the document of entry"),
        (lambda items: items[at(K.LIQUIDATED) - 1].pop("private"), "comes without the free collateral before it"),
        (lambda items: items[at(K.LIQUIDATED) - 1]["private"]["free"].update(USDC="1"), "the private part of entry"),
        (lambda items: items[4]["entry"].update(signature="00" * 64), "none of this operator"),
        (lambda items: items[4].pop("salt"), "is no history of this version"),
    ):
        assert said in refused(change), said  # type: ignore[no-untyped-call]
    # What came after the checkpoint is not in the log yet.
    assert watch.holds(good)["entries"] == str(len(kinds))


def test_an_entry_that_the_log_does_not_have(watch_at: Callable[[str], Watch]) -> None:
    """The institution was told another last entry than is in the log: with the operator's signature, both are shown."""
    watch = watch_at("calm-done")
    world = watch.world
    *before, (entry, document) = world.entries()
    other = world.operator.identity.sign("entry", entry.body | {"entered_at": "2026-11-27T12:00:00Z"})
    salts = Salts(world.operator.account(FUND).seed)
    reason, shown = watch.contradicted(release([*before, (other, document)], salts, world.key))
    assert f"entry {len(before) + 1} of account {salts.account[:16]} is another one in the log" in reason
    assert [item["kind"] for item in shown] == ["checkpoint", "leaf", "entry"]
    assert json.loads(shown[1]["entry"])["entry"] == entry.body_hash()
    # The last entry but one is too many for a log that ends before it.
    world.deposit(FUND, "USDC", 5, "later")
    late = history(world)
    watch.world.deposit(FUND, "USDC", 6, "latest")
    assert watch.holds(late)["entries"] == str(len(before) + 2)


def test_an_entry_at_another_market_than_the_log_has(
    watch_at: Callable[[str], Watch], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A leaf does not name the newest tick with a market. An operator that runs an account at an old one is found."""
    watch = watch_at("calm-done")
    world = watch.world
    world.tick(2)
    place, first = entries.newest, world.entries()[-1].entry.body["market"]

    def older(session: Any, head: str = "0" * 64) -> Any:
        return place(session, head)._replace(market=1, market_hash=first)

    with monkeypatch.context() as cheat:
        cheat.setattr(entries, "newest", older)
        cheat.setattr(machine, "_check_later", lambda before, at: None)
        world.deposit(FUND, "USDC", 5, "later")
        released = history(world)
    reason, shown = watch.contradicted(released)
    assert "names tick 1 as the newest with a market, and it is 2" in reason
    assert [item["kind"] for item in shown] == ["checkpoint", "leaf", "leaf", "entry"]


def test_the_agent_releases_what_it_followed(told: Told) -> None:
    told.booked()
    told.history.sync()
    printed = CliRunner().invoke(app, ["institution", "history", "--dir", str(told.folder)])
    assert printed.exit_code == 0, printed.output
    value = json.loads(printed.stdout)
    assert [item["entry"] for item in value["entries"]] == [entry.to_json() for entry, _ in told.entries]
    chain = Chain()
    for item, (entry, document) in zip(value["entries"], told.entries, strict=True):
        chain = followed(chain, entry, document, told.salts, told.operator.public_key)
        assert chain.state is not None
        assert item["public"] == chain.state.public.canonical()
    assert told.seed not in printed.stdout


def test_there_is_nothing_to_release_without_an_agent_s_entries(told: Told, tmp_path: Path) -> None:
    for folder, said in ((tmp_path / "none", "has no institution.db"), (told.folder, "followed no entry yet")):
        printed = CliRunner().invoke(app, ["institution", "history", "--dir", str(folder)])
        assert (printed.exit_code, printed.stdout) == (2, "")
        assert said in printed.stderr
    assert not (tmp_path / "none").exists()


def test_released_histories_are_of_one_operator(told: Told, tmp_path: Path) -> None:
    told.booked()
    write_json(tmp_path / "one.json", release(told.entries, told.salts, told.operator.public_key))
    arguments = ["--operator", "http://a=b", "--released", tmp_path / "one.json", "--dir", tmp_path / "watched"]
    refused = CliRunner().invoke(app, ["monitor", *map(str, arguments)])
    assert refused.exit_code == 2
    assert "--released goes with --url" in refused.stderr

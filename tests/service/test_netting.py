"""Netting per cycle at an operator: gross and net, value conserved, exactly once, and what each account is shown."""

from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from atomic_margin.service.errors import Conflict, InsufficientFunds, Refused
from atomic_margin.service.log.netted import check_netting
from atomic_margin.service.operator.accounts import netting
from atomic_margin.service.operator.store import entries
from atomic_margin.service.operator.store.tables import Account
from atomic_margin.service.protocol.account.errors import EntryIllegal, IllegalEvent, OutOfSequence, WrongNetting
from atomic_margin.service.protocol.account.netting_documents import MAX_DAYS, Netting

from .netting import Netted, day

PARTIES = {"east": "lei-one", "west": "lei-one", "other": "lei-two"}
Made = Callable[..., Netted]


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Made]:
    opened: list[Netted] = []

    def make(scope: str = "party") -> Netted:
        opened.append(Netted(tmp_path / str(len(opened)), PARTIES, scope))
        return opened[-1]

    yield make
    for one in opened:
        one.world.close()


def test_calls_and_returns_of_one_party_cross_the_border_net(made: Made) -> None:
    netted = made()
    netted.promise("east", "delivery", 300)
    netted.promise("west", "return", 200)
    netted.promise("other", "return", 50)
    assert (netted.free("east"), netted.free("west"), netted.outside()) == (1000, 800, 3000)
    rows = netted.net(netted.key("lei-one"))
    assert [(row["party"], row["deliveries"], row["returns"], row["arrives"], row["leaves"]) for row in rows] == [
        ("lei-one", "300", "200", "100", "0"),
        ("lei-two", "0", "50", "0", "50"),
    ]
    assert (netted.free("east"), netted.free("west"), netted.free("other")) == (1300, 800, 950)
    assert netted.outside() == 3050
    netted.replayed()
    for name in PARTIES:
        check_netting(netted.document(name))
    assert {netted.document(name).root for name in PARTIES} == {netted.document("east").root}


def test_a_dry_run_changes_nothing(made: Made) -> None:
    netted = made()
    netted.promise("east", "return", 300)
    head = netted.world.head("east")
    assert netted.net(dry_run=True)[0]["leaves"] == "300"
    assert (netted.world.head("east"), netted.outside()) == (head, 3000)


def test_a_cycle_happens_once(made: Made) -> None:
    netted = made()
    netted.promise("west", "return", 200)
    first = netted.net()
    head = netted.world.head("west")
    assert netted.net() == first
    assert (netted.world.head("west"), netted.outside()) == (head, 2800)
    with pytest.raises(Conflict, match="is over"):
        netted.promise("other", "return", 1)
    with pytest.raises(Conflict, match="is over"):
        netting.net_cycle(netted.world.operator, "2020-01-01")
    with pytest.raises(Conflict, match="has not come"):
        netting.net_cycle(netted.world.operator, "2999-01-01")
    document = netted.document("west").signed_by(netted.world.operator.identity)
    with netted.world.operator.store.unit_of_work() as session, pytest.raises(IllegalEvent):
        entries.enter(session, netted.world.operator.book, session.get_one(Account, "west"), document)


def test_a_delivery_that_never_arrives_is_undone_and_returns_are_paid_in_full(made: Made) -> None:
    netted = made()
    netted.promise("east", "delivery", 300)
    netted.promise("west", "return", 200)
    row = netted.net()[0]
    assert (row["deliveries"], row["undone"], row["returns"], row["leaves"]) == ("0", "300", "200", "200")
    assert (netted.free("east"), netted.free("west"), netted.outside()) == (1000, 800, 2800)
    netted.replayed()


def test_a_delivery_counts_for_nothing_before_it_arrived(made: Made) -> None:
    netted = made()
    netted.promise("east", "delivery", 500)
    with pytest.raises(InsufficientFunds):
        netted.promise("east", "return", 1001)
    with pytest.raises(InsufficientFunds):
        netted.world.instruct("east", "post", "USDC", 1001)
    netted.promise("east", "return", 1000)
    with pytest.raises(InsufficientFunds):
        netted.world.instruct("east", "withdraw", "USDC", 1)


def test_nobody_is_netted_by_one_sides_word(made: Made) -> None:
    netted = made()
    for wrong in ({"party": "lei-two"}, {"scope": "principal"}):
        with pytest.raises(WrongNetting, match="is of party lei-one"):
            netted.promise("east", "return", 1, **wrong)
    netted.promise("east", "return", 1)
    with pytest.raises(WrongNetting, match="pending"):
        netting.name_party(netted.world.operator, "east", "lei-two")
    with pytest.raises(OutOfSequence):
        netted.promise("east", "return", 2, sequence="1")


def test_a_principal_nets_over_parties_and_shows_nobody_others_lines(made: Made) -> None:
    netted = made("principal")
    netted.promise("east", "delivery", 300)
    netted.promise("other", "return", 200)
    rows = netted.net(netted.key(netted.world.key))
    assert [(row["arrives"], row["leaves"], row["lines"]) for row in rows] == [("100", "0", "2")]
    shown = netted.document("other")
    check_netting(shown)
    assert shown.groups[0].lines == ()
    assert "east" not in str(shown.canonical())
    assert (netted.free("east"), netted.free("other"), netted.outside()) == (1300, 800, 3100)
    netted.replayed()


def test_a_group_that_is_none_of_the_cycle_cannot_have_arrived(made: Made) -> None:
    netted = made()
    netted.promise("east", "delivery", 300)
    with pytest.raises(Refused, match="no group"):
        netted.net(netted.key("lei-two"))


def test_a_crash_within_a_cycle_leaves_nothing_of_it(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    netted = made()
    for name in PARTIES:
        netted.promise(name, "return", 100)
    heads, real, calls = [netted.world.head(name) for name in PARTIES], entries.enter, 0

    for dies_at in range(1, 4):
        calls = 0

        def enter(*arguments: Any, at: int = dies_at) -> Any:
            nonlocal calls
            calls += 1
            if calls == at:
                raise KeyboardInterrupt
            return real(*arguments)

        monkeypatch.setattr(entries, "enter", enter)
        with pytest.raises(KeyboardInterrupt):
            netted.net()
        assert ([netted.world.head(name) for name in PARTIES], netted.outside(), netted.cycles()) == (heads, 3000, [])
    monkeypatch.setattr(entries, "enter", real)
    netted.net()
    assert (netted.outside(), netted.cycles()) == (2700, ["1"])
    netted.replayed()


# What a cheating operator may write


def undone(netted: Netted) -> Any:
    """Everything but the entries of a cycle: the document that `east` would get."""
    taken: list[Netting] = []
    real = entries.enter

    class Stop(Exception):
        pass

    def enter(session: Any, book: Any, account: Account, document: Any) -> Any:
        taken.append(Netting.parse(document.body))
        raise Stop

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(entries, "enter", enter)
        with pytest.raises(Stop):
            netted.net(netted.key("lei-one"))
    assert real is entries.enter
    return taken[0].canonical()


def tried(netted: Netted, body: Any) -> None:
    world = netted.world
    document = Netting.parse(body).signed_by(world.operator.identity)
    with world.operator.store.unit_of_work() as session:
        entries.check(session, session.get_one(Account, "east"), document)
    check_netting(Netting.parse(body))


def dropped(body: Any) -> None:
    body["lines"].pop()


def twice(body: Any) -> None:
    body["lines"].append(body["lines"][0])


def twice_in_the_group(body: Any) -> None:
    body["groups"][0]["lines"].append(body["groups"][0]["lines"][0])


def dropped_of_the_sister(body: Any) -> None:
    body["groups"][0]["lines"] = body["groups"][0]["lines"][:-1]


def another_party(body: Any) -> None:
    body["groups"][0]["lines"][-1]["line"]["party"] = "lei-two"


def another_day(body: Any) -> None:
    body["settles"] = "2999-01-01"


def less(body: Any) -> None:
    body["lines"][0]["line"]["quantity"] = "299"


def not_arrived_for_one(body: Any) -> None:
    body["lines"][0]["line"]["arrived"] = False


def return_undone(body: Any) -> None:
    body["lines"][1]["line"]["arrived"] = False


def as_principal(body: Any) -> None:
    for item in body["lines"]:
        item["line"]["scope"] = "principal"


def group_of_others(body: Any) -> None:
    body["groups"][0]["group"]["party"] = "lei-two"


def no_group(body: Any) -> None:
    body["groups"] = []


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        (dropped, "not those that the account promised"),
        (twice, "not those that the account promised"),
        (twice_in_the_group, "twice"),
        (dropped_of_the_sister, "do not sum"),
        (another_party, "another party"),
        (another_day, "has not come"),
        (less, "not those that the account promised"),
        (not_arrived_for_one, "other lines of this account"),
        (return_undone, "never undone"),
        (as_principal, "is of party lei-one"),
        (group_of_others, "not those of the account's lines"),
        (no_group, "not those of the account's lines"),
    ],
)
def test_an_operator_cannot_net_otherwise(made: Made, wrong: Callable[[Any], None], match: str) -> None:
    netted = made()
    netted.promise("east", "delivery", 300)
    netted.promise("east", "return", 10)
    netted.promise("west", "return", 200)
    body = undone(netted)
    tried(netted, body)
    wrong(body)
    with pytest.raises(WrongNetting, match=match):
        tried(netted, body)


def test_what_is_shown_is_in_the_tree_that_everybody_is_shown(made: Made) -> None:
    netted = made()
    netted.promise("east", "delivery", 300)
    netted.promise("west", "return", 200)
    body = undone(netted)
    tried(netted, body)
    for place in (
        body["lines"][0]["line"], body["groups"][0]["group"], body["groups"][0]["lines"][-1]["line"],
    ):  # fmt: skip
        kept, place["salt"] = place["salt"], "00" * 32
        with pytest.raises(EntryIllegal, match=r"not in its tree|two leaves"):
            check_netting(Netting.parse(body))
        place["salt"] = kept


def test_a_party_has_no_more_pending_than_one_group_shows(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else no cycle could net them, on that day or later, and what returns took would never leave."""
    monkeypatch.setattr(netting, "MAX_GROUP", 3)
    monkeypatch.setattr(netting, "MAX_PENDING", 2)
    netted = made()
    for name in ("east", "west", "east"):
        netted.promise(name, "delivery", 5)
    with pytest.raises(Conflict, match="the party has 3 obligations pending"):
        netted.promise("west", "return", 1)
    netted.promise("other", "delivery", 5)
    netted.net()
    netted.replayed()


def test_an_obligation_settles_within_a_month(made: Made) -> None:
    """While a delivery is promised nobody else bears a loss: it must not be promised for ever."""
    netted, today = made(), date.fromisoformat(day())
    late = (today + timedelta(days=MAX_DAYS + 1)).isoformat()
    with pytest.raises(Conflict, match="within 31 days"):
        netted.promise("east", "delivery", 300, settles=late)
    netted.promise("east", "delivery", 300, settles=(today + timedelta(days=MAX_DAYS)).isoformat())


def test_a_cycle_is_about_one_moment(made: Made) -> None:
    netted = made()
    netted.promise("east", "delivery", 300)
    body = undone(netted)
    netted.world.deposit("east", "USDC", 1, "later")
    with pytest.raises(IllegalEvent, match="another moment"):
        tried(netted, body)
    assert body["settles"] == day()

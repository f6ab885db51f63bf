"""Re-sharings at a real operator: custodians pass on and take over, and one that cheats is named."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from atomic_margin.documents.errors import MalformedDocument
from atomic_margin.service.custodian import passing
from atomic_margin.service.custodian.erasing import Erasing
from atomic_margin.service.custodian.errors import PolicyNotAgreed, ResharingRefused
from atomic_margin.service.custodian.folder import Folder
from atomic_margin.service.custodian.passing import require_allowed
from atomic_margin.service.custodian.resharing import Resharings
from atomic_margin.service.errors import Conflict, DealingOver, Refused, RemoteError
from atomic_margin.service.operator import replay
from atomic_margin.service.operator.accounts import agreements
from atomic_margin.service.operator.custody import resharings
from atomic_margin.service.operator.custody.policies import policy_of, shown_to
from atomic_margin.service.operator.store.custody_tables import ResharingRow
from atomic_margin.service.operator.store.deal_rows import forget
from atomic_margin.service.protocol.account.amendments import CustodyAmendment
from atomic_margin.service.protocol.account.errors import WrongRun
from atomic_margin.service.protocol.account.resharing_documents import Resharing, ResharingRequest
from atomic_margin.service.protocol.account.state import SharedBook
from atomic_margin.service.protocol.custody import CustodyPolicy
from atomic_margin.service.protocol.resharing_messages import ResharingAsked, ResharingStanding
from atomic_margin.service.protocol.resharings import check_reshared
from atomic_margin.service.protocol.states import AccountState
from atomic_margin.zk.errors import OtherDeal, TooFewShares
from atomic_margin.zk.sharing.messages import Deal, Shares
from atomic_margin.zk.sharing.pass_on import pass_on
from atomic_margin.zk.sharing.reconstruct import reconstruct

from ..documents import FUND
from .engines import truthful
from .played import DELAY, POINTS, Party, Scene, owe
from .test_openings import asked, rounds

pytestmark = pytest.mark.long

Open = Callable[[str], Scene]
NEW = (1, 3, 4, 7)


def shared(scene: Scene) -> SharedBook:
    book = scene.world.account().public.book
    assert book is not None
    assert book.shared is not None
    return book.shared


def successors(scene: Scene) -> CustodyPolicy:
    """Make the custodians of another policy, who agree to it."""
    folders = {}
    for point in NEW:
        directory = scene.folder / f"successor-{point}"
        Folder.make(directory)
        folders[point] = Folder(directory)
    policy = CustodyPolicy.parse(
        {
            **scene.policy.canonical(),  # type: ignore[dict-item]
            "name": "custody of 2027",
            "custodians": [
                {
                    "point": str(point),
                    "name": f"successor-{point}",
                    "identity": one.identity.public_key,
                    "encryption_key": one.encryption_key,
                }
                for point, one in folders.items()
            ],
        }
    )
    for one in folders.values():
        one.agree(policy)
    return policy


def amend(scene: Scene, policy: CustodyPolicy | None) -> None:
    world = scene.world
    public = world.account().public
    said: dict[str, Any] = {
        "institution": FUND,
        "operator": world.key,
        "entry": world.head(),
        "sequence": str((public.custody_amendments or 0) + 1),
        "until": "100",
    }
    said |= {} if policy is None else {"custody": policy.canonical()}
    said |= {} if public.custody is None else {"before": public.custody.policy}
    signed = CustodyAmendment.parse(said).signed_by(world.funds[FUND].identity)
    agreements.ask(world.operator, FUND, signed.to_json())
    agreements.agree(world.operator, FUND, signed.body_hash())


class Parties:
    """Custodians of both policies, each with its part in re-sharings."""

    def __init__(self, scene: Scene, names: tuple[str, ...]) -> None:
        self.scene = scene
        self.all = {name: self._party(name) for name in names}

    def _party(self, name: str) -> tuple[Party, Resharings]:
        kind, point = name.split("-")
        party = Party(self.scene, int(point), self.scene.folder / name, lambda *_: pytest.fail("no engine"))
        assert kind in ("custodian", "successor")
        return party, Resharings(party.own, party.client, party.reading, party.deals)

    def __getitem__(self, name: str) -> Party:
        return self.all[name][0]

    def round(self, *names: str) -> None:
        for name in names or tuple(self.all):
            self.all[name][1].round()

    def close(self) -> None:
        for party, _ in self.all.values():
            party.close()


OLD_NAMES = tuple(f"custodian-{point}" for point in POINTS)
NEW_NAMES = tuple(f"successor-{point}" for point in NEW)


@pytest.fixture
def moving(scene_at: Open) -> Any:
    """The account is under the policy of the successors, and its book with the custodians before."""
    scene = scene_at("submitted")
    amend(scene, successors(scene))
    scene.publish()
    parties = Parties(scene, OLD_NAMES + NEW_NAMES)
    yield scene, parties
    parties.close()


@pytest.fixture
def staying(scene_at: Open) -> Any:
    scene = scene_at("submitted")
    scene.publish()
    parties = Parties(scene, OLD_NAMES)
    yield scene, parties
    parties.close()


def ask(scene: Scene, *dealers: int) -> ResharingStanding:
    said: dict[str, Any] = {"institution": FUND}
    said |= {"dealers": [str(point) for point in dealers]} if dealers else {}
    return resharings.ask(scene.world.operator, ResharingAsked.parse(said))


def held(party: Party, deal: str) -> tuple[Deal, Shares]:
    found = party.deals.held(deal)
    assert found is not None
    return found.deal, found.shares


def opens(parties: Parties, deal: str, *names: str) -> tuple[int, ...]:
    """Return the values of the book, put together of some custodians' shares."""
    both = [held(parties[name], deal) for name in names]
    return reconstruct(both[0][0], [one[1] for one in both]).values


def test_a_book_moves_to_the_custodians_of_the_new_policy(moving: Any) -> None:
    scene, parties = moving
    before = shared(scene)
    assert before.policy == scene.policy.hash()
    wanted = ask(scene)
    parties.round()
    # Dealers come before new custodians here; nothing is left by now.
    after = shared(scene)
    assert (after.policy, after.openings) == (scene.world.account().public.custody.policy, before.openings)
    assert after.deal != before.deal
    [old] = {opens(parties, before.deal, "custodian-2", "custodian-9")}
    assert opens(parties, after.deal, "successor-3", "successor-7") == old
    assert opens(parties, after.deal, "successor-1", "successor-4") == old
    document = scene.world.entries()[-1].document
    body = Resharing.parse(document.body)
    with scene.world.operator.store.unit_of_work() as session:
        policy = policy_of(session, FUND)
        assert len(check_reshared(body, policy)) == 4
        replay.check(session, scene.world.key)
        row = session.get_one(ResharingRow, body.request.signed_by(scene.world.operator.identity).body_hash())
        assert (row.stage, row.document) == ("entered", wanted.request)
    assert not parties["successor-1"].client.resharings().resharings


def test_the_same_custodians_make_their_shares_anew_and_old_ones_fit_no_new_ones(staying: Any) -> None:
    scene, parties = staying
    before = shared(scene)
    ask(scene)
    parties.round()
    parties.round()
    after = shared(scene)
    assert (after.policy, after.deal != before.deal) == (before.policy, True)
    deal, new = held(parties["custodian-1"], after.deal)
    _, old = held(parties["custodian-2"], before.deal)
    assert opens(parties, after.deal, "custodian-1", "custodian-2") == opens(
        parties, before.deal, "custodian-1", "custodian-2"
    )
    with pytest.raises(OtherDeal):
        reconstruct(deal, [new, old])
    with pytest.raises(TooFewShares):
        reconstruct(deal, [new])


def test_shares_before_are_erased_once_a_cosigned_history_has_the_new_deal(staying: Any) -> None:
    scene, parties = staying
    before = shared(scene).deal
    ask(scene)
    parties.round()
    parties.round()
    party = parties["custodian-5"]
    party.clock.seconds += 700
    erasing = Erasing(party.own, party.client, party.reading, 0)
    scene.publish()
    # The operator has the institution's deal still.
    assert erasing.erase() == []
    with scene.world.operator.store.unit_of_work() as session:
        forget(session, before)
    assert erasing.erase() == [before]
    assert party.deals.held(before) is None
    assert party.deals.held(shared(scene).deal) is not None


def test_a_re_shared_book_is_re_shared_again(moving: Any) -> None:
    scene, parties = moving
    ask(scene)
    parties.round()
    first = shared(scene).deal
    scene.publish()
    ask(scene)
    parties.round(*NEW_NAMES)
    parties.round(*NEW_NAMES)
    second = shared(scene).deal
    assert second != first
    assert opens(parties, second, "successor-1", "successor-7") == opens(parties, first, "successor-3", "successor-4")


def test_a_frozen_account_s_book_is_opened_by_its_new_shares(scene_at: Open) -> None:
    """Its institution is silent, shares are made anew, and old ones open nothing more: the next run is opened."""
    scene = scene_at("owed-calm")
    scene.publish()
    moving = Parties(scene, OLD_NAMES)
    before = shared(scene).deal
    ask(scene)
    moving.round()
    moving.round()
    moving.close()
    assert scene.world.account().public.status is AccountState.FROZEN
    with pytest.raises(WrongRun, match=f"re-shared after run {FUND}.1 was recorded"):
        asked(scene)
    owe(scene, 2)
    scene.clock.seconds += DELAY
    request = asked(scene)
    with pytest.raises(Conflict, match="custodians open the book"):
        ask(scene)
    parties = [scene.party(point, truthful(scene, 2)) for point in POINTS]
    rounds(parties)
    assert scene.world.run(f"{FUND}.2").state == "settled"
    found = [party.store.opening(request) for party in parties]
    assert {one.deal for one in found if one is not None} == {shared(scene).deal} != {before}
    with scene.world.operator.store.unit_of_work() as session:
        replay.check(session, scene.world.key)
    for party in parties:
        party.close()


def test_any_holders_may_be_the_dealers(moving: Any) -> None:
    scene, parties = moving
    wanted = ask(scene, 5, 9)
    assert ResharingRequest.parse(wanted.request["body"]).dealers == (5, 9)
    parties.round(*OLD_NAMES[2:], *NEW_NAMES)
    assert shared(scene).policy != scene.policy.hash()


@pytest.mark.parametrize("dealers", [(1,), (1, 2, 5), (9, 5), (1, 3)], ids=str)
def test_dealers_are_as_many_holders_as_have_the_book(moving: Any, dealers: tuple[int, ...]) -> None:
    scene, _ = moving
    with pytest.raises((Refused, MalformedDocument), match=r"dealers are 2 of the points|order dealers"):
        ask(scene, *dealers)


def test_with_fewer_dealers_than_it_takes_nothing_moves(moving: Any) -> None:
    scene, parties = moving
    before = shared(scene)
    ask(scene)
    parties.round("custodian-1", *NEW_NAMES)
    parties.round("custodian-1", *NEW_NAMES)
    assert shared(scene) == before
    assert parties["successor-1"].store.deals() == []


def wrong_shares(monkeypatch: pytest.MonkeyPatch, dealer: int) -> None:
    """Have one dealer's shares be other ones than it has a deal of: its deal is right, what it gives is not."""

    def bad(plan: Any, shares: Shares, group: Any) -> Any:
        deal, parts = pass_on(plan, shares, group)
        if shares.custodian != dealer:
            return deal, parts
        return deal, tuple(
            dataclasses.replace(part, values=(part.values[0], part.values[1] ^ 1, *part.values[2:])) for part in parts
        )

    monkeypatch.setattr(passing, "pass_on", bad)


def test_a_dealer_of_wrong_shares_is_named_and_others_deal(moving: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    scene, parties = moving
    before = shared(scene)
    with monkeypatch.context() as patched:
        wrong_shares(patched, 2)
        first = ask(scene)
        parties.round()
    assert shared(scene) == before
    [standing] = resharings_of(scene)
    [complaint, *_] = standing.complaints
    # It names what the dealer at 2 signed, and the entry.
    blamed = next(one for one in standing.passed_on if one["body"]["point"] == "2")
    assert (complaint["body"]["deal"], complaint["body"]["entry_index"]) == (blamed["body"]["deal"], "1")
    assert (standing.state, complaint["body"]["reason"]) == ("over", "wrong")
    # The next one goes by others.
    second = ask(scene)
    assert ResharingRequest.parse(first.request["body"]).dealers == (1, 2)
    assert ResharingRequest.parse(second.request["body"]).dealers == (1, 5)
    parties.round()
    assert shared(scene).deal != before.deal


def resharings_of(scene: Scene) -> Any:
    from atomic_margin.service.operator.custody.resharing_rows import all_of

    return all_of(scene.world.operator).resharings


def test_who_is_away_is_not_chosen_again(moving: Any) -> None:
    scene, parties = moving
    ask(scene)
    parties.round("custodian-1")
    assert ResharingRequest.parse(ask(scene).request["body"]).dealers == (1, 5)


def test_of_two_re_sharings_the_later_one_goes_on(moving: Any) -> None:
    scene, parties = moving
    ask(scene)
    parties.round(*OLD_NAMES)
    late = {name: parties[name].client.resharings().resharings for name in NEW_NAMES}
    assert all(late.values())
    ask(scene, 5, 9)
    request = late["successor-1"][0]
    with pytest.raises(RemoteError, match="over"):
        parties.all["successor-1"][1]._take_over(request, *passing.read_request(request.request, scene.world.key))
    parties.round()
    assert shared(scene).policy != scene.policy.hash()


def test_after_its_time_a_re_sharing_is_over(moving: Any) -> None:
    scene, parties = moving
    before = shared(scene)
    ask(scene)
    parties.round(*OLD_NAMES)
    with scene.world.operator.store.unit_of_work() as session:
        for row in session.query(ResharingRow):
            row.expires_at = "2026-01-01T00:00:00Z"
    assert parties["successor-1"].client.resharings().resharings == ()
    parties.round()
    assert shared(scene) == before
    assert [one.state for one in resharings_of(scene)] == ["over"]


def test_a_custodian_passes_nothing_on_but_by_a_policy_that_the_account_is_under(moving: Any) -> None:
    """The operator asks for its own custodians: it signs what it likes, the history does not have it."""
    scene, parties = moving
    request = ResharingRequest.parse(ask(scene).request["body"])
    state = scene.world.account().public
    require_allowed(request, state)
    for changes in (
        {"policy": scene.policy.hash()},
        {"book": "00" * 32},
        {"before": {"policy": request.before.policy, "deal": "00" * 32}},
        {"institution": "harbour"},
    ):
        with pytest.raises(ResharingRefused):
            require_allowed(ResharingRequest.parse({**request.canonical(), **changes}), state)  # type: ignore[dict-item]
    with pytest.raises(ResharingRefused, match="does not hold"):
        passing.read_request(request.signed_by(parties["custodian-1"].folder.identity).to_json(), scene.world.key)


def test_once_the_account_is_under_another_policy_nobody_passes_on(moving: Any) -> None:
    scene, parties = moving
    ask(scene)
    amend(scene, scene.policy)
    scene.publish()
    parties.round(*OLD_NAMES)
    assert [one.passed_on for one in resharings_of(scene)] == [()]


def test_who_did_not_agree_to_the_policy_takes_nothing(moving: Any) -> None:
    scene, parties = moving
    name = scene.world.account().public.custody.policy
    (parties["successor-3"].folder.directory / "policies" / f"{name}.json").unlink()
    ask(scene)
    parties.round()
    assert parties["successor-3"].store.deals() == []
    assert shared(scene).policy == scene.policy.hash()
    with pytest.raises(PolicyNotAgreed):
        parties["successor-3"].folder.policy(name)


def test_custodians_see_and_say_what_is_theirs(moving: Any) -> None:
    scene, parties = moving
    wanted = ask(scene)
    [one] = parties["custodian-1"].client.resharings().resharings
    assert one.request == wanted.request
    for name in ("custodian-5", "successor-1"):
        assert parties[name].client.resharings().resharings == ()
    request = passing.read_request(one.request, scene.world.key)[0]
    with pytest.raises(RemoteError, match="no share of this re-sharing is yours"):
        parties["custodian-5"].client.resharing_deals(request)
    with scene.world.operator.store.reading() as session:
        shown = shown_to(session, parties["custodian-5"].folder.identity.public_key).policies
        assert [one.policy["name"] for one in shown] == ["custody of 2026"]


def test_a_stopped_custodian_sends_its_receipt_again(moving: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    scene, parties = moving
    ask(scene)
    parties.round(*OLD_NAMES)
    party, part = parties.all["successor-1"]
    with monkeypatch.context() as patched:
        patched.setattr(party.client, "new_receipt", lambda *_: (_ for _ in ()).throw(RemoteError("lost", 0)))
        with pytest.raises(RemoteError, match="lost"):
            part.round()
    [row] = party.store.deals()
    assert not row.sent
    # Its deals are not those of the institution, and are not sent as such.
    party.deals.round()
    parties.round(*NEW_NAMES)
    assert party.store.deal(row.deal).sent
    assert shared(scene).deal == row.deal


def test_nothing_is_re_shared_where_there_is_nothing(moving: Any) -> None:
    scene, _ = moving
    amend(scene, None)
    with pytest.raises(Conflict, match="no book is in force"):
        ask(scene)


def test_what_is_over_takes_nothing(moving: Any) -> None:
    scene, parties = moving
    ask(scene)
    parties.round()
    [standing] = resharings_of(scene)
    name, _ = passing.read_request(standing.request, scene.world.key)
    with pytest.raises(DealingOver):
        resharings.take_complaint(
            scene.world.operator,
            parties["successor-1"].folder.identity.public_key,
            name,
            complaint_of(parties["successor-1"], standing),
        )


def complaint_of(party: Party, standing: Any) -> Any:
    from atomic_margin.service.protocol.dealings import ShareComplaint

    one = standing.passed_on[0]["body"]
    said = {
        "institution": FUND,
        "operator": one["operator"],
        "dealing": "00" * 32,
        "deal": one["deal"],
        "point": str(party.point),
        "custodian": party.folder.identity.public_key,
        "reason": "sealed",
        "complained_at": "2026-11-29T12:00:00Z",
    }
    return ShareComplaint.parse(said).signed_by(party.folder.identity).to_json()

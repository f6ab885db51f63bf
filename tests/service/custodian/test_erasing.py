"""Shares are erased once no book needs them, by a history that holds and is whole, and not before."""

from collections.abc import Callable

import pytest

from atomic_margin.service.custodian.erasing import DAY_SECONDS, EVERY_SECONDS, Erasing
from atomic_margin.service.custodian.stored import DealRow
from atomic_margin.service.operator.custody import dealings

from ..documents import FUND
from .played import Party, Scene, dealt

pytestmark = pytest.mark.long

Open = Callable[[str], Scene]
KEEP = 7


def erasing(party: Party) -> Erasing:
    return Erasing(party.own, party.client, party.reading, KEEP)


def let_go(scene: Scene) -> None:
    """The institution deals twice more, and the operator keeps two."""
    for _ in range(2):
        made = dealt(scene.world, scene.policy, scene.dealt.values)
        dealings.bring(scene.world.operator, FUND, made.upload(scene.world.funds[FUND].identity))


def row(party: Party) -> DealRow:
    found = party.store.deal(party.scene.dealt.dealing.deal)
    assert found is not None
    return found


def later(scene: Scene, seconds: int) -> None:
    scene.clock.seconds += seconds
    scene.publish()


def test_a_deal_that_no_book_came_under_is_erased_some_days_later(scene_at: Open) -> None:
    scene = scene_at("receipted")
    party = scene.party(2)
    later(scene, KEEP * DAY_SECONDS)
    assert erasing(party).erase() == []
    later(scene, 700)
    # As long as the operator has the deal, a submission may name it with the receipts that there are.
    assert erasing(party).erase() == []
    let_go(scene)
    assert erasing(party).erase() == [scene.dealt.dealing.deal]
    assert (row(party).state, row(party).shares) == ("erased", None)
    assert party.deals.held(scene.dealt.dealing.deal) is None
    assert erasing(party).erase() == []


def test_a_deal_of_the_book_in_force_stays(scene_at: Open) -> None:
    scene = scene_at("submitted")
    party = scene.party(2)
    later(scene, 100 * DAY_SECONDS)
    assert erasing(party).erase() == []
    assert row(party).state == "held"


def test_nothing_is_erased_by_a_history_that_is_not_whole(
    scene_at: Open, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The operator hides that the book came in force."""
    scene = scene_at("submitted")
    party = scene.party(2)
    later(scene, 100 * DAY_SECONDS)
    history = party.client.history(FUND)
    history["entries"].pop()
    monkeypatch.setattr(party.client, "history", lambda institution: history)
    assert erasing(party).erase() == []
    assert row(party).state == "held"
    assert "nothing is erased of larkfield" in caplog.text


def test_it_looks_once_an_hour(scene_at: Open) -> None:
    scene = scene_at("receipted")
    party = scene.party(2)
    let_go(scene)
    looks = erasing(party)
    looks.round()
    later(scene, KEEP * DAY_SECONDS + 700)
    looks.round()
    assert row(party).state == "erased"
    party.store.keep_deal(row(party)._replace(state="held", shares=b"x", expires_at=0))
    scene.clock.seconds += EVERY_SECONDS - 1
    looks.round()
    assert row(party).state == "held"
    later(scene, 1)
    looks.round()
    assert row(party).state == "erased"


def test_what_was_complained_about_and_never_answered_is_dropped(
    scene_at: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = scene_at("dealt")
    party = scene.party(2)
    monkeypatch.setattr(party.client, "box", lambda deal: None)
    party.deals.round()
    party.deals.forget()
    assert row(party).state == "complained"
    scene.clock.seconds += 2 * DAY_SECONDS
    party.deals.forget()
    assert row(party).state == "erased"

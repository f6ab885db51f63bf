"""What an agent hands on of a cycle, and what verifiers refuse of it, beside what `test_netting_file` plays."""

import json
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest

from atomic_margin.service.errors import AttestationInvalid, HistoryDiffers
from atomic_margin.service.institution import cycles, obligations
from atomic_margin.service.operator import replay
from atomic_margin.service.operator.accounts import netting
from atomic_margin.service.operator.store import log
from atomic_margin.service.protocol.account.entries import Entry, salted_hash
from atomic_margin.service.protocol.account.errors import WrongNetting
from atomic_margin.service.protocol.account.netting import check_shown
from atomic_margin.service.protocol.account.netting_documents import Netting
from atomic_margin.service.protocol.agent_messages import Promise
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.verifier.errors import Contradiction
from atomic_margin.service.verifier.netting import verify_netting

from .netting import day
from .netting_sides import WEST, Sides
from .netting_sides import sides as sides
from .test_agent_log import clock as clock
from .test_agent_log import resident as resident
from .test_agent_log import residents as residents
from .test_agent_log import watched as watched
from .test_netting_file import genuine as genuine

pytestmark = pytest.mark.long


def from_today(days: int) -> str:
    return (date.fromisoformat(day()) + timedelta(days=days)).isoformat()


def promise(sides: Sides, quantity: int, settles: str) -> str:
    asked = {"direction": "delivery", "asset": "USDC", "quantity": str(quantity), "settles": settles}
    with sides.agent.signing() as (party, outbox):
        return obligations.promise(party, outbox, Promise.parse({**asked, "party": "lei-one", "scope": "party"}))


def test_what_settles_later_was_not_passed_over_and_is_not_in_the_file(sides: Sides) -> None:
    promise(sides, 50, from_today(1))
    sides.promise_west()
    sides.net()
    sides.round()
    # The fund's obligation is of a later day: it is in no cycle, and none of its day came.
    assert sides.agent.contradiction is None
    with sides.agent.signing() as (party, _):
        assert cycles.check(party) is True


def test_a_file_has_the_obligations_of_its_own_cycle(sides: Sides, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not those of a later day, nor those that an earlier cycle netted."""
    # Its operator's clock is a day behind for the first cycle, so that there can be two.
    with monkeypatch.context() as patch:
        patch.setattr(netting, "now_text", lambda: f"{from_today(-1)}T12:00:00Z")
        promise(sides, 300, from_today(-1))
        netting.net_cycle(sides.world.operator, from_today(-1))
    sides.round()
    promise(sides, 50, day())
    promise(sides, 7, from_today(1))
    sides.net()
    sides.round()
    assert sides.agent.contradiction is None
    for cycle, quantity in ((1, 300), (2, 50)):
        file = sides.file(cycle)
        assert [one["document"]["body"]["quantity"] for one in file["obligations"]] == [str(quantity)]
        (line,) = verify_netting(file, sides.trust).netting.lines
        assert line.line.quantity == quantity


def entered(sides: Sides, one: Any, document: SignedDocument, **changes: Any) -> None:
    """Let the operator sign an entry about a document, with changes, in the place of one in a file."""
    about = {"document": salted_hash(one["salt"], document.canonical())}
    entry = Entry.parse(one["entry"]["body"] | about | changes).signed_by(sides.world.operator.identity)
    one |= {"document": document.to_json(), "entry": entry.to_json()}


def by_a_stranger(sides: Sides, file: Any) -> None:
    body = Netting.parse(file["netting"]["document"]["body"])
    entered(sides, file["netting"], body.signed_by(sides.world.funds[WEST].identity))


def of_another_kind(sides: Sides, file: Any) -> None:
    entered(sides, file["netting"], SignedDocument.parse(file["netting"]["document"]), kind="deposited")


def to_another_operator(sides: Sides, file: Any) -> None:
    one = file["obligations"][0]
    body = netting.Obligation.parse(one["document"]["body"] | {"operator": sides.world.funds[WEST].identity.public_key})
    entered(sides, one, body.signed_by(sides.agent.identity))


def of_the_other_direction(sides: Sides, file: Any) -> None:
    one = file["obligations"][0]
    entered(sides, one, SignedDocument.parse(one["document"]), kind="return promised")


def by_a_later_day(sides: Sides, file: Any) -> None:
    one = file["obligations"][0]
    body = netting.Obligation.parse(one["document"]["body"] | {"settles": from_today(1)})
    entered(sides, one, body.signed_by(sides.agent.identity))


@pytest.mark.parametrize(
    ("change", "step", "match"),
    [
        (by_a_stranger, "entry", "sign"),
        (of_another_kind, "entry", "is not about a cycle"),
        (to_another_operator, "obligations", "is of another account"),
        (of_the_other_direction, "obligations", "not one that this cycle nets"),
        (by_a_later_day, "obligations", "not one that this cycle nets"),
    ],
)
def test_documents_that_are_genuine_elsewhere_do_not_verify(
    sides: Sides, genuine: Any, change: Callable[[Sides, Any], None], step: str, match: str
) -> None:
    verify_netting(genuine, sides.trust)
    change(sides, genuine)
    with pytest.raises(AttestationInvalid, match=match) as found:
        verify_netting(genuine, sides.trust)
    assert found.value.step == step


def test_what_is_shown_has_to_fit_itself(genuine: Any) -> None:
    """Whoever has no account to apply it to sees as much by the document alone."""

    def shown(change: Callable[[Any], None]) -> Netting:
        body = json.loads(json.dumps(Netting.parse(genuine["netting"]["document"]["body"]).canonical()))
        change(body)
        return Netting.parse(body)

    check_shown(shown(lambda body: None))
    for change, match in (
        (lambda body: body["lines"][1]["line"].update(sequence=body["lines"][0]["line"]["sequence"]), "there twice"),
        (lambda body: body["lines"][0]["line"].update(institution=WEST), "of another account"),
        (lambda body: body["lines"][0]["line"].update(direction="return", arrived=False), "never undone"),
        (lambda body: body["groups"][0]["group"].update(asset="BTC"), "group"),
    ):
        with pytest.raises(WrongNetting, match=match):
            check_shown(shown(change))


def test_a_log_that_began_to_have_cycles_later(sides: Sides, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was netted before is no leaf that anybody could have read: the next number is a gap, and is said to be."""
    append = log.append
    with monkeypatch.context() as patch:
        patch.setattr(log, "append", lambda session, leaf: 0 if b'"kind":"cycle"' in leaf else append(session, leaf))
        patch.setattr(netting, "now_text", lambda: f"{from_today(-1)}T12:00:00Z")
        promise(sides, 300, from_today(-1))
        netting.net_cycle(sides.world.operator, from_today(-1))
    sides.watched.publish()
    assert sides.monitored().cycles == ()
    with sides.world.operator.store.unit_of_work() as session, pytest.raises(HistoryDiffers, match="cycles of netting"):
        replay.check(session, sides.world.key)
    sides.promise_west()
    sides.net()
    sides.watched.publish()
    with pytest.raises(Contradiction, match="cycle 2 of netting comes after 0"):
        sides.monitored()

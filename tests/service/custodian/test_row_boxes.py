"""Boxes of shares of rows, which an operator carries: what it puts in a custodian's name is nobody's fault."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from atomic_margin.service.custodian import closing
from atomic_margin.service.custodian.errors import RowShareWrong, RowsUnsigned
from atomic_margin.service.custodian.judging import Judged
from atomic_margin.service.custodian.stored import Found
from atomic_margin.service.errors import SignatureInvalid
from atomic_margin.service.protocol.signing import Identity, verify_row_shares

from .engines import rows
from .played import Party, Scene
from .test_judging import asked, judged

pytestmark = pytest.mark.long

Open = Callable[[str], Scene]
CLOSER = 1


class Boxes:
    """A breached run with its three custodians; the one at point 1 closes."""

    def __init__(self, scene: Scene) -> None:
        for point in (1, 5):
            party = scene.party(point)
            scene.publish()
            party.reading.look()
            party.close()
        asked(scene)
        self.parties: dict[int, Party] = {point: scene.party(point) for point in (1, 2, 5)}
        self.judged: dict[int, Judged] = {point: judged(party) for point, party in self.parties.items()}
        maintenance, initial = rows(scene, "maintenance", 2), rows(scene, "initial", 2)
        self.found = Found(True, maintenance.index(min(maintenance)), initial.index(min(initial)))

    def sent(self, point: int) -> closing.Sent:
        own = self.judged[point]
        return closing.own_shares(own, closing.rows_of(own, self.found))

    def box(self, point: int, session: int = 1, **other: Any) -> bytes:
        given = {
            "sent": self.sent(point),
            "identity": self.parties[point].folder.identity,
            "found": self.found,
            **other,
        }
        return closing.seal_rows(self.judged[point], given["found"], given["sent"], session, CLOSER, given["identity"])

    def opened(self, box: bytes, point: int, session: int = 1) -> closing.Sent:
        own, closer = self.judged[CLOSER], self.parties[CLOSER]
        key, group = closer.folder.encryption, closer.own.group
        there = closing.rows_of(own, self.found)
        return closing.open_rows(own, self.found, there, box, session, point, CLOSER, key, group)


@pytest.fixture
def boxes(scene_at: Open) -> Boxes:
    return Boxes(scene_at("owed-fall"))


def test_signed_shares_that_fit_are_taken(boxes: Boxes) -> None:
    for point in (2, 5):
        assert boxes.opened(boxes.box(point), point) == boxes.sent(point)


def test_what_an_operator_does_with_boxes_is_nobody_s_fault(boxes: Boxes) -> None:
    operator, second = Identity.generate(), boxes.box(2)
    wrong = boxes.sent(2)._replace(initial=replace(boxes.sent(2).initial, value=7))
    for name, box, point, session in (
        ("another custodian's", second, 5, 1),
        ("of another session", second, 2, 2),
        ("its own, in a name", boxes.box(2, sent=wrong, identity=operator), 2, 1),
        ("true shares, signed by another custodian", boxes.box(2, identity=boxes.parties[5].folder.identity), 2, 1),
        ("of other rows", boxes.box(2, found=boxes.found._replace(initial_row=0, maintenance_row=0)), 2, 1),
        ("changed", second[:-1] + bytes([second[-1] ^ 1]), 2, 1),
        ("cut", second[:-64], 2, 1),
        ("empty", b"", 2, 1),
    ):
        with pytest.raises(RowsUnsigned, match=f"in the name of the custodian at point {point}") as raised:
            boxes.opened(box, point, session)
        assert not hasattr(raised.value, "point"), name


def test_who_signs_what_is_no_share_is_named(boxes: Boxes, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = boxes.sent(2)
    for wrong in (
        sent._replace(initial=replace(sent.initial, value=7)),
        sent._replace(maintenance=replace(sent.maintenance, blinding=7)),
        sent._replace(initial=boxes.sent(5).initial, maintenance=sent.maintenance),
        closing.Sent(sent.initial, sent.maintenance),
    ):
        box = boxes.box(2, sent=wrong._replace(initial=replace(wrong.initial, custodian=2)))
        with pytest.raises(RowShareWrong) as raised:
            boxes.opened(box, 2)
        assert raised.value.point == 2
    monkeypatch.setattr(closing.RowShare, "to_bytes", lambda self: b"")
    with pytest.raises(RowShareWrong, match="two shares of rows are"):
        boxes.opened(boxes.box(2), 2)


def test_shares_for_one_closer_are_none_for_another(boxes: Boxes) -> None:
    """A closer that hands a box on cannot have it taken elsewhere."""
    own, fifth = boxes.judged[5], boxes.parties[5]
    there = closing.rows_of(own, boxes.found)
    with pytest.raises(RowsUnsigned):
        closing.open_rows(own, boxes.found, there, boxes.box(2), 1, 2, 5, fifth.folder.encryption, fifth.own.group)


def test_a_signature_of_shares_is_none_of_anything_else() -> None:
    identity = Identity.generate()
    signature = identity.sign_row_shares(b"shares")
    verify_row_shares(identity.public_key, b"shares", signature)
    for signer, text, said in (
        (Identity.generate().public_key, b"shares", signature),
        (identity.public_key, b"others", signature),
        (identity.public_key, b"shares", signature[:-1]),
        (identity.public_key, b"shares", identity.sign_note(b"shares")),
    ):
        with pytest.raises(SignatureInvalid):
            verify_row_shares(signer, text, said)
    with pytest.raises(ValueError, match="shares of rows"):
        identity.sign_note(b"atomic-margin/row-shares/1\nshares")

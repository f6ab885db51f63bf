"""Deals: shares that fit are stored and receipted; what does not is complained about, or refused without a word."""

import dataclasses
import hashlib
import logging
from collections.abc import Callable
from typing import Any

import pytest

from atomic_margin.service.custodian import deals as dealing_rounds
from atomic_margin.service.custodian import store as stores
from atomic_margin.service.custodian.client import OperatorClient
from atomic_margin.service.custodian.errors import DealingInvalid, InstitutionUnknown, SharesDamaged, SharesUnusable
from atomic_margin.service.custodian.receiving import Offered, read_offer, take_shares
from atomic_margin.service.custodian.sealing import Place, seal
from atomic_margin.service.errors import RemoteError
from atomic_margin.service.institution.share_boxes import seal_shares
from atomic_margin.service.operator.custody import dealings
from atomic_margin.service.protocol.custodian_messages import DealingStanding
from atomic_margin.service.protocol.dealings import BookSharing, ResealedShares, ShareComplaint, check_receipts
from atomic_margin.service.protocol.share_boxes import SUITE, BoxAddress, read_encryption_key
from atomic_margin.service.protocol.signing import Identity, SignedDocument
from atomic_margin.zk.errors import OtherDeal
from atomic_margin.zk.groups import ORDER
from atomic_margin.zk.sharing.messages import Shares
from atomic_margin.zk.sharing.short import shorten

from ..documents import FUND
from .played import Dealt, Party, Scene, dealt

pytestmark = pytest.mark.long

Open = Callable[[str], Scene]
WRONG_ENTRY = 3


def bring(scene: Scene, **wrong: Any) -> Dealt:
    """Deal the book once more, and bring that."""
    made = dealt(scene.world, scene.policy, scene.dealt.values, **wrong)
    dealings.bring(scene.world.operator, FUND, made.upload(scene.world.funds[FUND].identity))
    return made


def standing(scene: Scene, deal: Dealt) -> DealingStanding:
    return dealings.standing(scene.world.operator, FUND, deal.dealing.deal)


def wrong_value(shares: Shares) -> Shares:
    values = list(shares.values)
    values[WRONG_ENTRY] = (values[WRONG_ENTRY] + 1) % ORDER
    return dataclasses.replace(shares, values=tuple(values))


def offered(party: Party, of: DealingStanding, **other: Any) -> Offered:
    trust = party.own.trust
    return read_offer(
        other.get("standing", of),
        other.get("operator", trust.operator),
        [other.get("identity", trust.institutions[FUND])],
        party.folder.policy,
        party.folder.own_line,
    )


def test_shares_that_fit_are_stored_and_then_receipted(scene_at: Open) -> None:
    scene = scene_at("dealt")
    party = scene.party(2)
    assert party.deals.round() == 1
    held = party.deals.held(scene.dealt.dealing.deal)
    assert held is not None
    assert (held.shares, held.deal) == (scene.dealt.shares[2], scene.dealt.deal)
    (receipt,) = standing(scene, scene.dealt).receipts
    sharing = {"policy": scene.policy.hash(), "deal": scene.dealt.dealing.deal, "receipts": [receipt]}
    named = {"institution": FUND, "operator": scene.world.key, "book": scene.dealt.dealing.book}
    assert check_receipts(BookSharing.parse(sharing), scene.policy, **named) == (2,)
    # Nothing is left to be said, also not by the next process.
    assert party.deals.round() == 0
    party.close()
    assert scene.party(2).deals.round() == 0


def test_shares_are_not_in_the_clear_in_the_folder(scene_at: Open) -> None:
    scene = scene_at("dealt")
    party = scene.party(5)
    party.deals.round()
    party.close()
    secret = scene.dealt.shares[5].values[0].to_bytes(32, "big")
    files = [path for path in party.folder.directory.iterdir() if path.is_file()]
    assert files
    assert not any(secret in path.read_bytes() for path in files)


def test_a_receipt_that_did_not_arrive_is_sent_again_as_it_was(scene_at: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = scene_at("dealt")
    party = scene.party(1)

    def lost(*_: object) -> None:
        raise RemoteError("the line is cut")

    with monkeypatch.context() as cut:
        cut.setattr(party.client, "receipt", lost)
        with pytest.raises(RemoteError):
            party.deals.round()
    row = party.store.deal(scene.dealt.dealing.deal)
    assert row is not None
    assert (row.state, row.sent) == ("held", False)
    party.close()
    scene.clock.seconds += 30
    again = scene.party(1)
    again.deals.round()
    assert list(standing(scene, scene.dealt).receipts) == [row.said]


def test_a_wrong_share_is_complained_about_by_its_entry_and_taken_once_it_is_sealed_anew(scene_at: Open) -> None:
    scene = scene_at("dealt")
    made = bring(scene, shares=lambda one: wrong_value(one) if one.custodian == 9 else one)
    party = scene.party(9)
    party.deals.round()
    (value,) = standing(scene, made).complaints
    complaint = ShareComplaint.parse(value["body"])
    assert (complaint.reason, complaint.entry_index, complaint.point) == ("wrong", WRONG_ENTRY, 9)
    assert party.deals.held(made.dealing.deal) is None
    party.deals.round()
    assert not standing(scene, made).receipts
    reseal(scene, made, value, made.shares[9])
    party.deals.round()
    held = party.deals.held(made.dealing.deal)
    assert held is not None
    assert held.shares == made.shares[9]
    assert len(standing(scene, made).receipts) == 1


def reseal(scene: Scene, made: Dealt, complaint: Any, shares: Shares) -> SignedDocument:
    signed = SignedDocument.parse(complaint)
    body = {name: signed.body[name] for name in ("institution", "operator", "dealing", "deal", "point")}
    point = int(body["point"])
    keys = scene.policy.by_point[point]
    holder = next(one for one in scene.policy.holders if one.point == point)
    address = BoxAddress(body["operator"], body["institution"], bytes.fromhex(body["deal"]), holder)
    box = seal_shares(shares, address, read_encryption_key(keys.encryption_key))
    document = ResealedShares.parse(body | {"complaint": signed.body_hash(), "box": box.hex()}).signed_by(
        scene.world.funds[FUND].identity
    )
    dealings.answer(scene.world.operator, FUND, made.dealing.deal, document.to_json())
    return document


def test_an_answer_that_does_not_fit_either_is_not_taken(scene_at: Open, caplog: pytest.LogCaptureFixture) -> None:
    """Only the custodian can tell: there is no receipt, and so no book."""
    scene = scene_at("dealt")
    made = bring(scene, shares=wrong_value)
    party = scene.party(2)
    party.deals.round()
    (complaint,) = standing(scene, made).complaints
    reseal(scene, made, complaint, wrong_value(made.shares[2]))
    party.deals.round()
    assert party.deals.held(made.dealing.deal) is None
    assert "does not fit either" in caplog.text


@pytest.mark.parametrize("kind", ["of another point", "of another key", "no shares", "of another deal"])
def test_what_is_no_box_of_this_custodian_is_complained_about(scene_at: Open, kind: str) -> None:
    scene = scene_at("dealt")
    made = dealt(scene.world, scene.policy, scene.dealt.values)
    party = scene.party(2)
    own = scene.policy.holders[1]
    key = read_encryption_key(scene.policy.custodians[1].encryption_key)
    address = BoxAddress(scene.world.key, FUND, made.deal.hash, own)
    shares, reason = made.shares[2].to_bytes(), "sealed"
    if kind == "of another point":
        made.boxes[2] = made.boxes[1]
    elif kind == "of another key":
        other = read_encryption_key(scene.policy.custodians[0].encryption_key)
        made.boxes[2] = SUITE.encrypt(shares, other, info=address.info())
    else:
        reason = "malformed"
        wrong = bytes(len(shares)) if kind == "no shares" else scene.dealt.shares[2].to_bytes()
        made.boxes[2] = SUITE.encrypt(wrong, key, info=address.info())
    hashes = tuple(hashlib.sha256(box).hexdigest() for box in made.boxes.values())
    upload = made.upload(scene.world.funds[FUND].identity, boxes=hashes)
    dealings.bring(scene.world.operator, FUND, upload)
    party.deals.round()
    (complaint,) = standing(scene, made).complaints
    assert (complaint["body"]["reason"], "entry_index" in complaint["body"]) == (reason, False)


def test_a_box_that_is_not_there_is_complained_about(scene_at: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = scene_at("dealt")
    party = scene.party(2)
    monkeypatch.setattr(party.client, "box", lambda deal: None)
    party.deals.round()
    (complaint,) = standing(scene, scene.dealt).complaints
    assert complaint["body"]["reason"] == "missing"


@pytest.mark.parametrize("call", ["box", "coefficients"])
def test_what_the_operator_changed_is_no_fault_of_the_institution(
    scene_at: Open, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    scene = scene_at("dealt")
    other = bring(scene)
    party = scene.party(2)

    def of_other(self: OperatorClient, deal: str, *short: bool) -> bytes:
        return other.boxes[2] if call == "box" else (shorten(other.deal) if short[0] else other.deal.to_bytes())

    with monkeypatch.context() as patched:
        patched.setattr(OperatorClient, call, of_other)
        if call == "coefficients":
            # A short deal of two custodians is empty: the whole one is asked for where that does not do.
            patched.setattr("atomic_margin.service.custodian.receiving.complete", _no_short)
        party.deals.round()
    assert party.store.deal(scene.dealt.dealing.deal) is None
    assert not standing(scene, scene.dealt).complaints
    party.deals.round()
    assert party.deals.held(scene.dealt.dealing.deal) is not None


def _no_short(*_: object) -> None:
    raise OtherDeal("not this time")


def test_a_policy_that_nobody_agreed_to_is_refused_by_name(scene_at: Open, caplog: pytest.LogCaptureFixture) -> None:
    scene = scene_at("dealt")
    party = scene.party(2)
    (agreed,) = (party.folder.directory / "policies").iterdir()
    policy = agreed.read_bytes()
    agreed.unlink()
    with caplog.at_level(logging.WARNING):
        party.deals.round()
        party.deals.round()
    assert [record.getMessage() for record in caplog.records if "PolicyNotAgreed" in record.getMessage()] == [
        f"deal waits or is refused: PolicyNotAgreed: nobody agreed here to the custody policy {scene.policy.hash()}; "
        "read it, and take it with `custodian agree FILE`"
    ]
    assert standing(scene, scene.dealt).complaints == ()
    agreed.write_bytes(policy)
    party.deals.round()
    assert party.deals.held(scene.dealt.dealing.deal) is not None


def test_a_dealing_of_somebody_else_is_none(scene_at: Open) -> None:
    scene = scene_at("dealt")
    party, of = scene.party(2), standing(scene, scene.dealt)
    assert offered(party, of).dealing.deal == scene.dealt.dealing.deal
    replayed = of.model_copy(update={"institution": "harbour"})
    other_deal = of.model_copy(update={"deal": "1a" * 32})
    forged = scene.dealt.dealing.signed_by(Identity.generate()).to_json()
    fewer = scene.dealt.dealing.model_copy(update={"boxes": scene.dealt.dealing.boxes[1:]})
    for changed in (
        {"standing": replayed},
        {"standing": other_deal},
        {"standing": of.model_copy(update={"dealing": forged})},
        {"standing": of.model_copy(update={"dealing": fewer.signed_by(scene.world.funds[FUND].identity).to_json()})},
        {"operator": "1a" * 32},
        {"identity": Identity.generate().public_key},
    ):
        with pytest.raises(DealingInvalid):
            offered(party, of, **changed)


def test_an_institution_that_nobody_pinned_is_refused(scene_at: Open, caplog: pytest.LogCaptureFixture) -> None:
    scene = scene_at("dealt")
    scene.trust = scene.trust.model_copy(update={"institutions": {}})
    party = scene.party(2)
    party.deals.round()
    assert InstitutionUnknown.__name__ in caplog.text
    assert party.store.deal(scene.dealt.dealing.deal) is None


def test_deals_of_one_institution_are_limited(
    scene_at: Open, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    scene = scene_at("dealt")
    second = bring(scene)
    party = scene.party(2)
    with monkeypatch.context() as patched:
        patched.setattr(stores, "MAX_DEALS_OF_ONE", 1)
        party.deals.round()
    assert "TooManyDeals" in caplog.text
    assert [row.deal for row in party.store.deals()] == [scene.dealt.dealing.deal]
    with monkeypatch.context() as patched:
        patched.setattr(dealing_rounds, "PER_MINUTE", 0)
        party.deals.round()
    assert party.deals.held(second.dealing.deal) is None
    scene.clock.seconds += 60
    party.deals.round()
    assert party.deals.held(second.dealing.deal) is not None


def test_stored_shares_open_for_nothing_else(scene_at: Open) -> None:
    scene = scene_at("receipted")
    party = scene.party(2)
    row = party.store.deal(scene.dealt.dealing.deal)
    assert row is not None
    other = seal(party.folder.storage, scene.dealt.shares[2].to_bytes(), Place(scene.world.key, FUND, row.deal, 1))
    party.store.keep_deal(row._replace(shares=other))
    with pytest.raises(SharesDamaged):
        party.deals.held(row.deal)


def test_shares_of_a_short_deal_and_of_a_whole_one_are_the_same(scene_at: Open) -> None:
    scene = scene_at("dealt")
    party, of = scene.party(2), standing(scene, scene.dealt)
    found = offered(party, of)

    def whole(short: bool) -> bytes:
        if short:
            return b"\x02\x00"
        return scene.dealt.deal.to_bytes()

    key, group = party.folder.encryption, party.own.group
    assert take_shares(found, scene.dealt.boxes[2], whole, key, group).shares == scene.dealt.shares[2]
    with pytest.raises(SharesUnusable, match="no box"):
        take_shares(found, None, whole, key, group)

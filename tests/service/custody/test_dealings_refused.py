"""What the operator refuses of deals, receipts and submissions: each would leave a book that nobody can open."""

import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from atomic_margin.service.errors import DealingOver, Refused, RemoteError, SignatureInvalid
from atomic_margin.service.institution import dealing as dealings
from atomic_margin.service.institution.admitted import check_pinned
from atomic_margin.service.institution.store import OwnDealing
from atomic_margin.service.operator.custody import dealings as operator_dealings
from atomic_margin.service.operator.custody import stored
from atomic_margin.service.operator.retention import Retention
from atomic_margin.service.operator.store.custody_tables import DealingRow
from atomic_margin.service.protocol.account.errors import CustodyNotPinned
from atomic_margin.service.protocol.account.events import AdmissionRecord
from atomic_margin.service.protocol.dealings import (
    BookSharing,
    Dealing,
    ResealedShares,
    check_receipts,
    sharing_statement,
)
from atomic_margin.service.protocol.signing import Identity, SignedDocument
from atomic_margin.service.protocol.submissions import Submission
from atomic_margin.zk.groups import POINT_BYTES
from atomic_margin.zk.sharing.messages import Deal

from ..documents import FUND, OTHER, Json
from ..rounds import flat
from .conftest import Custody
from .holders import Holder, Holders, refused

pytestmark = pytest.mark.long

At = Callable[..., Custody]
NOT_IN_SUBGROUP = "80" + "00" * 46 + "04"
"""On the curve BLS12-381 G1, x = 4, and of another order than r."""


class Stopped(Exception):
    """The agent is stopped where it would begin to wait."""


def dealt(custody: Custody) -> tuple[OwnDealing, Json]:
    """Have the agent deal a book and stop before anybody looks; return its row, and how far the deal is."""

    def stop() -> None:
        raise Stopped

    custody.waited = stop
    with pytest.raises(Stopped):
        custody.submit()
    custody.waited = custody.holders.look
    [row] = custody.resident.rows(OwnDealing)
    return row, custody.shown(row.deal)


def bring(custody: Custody, upload: Json) -> Any:
    world = custody.world
    return world.client.post(f"/v1/institutions/{FUND}/dealings", json=upload, auth=world.auth())


def signed(custody: Custody, upload: Json, **changes: Any) -> Json:
    body = Dealing.parse(upload["dealing"]["body"] | changes)
    return {**upload, "dealing": body.signed_by(custody.world.funds[FUND].identity).to_json()}


def problem(response: Any, status: int) -> str:
    assert response.status_code == status, response.text
    return str(response.json()["detail"])


def test_a_deal_says_what_it_is_of(custody_at: At) -> None:
    custody = custody_at("enrolled")
    upload = dealt(custody)[0].upload
    for changes, said in (
        ({"policy": "00" * 32}, "another policy"),
        ({"operator": Identity.generate().public_key}, "another operator"),
        ({"institution": OTHER}, "another institution"),
        ({"deal": "00" * 32}, "another deal than the document says"),
        ({"book": "00" * 32}, "another deal than the document says"),
        ({"commitments": upload["dealing"]["body"]["commitments"][::-1]}, "another deal than the document says"),
        ({"commitments": upload["dealing"]["body"]["commitments"] * 2}, "1 to 16 entries"),
        ({"boxes": upload["dealing"]["body"]["boxes"][1:]}, "one box for each"),
        ({"boxes": upload["dealing"]["body"]["boxes"][::-1]}, "another hash"),
    ):
        assert said in problem(bring(custody, signed(custody, upload, **changes)), 422), changes
    assert "next submission is number 1" in problem(bring(custody, signed(custody, upload, sequence="2")), 409)
    stranger = Dealing.parse(upload["dealing"]["body"]).signed_by(Identity.generate()).to_json()
    assert bring(custody, {**upload, "dealing": stranger}).status_code == 403


def test_sizes_are_exact(custody_at: At) -> None:
    custody = custody_at("enrolled")
    upload = dealt(custody)[0].upload
    # Told apart from the one that is there by its hash alone.
    fresh = signed(custody, upload, deal="00" * 32)
    for coefficients in (upload["coefficients"][:-2], upload["coefficients"] + "00", "02" + upload["coefficients"][2:]):
        assert bring(custody, {**fresh, "coefficients": coefficients}).status_code == 422
    for box in (upload["boxes"][0][:-2], upload["boxes"][0] + "00"):
        boxes = [hashlib.sha256(bytes.fromhex(one)).hexdigest() for one in (box, *upload["boxes"][1:])]
        shorter = {**signed(custody, upload, boxes=boxes, deal="00" * 32), "boxes": [box, *upload["boxes"][1:]]}
        assert "a box with shares of 16 entries is" in problem(bring(custody, shorter), 422)


def test_a_point_outside_the_subgroup_is_no_coefficient(custody_at: At, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also with the hash that such a deal has: the hash says nothing of what a point is."""
    custody = custody_at("enrolled")
    row, _ = dealt(custody)

    for point in (NOT_IN_SUBGROUP, "c0" + "00" * 47, "ff" * POINT_BYTES):
        coefficients = row.upload["coefficients"][:2] + point + row.upload["coefficients"][2 + 2 * POINT_BYTES :]
        dealing = Dealing.parse(row.upload["dealing"]["body"])
        deal = Deal.from_bytes(bytes.fromhex(coefficients), sharing_statement(dealing, custody.holders.policy))
        upload = signed(custody, {**row.upload, "coefficients": coefficients}, deal=deal.hash.hex())
        assert "coefficients of degree 1" in problem(bring(custody, upload), 422)


def test_of_deals_that_no_book_is_under_two_are_kept(custody_at: At, monkeypatch: pytest.MonkeyPatch) -> None:
    custody = custody_at("dealt")
    in_force = custody.resident.state.public.book
    assert in_force is not None
    assert in_force.shared is not None
    shared, deals, blobs = in_force.shared.deal, [], custody.world.operator.blobs
    before = set(blobs.names())
    for _ in range(3):
        monkeypatch.setattr(custody.resident.agent, "_secret", hashlib.sha256(bytes(len(deals))).digest())
        custody.waited = lambda: (_ for _ in ()).throw(Stopped())
        with pytest.raises(Stopped):
            custody.resident.agent.submit(flat())
        newest = custody.resident.rows(OwnDealing)[-1]
        deals.append(newest.deal)
        with custody.resident.agent._store.unit_of_work() as session:
            session.get_one(OwnDealing, newest.id).over = "the test deals again"
        with custody.world.operator.store.unit_of_work() as session:
            # Times are to the second.
            session.get_one(DealingRow, newest.deal).received_at = f"2026-01-01T00:00:0{len(deals)}Z"
    with custody.world.operator.store.reading() as session:
        assert {row.deal for row in session.query(DealingRow)} == {shared, *deals[1:]}
    # Each has coefficients and four boxes; those of the oldest are gone.
    assert len(set(blobs.names()) - before) == 2 * 5


# Receipts and complaints


def test_a_receipt_is_of_the_very_deal(custody_at: At) -> None:
    custody = custody_at("enrolled")
    _, shown = dealt(custody)
    holder = custody.holders[2]
    for changes, said in (
        ({"deal": "00" * 32}, "another deal"),
        ({"dealing": "00" * 32}, "another dealing"),
        ({"book": "00" * 32}, "another book"),
        ({"policy": "00" * 32}, "another policy"),
        ({"institution": OTHER}, "another institution"),
        ({"operator": holder.identity.public_key}, "another operator"),
        ({"point": "5"}, "another point"),
        ({"custodian": custody.holders[5].identity.public_key}, "another custodian"),
    ):
        assert said in refused(holder, shown, "receipt", **changes)
    complaint = holder.complaint(shown, "missing", point="5").to_json()
    assert "another point" in problem(holder.call("POST", f"/dealings/{shown['deal']}/complaint", json=complaint), 422)
    # Signed by another custodian than the one that sends it.
    other = custody.holders[5].receipt(shown).to_json()
    assert holder.call("POST", f"/dealings/{shown['deal']}/receipt", json=other).status_code == 403


def test_a_custodian_says_one_thing(custody_at: At) -> None:
    custody = custody_at("enrolled")
    _, shown = dealt(custody)
    first, second = custody.holders[1], custody.holders[2]
    receipt = first.receipt(shown).to_json()
    for _ in range(2):
        assert len(first.posted(f"/dealings/{shown['deal']}/receipt", receipt)["receipts"]) == 1
    assert "receipted these shares before" in refused(first, shown, "receipt", received_at="2026-01-01T00:00:00Z")
    assert "cannot complain" in refused(first, shown, "complaint")
    second.posted(f"/dealings/{shown['deal']}/complaint", second.complaint(shown, "missing").to_json())
    assert "not answered yet" in refused(second, shown, "receipt")
    assert "complained before" in refused(second, shown, "complaint", complained_at="2026-01-01T00:00:00Z")


def test_a_deal_takes_receipts_for_its_time_alone(custody_at: At, monkeypatch: pytest.MonkeyPatch) -> None:
    custody = custody_at("enrolled")
    _, shown = dealt(custody)
    monkeypatch.setattr(stored, "now", lambda: stored_time(601))
    assert "took receipts until" in refused(custody.holders[1], shown, "receipt")
    assert "took receipts until" in refused(custody.holders[1], shown, "complaint")


def stored_time(seconds: int) -> Any:

    return datetime.now(timezone.utc) + timedelta(seconds=seconds)


def test_a_share_is_sealed_anew_to_answer_a_complaint(custody_at: At) -> None:
    custody = custody_at("enrolled")
    row, shown = dealt(custody)
    holder, world = custody.holders[5], custody.world
    path = f"/v1/institutions/{FUND}/dealings/{row.deal}/shares"
    place = [one.point for one in custody.holders.all].index(5)

    def resealed(box: str, complaint: str, point: int = 5) -> Any:
        said = {
            "institution": FUND,
            "operator": world.key,
            "dealing": SignedDocument.parse(row.upload["dealing"]).body_hash(),
            "deal": row.deal,
            "point": str(point),
            "complaint": complaint,
            "box": box,
        }
        document = ResealedShares.parse(said).signed_by(world.funds[FUND].identity)
        return world.client.post(path, json=document.to_json(), auth=world.auth())

    right = row.upload["boxes"][place]
    assert "nobody complained" in problem(resealed(right, "00" * 32), 409)
    complaint = holder.complaint(shown, "sealed")
    holder.posted(f"/dealings/{row.deal}/complaint", complaint.to_json())
    assert "another complaint" in problem(resealed(right, "00" * 32), 409)
    for box in (right + "00", right[:-2]):
        assert "bytes" in problem(resealed(box, complaint.body_hash()), 422)
    assert resealed(right, complaint.body_hash(), 3).status_code == 422
    shown = resealed(right, complaint.body_hash()).json()
    assert len(shown["answers"]) == 1
    # The first answer stands.
    assert resealed(row.upload["boxes"][place - 1], complaint.body_hash()).json() == shown
    # Nobody but the one that complained can read it.
    assert row.shares[place] not in str(shown)
    [again] = holder.got("/dealings")["dealings"]
    assert again["answers"] == custody.holders[1].got(f"/dealings/{row.deal}")["answers"]


# Submissions


def sharing_of(custody: Custody) -> BookSharing:
    sharing = Submission.parse(custody.resident.submissions[-1].document["body"]).sharing
    assert sharing is not None
    return sharing


def submitted_with(
    custody: Custody, monkeypatch: pytest.MonkeyPatch, change: Callable[[BookSharing], BookSharing]
) -> str:
    """Have the agent submit a book with other words about its shares; return what the operator says."""
    genuine = dealings.sharing_of

    def changed(*arguments: Any) -> BookSharing:
        found = genuine(*arguments)
        assert found is not None
        return change(found)

    monkeypatch.setattr(dealings, "sharing_of", changed)

    with pytest.raises(RemoteError) as error:
        custody.submit()
    assert custody.resident.state.public.book is None
    return str(error.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda sharing: sharing.model_copy(update={"receipts": sharing.receipts[:3]}), "it takes 4"),
        (
            lambda sharing: sharing.model_copy(update={"receipts": (*sharing.receipts[:3], sharing.receipts[0])}),
            "two receipts",
        ),
        (lambda sharing: sharing.model_copy(update={"receipts": ()}), "it takes 4"),
        (lambda sharing: sharing.model_copy(update={"deal": "00" * 32}), "another deal than the submission's"),
        (lambda sharing: sharing.model_copy(update={"policy": "00" * 32}), "another custody policy"),
    ],
    ids=["too few", "one twice", "none", "another deal", "another policy"],
)
def test_a_submission_with_other_receipts_is_refused(
    custody_at: At, monkeypatch: pytest.MonkeyPatch, change: Callable[[BookSharing], BookSharing], said: str
) -> None:
    assert said in submitted_with(custody_at("enrolled"), monkeypatch, change)


def test_receipts_of_another_book_or_account_count_for_none(custody_at: At) -> None:
    custody = custody_at("dealt")
    sharing, policy = sharing_of(custody), custody.holders.policy
    submission = custody.resident.submissions[-1].document["body"]
    book = custody.resident.state.public.book
    assert book is not None
    right = {"institution": FUND, "operator": submission["operator"], "book": book.commitments}
    assert check_receipts(sharing, policy, **right) == (1, 2, 5, 9)
    for name in right:
        with pytest.raises(Refused, match=f"another {name}"):
            check_receipts(sharing, policy, **{**right, name: "00" * 32})
    stranger = Holder(1)
    stranger.policy = policy
    receipt = SignedDocument.parse(sharing.receipts[0])
    forged = stranger.identity.sign("share-receipt", receipt.body)
    with pytest.raises(SignatureInvalid):
        check_receipts(sharing.model_copy(update={"receipts": (forged.to_json(),)}), policy, **right)


def test_a_deal_that_was_not_brought_or_is_of_other_commitments_brings_no_book_in(
    custody_at: At, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Receipts say a book's hash, which custodians cannot compare: the operator does."""
    custody = custody_at("dealt")
    operator, submission = custody.world.operator, Submission.parse(custody.resident.submissions[-1].document["body"])
    with operator.store.reading() as session:
        public = custody.resident.state.public.model_copy(update={"book": None, "waiting": None})
        operator_dealings.require_dealt(session, public, submission)
        row = session.get_one(DealingRow, sharing_of(custody).deal)
        body = row.document["body"]
    other = {**body, "commitments": body["commitments"][::-1]}
    with operator.store.unit_of_work() as session:
        session.get_one(DealingRow, row.deal).document = {**row.document, "body": other}
    with operator.store.reading() as session, pytest.raises(Refused, match="another book"):
        operator_dealings.require_dealt(session, public, submission)


def test_an_old_deal_brings_no_book_in_again(custody_at: At, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its receipts hold for ever, and custodians may have erased their shares since."""
    custody = custody_at("dealt")
    operator, submission = custody.world.operator, Submission.parse(custody.resident.submissions[-1].document["body"])
    public = custody.resident.state.public.model_copy(update={"book": None, "waiting": None})
    monkeypatch.setattr(stored, "now", lambda: stored_time(601))
    with operator.store.reading() as session, pytest.raises(DealingOver, match="deals anew"):
        operator_dealings.require_dealt(session, public, submission)
    with operator.store.reading() as session:
        # The book that is under it goes on, with other keys.
        operator_dealings.require_dealt(session, custody.resident.state.public, submission)


def test_an_unanswered_complaint_keeps_a_book_out(custody_at: At, monkeypatch: pytest.MonkeyPatch) -> None:
    custody = custody_at("dealt")
    operator, submission = custody.world.operator, Submission.parse(custody.resident.submissions[-1].document["body"])
    public = custody.resident.state.public.model_copy(update={"book": None, "waiting": None})
    shown = custody.shown(sharing_of(custody).deal)
    with operator.store.unit_of_work() as session:
        row = session.get_one(DealingRow, shown["deal"])
        dealt_ = next(one for one in stored.dealt_of(session, row) if one.point == 9)
        dealt_.complaint = custody.holders[9].complaint(shown, "wrong").to_json()
    with operator.store.reading() as session, pytest.raises(Refused, match="custodian at point 9"):
        operator_dealings.require_dealt(session, public, submission)


def test_an_account_under_a_policy_that_is_not_pinned_is_not_followed(custody_at: At) -> None:
    custody = custody_at("enrolled")
    [first] = (entry.document for entry in custody.resident.entries if entry.number == 1)
    assert first is not None
    admission, trust = AdmissionRecord.parse(first["body"]), custody.world.trust_file()
    check_pinned(admission, trust, FUND)
    for other in (None, {FUND: (Holders().policy,)}):
        with pytest.raises(CustodyNotPinned, match="trust --custody"):
            check_pinned(admission, trust.model_copy(update={"custody": other}), FUND)
    with pytest.raises(CustodyNotPinned, match="under no custody policy"):
        check_pinned(admission.model_copy(update={"custody": None}), trust, FUND)


def test_the_agent_believes_no_receipt_that_no_custodian_signed(custody_at: At) -> None:
    custody = custody_at("enrolled")
    dealt(custody)
    custody.holders.look()
    client = custody.resident.agent._client
    genuine = client.dealing

    def shown(deal: str) -> Any:
        standing = genuine(deal)
        receipt = SignedDocument.parse(standing.receipts[0])
        forged = Identity.generate().sign("share-receipt", receipt.body).to_json()
        return standing.model_copy(update={"receipts": (forged, *standing.receipts[1:])})

    custody.resident._patches.setattr(client, "dealing", shown)
    with pytest.raises(SignatureInvalid):
        custody.submit()
    assert custody.resident.submissions == []


# What is kept


@pytest.mark.usefixtures("own_temporary")
def test_deals_that_no_book_is_under_go_after_their_time(custody_at: At) -> None:
    custody = custody_at("dealt")
    world, book = custody.world, custody.resident.state.public.book
    assert book is not None
    assert book.shared is not None

    def stop() -> None:
        raise Stopped

    custody.waited = stop
    with pytest.raises(Stopped):
        custody.resident.agent.submit(flat())
    operator = world.operator
    retention = Retention(operator.store, operator.blobs, operator.settings.retention)
    assert retention.prune().deals == 0
    with operator.store.unit_of_work() as session:
        for row in session.query(DealingRow):
            row.expires_at = "2026-01-01T00:00:00Z"
    blobs = set(operator.blobs.names())
    assert retention.prune(dry_run=True).deals == 1
    pruned = retention.prune()
    assert (pruned.deals, pruned.bytes > 0) == (1, True)
    with operator.store.reading() as session:
        assert [row.deal for row in session.query(DealingRow)] == [book.shared.deal]
    assert len(blobs - set(operator.blobs.names())) == 5
    # A start keeps what the other deal names.
    assert operator.remove_orphans() == 0


def test_custodians_see_their_own_box_and_accounts_alone(custody_at: At) -> None:
    custody = custody_at("dealt")
    world, deal = custody.world, sharing_of(custody).deal
    first, second = custody.holders[1], custody.holders[2]
    boxes = [one.call("GET", f"/dealings/{deal}/box").content for one in (first, second)]
    assert boxes[0] != boxes[1]
    assert first.got("/policies")["policies"] == [{"institution": FUND, "policy": custody.holders.policy.canonical()}]
    history = first.got(f"/accounts/{FUND}/history")
    kinds = [(one["entry"]["body"]["kind"], "document" in one) for one in history["entries"]]
    assert ("deposited", False) in kinds
    assert ("submitted", True) in kinds
    assert all("private" not in one for one in history["entries"])
    whole = first.call("GET", f"/dealings/{deal}/coefficients").content
    short = first.call("GET", f"/dealings/{deal}/coefficients?short=true").content
    assert (whole[0], short) == (1, b"\x02")  # with threshold 2 all of it follows from one's shares
    # A second account, under another policy.
    others = Holders().at(world)
    world.custody = others.policy
    world.admit(OTHER)
    for path in (f"/dealings/{deal}", f"/dealings/{deal}/box", f"/dealings/{deal}/coefficients"):
        assert others[1].call("GET", path).status_code == 401
    assert others[1].call("GET", f"/accounts/{FUND}/history").status_code == 401
    assert first.call("GET", f"/accounts/{OTHER}/history").status_code == 401
    assert [one["institution"] for one in others[1].got("/policies")["policies"]] == [OTHER]
    assert others[1].got("/dealings") == {"dealings": []}
    # Nor does another institution read or answer it.
    for path in (f"/v1/institutions/{OTHER}/dealings/{deal}", f"/v1/institutions/{FUND}/dealings/{deal}"):
        assert world.client.get(path, auth=world.auth(OTHER)).status_code in (401, 404)

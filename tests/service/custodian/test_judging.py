"""Whether a custodian takes part in an opening: documents of a real operator, and what one could do with them."""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from atomic_margin.documents.fields import now_text
from atomic_margin.service.custodian.errors import (
    BookDiffers,
    CheckpointRefused,
    HistoryOlder,
    HistoryRefused,
    LogDiffers,
    NotRequested,
    OpeningOver,
    RecordDiffers,
    RequestInvalid,
    SlackNotOpened,
    TooEarly,
)
from atomic_margin.service.custodian.judging import Judged, judge, read_request
from atomic_margin.service.custodian.reading import AccountRead
from atomic_margin.service.custodian.receiving import Taken
from atomic_margin.service.files import read_json
from atomic_margin.service.operator.custody import openings
from atomic_margin.service.operator.runs import records
from atomic_margin.service.operator.store import entries
from atomic_margin.service.operator.store.custody_tables import OpeningRow
from atomic_margin.service.operator.store.tables import CheckpointRow
from atomic_margin.service.protocol.dealings import BookSharing
from atomic_margin.service.protocol.signing import Identity, SignedDocument
from atomic_margin.service.protocol.terms import Terms
from atomic_margin.service.verifier import opened
from atomic_margin.service.verifier.served_terms import ServedTerms

from ..documents import FUND
from .played import DELAY, Party, Scene, dealt, owe, submit

pytestmark = pytest.mark.long

Open = Callable[[str], Scene]
Json = dict[str, Any]


@pytest.fixture
def scene(scene_at: Open) -> Scene:
    """The book of the breached run is asked for, and it is time."""
    return asked(scene_at("owed-fall"))


def asked(scene: Scene, delay: int = DELAY) -> Scene:
    scene.publish()
    party = scene.party(2)
    party.reading.look()
    party.close()
    scene.ask()
    scene.clock.seconds += delay
    scene.publish()
    return scene


def request(scene: Scene) -> SignedDocument:
    with scene.world.operator.store.reading() as session:
        return SignedDocument.parse(session.query(OpeningRow).one().document)


def read(party: Party) -> AccountRead:
    return party.reading.account(FUND, party.reading.look())


@pytest.mark.parametrize("pinned", ["the policy", "another"])
def test_receipts_of_a_book_are_held_against_pinned_custodians(scene: Scene, pinned: str) -> None:
    policy = scene.policy if pinned == "the policy" else scene.policy.changed({"name": "another"})
    party = scene.party(2)
    party.reading._own = replace(party.own, trust=party.own.trust.model_copy(update={"custody": {FUND: (policy,)}}))
    if pinned == "the policy":
        assert read(party).state.owed is not None
        return
    with pytest.raises(HistoryRefused, match="'submitted', the trust file pins no custody policy"):
        read(party)


def test_receipts_that_custodians_did_not_sign(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator enters a book that nobody has shares of, with receipts by others."""
    party = scene.party(2)
    trust = party.own.trust.model_copy(update={"custody": {FUND: (scene.policy,)}})
    party.reading._own = replace(party.own, trust=trust)
    checked = opened.check_receipts

    def strangers(sharing: Any, *given: Any, **named: Any) -> Any:
        receipt = {**sharing.receipts[0], "signature": sharing.receipts[1]["signature"]}
        return checked(sharing.changed({"receipts": (receipt, *sharing.receipts[1:])}), *given, **named)

    monkeypatch.setattr(opened, "check_receipts", strangers)
    with pytest.raises(LogDiffers, match="'submitted', is not what custodians signed: the book was not shared so"):
        read(party)


def judged(party: Party, read_: AccountRead | None = None, **other: Any) -> Judged:
    scene, own = party.scene, party.own
    document = other.pop("document", None) or request(scene)
    named, body = read_request(document.to_json(), scene.trust.operator, FUND)
    read_ = read_ or read(party)
    given: Json = {
        "policy_of": own.folder.policy,
        "held": party.deals.held,
        "terms_of": ServedTerms(read_.log.served, own.trust).terms,
        "seen_at": own.store.leaf_seen_at,
        "now": own.now(),
        "group": own.group,
    }
    return judge(named, body, read_, **(given | other))


def shows(party: Party, monkeypatch: pytest.MonkeyPatch, change: Callable[[Json], None]) -> None:
    """Have the operator show another history."""
    history = copy.deepcopy(party.client.history(FUND))
    change(history)
    monkeypatch.setattr(party.client, "history", lambda institution: history)


def test_it_takes_part_where_everything_holds(scene: Scene) -> None:
    party = scene.party(2)
    found = judged(party)
    assert (found.request, found.body.run_id) == (request(scene).body_hash(), f"{FUND}.2")
    assert found.policy == scene.policy
    assert found.taken.shares == scene.dealt.shares[2]
    record = scene.world.run(f"{FUND}.2").record
    assert found.ground.record.canonical() == record["body"]
    assert found.matrix("maintenance").hash() == record["body"]["matrices"]["maintenance_proof"]


@pytest.mark.parametrize("delay", [0, DELAY - 1])
def test_before_its_time(scene_at: Open, delay: int) -> None:
    scene = asked(scene_at("owed-fall"), delay)
    with pytest.raises(TooEarly, match=f"seen {delay} s ago"):
        judged(scene.party(2))


def test_a_custodian_that_saw_the_entry_late_counts_from_then(scene: Scene) -> None:
    """Custodian 9 was away: it does not know since when the answer is overdue."""
    with pytest.raises(TooEarly, match="seen 0 s ago"):
        judged(scene.party(9))


def test_a_request_of_somebody_else(scene: Scene) -> None:
    document = request(scene)
    forged = Identity.generate().sign("opening-request", document.body)
    other = scene.world.operator.identity.sign("opening-request", {**document.body, "institution": "harbour"})
    for value, institution in ((forged, FUND), (other, FUND), (document, "harbour")):
        with pytest.raises(RequestInvalid):
            read_request(value.to_json(), scene.trust.operator, institution)


@pytest.mark.parametrize("field", ["run", "run_id", "submission", "deal"])
def test_a_request_about_something_else_is_in_no_history(scene: Scene, field: str) -> None:
    """The operator signed it; the machine would not have entered it."""
    value = f"{FUND}.1" if field == "run_id" else "1a" * 32
    document = scene.world.operator.identity.sign("opening-request", {**request(scene).body, field: value})
    with pytest.raises(NotRequested):
        judged(scene.party(2), document=document)


def test_a_request_that_no_cosigned_checkpoint_has_yet(scene_at: Open) -> None:
    scene = scene_at("owed-fall")
    scene.publish()
    scene.ask()
    party = scene.party(2)
    with pytest.raises(NotRequested, match="the cosigned log"):
        judged(party)


def test_a_checkpoint_that_witnesses_saw_too_long_ago(scene: Scene) -> None:
    party = scene.party(2)
    scene.clock.seconds += 61
    with pytest.raises(CheckpointRefused, match="TooFewWitnesses"):
        judged(party)


def test_a_checkpoint_that_too_few_witnesses_cosigned(scene: Scene) -> None:
    scene.clock.seconds += 61
    scene.watched.publish(scene.clock.seconds, None, None)
    with pytest.raises(CheckpointRefused, match="TooFewWitnesses"):
        judged(scene.party(2))


def test_an_answer_that_the_operator_hides(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """The history ends before the newest entry, which is in the log."""
    party = scene.party(2)
    shows(party, monkeypatch, lambda history: history["entries"].pop())
    with pytest.raises(HistoryOlder, match="may be the answer"):
        judged(party)


def test_an_operator_that_went_back_to_an_older_backup(scene: Scene) -> None:
    """Its log goes on from before; this custodian saw more entries of the account."""
    party = scene.party(2)
    known = read(party)
    party.store.saw_account(known.account, FUND, len(known.history.entries) + 1, "1a" * 32, 0)
    with pytest.raises(HistoryOlder, match="older backup"):
        judged(party)


def test_another_entry_of_the_same_number_than_was_seen(scene: Scene) -> None:
    party = scene.party(2)
    known = read(party)
    party.store.saw_account(known.account, FUND, len(known.history.entries), known.head, 0)
    with pytest.raises(HistoryOlder):
        party.store.saw_account(known.account, FUND, len(known.history.entries), "1a" * 32, 0)


def test_a_log_that_is_shorter_than_what_was_read(scene: Scene) -> None:
    """The operator hands out the checkpoint from before the request, which is genuine."""
    log = scene.trust.log
    assert log is not None
    patient = log.model_copy(update={"max_age_seconds": 10 * DELAY})
    scene.trust = scene.trust.model_copy(update={"log": patient})
    party = scene.party(2)
    party.reading.look()
    with scene.world.operator.store.unit_of_work() as session:
        session.delete(session.query(CheckpointRow).order_by(CheckpointRow.size.desc()).first())
    with pytest.raises(CheckpointRefused, match="was seen"):
        judged(party)


def test_another_history_than_the_log_has(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator signs another last entry, for this custodian alone: that is kept, for anybody to see."""
    party = scene.party(2)

    def forked(history: Json) -> None:
        body = {**history["entries"][-1]["entry"]["body"], "entered_at": now_text().replace("20", "21", 1)}
        history["entries"][-1]["entry"] = scene.world.operator.identity.sign("entry", body).to_json()

    shows(party, monkeypatch, forked)
    with pytest.raises(LogDiffers, match=r"another one in the log; contradiction-1\.json"):
        judged(party)
    with pytest.raises(LogDiffers, match=r"contradiction-1\.json"):
        judged(party)
    kept = read_json(party.folder.directory / "contradiction-1.json")
    assert [one["kind"] for one in kept["documents"]] == ["checkpoint", "leaf", "entry"]


def test_a_history_of_another_account(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    party = scene.party(2)
    history, looked = party.client.history(FUND), party.reading.look()
    monkeypatch.setattr(party.client, "history", lambda institution: history)
    with pytest.raises(HistoryRefused, match="not harbour's"):
        party.reading.account("harbour", looked)


def test_an_account_that_the_institution_does_not_know(scene_at: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator keeps a second account of the fund, of the fund's own documents, and has runs there unanswered."""
    scene = scene_at("receipted")
    world, policy = scene.world, scene.policy
    world.funds[FUND].sent.clear()
    said: list[Json] = []
    for point in (one.point for one in policy.custodians):
        party = scene.party(point)
        row = party.store.deal(scene.dealt.dealing.deal)
        assert row is not None
        said.append(row.said)
        party.close()
    with monkeypatch.context() as patched:
        # The book was made for the account that the fund follows.
        patched.setattr(world, "head", lambda name: "1a" * 32)
        patched.setattr(entries, "require_known", lambda *_: None)
        sharing = {"policy": policy.hash(), "deal": scene.dealt.dealing.deal, "receipts": said}
        sent = submit(world, scene.dealt, BookSharing.parse(sharing))
    world.funds[FUND].sent[sent.submission.sequence] = sent
    owe(scene, 2)
    asked(scene)
    with pytest.raises(HistoryRefused, match="made for another one"):
        judged(scene.party(2))


def test_an_account_under_what_the_trust_file_does_not_pin(scene: Scene) -> None:
    scene.trust = scene.trust.model_copy(update={"keys": {FUND: ("1a" * 32,)}})
    with pytest.raises(HistoryRefused, match="Unpinned"):
        judged(scene.party(2))


def test_an_opening_that_lapsed(scene: Scene) -> None:
    document = request(scene)
    with scene.world.operator.store.unit_of_work() as session:
        openings.lapse(scene.world.operator, session, session.query(OpeningRow).one(), "took too long")
    scene.publish()
    with pytest.raises(OpeningOver):
        judged(scene.party(2), document=document)


def test_an_answer_that_came_before(scene_at: Open) -> None:
    scene = asked(scene_at("owed-calm"))
    scene.world.answer(f"{FUND}.1")
    scene.publish()
    with pytest.raises(OpeningOver):
        judged(scene.party(2))


def test_shares_that_are_not_held_or_of_another_book(scene: Scene) -> None:
    party = scene.party(2)
    with pytest.raises(RequestInvalid, match="no shares of deal"):
        judged(party, held=lambda deal: None)
    values = (scene.dealt.values[0] + 1, *scene.dealt.values[1:])
    other = dealt(scene.world, scene.policy, values)
    with pytest.raises(BookDiffers, match="other commitments"):
        judged(party, held=lambda deal: Taken(other.shares[2], other.deal))


def test_a_policy_that_is_not_agreed_to_any_more(scene: Scene) -> None:
    party = scene.party(2)
    for path in (party.folder.directory / "policies").iterdir():
        path.unlink()
    with pytest.raises(RequestInvalid, match="custodian agree"):
        judged(party)


def test_a_matrix_that_its_prices_do_not_give(scene_at: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator records a run on other rows than everyone computes, and asks for that one to be opened."""
    scene = scene_at("submitted")
    usual = records.matrix_hashes

    def other(matrices: Any) -> Any:
        return usual(matrices).model_copy(update={"maintenance_proof": "1a" * 32})

    with monkeypatch.context() as patched:
        patched.setattr(records, "matrix_hashes", other)
        owe(scene, 2)
    asked(scene)
    with pytest.raises(RecordDiffers, match="maintenance_proof"):
        judged(scene.party(2))


def test_a_model_with_slack_stays_frozen_at_a_tick_without_exact_rows(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert judged(scene.party(2)).shapes is None
    monkeypatch.setattr(Terms, "has_exact", property(lambda terms: True))
    with pytest.raises(SlackNotOpened, match="no exact rows at this tick"):
        judged(scene.party(2))


def test_other_prices_than_the_log_has(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    party = scene.party(2)
    known = read(party)
    other = {**known.log.ticks, 2: known.log.ticks[1]}
    read_ = AccountRead(known.account, known.head, known.history, replace(known.log, ticks=other))
    with pytest.raises(RecordDiffers, match="another one in the log"):
        judged(party, read_)

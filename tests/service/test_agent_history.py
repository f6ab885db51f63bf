"""What an agent takes as the history of its account, entry by entry, and what it refuses and keeps."""

import pytest

from atomic_margin.service.errors import AgentRefused, MalformedResponse
from atomic_margin.service.institution import history
from atomic_margin.service.institution.chain import OperatorContradicts
from atomic_margin.service.institution.contradictions import Contradictions
from atomic_margin.service.institution.store import (
    OwnDocument,
    OwnEntry,
    find_sent,
)
from atomic_margin.service.protocol.account.entries import Entry, Salts, extended
from atomic_margin.service.protocol.account.errors import (
    EntryForged,
    EntryForked,
    EntryGap,
    EntryIllegal,
    EntryUnsent,
)
from atomic_margin.service.protocol.messages import Entries, EntryItem
from atomic_margin.service.protocol.signing import Identity, SignedDocument

from .account.documents import LOG, SEED, TIME
from .documents import Json
from .told import Told
from .told import told as told


@pytest.mark.parametrize("page", [1, 4, 100])
def test_a_history_is_followed_to_its_end_and_gone_on_with_after_a_restart(told: Told, page: int) -> None:
    told.page = page
    told.recorded()
    told.history.sync()
    assert (told.history.head, told.history.state) == (told.chain.head, told.state)
    assert [at.tick for at in told.ticks.followed] == [0, 0, 0, 0, 0, 0, 1, 1]
    again = told.started()
    assert (again.head, again.state) == (told.chain.head, told.state)
    told.enter(told.answer("covered"))
    told.asked.clear()
    again.sync()
    assert (again.head, again.state, told.asked) == (told.chain.head, told.state, [8])
    again.sync()
    assert told.asked == [8, 9]
    with told.store.unit_of_work() as session:
        rows = session.query(OwnEntry).order_by(OwnEntry.number).all()
        assert [row.number for row in rows] == list(range(1, 10))
        # The institution's own documents are where it stored them; the entry that has one is noted there.
        for row, (_, document) in zip(rows, told.entries, strict=True):
            own = find_sent(session, document.body_hash())
            assert (row.document is None, None if own is None else own.entry) == (
                document.signer == told.institution.public_key,
                row.number if row.document is None else None,
            )
    assert told.evidence == []


def test_a_gap_is_refused_and_kept_until_the_entry_is_shown(told: Told) -> None:
    told.booked()
    told.history.sync()
    state, hidden = told.chain, told.enter(told.deposit(1))
    told.enter(told.deposit(2))
    told.shown = [*told.entries[:6], told.entries[7]]
    for _ in range(2):
        with pytest.raises(EntryGap, match="entry 8 does not follow entry 6"):
            told.history.sync()
    assert told.history.head == state.head
    (evidence,) = told.evidence
    assert evidence["format"] == "atomic-margin/contradiction/1"
    assert (evidence["last"], evidence["entry"]) == tuple(told.entries[number][0].to_json() for number in (5, 7))
    told.shown = told.entries
    told.history.sync()
    assert (told.history.state, hidden.body_hash()) == (told.state, told.entries[6][1].body_hash())


def test_what_an_older_version_kept_as_disputes_is_still_shown(told: Told) -> None:
    (told.folder / "disputes").mkdir()
    assert Contradictions(told.folder).shown is None
    (told.folder / "disputes" / "entry-old.json").write_text("{}")
    assert "entry-old.json" in (Contradictions(told.folder).shown or "")
    Contradictions(told.folder).keep("entry-new", "another", {})
    shown = Contradictions(told.folder).shown or ""
    assert f"entry-new.json in {told.folder / 'contradictions'}" in shown
    assert f"entry-old.json in {told.folder / 'disputes'}" in shown


def test_a_second_history_is_refused_at_its_first_entry_after_the_fork(told: Told) -> None:
    told.booked()
    told.history.sync()
    before = told.chain
    told.enter(told.deposit(1))
    told.history.sync()
    # The operator goes on with another seventh entry.
    chain, other = extended(before, told.deposit(2), told.at, told.salts, LOG, told.operator, TIME)
    document = told.deposit(3)
    _, eighth = extended(chain, document, told.at, told.salts, LOG, told.operator, TIME)
    told.refuses(EntryGap, "does not follow", (eighth, document))
    (evidence,) = told.evidence
    # Two entries of the operator: one has number 7, the other follows another one of that number.
    last, shown = (SignedDocument.parse(evidence[name]) for name in ("last", "entry"))
    assert (last.body["number"], shown.body["previous"]) == ("7", other.body_hash())
    assert last.body_hash() != other.body_hash()


def test_the_entry_that_a_document_is_answered_with_has_to_be_the_one_of_the_account(told: Told) -> None:
    told.booked()
    told.history.sync()
    before, document = told.chain, told.instruction(2, "post", 5)
    _, other = extended(before, document, told.at, told.salts, LOG, told.operator, "2026-11-27T12:00:01Z")
    with pytest.raises(EntryForged, match="the account has no entry of it"):
        told.history.expect(other, document)
    assert told.evidence == []
    told.enter(document)
    with pytest.raises(EntryForged, match="no entry of its own"):
        told.history.expect(told.institution.sign("entry", other.body), document)
    told.history.expect(told.entries[-1][0], document)
    with pytest.raises(EntryForked, match="another entry than the account has of it"):
        told.history.expect(other, document)
    (evidence,) = told.evidence
    assert (evidence["seen"], evidence["entry"]) == (told.entries[-1][0].to_json(), other.to_json())


def test_a_document_that_this_directory_did_not_send_is_refused_until_it_is_adopted(told: Told) -> None:
    """As after an older backup, or with a stolen key. It is no contradiction of the operator's."""
    told.booked()
    document = told.instruction(2, "post", 5)
    with told.store.unit_of_work() as session:
        session.query(OwnDocument).filter_by(sha256=document.body_hash()).delete()
    state = told.chain
    told.enter(document)
    for _ in range(2):
        with pytest.raises(EntryUnsent, match="restored from an older backup, or the identity key is used elsewhere"):
            told.history.sync()
        assert told.history.head == state.head
    assert told.evidence == []
    assert told.history.sync(adopt=True) == 1
    assert told.history.state == told.state
    told.enter(told.instruction(3, "post", 5))
    assert told.started().sync(adopt=True) == 0
    with told.store.unit_of_work() as session:
        adopted = find_sent(session, document.body_hash())
        assert adopted is not None
        assert (adopted.entry, adopted.document) == (7, document.to_json())


@pytest.mark.parametrize("name", ["seed", "log"])
def test_seed_and_log_stay_what_they_were_at_first(told: Told, name: str) -> None:
    told.booked()
    told.history.sync()
    setattr(told, name, {"seed": "5f" * 32, "log": "example.com/other"}[name])
    for agent in (told.history, told.started()):
        with pytest.raises(EntryForged, match=f"another {name} for this account"):
            agent.sync()


def test_a_seed_that_is_none_is_not_pinned(told: Told) -> None:
    told.booked()
    for seed in ("", "5e", "5E" * 32, "zz" * 32):
        told.seed = seed
        with pytest.raises(MalformedResponse, match="64 hex digits"):
            told.history.sync()
    told.seed = SEED
    told.history.sync()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"log": "example.com/other"}, "in another log"),
        ({"account": "1a" * 32}, "another account"),
        ({"operator": "9a" * 32}, "another operator"),
        ({"kind": "deposited"}, "says 'deposited'"),
        ({"document": "1a" * 32}, "another hash of document"),
        ({"private": "1a" * 32}, "another hash of private"),
    ],
)
def test_an_entry_that_says_something_else_than_follows_is_refused(told: Told, changes: Json, words: str) -> None:
    told.booked()
    document = told.run_opened()
    _, entry = extended(told.chain, document, told.at, told.salts, LOG, told.operator, TIME)
    bent = Entry.parse(entry.body | changes).signed_by(told.operator)
    told.refuses(EntryForged, words, (bent, document))
    assert [evidence["entry"] for evidence in told.evidence] == [bent.to_json()]


def test_what_anybody_could_have_sent_is_refused_and_proves_nothing(told: Told) -> None:
    told.booked()
    document = told.deposit(1)
    _, entry = extended(told.chain, document, told.at, told.salts, LOG, Identity.generate(), TIME)
    told.refuses(EntryForged, "not the operator's", (entry, document))
    for item in ({"entry": {}, "document": {}}, {"entry": entry.to_json(), "document": {"type": "x"}}):
        page = Entries(log=LOG, seed=SEED, entries=(EntryItem.parse(item),), more=False)
        told.history._fetch = lambda _after, page=page: page  # type: ignore[misc]
        with pytest.raises(EntryForged, match="no signed document"):
            told.history.sync()
    assert told.evidence == []


@pytest.mark.parametrize("name", ["identity", "terms", "institution"])
def test_an_account_of_somebody_else_or_under_other_terms_is_none_of_ours(told: Told, name: str) -> None:
    other = {"identity": Identity.generate().public_key, "terms": "1a" * 32, "institution": "harbour"}[name]
    told.enter(told.admission(**{name: other}))
    with pytest.raises(EntryIllegal, match=f"opened for another {name}"):
        told.history.sync()
    assert told.history.state is None
    assert len(told.evidence) == 1


def test_an_entry_at_a_tick_that_was_not_seen_is_not_taken(told: Told) -> None:
    told.booked()
    told.history.sync()
    head = told.chain.head
    told.enter(told.deposit(1))
    told.ticks.contradicts = True
    with pytest.raises(OperatorContradicts):
        told.history.sync()
    assert (told.history.head, told.started().head) == (head, head)


def test_a_crash_leaves_entry_state_and_documents_together(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    told.booked()
    told.history.sync()
    head, document = told.chain.head, told.instruction(2, "post", 5)
    told.enter(document)

    def crash(_state: object) -> Json:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(history, "_as_json", crash)
        with pytest.raises(KeyboardInterrupt):
            told.history.sync()
    again = told.started()
    assert again.head == head
    with told.store.unit_of_work() as session:
        own = find_sent(session, document.body_hash())
        assert own is not None
        assert (session.get(OwnEntry, 7), own.entry) == (None, None)
    again.sync()
    assert again.state == told.state


def test_a_long_history_is_followed_in_steps_and_an_endless_one_is_refused(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "MAX_PAGES", 2)
    told.page = 3
    told.recorded()
    with pytest.raises(AgentRefused, match="the rest comes next"):
        told.history.sync()
    told.history.sync()
    assert told.history.state == told.state
    told.history._fetch = lambda _: Entries(log=LOG, seed=SEED, entries=(), more=True)
    with pytest.raises(MalformedResponse, match="sends none"):
        told.history.sync()


def test_salts_are_of_the_seed(told: Told) -> None:
    """Nobody who has the headers alone can tell a status or a balance by trying."""
    told.booked()
    told.salts = Salts("5f" * 32)
    document = told.deposit(1)
    _, entry = extended(told.chain, document, told.at, told.salts, LOG, told.operator, TIME)
    told.refuses(EntryForged, "another account", (entry, document))

"""What an agent takes as the history of its account, entry by entry, and what it refuses and keeps."""

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from atomic_margin.margin.market.market import Market
from atomic_margin.service.errors import AgentRefused, MalformedResponse
from atomic_margin.service.institution import history
from atomic_margin.service.institution.chain import OperatorContradicts
from atomic_margin.service.institution.disputes import Disputes
from atomic_margin.service.institution.history import History
from atomic_margin.service.institution.settings import AgentSettings
from atomic_margin.service.institution.store import (
    InstitutionStore,
    OwnAnswer,
    OwnDocument,
    OwnEntry,
    OwnSubmission,
    find_sent,
)
from atomic_margin.service.protocol.account.entries import Entry, Salts, _hashes, extended
from atomic_margin.service.protocol.account.errors import (
    EntryForged,
    EntryForked,
    EntryGap,
    EntryIllegal,
    EntryRefused,
    EntryUnsent,
)
from atomic_margin.service.protocol.account.events import AdmissionRecord, read_event
from atomic_margin.service.protocol.account.values import At
from atomic_margin.service.protocol.messages import Entries, EntryItem
from atomic_margin.service.protocol.settlements import Rightful, rightful_transfers
from atomic_margin.service.protocol.signing import Identity, SignedDocument
from atomic_margin.service.protocol.terms import terms_hash
from atomic_margin.service.protocol.trust import TrustFile

from .account.documents import INSTITUTION, LOG, SEED, TIME, Parties
from .bodies import TRUST
from .documents import Json, example, example_terms

TERMS = example_terms()
MARKET = Market.parse(example("market-1"))
USDC = 10**6
Pair = tuple[SignedDocument, SignedDocument]


class SeenTicks:
    """The agent's market chain, as far as a history asks it."""

    def __init__(self, folder: Path) -> None:
        self.disputes, self.followed = Disputes(folder), list[At]()
        self.contradicts = False

    def follow(self, at: At, entry: Json) -> None:
        if self.contradicts:
            raise OperatorContradicts("two ticks of one number")
        self.followed.append(at)

    def market_of(self, number: int, wanted: str) -> Market:
        return MARKET


class Told(Parties):
    """Both parties, and an agent that is told of the account; what the institution signs, its agent stores first."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder, self.page, self.seed, self.log = folder, 100, SEED, LOG
        self.store = InstitutionStore(folder)
        self.shown = self.entries
        self.asked: list[int] = []
        self.history = self.started()

    def started(self) -> History:
        """An agent's history in a new process."""
        trust = TrustFile.parse({**TRUST, "operator": self.operator.public_key})
        settings = AgentSettings(self.folder, INSTITUTION, "", trust, 100, None)
        self.ticks = SeenTicks(self.folder)
        return History(settings, TERMS, self.institution.public_key, self.store, self.ticks, self.fetch)  # type: ignore[arg-type]

    def fetch(self, after: int) -> Entries:
        self.asked.append(after)
        page = self.shown[after : after + self.page]
        items = [EntryItem(entry=entry.to_json(), document=document.to_json()) for entry, document in page]
        return Entries(log=self.log, seed=self.seed, entries=tuple(items), more=len(self.shown) > after + self.page)

    def admission(self, **changes: Any) -> SignedDocument:
        body = {"identity": self.institution.public_key, "terms": terms_hash(TERMS), "admitted_at": TIME}
        return self.by_operator(AdmissionRecord, body | changes)

    def by_institution(self, *arguments: Any) -> SignedDocument:
        return self.known(super().by_institution(*arguments))

    def known(self, signed: SignedDocument) -> SignedDocument:
        common = {"sha256": signed.body_hash(), "document": signed.to_json(), "stored_at": TIME}
        row: OwnSubmission | OwnAnswer | OwnDocument
        if signed.type == "submission":
            row = OwnSubmission(sequence=int(signed.body["sequence"]), portfolio={}, blindings=[], **common)
        elif signed.type == "answer":
            body = signed.body
            row = OwnAnswer(run_id=body["run_id"], price_sequence=1, run_hash=body["run"], figures={}, **common)
        else:
            row = OwnDocument(type=signed.type, **common)
        with self.store.unit_of_work() as session:
            session.add(row)
        return signed

    def booked(self) -> None:
        """Go on until a book is in force and a run at the first tick after it may begin."""
        self.enter(self.admission())
        self.enter(self.deposit(2 * 10**6 * USDC))
        self.enter(self.enrolment(1))
        self.enter(self.confirmation(1))
        self.enter(self.instruction(1, "post", 10**6 * USDC))
        self.enter(self.submission(1, "first"))
        self.tick()

    def recorded(self, **changes: Any) -> None:
        self.booked()
        self.enter(self.run_opened())
        self.enter(self.record(**changes))

    def breached(self, usd: str = "10") -> Rightful:
        """Go on until a breach waits for its settlement; return what has to settle it."""
        self.recorded()
        self.enter(self.answer("breach", top_up_usd=usd))
        return rightful_transfers(
            TERMS,
            MARKET,
            Decimal(usd),
            counted=self.run.posted,
            free=self.state.private.free,
            posted=self.state.public.posted,
        )

    def forced(self, document: SignedDocument, **changes: Any) -> Pair:
        """Sign an entry about a document whatever the machine says, as an operator that cheats does."""
        number, at = self.chain.number + 1, self.at
        body = {
            "log": LOG,
            "operator": self.operator.public_key,
            "account": self.salts.account,
            "number": str(number),
            "previous": self.chain.head,
            "kind": read_event(document).kind,
            **_hashes(self.salts, number, document, self.state),
            "tick": at.tick_hash,
            "tick_sequence": str(at.tick),
            "market": at.market_hash,
            "market_sequence": str(at.market),
            "entered_at": TIME,
        }
        return Entry.parse(body | changes).signed_by(self.operator), document

    def refuses(self, kind: type[EntryRefused], words: str, *pair: Pair) -> None:
        """Show entries, with a wrong one last: it is refused in every round, and those before it are followed."""
        self.shown = [*self.entries, *pair]
        for agent in (self.history, self.started()):
            with pytest.raises(kind, match=words):
                agent.sync()
            assert (agent.head, agent.state) == (self.chain.head, self.state)

    @property
    def evidence(self) -> list[Json]:
        return [json.loads(path.read_text()) for path in sorted((self.folder / "disputes").glob("*.json"))]


@pytest.fixture
def told(tmp_path: Path) -> Told:
    return Told(tmp_path)


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
    assert evidence["format"] == "atomic-margin/dispute/1"
    assert (evidence["last"], evidence["entry"]) == tuple(told.entries[number][0].to_json() for number in (5, 7))
    told.shown = told.entries
    told.history.sync()
    assert (told.history.state, hidden.body_hash()) == (told.state, told.entries[6][1].body_hash())


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


Cheat = Callable[[Told], Pair]


def replaced_book(told: Told) -> Pair:
    """A run on a book that another one replaced before its tick: what emptied a flat account."""
    told.booked()
    old = told.state.public.book
    assert old is not None
    told.enter(told.run_opened())
    told.enter(told.record())
    told.enter(told.answer("covered"))
    told.enter(told.submission(2, "second"))
    told.tick()
    return told.forced(told.run_opened(submission=old.submission))


def older_tick(told: Told) -> Pair:
    told.booked()
    told.tick()
    return told.forced(told.run_opened(number=1))


def left_out(told: Told) -> Pair:
    """A run that does not count what was posted, at the number of the instruction that posted it."""
    told.booked()
    return told.forced(told.run_opened(posted={}))


def older_instruction(told: Told) -> Pair:
    told.booked()
    return told.forced(told.run_opened(posted={}, instructions="0"))


def second_at_a_tick(told: Told) -> Pair:
    told.recorded()
    told.enter(told.answer("covered"))
    return told.forced(told.run_opened())


def other_record(told: Told) -> Pair:
    told.booked()
    told.enter(told.run_opened())
    return told.forced(told.record(posted={"USDC": "1"}))


def withdrawal_by_the_operator(told: Told) -> Pair:
    told.booked()
    body = told.instruction(2, "withdraw", 5).body
    return told.forced(told.operator.sign("collateral-instruction", body))


def book_under_a_run(told: Told) -> Pair:
    """The entry says that a book which has to wait is in force."""
    told.recorded()
    document = told.submission(2, "second")
    entry, _ = told.forced(document)
    return entry, document


def early_end(told: Told) -> Pair:
    told.recorded(deadline="2026-11-27T12:00:01Z")
    document = told.overdue()
    _, entry = extended(told.chain, document, told.at, told.salts, LOG, told.operator, TIME)
    return entry, document


def earlier_entry(told: Told) -> Pair:
    """Made as if the newest tick had not come yet."""
    told.booked()
    told.enter(told.deposit(1))
    told.newest = told.market = 0
    return told.forced(told.deposit(2))


@pytest.mark.parametrize(
    ("cheat", "kind", "words"),
    [
        (replaced_book, EntryIllegal, "another submission than it must have"),
        (older_tick, EntryIllegal, "another price_sequence than it must have"),
        (left_out, EntryIllegal, "another posted than it must have"),
        (older_instruction, EntryIllegal, "another instructions than it must have"),
        (second_at_a_tick, EntryIllegal, "is no tick to run"),
        (other_record, EntryIllegal, "another posted than the run began with"),
        (withdrawal_by_the_operator, EntryIllegal, "signed by the institution of the account"),
        (book_under_a_run, EntryForged, "another hash of public than follows"),
        (early_end, EntryIllegal, "declared overdue before 2026-11-27T12:00:01Z, its deadline"),
        (earlier_entry, EntryIllegal, "is at tick 0, the one before at 1"),
    ],
)
def test_an_event_that_is_not_legal_is_refused_and_kept(
    told: Told, cheat: Cheat, kind: type[EntryRefused], words: str
) -> None:
    entry, document = cheat(told)
    told.refuses(kind, words, (entry, document))
    (evidence,) = told.evidence
    assert evidence["entry"] == entry.to_json()
    assert evidence["last"] == told.entries[-1][0].to_json()
    assert evidence.get("document", document.to_json()) == document.to_json()


def settled(told: Told, moves: list[tuple[str, int, str, str]], **changes: Any) -> Pair:
    document = told.settlement(moves, **changes)
    _, entry = extended(told.chain, document, told.at, told.salts, LOG, told.operator, TIME)
    return entry, document


def moves_of(wanted: Rightful) -> list[tuple[str, int, str, str]]:
    return [(move.asset, move.quantity, move.source, move.destination) for move in wanted.transfers]


@pytest.mark.parametrize(("usd", "kind"), [("10", "margin_call"), ("5000000", "liquidation")])
def test_the_settlement_that_follows_from_a_breach_is_taken(told: Told, usd: str, kind: str) -> None:
    wanted = told.breached(usd)
    assert wanted.kind == kind
    told.enter(told.settlement(moves_of(wanted), top_up_usd=usd))
    told.history.sync()
    assert told.history.state == told.state
    assert told.evidence == []


@pytest.mark.parametrize("cheat", ["liquidated", "more", "less", "nothing", "another amount"])
def test_a_settlement_that_does_not_follow_from_the_breach_is_refused(told: Told, cheat: str) -> None:
    """An account that could meet the call is not liquidated, and no more is moved than the call is of."""
    wanted = told.breached()
    ((asset, quantity, source, target),) = moves_of(wanted)
    changes = {"top_up_usd": "11"} if cheat == "another amount" else {}
    moves = {
        "liquidated": [
            ("USDC", told.state.private.free["USDC"], "free", "liquidation"),
            ("USDC", told.state.public.posted["USDC"], "posted", "liquidation"),
        ],
        "more": [(asset, quantity + 1, source, target)],
        "less": [(asset, quantity - 1, source, target)],
        "nothing": [],
        "another amount": [(asset, quantity, source, target)],
    }
    words = "it settles 11 USD" if changes else "a margin_call has to settle this breach, which moves"
    told.refuses(EntryIllegal, words, settled(told, moves[cheat], **changes))
    assert told.evidence[0]["document"]["type"] == "settlement"


def test_a_breach_that_free_collateral_does_not_cover_is_not_called(told: Told) -> None:
    told.breached("5000000")
    told.refuses(
        EntryIllegal,
        "a liquidation has to settle",
        settled(told, [("USDC", 1, "free", "posted")], top_up_usd="5000000"),
    )


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
    other = {"identity": "9a" * 32, "terms": "1a" * 32, "institution": "harbour"}[name]
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

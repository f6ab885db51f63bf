"""An operator that cheats before every reader at once: agent, verifier, monitor.

The agent is the institution's own code on a real store (`told_agent`); the operator decides what it is shown and when.
The verifier is given parts of bundles of any time, and the monitor a log that the operator wrote. What the operator may
hide from a reader for a while it may not make it believe; what it signs against itself is kept.
"""

from dataclasses import replace
from decimal import Decimal
from typing import Any, NamedTuple, cast

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import rule

from atomic_margin.documents.canonical import canonical_bytes
from atomic_margin.margin.market.market import Market
from atomic_margin.service.errors import Refused, RemoteError
from atomic_margin.service.institution.log_watch import MEMORY, LogContradicts, LogWatch
from atomic_margin.service.log.checkpoints import TreeHead, WitnessPolicy, log_key, sign_head, witness_key
from atomic_margin.service.log.tree import root
from atomic_margin.service.protocol.account.identities import keys_of, keys_shown
from atomic_margin.service.protocol.documents import Answer, RunRecord
from atomic_margin.service.protocol.leaves import entry_leaf
from atomic_margin.service.protocol.signing import Identity, SignedDocument
from atomic_margin.service.protocol.submissions import Submission
from atomic_margin.service.protocol.trust import TrustFile
from atomic_margin.service.protocol.verification import VerifiedBreach
from atomic_margin.service.verifier.errors import Contradiction
from atomic_margin.service.verifier.gain import check_entered
from atomic_margin.service.verifier.history import (
    History,
    LiquidationEntries,
    OpenedEntry,
    SubmissionEntries,
    check_answered,
    check_liquidation,
    check_recorded,
)
from atomic_margin.service.verifier.monitor import Monitor, Seen

from ..log.logs import MemoryLog
from .before_agent import BeforeAgent
from .documents import INSTITUTION, LOG
from .genuine import MARKET, RULES, TERMS
from .played import ANY, K
from .story import forged

WAYS = ("twice", "left out", "dated back", "another tick", "another entry")
WITNESS = str(witness_key("w", Identity.generate().public_key))


class Believed(NamedTuple):
    """A breach whose proofs are believed: what `check_liquidation` is told of it."""

    record: RunRecord
    run_hash: str
    answer_hash: str
    top_up_usd: Decimal


class BeforeReaders(BeforeAgent):
    """Every reader is real."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = Seen()

    @rule(data=st.data())
    def the_operator_deceives_a_reader(self, data: st.DataObject) -> None:
        act = data.draw(
            st.sampled_from(["hide", "hide", "page", "ticks", "early", "record", "log", "bundle", "bundle"])
        )
        if act == "hide":
            self.the_operator_hides_what_comes_next(not self.hidden)
        elif act == "page":
            self.the_operator_shows_an_old_page(data.draw(ANY))
        elif act == "ticks":
            self.the_operator_forks_the_ticks(data.draw(st.booleans()))
        elif act == "bundle":
            mostly = st.sampled_from([True] * 4 + [False])
            self.the_verifier_is_shown_a_bundle(data.draw(st.tuples(*[ANY] * 5)), data.draw(st.tuples(*[mostly] * 4)))
        else:
            self.the_operator_writes_its_log(data.draw(st.sampled_from(WAYS)), data.draw(ANY))

    # The verifier

    def the_verifier_is_shown_a_bundle(
        self, which: tuple[int, int, int, int, int], right: tuple[bool, bool, bool, bool]
    ) -> None:
        """Parts of bundles, of any time: it believes the one set that belongs together."""
        entries, agent = self.parties.entries, self.agent
        recorded = [index for index, (entry, _) in enumerate(entries) if entry.body["kind"] == str(K.RUN_RECORDED)]
        if not recorded:
            return
        at = recorded[which[0] % len(recorded)] if right[0] else which[0] % len(entries)
        runs = [entries[index][1] for index in recorded]
        run = entries[at][1] if right[0] and right[1] else runs[which[1] % len(runs)]
        record = RunRecord.parse(run.body)
        books = [document for _, document in entries if document.type == "submission"]
        book = next(one for one in books if one.body_hash() == record.submission)
        book = book if right[2] else books[which[2] % len(books)]
        history = self.shown_submission(at, book, which[2], right[2])
        keys, state = self.shown_keys(0 if right[3] else which[4]), self.parties.chains[at].state
        assert state is not None
        # The same book under other keys is told apart by the step before (`verify_attestation`).
        whole = (
            entries[at][1] == run
            and book.body["commitments"] == self.parties.books[record.submission]["commitments"]
            and {*keys_of(state.public)} <= {*keys}
        )
        try:
            shown = check_recorded(
                history,
                run,
                record,
                Submission.parse(book.body),
                agent.trust,
                TERMS,
                keys,
            )
        except Refused:
            assert not whole
            return
        assert whole, "parts of different bundles were believed"
        answers = [document for document in self.documents if document.type == "answer"]
        for answer in answers:
            try:
                check_answered(Answer.parse(answer.body), shown)
            except Refused:
                assert answer.body["run"] != run.body_hash()
            else:
                assert answer.body["run"] == run.body_hash()
                self.show_a_liquidation(history, answer, record, which, right[3])

    def shown_keys(self, left_out: int) -> tuple[str, ...]:
        """What rotations lead to that a bundle has, from whichever key a trust file names; the last are left out."""
        parties = self.parties
        rotations = [document.to_json() for _, document in parties.entries if document.type == "identity-rotation"]
        shown = rotations[: len(rotations) - left_out % (len(rotations) + 1)]
        known = [self.agent.pinned["institutions"][INSTITUTION], *(one["body"]["new"] for one in shown)]
        found = {keys_shown(key, shown, INSTITUTION, parties.operator.public_key) for key in known}
        assert found == {tuple(known)}
        return tuple(known)

    def shown_submission(self, at: int, book: SignedDocument, which: int, right: bool) -> History:
        """Parts round a submission: the one pair that is its own, and before the run, is believed."""
        entries, parties = self.parties.entries, self.parties
        own = next(index for index, (_, document) in enumerate(entries) if document == book)
        entered = own if right else 1 + which % (len(entries) - 1)
        before = entered - 1 if which % 3 else which % len(entries)
        shown = SubmissionEntries(
            before=self.opened_entry(before),
            entered=self.opened_entry(entered),
            salt=parties.salts.of("document", entered + 1),
        )
        history = History(submitted=shown, recorded=self.opened_entry(at))
        whole = (before, entered) == (own - 1, own) and own < at
        try:
            check_entered(history, book, parties.operator.public_key)
        except Refused:
            assert not whole
        else:
            assert whole, "a submission among other entries was believed"
        return history

    def show_a_liquidation(
        self, history: History, answer: SignedDocument, record: RunRecord, which: tuple[int, ...], right: bool
    ) -> None:
        entries, parties = self.parties.entries, self.parties
        settled = [index for index, (_, document) in enumerate(entries) if document.type == "settlement"]
        if not settled or answer.body["outcome"] != "breach":
            return
        last = settled[-1] if right else which[3] % len(entries)
        before = last - 1 if right else which[4] % len(entries)
        settlement = entries[settled[-1]][1] if right else entries[settled[which[3] % len(settled)]][1]
        shown = LiquidationEntries(
            before=self.opened_entry(before),
            settled=entries[last][0].to_json(),
            salt=parties.salts.of("document", last + 1),
        )
        breach = Believed(record, answer.body["run"], answer.body_hash(), Decimal(answer.body["top_up_usd"]))
        whole = (
            entries[last][0].body["kind"] == str(K.LIQUIDATED)
            and (before, entries[last][1]) == (last - 1, settlement)
            and settlement.body["answer"] == answer.body_hash()
        )
        try:
            check_liquidation(
                history.model_copy(update={"liquidation": shown}),
                settlement,
                cast(VerifiedBreach, breach),
                Market.parse(MARKET),
                TERMS,
                parties.operator.public_key,
            )
        except Refused:
            assert not whole
            return
        assert whole, "a liquidation of other parts was believed"
        state = parties.chains[before].state
        assert state is not None
        assert state.public.run is not None
        self.owed(state, state.public.run, K.LIQUIDATED)

    def opened_entry(self, index: int) -> OpenedEntry:
        parties, number = self.parties, index + 1
        state = parties.chains[index].state
        assert state is not None
        return OpenedEntry(
            entry=parties.entries[index][0].to_json(),
            salt=parties.salts.of("public", number),
            public=state.public,
            private_salt=parties.salts.of("private", number),
            private=state.private,
        )

    # The monitor

    def fetch_of(self, leaves: list[bytes]) -> Any:
        parties = self.parties
        log = MemoryLog(leaves)
        checkpoint = sign_head(TreeHead(LOG, len(leaves), root(log.read, len(leaves))), parties.operator)
        files = log.files()

        def fetch(path: str, limit: int) -> bytes:
            if path == "v1/log/checkpoint":
                return str(checkpoint).encode()
            if path.startswith("v1/ticks/"):
                return canonical_bytes(parties.made(int(path.rpartition("/")[2])).signed.to_json())
            if path.removeprefix("v1/log/") not in files:
                raise RemoteError(f"{path} answers with status 404", 404)
            return files[path.removeprefix("v1/log/")]

        return fetch

    def look(self, *more: bytes) -> Seen:
        """Let the monitor read the log, and more than is in it."""
        key = self.parties.operator.public_key
        fetch = self.fetch_of([*self.parties.leaves, *more])
        return Monitor(log_key(LOG, key), key, RULES, WitnessPolicy(), fetch).look(self.seen, 0).seen

    def found_by_the_monitor(self, *more: bytes) -> None:
        with pytest.raises(Contradiction) as found:
            self.look(*more)
        assert found.value.bundle()["documents"]

    def the_operator_writes_its_log(self, how: str, which: int) -> None:
        """A leaf once more, an entry without the one before, one at an older or another tick, another than was told."""
        parties = self.parties
        if parties.backdated:
            self.found_by_the_monitor()
            return
        self.seen = self.look()
        if how == "twice":
            self.found_by_the_monitor(parties.leaves[which % len(parties.leaves)])
        elif how == "left out":
            # It follows the one that is left out, or says that it follows the last one.
            number = str(parties.chain.number + 2)
            for previous in ("1a" * 32, parties.chain.head):
                self.found_by_the_monitor(self.another_leaf(1, number=number, previous=previous))
        elif how == "dated back":
            older = parties.place(parties.newest - 1, 0)
            # Under the older tick, or under its number alone.
            for named in ({"tick": older.tick_hash}, {}):
                self.found_by_the_monitor(self.another_leaf(1, tick_sequence=str(older.tick), **named))
        elif how == "another tick":
            self.found_by_the_monitor(self.another_leaf(1, tick="1a" * 32))
        elif str(parties.newest) == parties.entries[-1][0].body["tick_sequence"]:
            self.found_by_the_agent([*parties.leaves[:-1], self.another_leaf(0, entered_at="2026-11-27T13:00:00Z")])

    def another_leaf(self, ahead: int, **changes: str) -> bytes:
        """The leaf of an entry that is signed and never told: of the last number, or of one ahead."""
        parties, document = self.parties, self.documents[-1]
        last = parties.entries[-1][0].body
        place = {} if ahead else {"number": last["number"], "previous": last["previous"]}
        return entry_leaf(forged(parties, document, str(K.DEPOSITED), **(place | changes))).to_bytes()

    def found_by_the_agent(self, leaves: list[bytes]) -> None:
        """The log holds together, and has another entry than the agent was told: it is kept, and nothing answered."""
        self.hidden = False
        self.show()
        parties, agent = self.parties, self.agent
        key = str(log_key(LOG, parties.operator.public_key))
        log = {"key": key, "witnesses": [WITNESS], "threshold": "1", "max_age_seconds": "60"}
        trust = TrustFile.parse({**agent.pinned, "log": log})
        (agent.folder / MEMORY).unlink(missing_ok=True)
        watch = LogWatch(agent.folder, trust, self.fetch_of(leaves), agent.party.settings.clock)
        # Cosignatures are looked at in `tests/service/test_agent_log.py`; nobody gives any here.
        watch._monitor = replace(watch._monitor, policy=WitnessPolicy())
        told = {number: entry_leaf(entry).to_bytes() for number, (entry, _) in enumerate(parties.entries, 1)}
        with pytest.raises(LogContradicts, match="another one in the log"):
            watch.require(parties.salts.account, len(told), told.get)
        assert any(name.startswith("log-") for name in agent.contradictions)

    def teardown(self) -> None:
        """Both parties bring the account home, and every reader follows."""
        super().teardown()
        if self.parties.entries:
            self.show()
            assert (self.agent.history.head, self.agent.history.state) == (self.parties.chain.head, self.state)
            for way in WAYS:
                self.the_operator_writes_its_log(way, len(self.documents))
            if not self.parties.backdated:
                assert self.seen.accounts[self.parties.salts.account].number == len(self.parties.entries)
            for number in range(4):
                right = (number != 1, number != 2, number != 3, True)
                self.the_verifier_is_shown_a_bundle((1, 2, 1, 1, 1), right)

"""An operator that cheats before the institution's agent, which is its own code on a real store (`told_agent`).

The operator decides what the agent is shown and when. What it may hide for a while it may not make it believe; what it
signs against itself is kept.
"""

from typing import Any, ClassVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize

from atomic_margin.service.errors import AgentRefused
from atomic_margin.service.institution.chain import OperatorContradicts
from atomic_margin.service.protocol.account.entries import Chain
from atomic_margin.service.protocol.account.errors import EntryRefused
from atomic_margin.service.protocol.account.state import Account, OpenRun
from atomic_margin.service.protocol.signing import SignedDocument

from .cheating_operator import CheatingOperator
from .documents import matrices, point
from .genuine import GenuineParties, MarkedTerms
from .story import forged
from .told_agent import ToldAgent

Pair = tuple[SignedDocument, SignedDocument]


class BeforeAgent(CheatingOperator):
    """The agent is real."""

    agent: ClassVar[ToldAgent]
    parties: GenuineParties

    def __init__(self) -> None:
        super().__init__()
        MarkedTerms.needs = self.truth.ticks
        self.hidden = False
        self.decided: set[str] = set()
        """Runs that the agent decided about."""

    def begun(self) -> GenuineParties:
        parties = GenuineParties()
        self.agent.begin(parties)
        parties.sent = self.agent.know
        return parties

    def submission(self, name: str, sequence: int, keys: int = 1) -> SignedDocument:
        self.agent.kinds[point(name)] = int(name[-1])
        return super().submission(name, sequence, keys)

    def settling(self, name: str, sequence: int) -> SignedDocument:
        self.agent.kinds[point(name)] = int(name[-1])
        return super().settling(name, sequence)

    def opened(self) -> None:
        super().opened()
        self.show()

    @initialize(kind=st.integers(1, 3))
    def begin(self, kind: int) -> None:
        """Three ticks: matrices that are bent, so that nothing is answered; a breach that can be paid; coverage."""
        covered, breached = (0, 60, 60, 60), (0, 130, 130, 130)
        super().begin(needs=covered, kind=kind)
        self.operator_begins("right", "right", "right", False, False, True)
        self.operator_goes_on("record", "")
        self.institution_answers(False)
        assert self.parties.run.stage == "awaiting"
        self.operator_goes_on("overdue", "")
        for needs in (breached, covered):
            self.next_tick(needs, False)
            self.operator_begins("right", "right", "right", False, False, False)
            self.operator_goes_on("record", "")
            # What is decided is decided once, and sent again.
            self.institution_answers(True)
            self.institution_answers(False)
            self.operator_settles(False)
            assert self.state.public.run is None

    # The agent

    @property
    def replica(self) -> Account:
        state = self.agent.history.state
        assert state is not None
        return state

    def show(self, *more: Pair) -> None:
        """Show the agent the account, and more; it follows it to its end, or raises."""
        self.agent.shown.entries = [*self.parties.entries, *more]
        if more or self.agent.history.head != self.parties.chain.head:
            self.agent.history.sync()

    def the_operator_hides_what_comes_next(self, hidden: bool) -> None:
        self.hidden = hidden
        if not hidden:
            self.show()
            assert self.agent.history.head == self.parties.chain.head

    def the_operator_shows_an_old_page(self, number: int) -> None:
        """What was followed already, in place of what comes next."""
        agent, known = self.agent, self.agent.history.head
        seen = next(index for index, (entry, _) in enumerate(self.parties.entries) if entry.body_hash() == known)
        agent.shown.entries = [*self.parties.entries[: seen + 1], self.parties.entries[number % (seen + 1)]]
        with pytest.raises(EntryRefused):
            agent.history.sync()
        assert agent.history.head == known

    def the_operator_forks_the_ticks(self, void: bool) -> None:
        """A second tick of the newest number, named by an entry after the first one was followed."""
        parties, newest = self.parties, self.parties.newest
        self.show()
        if self.replica.public.newest.tick != newest:
            return
        other = parties.operator.sign(
            "tick", parties.made(newest).signed.body | {"received_at": "2026-11-21T00:00:00Z"}
        )
        document = self.documents[-1]
        named = {"tick": other.body_hash()} | ({} if void else {"market": other.body_hash()})
        self.refused(document, forged(parties, document, kind=str(self.kind_of(document)), **named))
        agent = self.agent
        at = parties.at._replace(tick_hash=other.body_hash())
        agent.shown.forks = {newest: other}
        with pytest.raises(OperatorContradicts):
            agent.party.chain.follow(at, {})
        agent.shown.forks = {}
        assert f"tick-{other.body_hash()[:24]}" in agent.contradictions

    def is_rightful(self, document: SignedDocument) -> bool:
        if document.type == "overdue":
            run = self.state.public.run
            assert run is not None
            assert run.record is not None
            return bool(document.body["declared_at"] >= self.records[run.record].body["deadline"])
        return super().is_rightful(document)

    def is_taken(self, document: SignedDocument, entry: SignedDocument, after: Chain) -> bool:
        if self.hidden and document.type not in ("settlement", "overdue", "identity-rotation"):
            return True
        self.hidden = False
        if document.type == "identity-rotation":
            # Its process is another one from here on, and follows under the new key.
            self.agent.begin_under(self.made_keys[document.body["new"]])
        try:
            self.show((entry, document))
        except EntryRefused:
            assert not self.is_rightful(document)
            self.assert_kept(entry)
            return False
        assert self.is_rightful(document)
        assert (self.agent.history.head, self.agent.history.state) == (after.head, after.state)
        return True

    def refused(self, document: SignedDocument, entry: SignedDocument) -> None:
        self.hidden = False
        with pytest.raises(EntryRefused):
            self.show((entry, document))
        assert self.agent.history.head == self.parties.chain.head
        self.assert_kept(entry)

    def assert_kept(self, entry: SignedDocument) -> None:
        assert f"entry-{entry.body_hash()[:24]}" in self.agent.contradictions

    def operator_goes_on(self, what: str, bent: str) -> None:
        """As ever, but that a run is declared overdue too early first."""
        run = self.state.public.run
        if what == "overdue" and run is not None and run.stage == "awaiting":
            self.deliver(self.made(self.parties.overdue(declared_at="2026-11-27T11:59:59Z")))
            assert self.parties.run.stage == "awaiting"
        super().operator_goes_on(what, bent)

    def operator_settles(self, whole: bool) -> None:
        """As ever, but that everything is taken first, whatever is called for."""
        super().operator_settles(True)
        super().operator_settles(whole)

    def institution_answers(self, withheld: bool) -> None:
        """What the agent decides, by its own code, on what it was shown; first it is shown another record."""
        if not self.hidden:
            self.show()
        agent, run = self.agent, self.replica.public.run
        if run is None or run.record is None:
            agent.answer()
            self.assert_answers(None)
            return
        record = self.records[run.record]
        for shown in [other for other in self.records.values() if other != record][-1:]:
            agent.shown.record = shown
            agent.answer()
            self.assert_answers(None)
        agent.shown.record = record
        row = agent.answer()
        self.assert_answers(run)
        if row is not None and row.document is not None:
            document = SignedDocument.parse(row.document)
            self.send(document if document in self.documents else self.made(document), withheld)

    def assert_answers(self, run: OpenRun | None) -> None:
        """Make sure that what the agent decided now is about a run, and true; about none, that it decided nothing."""
        new = [row for row in self.agent.answers() if row.run_id not in self.decided]
        self.decided |= {row.run_id for row in new}
        for row in new:
            assert run is not None, f"the agent answers {row.run_id}, which its account is not open for"
            assert (row.run_id, row.run_hash) == (run.run_id, run.record)
            number, posted = run.price_sequence, dict(run.posted)
            assert self.parties.market - number <= 1, "the agent answers at old prices"
            assert run.matrices.model_dump() == matrices(number, posted), "the agent answers about other matrices"
            missing = max(self.truth.missing(run.submission, number, posted), 0)
            if row.document is None:
                assert missing > 0
                assert not run.evaluated
            else:
                body = row.document["body"]
                assert (body["outcome"], int(body["top_up"])) == ("breach" if missing else "covered", missing)
        self.assert_one_answer_a_tick()

    def assert_one_answer_a_tick(self) -> None:
        said: dict[int, Any] = {}
        for row in self.agent.answers():
            if row.document is not None:
                body = row.document["body"]
                answer = tuple(body[name] for name in ("submission", "outcome", "top_up"))
                assert said.setdefault(row.price_sequence, answer) == answer, (
                    f"two answers at tick {row.price_sequence}"
                )

    def institution_proves_unasked(self, withheld: bool) -> None:
        if self.hidden:
            return
        self.show()
        try:
            document = self.agent.unasked.proof()
        except AgentRefused:
            # The newest tick has no market, and the last one that has is too old.
            assert self.parties.market < self.parties.newest
            return
        if document is not None:
            assert self.covers(document.body["submission"])
            self.agent.know(document)
            self.send(self.made(document), withheld)

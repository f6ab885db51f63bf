"""An institution that cheats, and an operator that does not."""

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule

from atomic_margin.service.protocol.account.entries import followed
from atomic_margin.service.protocol.account.events import EventKind
from atomic_margin.service.protocol.account.state import Account
from atomic_margin.service.protocol.account.values import book_at, is_due
from atomic_margin.service.protocol.signing import SignedDocument

from . import in_netting
from .played import ANY, KINDS, REFUSED, SELDOM, TICKS, K, Played, held, places, total
from .rotating import BY_THIEVES
from .truth import GOOD, WORTHLESS, settled, worth

ASSETS, AMOUNTS = st.sampled_from(["USDC", "USDC", GOOD, WORTHLESS]), st.sampled_from([10, 40, 100])
INSTEAD = st.sampled_from([None, GOOD, WORTHLESS, "USDC"])
ACTS = (
    "tick",
    "run",
    "go on",
    "submit",
    "settle",
    "again",
    "instruct",
    "answer",
    "unasked",
    "give up",
    "dispute",
    "any",
    "release",
    "promise",
    "net",
    "halt",
    "rotate",
    "thief",
)


class CheatingInstitution(Played):
    """An honest operator: it runs the machine, takes what is legal, and knows nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.exposed: set[tuple[str, int]] = set()
        """Books and ticks of runs that began, and were neither proven since nor settled."""
        self.covered_at: tuple[str, int] = ("", 0)
        self.last = ""
        """The last book that it brought."""

    @initialize(needs=TICKS, kind=KINDS)
    def begin(self, needs: tuple[int, ...], kind: int) -> None:
        self.opened()
        for asset in (GOOD, WORTHLESS):
            self.play(self.made(self.parties.deposit(200 * self.parties.unit, asset)))
        self.play(self.made(in_netting.naming(self.parties)))
        self.play(self.made(self.parties.instruction(1, "post", 100 * self.parties.unit)))
        self.play(self.submission(self.new_name(kind), 1))
        self.next_tick(needs, False)

    @rule(data=st.data())
    def something_happens(self, data: st.DataObject) -> None:
        act = data.draw(st.sampled_from(ACTS))
        if act == "tick":
            self.tick_comes(data.draw(TICKS), data.draw(SELDOM))
        elif act == "run":
            self.operator_begins(data.draw(SELDOM))
        elif act == "go on":
            self.operator_goes_on(data.draw(SELDOM))
        elif act == "submit":
            self.institution_submits(data.draw(KINDS))
        elif act == "settle":
            self.institution_settles(data.draw(KINDS))
        elif act == "again":
            self.institution_brings_an_earlier_book_again(data.draw(ANY))
        elif act == "instruct":
            self.institution_instructs(data.draw(st.sampled_from(["post", "withdraw"])), 10)
        elif act == "answer":
            self.institution_answers(data.draw(st.sampled_from([-1, -1, -2, 0])))
        elif act == "unasked":
            self.institution_proves_unasked()
        elif act == "give up":
            self.both_give_up()
        elif act == "dispute":
            self.institution_disputes(data.draw(st.sampled_from(["open", "open", "withdrawn", "resolved"])))
        elif act == "promise":
            self.institution_promises(data.draw(st.sampled_from(["delivery", "return"])), data.draw(AMOUNTS))
        elif act == "net":
            self.operator_nets()
        elif act == "halt":
            self.operator_halts_or_resumes()
        elif act == "rotate":
            self.play(self.rotation())
        elif act == "thief":
            self.a_thief_brings(data.draw(ANY), data.draw(BY_THIEVES))
        elif act == "release":
            self.institution_wants_back(data.draw(ASSETS), data.draw(AMOUNTS), data.draw(INSTEAD))
        else:
            self.institution_plays_any_document(data.draw(ANY))

    # The operator

    def tick_comes(self, needs: tuple[int, ...], void: bool) -> None:
        self.next_tick(needs, void)

    @rule(
        needs=TICKS,
        proven=SELDOM,
        other=st.sampled_from(["none", "none", "before", "during"]),
        kind=st.sampled_from([0, 0, 1, 2, 3]),
        end=st.sampled_from(["answer", "answer", "overdue", "void", "nothing"]),
        left=st.sampled_from([0, 10, 900]),
        back=st.sampled_from([(), ("USDC", 40, None), ("USDC", 100, GOOD), ("USDC", 40, WORTHLESS), (GOOD, 40, None)]),
    )
    def a_round_is_played(
        self,
        needs: tuple[int, ...],
        proven: bool,
        other: str,
        kind: int,
        end: str,
        left: int,
        back: tuple[()] | tuple[str, int, str | None],
    ) -> None:
        """Tick, run, its end, and what the institution wants to have out afterwards; another book comes meanwhile."""
        if other == "before":
            self.institution_submits(kind)
        self.next_tick(needs, False)
        self.operator_begins(proven)
        if other == "during":
            self.institution_submits(kind)
        self.operator_goes_on(end == "void")
        if end == "answer":
            self.institution_answers(-1)
            if self.state.public.run is not None and self.state.public.run.stage == "breach":
                self.operator_goes_on(False)
        elif end == "overdue":
            self.operator_goes_on(False)
        if back:
            self.institution_wants_back(*back)
        if left:
            self.institution_instructs("withdraw", left)

    @rule(
        needs=TICKS, later=TICKS, end=st.sampled_from(["void", "overdue", "recorded"]), left=st.sampled_from([10, 900])
    )
    def a_flat_book_comes_instead(self, needs: tuple[int, ...], later: tuple[int, ...], end: str, left: int) -> None:
        """After a run that ended without an answer: the flat one is run, proven, and collateral wanted out."""
        self.next_tick(needs, False)
        self.operator_begins(False)
        self.operator_goes_on(end == "void")
        if end == "overdue":
            self.operator_goes_on(False)
        self.institution_submits(0)
        self.next_tick(later, False)
        self.operator_begins(False)
        self.operator_goes_on(False)
        self.institution_answers(-1)
        self.institution_wants_back("USDC", min(left, 100), None)
        self.institution_instructs("withdraw", left)

    @rule(needs=TICKS, early=st.sampled_from(["none", "post", "submit", "answer"]), what=BY_THIEVES, which=ANY)
    def the_key_is_replaced(self, needs: tuple[int, ...], early: str, what: str, which: int) -> None:
        """While a run is open, mostly: by a rotation that is brought twice, with what was signed before in between."""
        self.next_tick(needs, False)
        self.operator_begins(False)
        self.operator_goes_on(False)
        run, public = self.state.public.run, self.state.public
        kept: SignedDocument | None = None
        if early == "post":
            kept = self.made(self.parties.instruction(public.instructions + 1, "post", self.parties.unit))
        elif early == "submit":
            kept = self.submission(self.new_name(0), public.submissions + 1)
        elif early == "answer" and run is not None and run.record in self.records:
            kept = self.truth.answer(self.parties, self.records[run.record], run.entry or self.parties.chain.head)
        for document in self.rotations_of_elsewhere():
            self.is_refused(document)
        self.play(signed := self.rotation())
        assert self.state.public.identity == signed.body["new"], "a rightful rotation was not taken"
        self.is_refused(signed)
        if kept is not None:
            self.is_refused(kept)
        self.a_thief_brings(which, what)
        self.institution_answers(-1)

    def a_thief_brings(self, which: int, what: str) -> None:
        document = self.by_a_thief(which, what)
        if document is not None:
            self.is_refused(document)

    def is_refused(self, document: SignedDocument) -> None:
        before = self.parties.chain
        self.play(self.made(document))
        assert self.parties.chain == before, f"a {document.type} of another key or place was taken"

    def operator_begins(self, proven: bool) -> None:
        public, parties = self.state.public, self.parties
        if public.run is not None and public.run.stage == "not_proven":
            self.play(self.made(parties.second_opened()))
        elif is_due(self.state, parties.at) and (public.run is None or public.run.stage == "unproven"):
            self.play(self.made(parties.record(evaluated=False) if proven else parties.run_opened()))

    def operator_goes_on(self, fails: bool) -> None:
        parties = self.parties
        if self.state.public.run is None:
            return
        if parties.run.stage == "evaluating":
            self.play(self.made(parties.void() if fails else parties.record()))
        elif parties.run.stage == "awaiting":
            self.play(self.made(parties.overdue()))
        elif parties.run.stage == "breach":
            self.play(self.made(settled(parties)))

    def operator_nets(self) -> None:
        """All that is pending; every delivery arrived."""
        netting = self.state.private.netting
        if netting is not None and netting.pending:
            self.play(self.made(in_netting.cycle(self.parties)))

    def operator_halts_or_resumes(self) -> None:
        parties, halts = self.parties, self.state.public.halts
        number = 1 if halts is None else halts.number + 1
        stopped = halts is not None and halts.halt is not None
        self.play(self.made(parties.resume(number) if stopped else parties.halt(number)))

    # The institution, which signs whatever it likes, and proves what is so

    def institution_submits(self, kind: int) -> None:
        self.play(self.submission(self.new_name(kind), self.state.public.submissions + 1))

    def institution_settles(self, kind: int) -> None:
        self.play(self.settling(self.new_name(kind), self.state.public.submissions + 1))

    def institution_brings_an_earlier_book_again(self, index: int) -> None:
        names = list(self.truth.names.values())
        self.play(self.submission(names[index % len(names)], self.state.public.submissions + 1))

    def institution_instructs(self, action: str, quantity: int) -> None:
        number = self.state.public.instructions + 1
        self.play(self.made(self.parties.instruction(number, action, quantity * self.parties.unit)))

    def institution_promises(self, direction: str, quantity: int) -> None:
        self.play(self.made(in_netting.obligation(self.parties, direction, quantity * self.parties.unit)))

    def institution_wants_back(self, asset: str, quantity: int, given: str | None) -> None:
        document = None if asset == given else self.releasing(asset, quantity, given)
        if document is not None:
            self.play(document)

    def institution_answers(self, index: int) -> None:
        records, run = list(self.records.values()), self.state.public.run
        if not records:
            return
        entry = (run.entry if run is not None else None) or self.parties.chain.head
        signed = records[index] if len(records) > 1 else records[0]
        answer = self.truth.answer(self.parties, signed, entry)
        if answer is not None:
            self.play(self.made(answer))

    def institution_proves_unasked(self) -> None:
        book, parties = self.state.public.book, self.parties
        if (
            book is not None
            and self.truth.missing(book.submission, parties.market, dict(self.state.public.posted)) <= 0
        ):
            self.play(self.made(parties.coverage()))

    def both_give_up(self) -> None:
        """The operator agrees to whatever it is asked for: not even then does anything leave unproven."""
        if self.state.public.book is not None:
            self.play(self.made(self.parties.giving_up()))

    def institution_disputes(self, act: str) -> None:
        parties, found = self.parties, self.state.public.disputes
        if act == "open":
            sequence = 1 if found is None else found.sequence + 1
            entry = 1 + sequence % len(parties.entries)
            self.play(self.made(parties.dispute(sequence, entry=entry, day=parties.newest)))
        elif found is not None and found.open is not None:
            self.play(self.made(parties.dispute_withdrawal() if act == "withdrawn" else parties.resolution()))

    def institution_plays_any_document(self, index: int) -> None:
        document = self.documents[index % len(self.documents)]
        # What the operator signs it enters itself, and once: its ledger knows each deposit.
        if document.signer != self.parties.operator.public_key:
            self.play(document)

    def play(self, document: SignedDocument) -> None:
        before, parties = self.parties.chain, self.parties
        try:
            parties.enter(document)
        except REFUSED:
            assert parties.chain == before
            return
        entry = parties.entries[-1][0]
        assert followed(before, entry, document, parties.salts, parties.operator.public_key) == parties.chain
        self.check(before.state, document, EventKind(entry.body["kind"]))

    def check(self, before: Account | None, document: SignedDocument, kind: EventKind) -> None:
        run = self.state.public.run
        self.require_in_force(before, document)
        if before is not None:
            change = total(self.state) - total(before)
            assert change == came_in(before, document, kind), f"'{kind}' changed what there is by {change}"
        if kind in (K.LOSSES_SETTLED, K.WITHDRAWN, K.RETURN_PROMISED):
            assert before is not None
            assert before.public.disputes is None or before.public.disputes.open is None, "collateral left while held"
        if kind is K.LOSSES_SETTLED:
            # What runs count stays: none is open, owed or void when collateral leaves, and the book is in force.
            assert before is not None
            assert not self.exposed, f"collateral left, and nobody proved {self.exposed}"
            assert (before.public.run, before.public.owed, self.state.public.waiting) == (None, None, None)
        if kind in (K.SUBMITTED, K.LOSSES_SETTLED):
            self.brought(before, self.truth.names[document.body_hash()])
        elif kind in (K.RUN_OPENED, K.RUN_RECORDED):
            assert run is not None
            self.exposed.add((self.truth.names[run.submission], run.price_sequence))
        elif kind in (K.COVERED, K.MARGIN_CALLED):
            assert before is not None
            assert before.public.run is not None
            self.proved(self.truth.names[before.public.run.submission], before.public.run.price_sequence)
        elif kind is K.COVERED_UNASKED:
            self.proved(self.truth.names[document.body["submission"]], self.parties.market)
        elif kind is K.BOOK_GIVEN_UP:
            self.exposed, self.covered_at, self.last = set(), ("", 0), ""
        elif kind in (K.WITHDRAWN, K.RETURN_PROMISED):
            # Nothing leaves but from an account whose book, the last one it brought, was proven at the newest prices.
            assert not self.exposed, f"collateral left, and nobody proved {self.exposed}"
            assert self.covered_at == (self.last, self.parties.market), f"{self.last} is not proven: {self.covered_at}"
        elif kind in (K.RELEASED, K.SUBSTITUTED):
            assert before is not None
            self.came_back(before)
        elif kind is K.IDENTITY_ROTATED:
            assert before is not None
            self.rotated(before)

    def came_back(self, before: Account) -> None:
        """A verifier that believes proofs alone is convinced of the margin of the last book, at the newest prices."""
        public, market = self.state.public, self.parties.market
        assert not self.exposed, f"collateral came back, and nobody proved {self.exposed}"
        if public.book is not None:
            assert self.covered_at == (self.last, market), f"{self.last} is not proven: {self.covered_at}"
            assert self.truth.names[public.book.submission] == self.last
            missing = self.truth.missing(public.book.submission, market, dict(public.posted))
            assert missing <= 0 or worth(public.posted) >= worth(before.public.posted), f"{missing} are missing"
        assert held(before) == held(self.state)

    def brought(self, before: Account | None, name: str) -> None:
        """Note the last book. The one in force once more, while another waits that no later tick brought in force, is
        that one under new keys, and the other one is still to come."""
        assert before is not None
        book, waiting = before.public.book, before.public.waiting
        again = book is not None and self.truth.names[book.submission] == name
        if not (again and waiting is not None and book_at(before, self.parties.at) == book):
            self.last = name

    def proved(self, name: str, number: int) -> None:
        self.exposed = {(other, tick) for other, tick in self.exposed if other != name or tick > number}
        self.covered_at = (name, number)

    @invariant()
    def nothing_is_negative(self) -> None:
        if self.parties.chain.state is not None:
            assert all(quantity > 0 for place in places(self.state) for quantity in place.values())

    @invariant()
    def frozen_is_owed(self) -> None:
        if self.parties.chain.state is not None and self.state.public.status != "in_default":
            public = self.state.public
            assert (public.status == "frozen") == (public.owed is not None)
            assert public.waiting is None or public.book is not None


def came_in(before: Account, document: SignedDocument, kind: EventKind) -> int:
    """Return what came from outside by an event, in smallest units; below 0 what left. Everything else stays."""
    body = document.body
    if kind is K.DEPOSITED:
        return int(body["quantity"])
    if kind in (K.WITHDRAWN, K.RETURN_PROMISED):
        return -int(body["quantity"])
    if kind is K.LOSSES_SETTLED:
        return -int(body["gain"]["settles"]["quantity"])
    if kind is K.NETTED:
        lines = [shown["line"] for shown in body["lines"]]
        return sum(int(line["quantity"]) for line in lines if line["direction"] == "delivery" and line["arrived"])
    return -total(before) if kind is K.LIQUIDATED else 0

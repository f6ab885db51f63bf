"""An operator that cheats, and an institution that does not."""

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from atomic_margin.service.protocol.account.entries import Chain, Entry, extended, followed
from atomic_margin.service.protocol.account.errors import EntryRefused
from atomic_margin.service.protocol.account.events import EventKind
from atomic_margin.service.protocol.account.state import NOTHING, Account, OpenRun
from atomic_margin.service.protocol.account.values import is_due
from atomic_margin.service.protocol.documents import second_run_of
from atomic_margin.service.protocol.signing import SignedDocument

from .documents import INSTITUTION, LOG, TIME, named
from .played import ANY, KINDS, OFTEN_RIGHT, REFUSED, SELDOM, TICKS, K, Played, total
from .rotating import BY_THIEVES
from .story import everything, forged
from .truth import settled


class CheatingOperator(Played):
    """An honest institution: it follows entries, and answers the run that is open there, once a tick, truly."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[tuple[str, int]] = []
        """Books that were taken, each with the newest tick with a market then."""
        self.exposed: str | None = None
        """The book of a run that began and was not proven since: void, owed or open."""
        self.posted_at: list[tuple[dict[str, int], int]] = []
        self.counted: dict[int, tuple[Any, ...]] = {}
        """By tick, what its first run began on: what was posted then, its book and its matrices."""
        self.answered: dict[int, set[tuple[str, int]]] = {}
        self.fresh: dict[str, bool] = {}
        self.sent = 0

    @initialize(needs=TICKS, kind=KINDS)
    def begin(self, needs: tuple[int, ...], kind: int) -> None:
        self.opened()
        self.posted_at.append(({}, 0))
        self.deliver(self.made(self.parties.instruction(1, "post", 100 * self.parties.unit)))
        self.deliver(self.submission(self.new_name(kind), 1))
        self.next_tick(needs, False)

    # The operator, who signs whatever it likes

    @rule(data=st.data())
    def the_operator_acts(self, data: st.DataObject) -> None:
        acts = ["tick", "run", "run", "go on", "go on", "settle", "any", "any", "forge", "thief"]
        act = data.draw(st.sampled_from(acts))
        if act == "tick":
            self.tick_comes(data.draw(TICKS), data.draw(SELDOM))
        elif act == "run":
            book, at, collateral = (data.draw(OFTEN_RIGHT) for _ in range(3))
            self.operator_begins(book, at, collateral, data.draw(SELDOM), data.draw(SELDOM), data.draw(SELDOM))
        elif act == "go on":
            what = data.draw(st.sampled_from(["record", "record", "overdue", "void"]))
            self.operator_goes_on(what, data.draw(st.sampled_from(["", "", "book", "posted", "matrices"])))
        elif act == "settle":
            self.operator_settles(data.draw(SELDOM))
        elif act == "any":
            self.operator_plays_any_document(data.draw(ANY), data.draw(st.sampled_from([0, 0, 1, 2])))
        elif act == "thief":
            self.operator_takes_from_a_thief(data.draw(ANY), data.draw(BY_THIEVES))
        else:
            how = data.draw(st.sampled_from(["state", "number", "fork", "previous", "kind", "earlier"]))
            self.operator_forges_an_entry(data.draw(ANY), how, data.draw(st.sampled_from(list(K))))

    def tick_comes(self, needs: tuple[int, ...], void: bool) -> None:
        self.next_tick(needs, void)

    @rule(
        needs=TICKS,
        other=st.sampled_from(["none", "none", "before", "during"]),
        book=OFTEN_RIGHT,
        collateral=OFTEN_RIGHT,
        proven=SELDOM,
        late=SELDOM,
        bent=SELDOM,
        kind=KINDS,
    )
    def a_round_is_played(
        self,
        needs: tuple[int, ...],
        other: str,
        book: str,
        collateral: str,
        proven: bool,
        late: bool,
        bent: bool,
        kind: int,
    ) -> None:
        """Tick, run, answer, settlement, mostly as they should be: what comes after has to be tried too."""
        if other == "before":
            self.institution_submits(kind, False)
            self.institution_instructs("post", 50, False)
        self.next_tick(needs, False)
        # What is late is seldom evaluated: then a second run of the tick follows.
        self.operator_begins(book, "right", collateral, False, proven or (late and kind > 0), bent and not late)
        if other == "during":
            self.institution_submits(kind, False)
            self.institution_instructs("post", 50, False)
        self.operator_goes_on("record", "")
        if late:
            self.operator_goes_on("overdue", "")
            # The second run of the tick, on other matrices than the first; then the same again.
            self.operator_begins(book, "right", collateral, True, False, True)
            self.operator_begins(book, "right", collateral, True, False, bent)
            self.operator_goes_on("record", "")
        self.institution_answers(False)
        self.operator_settles(False)
        self.institution_has_back(10, False)
        self.institution_instructs("withdraw", 10, False)

    @rule(needs=TICKS, later=TICKS, kinds=st.tuples(KINDS, KINDS), begun=st.booleans())
    def trading_goes_on(
        self, needs: tuple[int, ...], later: tuple[int, ...], kinds: tuple[int, int], begun: bool
    ) -> None:
        """Two books come, one before a tick and one after it, while the run of the tick before is open or only due."""
        self.next_tick(needs, False)
        if begun:
            self.operator_begins("right", "right", "right", False, False, False)
            self.operator_goes_on("record", "")
        self.institution_submits(kinds[0], False)
        self.next_tick(later, False)
        self.institution_submits(kinds[1], False)
        self.institution_answers(False)
        self.operator_settles(False)
        # On each of the books before, and with less collateral, before it is as it should be.
        for book, collateral in (("older", "right"), ("old", "right"), ("right", "older"), ("right", "right")):
            self.operator_begins(book, "right", collateral, False, False, False)

    @rule(needs=TICKS, what=BY_THIEVES, which=ANY, withheld=st.booleans())
    def the_key_is_replaced(self, needs: tuple[int, ...], what: str, which: int, withheld: bool) -> None:
        """While a run is open; the operator keeps an answer back that the old key signed, or enters it before."""
        self.next_tick(needs, False)
        self.operator_begins("right", "right", "right", False, False, False)
        self.operator_goes_on("record", "")
        self.institution_answers(withheld)
        for document in self.rotations_of_elsewhere():
            self.is_refused(document)
        self.send(signed := self.rotation(), False)
        assert self.state.public.identity == signed.body["new"], "a rightful rotation was not taken"
        self.is_refused(signed)
        # What there is of the old key, the answer that was kept back among it.
        old = [one for one in self.documents if one.signer == self.replaced[-1].public_key]
        for document in [*old[-2:], *[one for one in old if one.type == "answer"][-1:]]:
            self.is_refused(document)
        self.operator_takes_from_a_thief(which, what)
        self.institution_answers(False)
        self.operator_settles(False)

    def operator_takes_from_a_thief(self, which: int, what: str) -> None:
        document = self.by_a_thief(which, what)
        if document is not None:
            self.is_refused(document)

    def is_refused(self, document: SignedDocument) -> None:
        before = self.parties.chain
        self.deliver(document if document in self.documents else self.made(document))
        assert self.parties.chain == before, f"a {document.type} of another key or place was taken"

    def operator_begins(self, book: str, at: str, collateral: str, second: bool, proven: bool, bent: bool) -> None:
        public, parties = self.state.public, self.parties
        if public.book is None or parties.market == 0:
            return
        number = parties.market if at == "right" else max(parties.market - (1 if at == "old" else 2), 1)
        fields = parties.run_fields(number) | {"operator": parties.operator.public_key, "institution": INSTITUTION}
        if second and public.run is not None:
            fields |= parties.second_opened().body | {"run_id": second_run_of(public.run.run_id)}
            fields.pop("opened_at")
        if book != "right":
            # A book that another one replaced, or the one that waits.
            hashes = list(self.truth.names)
            fields["submission"] = hashes[-2 if book == "old" and len(hashes) > 1 else 0]
        if collateral != "right":
            posted, instructions = self.posted_at[-2 if collateral == "old" else 0]
            fields["posted"] = {asset: str(quantity) for asset, quantity in posted.items()}
            fields["instructions"] = str(instructions if at == "right" else public.instructions)
        if bent:
            fields["matrices"] = fields["matrices"] | {"maintenance_proof": named("two units less")}
        if proven and not second:
            record = parties.record(evaluated=False, **fields).body
            self.deliver(self.made(parties.operator.sign("run", record)))
        else:
            self.deliver(self.made(parties.operator.sign("run-opened", fields | {"opened_at": TIME})))

    def operator_goes_on(self, what: str, bent: str) -> None:
        parties = self.parties
        if self.state.public.run is None:
            return
        if what == "record":
            changes: dict[str, Any] = {}
            if bent == "book":
                changes = {"submission": next(iter(self.truth.names))}
            elif bent == "posted":
                changes = {"posted": {}}
            elif bent == "matrices":
                changes = {"matrices": parties.run.matrices.model_dump() | {"initial_fhe": named("two units less")}}
            self.deliver(self.made(parties.record(**changes)))
        elif what == "void":
            self.deliver(self.made(parties.void()))
        elif parties.run.record is not None:
            self.deliver(self.made(parties.overdue()))

    def operator_settles(self, whole: bool) -> None:
        parties, run = self.parties, self.state.public.run
        if run is None or run.stage != "breach":
            return
        document = parties.settlement(everything(parties), kind="liquidation") if whole else settled(parties)
        self.deliver(self.made(document))

    def operator_plays_any_document(self, index: int, older: int) -> None:
        self.deliver(self.documents[index % len(self.documents)], older)

    def operator_forges_an_entry(self, index: int, how: str, kind: EventKind) -> None:
        """An entry that says what no machine says. Refused, and kept with the operator's signature, whatever it is."""
        parties, document = self.parties, self.documents[index % len(self.documents)]
        changes: dict[str, Any] = {
            "state": {},
            "number": {"number": str(parties.chain.number + 2)},
            "fork": {"number": str(parties.chain.number), "previous": "0" * 64},
            "previous": {"previous": parties.entries[-2][0].body_hash()},
            "kind": {"kind": str(kind)},
            "earlier": {"tick": NOTHING, "tick_sequence": "0", "market": NOTHING, "market_sequence": "0"},
        }[how]
        self.refused(document, forged(parties, document, **({"kind": str(self.kind_of(document))} | changes)))

    # The institution, which knows what it was shown

    @property
    def replica(self) -> Account:
        """The account, as the institution knows it."""
        return self.state

    @rule(
        act=st.sampled_from(
            ["submit", "settle", "keys", "instruct", "answer", "unasked", "give up", "release", "rotate"]
        ),
        withheld=SELDOM,
        kind=KINDS,
    )
    def the_institution_acts(self, act: str, withheld: bool, kind: int) -> None:
        if act == "submit":
            self.institution_submits(kind, withheld)
        elif act == "settle":
            number = self.replica.public.submissions + 1
            self.send(self.settling(self.new_name(kind), number), withheld)
        elif act == "keys":
            self.institution_replaces_its_keys(withheld, kind > 1)
        elif act == "instruct":
            self.institution_instructs("withdraw" if kind > 1 else "post", 50, withheld)
        elif act == "answer":
            self.institution_answers(withheld)
        elif act == "unasked":
            self.institution_proves_unasked(withheld)
        elif act == "release":
            self.institution_has_back(10 * (kind + 1), withheld)
        elif act == "rotate":
            self.send(self.rotation(), withheld)
        elif self.replica.public.book is not None:
            self.send(self.made(self.parties.giving_up()), withheld)

    def institution_submits(self, kind: int, withheld: bool) -> None:
        self.send(self.submission(self.new_name(kind), self.replica.public.submissions + 1, self.keys()), withheld)

    def institution_replaces_its_keys(self, withheld: bool, waiting: bool) -> None:
        """The same commitments under new keys, of the book in force or of the one that waits."""
        public = self.replica.public
        book = public.waiting if waiting else public.book
        if book is None or public.status not in ("active", "frozen"):
            return
        sequence = public.key_sequence + 1
        for document in (self.parties.enrolment(sequence), self.parties.confirmation(sequence)):
            self.deliver(self.made(document))
        self.send(self.submission(self.truth.names[book.submission], public.submissions + 1, sequence), withheld)

    def institution_instructs(self, action: str, quantity: int, withheld: bool) -> None:
        number = self.replica.public.instructions + 1
        self.send(self.made(self.parties.instruction(number, action, quantity * self.parties.unit)), withheld)

    def institution_has_back(self, quantity: int, withheld: bool) -> None:
        document = self.releasing("USDC", quantity, None)
        if document is not None:
            self.send(document, withheld)

    def institution_answers(self, withheld: bool) -> None:
        run, parties = self.replica.public.run, self.parties
        if run is None or run.stage not in ("awaiting", "unproven") or not self.fresh[run.run_id]:
            return
        assert run.record is not None
        answer = self.truth.answer(parties, self.records[run.record], run.entry or parties.chain.head)
        if answer is None:
            return
        given = self.answered.setdefault(run.price_sequence, set())
        given.add((answer.body["outcome"], int(answer.body["top_up"])))
        assert len(given) == 1, f"two answers at tick {run.price_sequence}: {given}"
        self.send(self.made(answer), withheld)

    def institution_proves_unasked(self, withheld: bool) -> None:
        book, parties = self.replica.public.book, self.parties
        wanted = self.replica.public.owed is not None or is_due(self.replica, parties.at)
        if book is not None and wanted and self.covers(book.submission):
            self.send(self.made(parties.coverage()), withheld)

    def keys(self) -> int:
        return max(self.replica.public.key_sequence, 1)

    def send(self, document: SignedDocument, withheld: bool) -> None:
        # What is withheld stays with the operator, which may enter it when it likes.
        if not withheld:
            self.deliver(document)

    # What the institution's agent makes of an entry

    def deliver(self, document: SignedDocument, older: int = 0) -> None:
        """Let the operator enter a document: rightly if it can be, and by force if it cannot."""
        parties, before = self.parties, self.parties.chain
        newest = max(parties.newest - older, 0)
        at = parties.place(newest, max((number for number in self.truth.ticks if number <= newest), default=0))
        try:
            after, entry = extended(before, document, at, parties.salts, LOG, parties.operator, TIME)
        except REFUSED:
            self.refused(document, forged(parties, document, kind=str(self.kind_of(document))))
            return
        if not self.is_taken(document, entry, after):
            return
        parties.append(after, entry, document)
        self.check(before, document, Entry.parse(entry.body))

    def is_rightful(self, document: SignedDocument) -> bool:
        """What an agent checks beside the machine: a settlement moves what it has to."""
        return document.type != "settlement" or document.body["transfers"] == settled(self.parties).body["transfers"]

    def is_taken(self, document: SignedDocument, entry: SignedDocument, after: Chain) -> bool:
        """Show the institution an entry that the machine allows; return whether it follows it."""
        if not self.is_rightful(document):
            return False
        parties = self.parties
        assert followed(parties.chain, entry, document, parties.salts, parties.operator.public_key) == after
        return True

    def refused(self, document: SignedDocument, entry: SignedDocument) -> None:
        """Show the institution an entry that the machine does not allow: it is refused, and kept."""
        parties = self.parties
        with pytest.raises(EntryRefused) as refusal:
            followed(parties.chain, entry, document, parties.salts, parties.operator.public_key)
        shown = SignedDocument.parse(refusal.value.evidence["entry"])
        shown.verify(frozenset({parties.operator.public_key}))

    def check(self, before: Chain, document: SignedDocument, entry: Entry) -> None:
        """Hold what the institution took against what is so."""
        public, kind = self.state.public, entry.kind
        self.require_in_force(before.state, document)
        if kind is K.IDENTITY_ROTATED:
            assert before.state is not None
            self.rotated(before.state)
        if kind in (K.SUBMITTED, K.LOSSES_SETTLED):
            self.took(self.truth.names[document.body_hash()], entry.market_sequence)
        if kind in (K.POSTED, K.WITHDRAWN, K.MARGIN_CALLED, K.LOSSES_SETTLED, K.RELEASED):
            self.posted_at.append((dict(public.posted), public.instructions))
        if kind in (K.RUN_OPENED, K.RUN_RECORDED):
            assert public.run is not None
            self.began(public.run, document)
        elif kind in (K.COVERED, K.MARGIN_CALLED, K.LIQUIDATED):
            assert before.state is not None
            assert before.state.public.run is not None
            if kind is not K.COVERED:
                self.owed(before.state, before.state.public.run, kind)
            self.exposed = None
        elif kind is K.COVERED_UNASKED:
            self.is_due(self.truth.names[document.body["submission"]], entry.market_sequence)
            self.exposed = None
        elif kind is K.BOOK_GIVEN_UP:
            self.exposed = None
        self.conserved(before, document, kind)

    def took(self, name: str, market: int) -> None:
        if name not in (known for known, _ in self.taken):
            self.taken.append((name, market))

    def began(self, run: OpenRun, document: SignedDocument) -> None:
        """A run is on the book that was there before its tick, and the second one of a tick is the same again."""
        said = {name: document.body[name] for name in ("submission", "price_sequence", "tick", "posted", "matrices")}
        assert said == {
            "submission": run.submission,
            "price_sequence": str(run.price_sequence),
            "tick": run.tick,
            "posted": {asset: str(quantity) for asset, quantity in run.posted.items()},
            "matrices": run.matrices.model_dump(),
        }
        name, number = self.truth.names[run.submission], run.price_sequence
        self.is_due(name, number)
        self.exposed = name
        first = self.counted.setdefault(number, (*self.posted_at[-1], run.submission, run.matrices))
        assert (dict(run.posted), run.instructions, run.submission, run.matrices) == first
        self.fresh.setdefault(run.run_id, number == self.parties.market)

    def is_due(self, name: str, number: int) -> None:
        """Make sure that a book is the one to be proven at a tick: what began and is not proven yet, or the newest."""
        due = self.exposed or [known for known, market in self.taken if market < number][-1]
        assert name == due, f"{name} is proven at tick {number}, and {due} has to be"

    def owed(self, before: Account, run: OpenRun, kind: EventKind) -> None:
        """Make sure that what a settlement takes was owed."""
        name, number = self.truth.names[run.submission], run.price_sequence
        missing = self.truth.missing(run.submission, number, dict(run.posted))
        assert missing > 0, f"settled, and {name} was covered at tick {number}"
        if kind is K.LIQUIDATED:
            # What collateral is worth is a little less than its units.
            assert missing > 0.97 * sum(before.private.free.values()), f"liquidated at tick {number}, and it could pay"

    def conserved(self, before: Chain, document: SignedDocument, kind: EventKind) -> None:
        if before.state is None or kind is K.LIQUIDATED:
            return
        old, new = total(before.state), total(self.state)
        moved = document.body["gain"]["settles"] if kind is K.LOSSES_SETTLED else document.body
        sign = {K.DEPOSITED: 1, K.WITHDRAWN: -1, K.LOSSES_SETTLED: -1}.get(kind, 0)
        change = sign * int(moved.get("quantity", "0"))
        assert new == old + change

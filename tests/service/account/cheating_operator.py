"""An operator that cheats, and an institution that does not."""

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from atomic_margin.service.protocol.account.entries import Chain, Entry, extended, followed
from atomic_margin.service.protocol.account.errors import EntryRefused
from atomic_margin.service.protocol.account.events import EventKind
from atomic_margin.service.protocol.account.values import At, is_due
from atomic_margin.service.protocol.documents import second_run_of
from atomic_margin.service.protocol.signing import SignedDocument

from .documents import INSTITUTION, LOG, TIME, tick
from .played import ANY, KINDS, OFTEN_RIGHT, REFUSED, SELDOM, TICKS, K, Played, total
from .story import forged
from .truth import settled


class CheatingOperator(Played):
    """An honest institution: it follows entries, and answers the run that is open there, once a tick, truly."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[tuple[str, int]] = []
        """Books that the institution knows to be taken, each with the newest tick with a market then."""
        self.proven: list[tuple[str, int]] = []
        self.posted_at: list[tuple[dict[str, int], int]] = []
        self.counted: dict[int, tuple[dict[str, int], int]] = {}
        """By tick, what was posted when its first run began."""
        self.answered: dict[int, set[tuple[str, int]]] = {}
        self.fresh: dict[str, bool] = {}
        self.sent = 0

    @initialize(needs=TICKS, kind=KINDS)
    def begin(self, needs: tuple[int, ...], kind: int) -> None:
        parties = self.parties
        for document in (parties.admission(), parties.deposit(1000), parties.enrolment(1), parties.confirmation(1)):
            self.made(parties.enter(document))
        self.posted_at.append(({}, 0))
        self.deliver(self.made(parties.instruction(1, "post", 100)))
        self.deliver(self.submission(self.new_name(kind), 1))
        self.next_tick(needs, False)

    # The operator, who signs whatever it likes

    @rule(data=st.data())
    def the_operator_acts(self, data: st.DataObject) -> None:
        act = data.draw(st.sampled_from(["tick", "run", "run", "go on", "go on", "settle", "any", "any", "forge"]))
        if act == "tick":
            self.tick_comes(data.draw(TICKS), data.draw(SELDOM))
        elif act == "run":
            book, at, collateral = (data.draw(OFTEN_RIGHT) for _ in range(3))
            self.operator_begins(book, at, collateral, data.draw(SELDOM), data.draw(SELDOM))
        elif act == "go on":
            what = data.draw(st.sampled_from(["record", "record", "overdue", "void"]))
            self.operator_goes_on(what, data.draw(st.sampled_from(["", "", "book", "posted"])))
        elif act == "settle":
            self.operator_settles(data.draw(SELDOM))
        elif act == "any":
            self.operator_plays_any_document(data.draw(ANY), data.draw(st.sampled_from([0, 0, 1, 2])))
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
        kind=KINDS,
    )
    def a_round_is_played(
        self, needs: tuple[int, ...], other: str, book: str, collateral: str, proven: bool, late: bool, kind: int
    ) -> None:
        """Tick, run, answer, settlement, mostly as they should be: what comes after has to be tried too."""
        if other == "before":
            self.institution_submits(kind, False)
            self.institution_instructs("post", 50, False)
        self.next_tick(needs, False)
        self.operator_begins(book, "right", collateral, False, proven)
        if other == "during":
            self.institution_submits(kind, False)
            self.institution_instructs("post", 50, False)
        self.operator_goes_on("record", "")
        if late:
            self.operator_goes_on("overdue", "")
            self.operator_begins(book, "right", collateral, True, False)
            self.operator_goes_on("record", "")
        self.institution_answers(False)
        self.operator_settles(False)
        self.institution_instructs("withdraw", 10, False)

    def operator_begins(self, book: str, at: str, collateral: str, second: bool, proven: bool) -> None:
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
        if proven and not second:
            record = parties.record(evaluated=False).body | fields
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
            self.deliver(self.made(parties.record(**changes)))
        elif what == "void":
            self.deliver(self.made(parties.void()))
        elif parties.run.record is not None:
            self.deliver(self.made(parties.overdue()))

    def operator_settles(self, whole: bool) -> None:
        parties, run = self.parties, self.state.public.run
        if run is None or run.stage != "breach":
            return
        held = (("free", self.state.private.free), ("posted", self.state.public.posted))
        everything = [(asset, left, place, "liquidation") for place, some in held for asset, left in some.items()]
        document = parties.settlement(everything, kind="liquidation") if whole else settled(parties)
        self.deliver(self.made(document))

    def operator_plays_any_document(self, index: int, older: int) -> None:
        self.deliver(self.documents[index % len(self.documents)], older)

    def operator_forges_an_entry(self, index: int, how: str, kind: EventKind) -> None:
        """An entry that says what no machine says. Refused, and kept with the operator's signature, whatever it is."""
        parties, document = self.parties, self.documents[index % len(self.documents)]
        changes: dict[str, Any] = {
            "state": {"tick": tick(parties.newest)},
            "number": {"number": str(parties.chain.number + 2)},
            "fork": {"number": str(parties.chain.number), "previous": "0" * 64},
            "previous": {"previous": parties.entries[-2][0].body_hash()},
            "kind": {"kind": str(kind)},
            "earlier": {"tick": tick(0), "tick_sequence": "0", "market": tick(0), "market_sequence": "0"},
        }[how]
        entry = forged(parties, document, **({"kind": str(self.kind_of(document))} | changes))
        with pytest.raises(EntryRefused) as refused:
            followed(parties.chain, entry, document, parties.salts, parties.operator.public_key)
        self.assert_dispute(refused.value)

    # The institution

    @rule(act=st.sampled_from(["submit", "keys", "instruct", "answer", "unasked"]), withheld=SELDOM, kind=KINDS)
    def the_institution_acts(self, act: str, withheld: bool, kind: int) -> None:
        if act == "submit":
            self.institution_submits(kind, withheld)
        elif act == "keys":
            self.institution_replaces_its_keys(withheld, kind > 1)
        elif act == "instruct":
            self.institution_instructs("withdraw" if kind > 1 else "post", 50, withheld)
        elif act == "answer":
            self.institution_answers(withheld)
        else:
            self.institution_proves_unasked(withheld)

    def institution_submits(self, kind: int, withheld: bool) -> None:
        self.send(self.submission(self.new_name(kind), self.state.public.submissions + 1, self.keys()), withheld)

    def institution_replaces_its_keys(self, withheld: bool, waiting: bool) -> None:
        """The same commitments under new keys, of the book in force or of the one that waits."""
        public = self.state.public
        book = public.waiting if waiting else public.book
        if book is None or public.status not in ("active", "frozen"):
            return
        sequence = public.key_sequence + 1
        for document in (self.parties.enrolment(sequence), self.parties.confirmation(sequence)):
            self.deliver(self.made(document))
        self.send(self.submission(self.truth.names[book.submission], public.submissions + 1, sequence), withheld)

    def institution_instructs(self, action: str, quantity: int, withheld: bool) -> None:
        self.send(self.made(self.parties.instruction(self.state.public.instructions + 1, action, quantity)), withheld)

    def institution_answers(self, withheld: bool) -> None:
        run, parties = self.state.public.run, self.parties
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
        book, parties = self.state.public.book, self.parties
        wanted = self.state.public.owed is not None or is_due(self.state, parties.at)
        if book is not None and wanted and self.covers(book.submission):
            self.send(self.made(parties.coverage()), withheld)

    def keys(self) -> int:
        return max(self.state.public.key_sequence, 1)

    def send(self, document: SignedDocument, withheld: bool) -> None:
        # What is withheld stays with the operator, which may enter it when it likes.
        if not withheld:
            self.deliver(document)

    # What the institution's agent makes of an entry

    def deliver(self, document: SignedDocument, older: int = 0) -> None:
        """Let the operator enter a document: rightly if it can be, and by force if it cannot."""
        parties = self.parties
        at = self.place(max(parties.newest - older, 0))
        try:
            after, entry = extended(parties.chain, document, at, parties.salts, LOG, parties.operator, TIME)
        except REFUSED:
            entry = forged(parties, document, kind=str(self.kind_of(document)))
            with pytest.raises(EntryRefused) as refused:
                followed(parties.chain, entry, document, parties.salts, parties.operator.public_key)
            self.assert_dispute(refused.value)
            return
        if not self.agent_takes(document, entry):
            return
        before = parties.chain
        parties.chain = followed(before, entry, document, parties.salts, parties.operator.public_key)
        assert parties.chain == after
        parties.entries.append((entry, document))
        self.check(before, document, Entry.parse(entry.body))

    def place(self, newest: int) -> At:
        market = max((number for number in self.truth.ticks if number <= newest), default=0)
        return At(newest, tick(newest), market, tick(market), receipted=newest)

    def agent_takes(self, document: SignedDocument, entry: SignedDocument) -> bool:
        """What an agent checks beside the machine: a settlement moves what it has to."""
        return document.type != "settlement" or document.body["transfers"] == settled(self.parties).body["transfers"]

    def assert_dispute(self, refusal: EntryRefused) -> None:
        shown = SignedDocument.parse(refusal.evidence["entry"])
        shown.verify(frozenset({self.parties.operator.public_key}))

    def check(self, before: Chain, document: SignedDocument, entry: Entry) -> None:
        """Hold what the institution took against what is so."""
        public, kind = self.state.public, entry.kind
        if kind is K.SUBMITTED:
            self.took(self.truth.names[document.body_hash()], entry.market_sequence)
        elif kind in (K.POSTED, K.WITHDRAWN, K.MARGIN_CALLED):
            self.posted_at.append((dict(public.posted), public.instructions))
        if kind in (K.RUN_OPENED, K.RUN_RECORDED) and public.run is not None:
            # The second run of a tick counts what the first one does.
            self.counted.setdefault(public.run.price_sequence, self.posted_at[-1])
            self.fresh.setdefault(public.run.run_id, public.run.price_sequence == self.parties.market)
        if before.state is None or before.state.public.run is None:
            self.conserved(before, document, kind)
            return
        run = before.state.public.run
        if kind in (K.COVERED, K.MARGIN_CALLED):
            self.proven.append((self.truth.names[run.submission], run.price_sequence))
        if kind in (K.MARGIN_CALLED, K.LIQUIDATED):
            name = self.truth.names[run.submission]
            missing = self.truth.missing(run.submission, run.price_sequence, dict(run.posted))
            assert missing > 0, f"settled, and {name} was covered at tick {run.price_sequence}"
            assert not self.replaced(name, run.price_sequence), f"{name} was replaced before tick {run.price_sequence}"
            assert (dict(run.posted), run.instructions) == self.counted[run.price_sequence]
        if kind is K.COVERED_UNASKED:
            self.proven.append((self.book_proven(document), entry.market_sequence))
        self.conserved(before, document, kind)

    def book_proven(self, document: SignedDocument) -> str:
        return self.truth.names[document.body["submission"]]

    def took(self, name: str, market: int) -> None:
        if name not in (known for known, _ in self.taken):
            self.taken.append((name, market))

    def replaced(self, name: str, number: int) -> bool:
        """Return whether another book took the place of this one before a tick.

        It did if it came before that tick, and the older one either was never to be run until it came, or was proven
        at a tick that is not older than its coming.
        """
        came = dict(self.taken)
        mine = [known for known, _ in self.taken].index(name)
        for _, market in self.taken[mine + 1 :]:
            unrun = market == came[name] and not self.pinned(mine)
            proven = any(known == name and proof >= market for known, proof in self.proven)
            if market < number and (unrun or proven):
                return True
        return False

    def pinned(self, index: int) -> bool:
        """Return whether a book waited itself, or was run, when the next one came; then nothing is said of it."""
        return index > 0 and self.taken[index - 1][1] < self.taken[index][1]

    def conserved(self, before: Chain, document: SignedDocument, kind: EventKind) -> None:
        if before.state is None or kind is K.LIQUIDATED:
            return
        old, new = total(before.state), total(self.state)
        change = {K.DEPOSITED: 1, K.WITHDRAWN: -1}.get(kind, 0) * int(document.body.get("quantity", "0"))
        assert new == old + change

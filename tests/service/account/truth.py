"""What is so, beside what documents say: what each book needs at each tick, and the documents that can exist then.

Proofs are not made here. That they cannot be made of what is not so is for `tests/zk`; so an answer is signed here if
it is true of the record that it names, and never otherwise.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from atomic_margin.service.protocol.account.values import is_due
from atomic_margin.service.protocol.documents import RunRecord
from atomic_margin.service.protocol.signing import SignedDocument

from .documents import Parties, matrices

NEEDS = (0, 60, 130, 5000)
"""What a book may need: nothing, less than is posted, a margin call, more than there is."""


GOOD, WORTHLESS = "EURC", "DUST"
"""Assets for substitutions: one that is worth what USDC is, and one that is worth nothing."""


def worth(held: Mapping[str, int]) -> int:
    """Return what collateral is worth, in smallest units of USDC."""
    return held.get("USDC", 0) + held.get(GOOD, 0)


@dataclass
class Truth:
    """What books need at ticks, and which submission is of which book.

    Attributes:
        unit: smallest units of collateral in a dollar.
        ticks: what books of each kind need, in dollars, by number of the tick.
        names: the book of each submission, by hash of the submission. A name ends with the kind of the book.
    """

    unit: int = 1
    ticks: dict[int, tuple[int, ...]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)

    def need(self, name: str, tick: int) -> int:
        """Return what a book needs at a tick, in smallest units."""
        return self.ticks[tick][int(name[-1])] * self.unit

    def missing(self, submission: str, tick: int, posted: dict[str, int]) -> int:
        """Return what is missing at a tick; 0 or less if the book is covered."""
        return self.need(self.names[submission], tick) - worth(posted)

    def answer(self, parties: Parties, signed: SignedDocument, entry: str) -> SignedDocument | None:
        """Return the one true answer to a record, or None.

        Nothing is said about matrices that are not those of the tick, and of a run that was not evaluated no breach can
        be proven.
        """
        record = RunRecord.parse(signed.body)
        if record.matrices.model_dump() != matrices(record.price_sequence, record.posted):
            return None
        missing = self.missing(record.submission, record.price_sequence, record.posted)
        if missing > 0 and record.outputs is None:
            return None
        outcome = "breach" if missing > 0 else "covered"
        about = {
            "run_id": record.run_id,
            "run": signed.body_hash(),
            "entry": entry,
            "submission": record.submission,
            "price_sequence": str(record.price_sequence),
        }
        return parties.answer_to(about, outcome, max(missing, 0))


def settled(parties: Parties) -> SignedDocument:
    """Return the rightful settlement of the breach that waits for it."""
    top_up = parties.run.top_up
    assert top_up is not None
    moves = parties.moves(top_up)
    kind = "margin_call" if moves and moves[0][3] == "posted" else "liquidation"
    return parties.settlement(moves, kind=kind)


def brought_home(parties: Parties, truth: Truth, records: dict[str, SignedDocument]) -> None:
    """Drive an account, wherever it is, by events that are in the documents, until nothing is open, owed or waiting.

    Both sides are honest from here on. It takes a bounded number of steps, or the account was stuck.
    """
    for _ in range(24):
        public = parties.state.public
        if public.status == "in_default":
            return
        if public.halts is not None and public.halts.halt is not None:
            parties.enter(parties.resume(public.halts.number + 1))
            continue
        if public.status in ("admitted", "pending"):
            sequence = public.key_sequence + 1
            parties.enter(parties.enrolment(sequence))
            parties.enter(parties.confirmation(sequence))
        elif public.run is not None:
            _go_on(parties, truth, records)
        elif is_due(parties.state, parties.at):
            parties.enter(parties.run_opened())
        elif public.owed or public.waiting or (public.book is not None and public.book.void):
            _recover(parties, truth)
        else:
            assert public.status == "active"
            return
    raise AssertionError(f"the account is stuck: {parties.state.public}")


def _go_on(parties: Parties, truth: Truth, records: dict[str, SignedDocument]) -> None:
    run = parties.run
    if run.stage == "evaluating":
        document = parties.enter(parties.record())
        records[document.body_hash()] = document
    elif run.stage == "not_proven":
        parties.enter(parties.second_opened())
    elif run.stage == "breach":
        parties.enter(settled(parties))
    else:
        assert run.record is not None
        answer = truth.answer(parties, records[run.record], run.entry or parties.chain.head)
        if answer is None and run.stage == "unproven":
            _recover(parties, truth)
            parties.enter(parties.run_opened())
        else:
            parties.enter(answer or parties.overdue())


def _recover(parties: Parties, truth: Truth) -> None:
    """A tick at which nothing is missing: prices come back, or the institution has posted enough."""
    parties.tick()
    truth.ticks[parties.market] = (0,) * len(NEEDS)

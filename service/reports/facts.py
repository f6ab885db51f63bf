"""An account's history, read into steps: what happened, by which document, and what the account was before and after.

A history is read with every document and the salts, as operator and institution have it (`read_entries`: the machine
makes every state anew), or as an institution released it (`read_released`: states are those shown, held against the
hashes that the operator signed). Of a released one free collateral and some documents are not known.

What moved is the difference of two states, whatever the event between them is called.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any, NamedTuple

from atomic_margin.documents.errors import DocumentsError
from atomic_margin.documents.strict import instant
from atomic_margin.service.errors import RequestError
from atomic_margin.service.protocol.account.entries import Chain, Entry, Salts, followed, salted_hash
from atomic_margin.service.protocol.account.errors import EntryRefused
from atomic_margin.service.protocol.account.state import NOTHING, PrivateState, PublicState
from atomic_margin.service.protocol.bodies import parse_signed
from atomic_margin.service.protocol.released import ReleasedEntry, ReleasedHistory
from atomic_margin.service.protocol.replayed import NotedDocument
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.reports.errors import HistoryUnusable, NothingToReport

Balances = Mapping[str, int]
NO_BALANCES: Balances = {}


class Step(NamedTuple):
    """One entry of an account.

    Attributes:
        entry: what the operator signed.
        sha256: its hash.
        public: the state after it.
        private: the part of it that is not shown to everybody; None if it is not known.
        document: what it is about; None if that is kept back.
    """

    entry: Entry
    sha256: str
    public: PublicState
    private: PrivateState | None
    document: SignedDocument | NotedDocument | None

    @property
    def kind(self) -> str:
        """What happened."""
        return str(self.entry.kind)

    @property
    def day(self) -> date:
        """The day of the entry, by the operator's clock, in UTC."""
        return instant(self.entry.entered_at).date()

    @property
    def document_hash(self) -> str | None:
        """The hash that names its document in others."""
        return None if self.document is None else self.document.body_hash()

    @property
    def body(self) -> Mapping[str, Any]:
        """What its document says; nothing, if that is kept back."""
        return {} if self.document is None else self.document.body

    @property
    def free(self) -> Balances | None:
        """Free collateral after it, where that is known."""
        return None if self.private is None else self.private.free


class Move(NamedTuple):
    """What one entry changed in one balance.

    Attributes:
        balance: `posted` or `free`.
        asset: of which.
        quantity: change, in smallest units.
    """

    balance: str
    asset: str
    quantity: int


@dataclass(frozen=True)
class AccountFacts:
    """A history that holds.

    Attributes:
        operator: public key, whose word it is.
        institution: whose account.
        account: pseudonym in the log.
        log: origin of the log.
        steps: from the first entry on, or from a later one.
        whole: whether free collateral is known throughout.
        opening: the step before the first of these; None if the account begins with it.
    """

    operator: str
    institution: str
    account: str
    log: str
    steps: tuple[Step, ...]
    whole: bool
    opening: Step | None = None

    def step(self, number: int) -> Step:
        """Return the step with a number."""
        return self.steps[number - self.steps[0].entry.number]

    def before(self, number: int) -> Step | None:
        """Return the step before the one with a number."""
        return self.opening if number == self.steps[0].entry.number else self.step(number - 1)

    def through(self, last: Step) -> tuple[Step, ...]:
        """Return the steps up to one of them."""
        return self.steps[: last.entry.number + 1 - self.steps[0].entry.number]

    @cached_property
    def days(self) -> tuple[date, ...]:
        """The day of each step."""
        return tuple(step.day for step in self.steps)

    @cached_property
    def by_run(self) -> Mapping[str, tuple[Step, ...]]:
        """The steps whose documents name a run, by run."""
        found: dict[str, list[Step]] = {}
        for step in self.steps:
            if "run_id" in step.body:
                found.setdefault(step.body["run_id"], []).append(step)
        return {run_id: tuple(steps) for run_id, steps in found.items()}

    def moves(self, number: int) -> tuple[Move, ...]:
        """Return what an entry moved: posted collateral, and free where that is known."""
        before, after = self.before(number), self.step(number)
        found = _differences("posted", NO_BALANCES if before is None else before.public.posted, after.public.posted)
        if self.whole and after.free is not None:
            earlier = None if before is None else before.free
            found += _differences("free", earlier or NO_BALANCES, after.free)
        return tuple(found)

    def until(self, day: date) -> Step | None:
        """Return the last step up to the end of a day; before the first one here, the one that it opens with."""
        found = (step for step, its in zip(reversed(self.steps), reversed(self.days), strict=True) if its <= day)
        return next(found, self.opening)

    def of_day(self, day: date) -> tuple[Step, ...]:
        """Return the steps of a day."""
        return tuple(step for step, its in zip(self.steps, self.days, strict=True) if its == day)

    def about_run(self, run_id: str) -> tuple[Step, ...]:
        """Return the steps whose documents name a run.

        Raises:
            NothingToReport: there are none.
        """
        found = self.by_run.get(run_id)
        if found is None:
            raise NothingToReport(f"no entry of {self.institution} names a run {run_id}; its runs are {self._runs()}")
        return found

    def _runs(self) -> str:
        return ", ".join([*self.by_run][-8:]) or "none"


def _differences(balance: str, before: Balances, after: Balances) -> list[Move]:
    changes = ((asset, after.get(asset, 0) - before.get(asset, 0)) for asset in sorted({*before, *after}))
    return [Move(balance, asset, change) for asset, change in changes if change]


def read_entries(entries: Iterable[tuple[SignedDocument, SignedDocument]], salts: Salts, operator: str) -> AccountFacts:
    """Return the facts of a whole history; the machine makes every state.

    Args:
        entries: each with its document, from the first on.
        salts: of the account.
        operator: public key of the operator.

    Raises:
        HistoryUnusable: an entry does not follow.
    """
    chain, steps = Chain(), list[Step]()
    for signed, document in entries:
        try:
            chain = followed(chain, signed, document, salts, operator)
        except EntryRefused as error:
            raise HistoryUnusable(f"entry {chain.number + 1} of the history does not hold: {error}") from error
        if chain.state is None:
            raise TypeError("an entry was followed to no state")
        entry = Entry.parse(signed.body)
        steps.append(Step(entry, chain.head, chain.state.public, chain.state.private, document))
    return _facts(steps, operator, whole=True)


def read_released(history: ReleasedHistory, operator: str) -> AccountFacts:
    """Return the facts of a released history.

    That every step is legal, and that the log has it, is for `atomic-margin monitor --released` to say.

    Args:
        history: as an institution released it.
        operator: public key of the operator.

    Raises:
        HistoryUnusable: signatures, numbers or hashes do not hold.
    """
    head, steps = NOTHING, list[Step]()
    for number, item in enumerate(history.entries, 1):
        step = _released(item, number, operator)
        if (step.entry.number, step.entry.previous, step.entry.operator) != (number, head, operator):
            raise HistoryUnusable(f"entry {number} of the history is not the one that follows, or of another operator")
        if steps and step.entry.account != steps[0].entry.account:
            raise HistoryUnusable(f"entry {number} of the history is of another account")
        steps.append(step)
        head = step.sha256
    return _facts(steps, operator, whole=False)


def _released(item: ReleasedEntry, number: int, operator: str) -> Step:
    try:
        signed, entry = parse_signed(item.entry, Entry)
        signed.verify(frozenset({operator}))
        document = None if item.document is None else SignedDocument.parse(item.document)
        private = None if item.private is None else item.private.canonical()
        for name, salt, value, hash_ in (
            ("public part", item.salt, item.public.canonical(), entry.public),
            ("document", item.document_salt, item.document, entry.document),
            ("private part", item.private_salt, private, entry.private),
        ):
            if value is not None and (salt is None or salted_hash(salt, value) != hash_):
                raise HistoryUnusable(f"the {name} of entry {number} is not the one that the entry names")
    except (RequestError, DocumentsError) as error:
        raise HistoryUnusable(f"entry {number} of the history is none of this operator: {error}") from error
    return Step(entry, signed.body_hash(), item.public, item.private, document)


def _facts(steps: list[Step], operator: str, whole: bool) -> AccountFacts:
    if not steps:
        raise HistoryUnusable("the history has no entry")
    first = steps[0]
    return AccountFacts(
        operator=operator,
        institution=first.public.institution,
        account=first.entry.account,
        log=first.entry.log,
        steps=tuple(steps),
        whole=whole,
    )

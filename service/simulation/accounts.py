"""An account in a simulation: a state of the account machine, and the documents that would change it, unsigned.

Every event goes through `machine.apply`; this module makes no state. Hashes are of what the documents say, so that the
machine's comparisons are real; there are no signatures, keys or proofs, which the machine does not look at.
"""

import hashlib
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from atomic_margin.margin.market.market import Market
from atomic_margin.service.protocol.account import machine
from atomic_margin.service.protocol.account.events import AdmissionRecord, DepositRecord, Event, EventKind, RunOpened
from atomic_margin.service.protocol.account.state import Account, OpenRun
from atomic_margin.service.protocol.account.values import At
from atomic_margin.service.protocol.bodies import Body
from atomic_margin.service.protocol.documents import (
    Answer,
    CollateralInstruction,
    Enrolment,
    EnrolmentConfirmation,
    MatrixHashes,
    OutputHashes,
    RunRecord,
    Settlement,
)
from atomic_margin.service.protocol.settlements import Rightful, rightful_transfers
from atomic_margin.service.protocol.states import AccountState
from atomic_margin.service.protocol.submissions import Allowances, Gain, Submission
from atomic_margin.service.protocol.terms import Terms, terms_hash

OPERATOR = hashlib.sha256(b"operator of a simulation").hexdigest()
_K = EventKind


def _named(*parts: object) -> str:
    return hashlib.sha256("/".join(map(str, parts)).encode()).hexdigest()


class SimulatedAccount:
    """One account, from its admission on."""

    def __init__(self, name: str, terms: Terms) -> None:
        """Admit it, and bring its keys and its book."""
        self.name, self._terms = name, terms
        self._identity, self._keys = _named("identity", name), _named("keys", name)
        self._state: Account | None = None
        self._entry, self.at = _named("before", name), At()
        party: dict[str, Any] = {"institution": name, "operator": OPERATOR}
        self._party = party
        allowances = Allowances.model_construct(submission=0, day=0)
        universe = terms.universe.hash()
        self._enter(
            _K.ADMITTED,
            AdmissionRecord.model_construct(
                **party, identity=self._identity, terms=terms_hash(terms), universe=universe, allowances=allowances
            ),
        )
        self._enter(_K.KEYS_ENROLLED, Enrolment.model_construct(**party, key_sequence=1, evaluation_keys=self._keys))
        self._enter(_K.KEYS_CONFIRMED, EnrolmentConfirmation.model_construct(**party, evaluation_keys=self._keys))

    @property
    def state(self) -> Account:
        """What it is."""
        if self._state is None:
            raise TypeError("an account is admitted first")
        return self._state

    @property
    def defaulted(self) -> bool:
        """Whether it was liquidated."""
        return self.state.public.status is AccountState.IN_DEFAULT

    @property
    def run(self) -> OpenRun | None:
        """The run that is not over."""
        return self.state.public.run

    def submit(self, gross_limit: int) -> None:
        """Bring the book; it stays the same."""
        gain = Gain.model_construct(price_sequence=self.at.market, tick=self.at.market_hash, day=0, usd=0, allowance=0)
        self._enter(
            _K.SUBMITTED,
            Submission.model_construct(
                **self._party,
                sequence=1,
                universe=self._terms.universe.hash(),
                entry_map=_named("columns", gross_limit),
                evaluation_keys=self._keys,
                key_commitments=_named("pair", self.name),
                gross_limit=gross_limit,
                commitments=(_named("book", self.name),),
                gain=gain,
            ),
        )

    def deposit(self, asset: str, quantity: int) -> None:
        """Bring collateral; it is free."""
        body = DepositRecord.model_construct(**self._party, asset=asset, quantity=quantity, reference="simulated")
        self._enter(_K.DEPOSITED, body)

    def post(self, asset: str, quantity: int) -> None:
        """Move free collateral to margin."""
        body = CollateralInstruction.model_construct(
            **self._party,
            sequence=self.state.public.instructions + 1,
            entry=self._entry,
            action="post",
            asset=asset,
            quantity=quantity,
        )
        self._enter(_K.POSTED, body)

    def tick(self, number: int) -> None:
        """Let a tick with a market come."""
        hash_ = _named("tick", number)
        self.at = At(number, hash_, number, hash_, self._entry, number)

    def open_run(self) -> None:
        """Open the run of the newest tick, and record it."""
        public, number = self.state.public, self.at.market
        book = public.book
        if book is None:
            raise TypeError("a run is on a book")
        names = ("maintenance_fhe", "maintenance_proof", "initial_fhe", "initial_proof")
        fixed: dict[str, Any] = {
            "run_id": f"{self.name}.{number}",
            "submission": book.submission,
            "price_sequence": number,
            "tick": self.at.market_hash,
            "instructions": public.instructions,
            "posted": public.posted,
            "matrices": MatrixHashes.model_construct(**{name: _named(name, self.name, number) for name in names}),
        }
        self._enter(_K.RUN_OPENED, RunOpened.model_construct(**self._party, **fixed))
        outputs = OutputHashes.model_construct(surplus=_named("surplus", number), breach=_named("breach", number))
        keys = {"evaluation_keys": book.evaluation_keys, "key_commitments": book.key_commitments}
        self._enter(_K.RUN_RECORDED, RunRecord.model_construct(**self._party, **fixed, **keys, outputs=outputs))

    def answer(self, top_up: int) -> None:
        """Answer the open run: covered, or a breach with a top-up in units of the initial proof matrix."""
        run = self._open()
        breach = top_up > 0
        body = Answer.model_construct(
            **self._party,
            run_id=run.run_id,
            run=run.record,
            # The machine notes the entry with the next one: of the record it is the account's last.
            entry=run.entry or self._entry,
            submission=run.submission,
            price_sequence=run.price_sequence,
            outcome="breach" if breach else "covered",
            top_up=top_up,
        )
        self._enter(_K.BREACH_PROVEN if breach else _K.COVERED, body)

    def settle(self, market: Market, top_up_usd: Decimal) -> Rightful:
        """Settle the proven breach by what has to move; return it.

        Args:
            market: prices of the run's tick.
            top_up_usd: of the answer.
        """
        run, state = self._open(), self.state
        rightful = rightful_transfers(
            self._terms,
            market,
            top_up_usd,
            counted=run.posted,
            free=state.private.free,
            posted=state.public.posted,
        )
        body = Settlement.model_construct(
            **self._party,
            run_id=run.run_id,
            run=run.record,
            answer=run.answer,
            kind=rightful.kind,
            top_up=run.top_up,
            top_up_usd=format(top_up_usd, "f"),
            transfers=rightful.transfers,
        )
        self._enter(_K.MARGIN_CALLED if rightful.kind == "margin_call" else _K.LIQUIDATED, body)
        return rightful

    def held(self) -> Mapping[str, int]:
        """Return posted and free collateral together, in smallest units."""
        found = dict(self.state.public.posted)
        for asset, quantity in self.state.private.free.items():
            found[asset] = found.get(asset, 0) + quantity
        return found

    def _open(self) -> OpenRun:
        if self.run is None:
            raise TypeError(f"{self.name} has no open run")
        return self.run

    def _enter(self, kind: EventKind, body: Body) -> None:
        document = _named(kind, self.name, self._entry)
        signer = self._identity if kind in machine.OF_INSTITUTION else OPERATOR
        self.at = self.at._replace(head=self._entry)
        self._state = machine.apply(self._state, Event(kind, document, signer, body), self.at)
        self._entry = _named("entry", self.name, document)

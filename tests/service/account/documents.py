"""Documents of an account for tests of the machine: rightly signed, with hashes that name nothing and no proofs.

The machine looks at what documents say. That their proofs hold is checked before it, and tested elsewhere.
"""

from typing import Any

from atomic_margin.margin.collateral.agreement import CollateralAgreement
from atomic_margin.service.protocol.account.agreements import agreed_in_force
from atomic_margin.service.protocol.account.amendments import AgreementAmendment
from atomic_margin.service.protocol.account.books import compared_with
from atomic_margin.service.protocol.account.events import (
    AdmissionRecord,
    Coverage,
    DepositRecord,
    GivingUp,
    Overdue,
    Readers,
    RunOpened,
    RunVoid,
    UniverseRevision,
)
from atomic_margin.service.protocol.account.halt_documents import Halt, Resume
from atomic_margin.service.protocol.account.rotation_documents import IdentityRotation, rotation
from atomic_margin.service.protocol.account.state import OpenDispute
from atomic_margin.service.protocol.account.values import book_at, commitments_hash
from atomic_margin.service.protocol.disputes import Dispute, DisputeLapse, DisputeResolution, DisputeWithdrawal
from atomic_margin.service.protocol.documents import (
    Answer,
    CollateralInstruction,
    Enrolment,
    EnrolmentConfirmation,
    RunRecord,
    Settlement,
    second_run_of,
)
from atomic_margin.service.protocol.signing import Identity, SignedDocument
from atomic_margin.service.protocol.submissions import Submission, SubmissionClaim

from .chained import INSTITUTION as INSTITUTION
from .chained import LOG as LOG
from .chained import SEED as SEED
from .chained import TIME as TIME
from .chained import Chained
from .names import matrices as matrices
from .names import named as named
from .names import point as point
from .names import priced_at as priced_at
from .names import said as said
from .names import tick as tick


class Parties(Chained):
    """Both sides, and every document that they sign."""

    def opened(self, **wrong: Any) -> SignedDocument:
        """Admit, deposit, enrol, confirm."""
        self.enter(self.admission())
        self.enter(self.deposit(1000))
        self.enter(self.enrolment(1))
        return self.enter(self.confirmation(1))

    def admission(self) -> SignedDocument:
        allowances = {"submission": "100", "day": "250"}
        body = {
            "identity": self.institution.public_key,
            "terms": named("terms"),
            "universe": self.universe,
            "allowances": allowances,
            "admitted_at": TIME,
        }
        body |= {} if self.agreement is None else {"agreement": self.agreement.canonical()}
        body |= {} if self.custody is None else {"custody": self.custody.canonical()}
        return self.by_operator(AdmissionRecord, body)

    def revision(self, number: int = 2, until: str = TIME) -> SignedDocument:
        """Another universe, by its number; the first one is 1."""
        body = {
            "operator": self.operator.public_key,
            "before": self.state.public.universes[-1].universe,
            "universe": named("universe", number),
            "until": until,
            "announced_at": TIME,
        }
        return UniverseRevision.parse(body).signed_by(self.operator)

    def halt(self, number: int = 1, until: int | None = None, **wrong: Any) -> SignedDocument:
        """The kill switch, by default of everything, for two ticks."""
        body = {
            "operator": self.operator.public_key,
            "number": str(number),
            "scope": ["settlements", "leaving", "runs"],
            "reason": "an incident",
            "tick": self.at.tick_hash,
            "tick_sequence": str(self.newest),
            "until": str(self.newest + 2 if until is None else until),
            "announced_at": TIME,
        }
        return Halt.parse(body | wrong).signed_by(self.operator)

    def resume(self, number: int = 2, **wrong: Any) -> SignedDocument:
        """The end of the account's halt."""
        halts = self.state.public.halts
        body = {
            "operator": self.operator.public_key,
            "number": str(number),
            "halt": named("halt") if halts is None or halts.halt is None else halts.halt,
            "reason": "over",
            "tick": self.at.tick_hash,
            "tick_sequence": str(self.newest),
            "announced_at": TIME,
        }
        return Resume.parse(body | wrong).signed_by(self.operator)

    def deposit(self, quantity: int, asset: str = "USDC") -> SignedDocument:
        body = {"asset": asset, "quantity": str(quantity), "reference": f"r-{quantity}", "booked_at": TIME}
        return self.by_operator(DepositRecord, body)

    def enrolment(self, sequence: int) -> SignedDocument:
        return self.by_institution(
            Enrolment,
            {
                "profile": named("profile"),
                "key_sequence": str(sequence),
                "evaluation_keys": named("keys", sequence),
                "known_answer_input": named("input", sequence),
                "input_key": [point("input", sequence)],
                "flag_key": [point("flag", sequence)],
            },
        )

    def confirmation(self, sequence: int) -> SignedDocument:
        body = {"evaluation_keys": named("keys", sequence), "known_answers": "right"}
        return self.by_institution(EnrolmentConfirmation, body)

    def submission(
        self, sequence: int, book: str, keys: int = 1, sharing: dict[str, Any] | None = None, **gain: Any
    ) -> SignedDocument:
        claim = {
            "sequence": str(sequence),
            "entry": self.chain.head,
            "nonce": named("nonce", sequence),
            "randomness": named("random", sequence),
            "profile": named("profile"),
            "universe": self.universe,
            "entry_map": self.entry_map,
            "evaluation_keys": named("keys", keys),
            "key_commitments": named("pair", keys),
            "generators": named("generators"),
            "gross_limit": "100",
            "bodies": "00" * 8,
            "ciphertext": named("ciphertext", book, keys),
            "commitments": [point(book)],
        }
        proofs = {"portfolio_proof": "00", "encryption_proof": "00", "gain_proof": "00"}
        whole = {"institution": INSTITUTION, "operator": self.operator.public_key, **claim}
        compared = self.gain(commitments_hash(SubmissionClaim.parse(whole)))
        shared = {} if sharing is None else {"sharing": sharing}
        return self.by_institution(Submission, {**claim, **proofs, "gain": compared | gain, **shared})

    def settling(self, sequence: int, book: str, quantity: int, asset: str = "USDC", **gain: Any) -> SignedDocument:
        """A book that has lost less, and what is paid for it."""
        paid = {"asset": asset, "quantity": str(quantity), "usd": "10"}
        return self.submission(sequence, book, settles=paid, **gain)

    def gain(self, commitments: str) -> dict[str, str]:
        """What a book is compared with: at the newest tick, with nothing gained."""
        before = compared_with(self.state.public, commitments)
        return {
            **({} if before is None else {"before": before.submission}),
            "price_sequence": str(self.at.market),
            "tick": self.at.market_hash,
            "day": "1" if self.at.market else "0",
            "allowance": "0",
        }

    def instruction(self, sequence: int, action: str, quantity: int, asset: str = "USDC") -> SignedDocument:
        body = {
            "sequence": str(sequence),
            "entry": self.chain.head,
            "action": action,
            "asset": asset,
            "quantity": str(quantity),
        }
        return self.by_institution(CollateralInstruction, body)

    def matrices(self, number: int) -> dict[str, str]:
        return matrices(number, self.state.public.posted)

    def run_fields(self, number: int | None = None, **changes: Any) -> dict[str, Any]:
        """Return what a run at a tick, by default the newest, is on: the book in force and what is posted."""
        public, number = self.state.public, self.market if number is None else number
        book = book_at(self.state, self.at)
        assert book is not None
        return {
            "run_id": f"{INSTITUTION}.{number}",
            "submission": book.submission,
            "price_sequence": str(number),
            "tick": self.tick_hash(number),
            "instructions": str(public.instructions),
            "posted": {asset: str(quantity) for asset, quantity in public.posted.items()},
            "matrices": self.matrices(number),
            **said(agreed_in_force(public)),
        } | changes

    def run_opened(self, **changes: Any) -> SignedDocument:
        return self.by_operator(RunOpened, self.run_fields(**changes) | {"opened_at": TIME})

    def second_opened(self, **changes: Any) -> SignedDocument:
        """The run that follows one which was not proven."""
        run = self.run
        fields = {
            "run_id": second_run_of(run.run_id),
            "submission": run.submission,
            "price_sequence": str(run.price_sequence),
            "tick": run.tick,
            "instructions": str(run.instructions),
            "posted": {asset: str(quantity) for asset, quantity in run.posted.items()},
            "matrices": run.matrices.model_dump(),
            **said(run.agreed),
        }
        return self.by_operator(RunOpened, fields | changes | {"opened_at": TIME})

    def record(self, *, evaluated: bool = True, **changes: Any) -> SignedDocument:
        """The record of the open run, or of one that is to be proven first."""
        if evaluated:
            run = self.run
            fields: dict[str, Any] = {
                name: str(getattr(run, name))
                for name in ("run_id", "submission", "price_sequence", "tick", "instructions")
            }
            fields |= {
                "posted": {asset: str(quantity) for asset, quantity in run.posted.items()},
                "matrices": run.matrices.model_dump(),
                **said(run.agreed),
            }
            keys = (run.evaluation_keys, run.key_commitments)
        else:
            book = book_at(self.state, self.at)
            assert book is not None
            fields, keys = self.run_fields(), (book.evaluation_keys, book.key_commitments)
        whole = {
            **fields,
            "number": "1",
            "previous": "0" * 64,
            "submission_sequence": "1",
            **{name: named(name) for name in ("model", "universe", "entry_map", "schedule", "profile", "generators")},
            "gross_limit": "100",
            "evaluation_keys": keys[0],
            "key_commitments": keys[1],
            "ciphertext": named("ciphertext"),
            "evaluated_at": TIME,
            "deadline": TIME,
        }
        if evaluated:
            whole |= {"outputs": {"surplus": named("surplus"), "breach": named("breach")}, "fft_plan": named("plan")}
        return self.by_operator(RunRecord, whole | changes)

    def answer(self, outcome: str, top_up: int = 7, **changes: Any) -> SignedDocument:
        """An answer to the open run, whose record stands in the last entry unless one is named."""
        run = self.run
        about = {
            "run_id": run.run_id,
            "run": run.record,
            "entry": run.entry or self.chain.head,
            "submission": run.submission,
            "price_sequence": str(run.price_sequence),
        }
        return self.answer_to(about | changes, outcome, top_up)

    def answer_to(self, about: dict[str, Any], outcome: str, top_up: int) -> SignedDocument:
        """An answer to any record."""
        return self.by_institution(Answer, self.answer_body(about, outcome, top_up))

    def answer_body(self, about: dict[str, Any], outcome: str, top_up: int) -> dict[str, Any]:
        body: dict[str, Any] = {
            **about,
            "outcome": outcome,
            "top_up": "0",
            "top_up_usd": "0",
            "sufficiency_proof": "00",
        }
        if outcome == "breach":
            body |= {
                "flag": "1",
                "flag_output": named("breach"),
                "top_up": str(top_up),
                "top_up_usd": self.usd(top_up),
                "decryption_proof": "00",
                "breach_proof": "00",
            }
        return body | about

    def settlement(self, transfers: list[tuple[str, int, str, str]], **changes: Any) -> SignedDocument:
        """A settlement of the open run's breach: asset, quantity, source and destination of each transfer."""
        run = self.run
        assert run.top_up is not None
        body = {
            "run_id": run.run_id,
            "run": run.record,
            "answer": run.answer,
            "kind": "liquidation" if any(move[3] == "liquidation" for move in transfers) else "margin_call",
            "flag": "proven",
            "top_up": str(run.top_up),
            "top_up_usd": self.usd(run.top_up),
            "transfers": [
                {"asset": asset, "quantity": str(quantity), "source": source, "destination": target}
                for asset, quantity, source, target in transfers
            ],
            "settled_at": TIME,
        }
        return self.by_operator(Settlement, body | changes)

    def overdue(self, **changes: Any) -> SignedDocument:
        body = {"run_id": self.run.run_id, "run": self.run.record, "declared_at": TIME}
        return self.by_operator(Overdue, body | changes)

    def void(self) -> SignedDocument:
        body = {"run_id": self.run.run_id, "reason": "three attempts", "ended_at": TIME}
        return self.by_operator(RunVoid, body)

    def readers(self, sequence: int) -> SignedDocument:
        reader = {"name": "auditor", "token_sha256": named("token", sequence)}
        return self.by_institution(Readers, {"sequence": str(sequence), "entry": self.chain.head, "readers": [reader]})

    def giving_up(self, **changes: Any) -> SignedDocument:
        """What gives up the books that there are."""
        book, waiting = self.state.public.book, self.state.public.waiting
        assert book is not None
        body = {"entry": self.chain.head, "submission": book.submission, "reason": "the disk was lost"}
        body |= {} if waiting is None else {"waiting": waiting.submission}
        body |= {} if book.covered is None else {"covered": str(book.covered)}
        return self.by_institution(GivingUp, body | changes)

    def dispute(self, sequence: int = 1, *, entry: int = 1, day: int = 0, **changes: Any) -> SignedDocument:
        """A dispute of that number about an entry, at the newest prices, which are of a day after the first."""
        body = {
            "sequence": str(sequence),
            "entry": self.chain.head,
            "subject": self.entries[entry - 1][0].body_hash(),
            "number": str(entry),
            "kind": "valuation",
            "price_sequence": str(self.market),
            "tick": self.tick_hash(self.market),
            "priced_at": priced_at(day),
            "reason": "the price of ETH is not that of the tick",
        }
        return self.by_institution(Dispute, body | changes)

    @property
    def disputed(self) -> OpenDispute:
        """The open dispute."""
        assert self.state.public.disputes is not None
        assert self.state.public.disputes.open is not None
        return self.state.public.disputes.open

    def resolution(self, outcome: str = "rejected", **changes: Any) -> SignedDocument:
        body = {
            "entry": self.chain.head,
            "dispute": self.disputed.dispute,
            "outcome": outcome,
            "until": str(self.newest + 10),
            "words": "the price was right",
        }
        return self.by_institution(DisputeResolution, body | changes)

    def dispute_withdrawal(self, **changes: Any) -> SignedDocument:
        body = {"entry": self.chain.head, "dispute": self.disputed.dispute}
        return self.by_institution(DisputeWithdrawal, body | changes)

    def dispute_lapse(self, began: str, now: str, **changes: Any) -> SignedDocument:
        """The end of the open dispute, by the times of the prices at its entry and now."""
        opened = self.disputed
        begins = {"price_sequence": str(opened.price_sequence), "tick": opened.tick, "priced_at": began}
        newest = {"price_sequence": str(self.market), "tick": self.tick_hash(self.market), "priced_at": now}
        body = {"dispute": opened.dispute, "begins": begins, "ends": newest, "declared_at": TIME}
        return self.by_operator(DisputeLapse, body | changes)

    def amendment(self, agreement: CollateralAgreement, **changes: Any) -> SignedDocument:
        """What both sides sign to put another agreement in the place of the one so far."""
        before = self.state.public.agreement
        body = {
            "entry": self.chain.head,
            "sequence": str(1 if before is None else before.sequence + 1),
            "agreement": agreement.canonical(),
            "until": str(self.newest + 1),
        }
        body |= {} if before is None else {"before": before.agreement}
        return self.by_institution(AgreementAmendment, body | changes)

    def rotation(self, new: Identity, **changes: Any) -> SignedDocument:
        """Another identity key, signed by both."""
        signed = rotation(INSTITUTION, self.operator.public_key, self.chain.head, self.institution, new)
        return IdentityRotation.parse(signed.body | changes).signed_by(self.institution)

    def coverage(self, **changes: Any) -> SignedDocument:
        public, book = self.state.public, book_at(self.state, self.at)
        assert book is not None
        body = {
            "entry": self.chain.head,
            "submission": book.submission,
            "price_sequence": str(self.market),
            "tick": self.tick_hash(self.market),
            "posted": {asset: str(quantity) for asset, quantity in public.posted.items()},
            "instructions": str(public.instructions),
            "matrix": named("matrix"),
            "sufficiency_proof": "00",
            **said(agreed_in_force(public)),
        }
        return self.by_institution(Coverage, body | changes)

"""An operator, a price source and institutions in one process, for tests of everything around the encrypted evaluation.

Store, ledger, signatures and proofs are the real ones, and institutions submit and answer by the agent's own code. Only
the two sides of FHE are doubles, see `double`; nothing in this folder is an end-to-end test.
"""

import hashlib
from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path

import pytest

from atomic_margin.margin.collateral.agreement import CollateralAgreement
from atomic_margin.margin.market.entries import EntryMap
from atomic_margin.margin.market.market import Market
from atomic_margin.service.feed.source import price_set, sign_market
from atomic_margin.service.http.signatures import RequestSigner
from atomic_margin.service.institution import gains as own_gains
from atomic_margin.service.institution import submissions as own_submissions
from atomic_margin.service.institution.answers import decide
from atomic_margin.service.institution.gains import Earlier, Priced, gain_at
from atomic_margin.service.institution.runs import CheckedRun, DecryptedFlag, check_run, decrypt_and_compare, present
from atomic_margin.service.institution.submissions import CommittedBook, make_submission
from atomic_margin.service.operator.accounts import collateral, enrolment, submissions
from atomic_margin.service.operator.operator import Operator, Settings
from atomic_margin.service.operator.runs import answers, ticks
from atomic_margin.service.operator.runs import evaluation as runs
from atomic_margin.service.operator.settlement import ledger
from atomic_margin.service.operator.store import bundles
from atomic_margin.service.operator.store.entries import StoredEntry, entries_after, entry_of, newest, state_of
from atomic_margin.service.operator.store.tables import AttestationRow, Run, SettlementRow, Tick
from atomic_margin.service.operator.web import views
from atomic_margin.service.operator.web.app import create_app
from atomic_margin.service.protocol.account.books import compared_with
from atomic_margin.service.protocol.account.state import Account as AccountValue
from atomic_margin.service.protocol.account.values import commitments_hash
from atomic_margin.service.protocol.custody import CustodyPolicy
from atomic_margin.service.protocol.documents import CollateralInstruction, Enrolment, EnrolmentConfirmation
from atomic_margin.service.protocol.messages import RunView
from atomic_margin.service.protocol.price_rules import PriceRules
from atomic_margin.service.protocol.signing import Identity, SignedDocument
from atomic_margin.service.protocol.submissions import Allowances, Gain, Settles, SubmissionClaim
from atomic_margin.service.protocol.terms import AccountColumns, Terms
from atomic_margin.service.protocol.ticks import Place, PriceTick, place_after
from atomic_margin.service.protocol.trust import TrustFile
from atomic_margin.zk.prove.commit import commit_values

from .client import TestClient as TestClient
from .documents import FUND, GROSS_LIMIT, Json, book_of, example, example_terms, price_rules
from .double import PlainEvaluator, trivial_values, trivial_words
from .funds import Fund as Fund
from .funds import Sent as Sent


class World:
    """One operator's data directory, opened, and everyone who talks to it."""

    def __init__(
        self,
        directory: Path,
        source: Identity,
        funds: dict[str, Fund],
        rules: PriceRules | None = None,
        terms: Terms | None = None,
    ) -> None:
        self.directory, self.source, self.funds = directory, source, funds
        # Books here come and go without cash that says at which prices; tests of gains say how much they may gain.
        self.allowances = Allowances.parse({"submission": str(10**9), "day": str(10**12)})
        self.prepared: dict[str, Sent] = {}
        self.agreement: CollateralAgreement | None = None  # that institutions are admitted under
        self.custody: CustodyPolicy | None = None  # and who holds shares of their books
        self.settles: Settles | None = None  # losses that the next submission settles
        self.rules = rules or price_rules(source)
        self.evaluator = PlainEvaluator()
        self.operator = Operator(Settings(directory, self.rules), terms or example_terms(), self.evaluator)

    @cached_property
    def client(self) -> TestClient:
        """The operator's HTTP face, made when a test asks for it."""
        return TestClient(create_app(self.operator, background=False), raise_server_exceptions=False)

    @property
    def terms(self) -> Terms:
        return self.operator.terms

    @property
    def columns(self) -> EntryMap:
        """The columns of every fund here."""
        return self.terms.columns(AccountColumns(self.terms.universe.hash(), GROSS_LIMIT))

    @property
    def key(self) -> str:
        return self.operator.identity.public_key

    @property
    def admin(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.operator.admin_token}"}

    def auth(self, name: str = FUND) -> RequestSigner:
        """What signs an institution's requests."""
        return self.signed_by(self.funds[name].identity)

    def signed_by(self, identity: Identity) -> RequestSigner:
        """What signs requests with a key."""
        return RequestSigner(identity.public_key, identity.sign_request, self.key)

    def close(self) -> None:
        client = self.__dict__.pop("client", None)
        if client is not None:
            client.close()
        self.operator.close()

    def restarted(self) -> "World":
        """Return the same directory opened by a new process's worth of objects."""
        self.close()
        return World(self.directory, self.source, self.funds, self.rules, self.terms)

    # What the parties do.

    def admit(self, name: str) -> Fund:
        fund = self.funds.setdefault(name, Fund(name))
        enrolment.admit(
            self.operator, name, f"Fund {name}", fund.identity.public_key, self.allowances, self.agreement, self.custody
        )
        return fund

    def enrolment_document(self, name: str, keys: bytes, known: bytes, sequence: int = 1) -> SignedDocument:
        pair = self.funds[name].pair
        body = Enrolment.parse(
            {
                "institution": name,
                "operator": self.key,
                "profile": self.terms.hashes["profile"],
                "key_sequence": str(sequence),
                "evaluation_keys": hashlib.sha256(keys).hexdigest(),
                "known_answer_input": hashlib.sha256(known).hexdigest(),
                "input_key": [point.hex() for point in pair.input.commitments],
                "flag_key": [point.hex() for point in pair.flag.commitments],
            }
        )
        return body.signed_by(self.funds[name].identity)

    def known_answer_input(self) -> bytes:
        layout = self.evaluator.layout.messages["input"]
        return trivial_words([index % 32 for index in range(layout.count)], layout)

    def upload(self, name: str, data: bytes) -> None:
        uploads, sha256 = self.operator.uploads, hashlib.sha256(data).hexdigest()
        at = uploads.declare(name, sha256, len(data))
        writer = uploads.append(name, sha256, at.offset)
        writer.write(data[at.offset :])
        uploads.finish(name, writer)

    def start_enrolment(self, name: str, keys: bytes, sequence: int = 1) -> list[str]:
        known = self.known_answer_input()
        document = self.enrolment_document(name, keys, known, sequence).to_json()
        self.upload(name, keys)
        self.upload(name, known)
        challenge = enrolment.enrol(self.operator, name, document)
        layout = self.evaluator.layout.messages["known_answer"]
        return [str(trivial_values(bytes.fromhex(one.output), layout)[0]) for one in challenge.known_answers]

    def confirmation(self, name: str, keys: bytes) -> SignedDocument:
        body = EnrolmentConfirmation.parse(
            {
                "institution": name,
                "operator": self.key,
                "evaluation_keys": hashlib.sha256(keys).hexdigest(),
                "known_answers": "right",
            }
        )
        return body.signed_by(self.funds[name].identity)

    def enrol(self, name: str) -> Fund:
        fund = self.admit(name)
        assert self.start_enrolment(name, fund.keys()) == ["0", "1", "0", "1"]
        enrolment.confirm(self.operator, name, self.confirmation(name, fund.keys()).to_json())
        return fund

    def deposit(self, name: str, asset: str, quantity: int, reference: str) -> None:
        collateral.deposit(self.operator, name, asset, quantity, reference)

    def instruction(
        self, name: str, action: str, asset: str, quantity: int, sequence: int | None = None
    ) -> SignedDocument:
        if sequence is None:
            sequence = self.account(name).public.instructions + 1
        body = CollateralInstruction.parse(
            {
                "institution": name,
                "operator": self.key,
                "sequence": str(sequence),
                "entry": self.head(name),
                "action": action,
                "asset": asset,
                "quantity": str(quantity),
            }
        )
        return body.signed_by(self.funds[name].identity)

    def instruct(self, name: str, action: str, asset: str, quantity: int) -> SignedDocument:
        return collateral.instruct(self.operator, name, self.instruction(name, action, asset, quantity).to_json())

    def prepare_submission(
        self,
        name: str,
        values: tuple[int, ...],
        committed: tuple[tuple[bytes, ...], tuple[int, ...]] | None = None,
        use_masks: Callable[[bytes], None] = lambda _: None,
    ) -> Sent:
        """Encrypt, commit (unless that was done before), prove and sign as the agent does; nothing is sent."""
        fund = self.funds[name]
        sequence = max(fund.sent, default=0) + 1
        context = {"institution": name, "sequence": str(sequence)}
        commitments, blindings = committed or commit_values(values, bytes(32), context)
        addressed = {
            "institution": name,
            "operator": self.key,
            "sequence": str(sequence),
            "entry": self.head(name),
            "nonce": enrolment.issue_nonce(self.operator, name),
            "evaluation_keys": self.account(name).public.keys,
        }
        book = CommittedBook(values, commitments, blindings)
        account = AccountColumns(self.terms.universe.hash(), GROSS_LIMIT)
        make = partial(make_submission, addressed, account, self.terms, book, fund.secret, fund.openings)
        made = make(use_masks, lambda _: None, partial(self.gain, name))
        signed = made.signed_by(fund.identity)
        self.prepared[signed.body_hash()] = sent = Sent(signed, values, blindings)
        return sent

    def gain(self, name: str, claim: SubmissionClaim, book: CommittedBook) -> tuple[Gain, bytes]:
        """Prove a submission's gain by the agent's own code, at the newest tick with a market."""
        with self.operator.store.unit_of_work() as session:
            at = newest(session)
            tick = session.get_one(Tick, at.market) if at.market else None
            market = None if tick is None else Market.parse(tick.document["body"]["market"])
        public = self.account(name).public
        before = compared_with(public, commitments_hash(claim))
        earlier = None
        if before is not None:
            sent = self.funds[name].sent.get(before.sequence) or self.prepared[before.submission]
            earlier = Earlier(sent.submission, before.submission, sent.values, sent.blindings)
        priced = Priced(at.market, at.market_hash, market)
        return gain_at(priced, public.allowances.submission, self.terms, claim, book, earlier, self.settles)

    def prepare_unproven_submission(
        self,
        name: str,
        values: tuple[int, ...],
        committed: tuple[tuple[bytes, ...], tuple[int, ...]] | None = None,
        use_masks: Callable[[bytes], None] = lambda _: None,
    ) -> Sent:
        """The same without its proofs, which take seconds: for what is refused before a proof is looked at."""
        with pytest.MonkeyPatch.context() as spared:
            for proof in ("prove_portfolio", "prove_encryption"):
                spared.setattr(own_submissions, proof, lambda *_: bytes(1))
            spared.setattr(own_gains, "prove_sufficiency", lambda *_: bytes(1))
            return self.prepare_submission(name, values, committed, use_masks)

    def submit(self, name: str, values: tuple[int, ...]) -> Sent:
        sent = self.prepare_submission(name, values)
        submissions.submit(self.operator, name, sent.signed.to_json())
        self.funds[name].sent[sent.submission.sequence] = sent
        return sent

    def next_place(self) -> Place:
        """Return the place of the tick that comes next, as a source asks for it."""
        document = views.last_tick(self.operator).document
        return place_after(None if document is None else PriceTick.parse(document["body"]), self.rules)

    def prices(self, number: int, **changes: object) -> Json:
        """Return an example's prices as the one source signs them, after the newest tick."""
        market = Market.parse({**example(f"market-{number}"), **changes})
        place = self.next_place()._replace(sequence=market.sequence)
        document = price_set([sign_market(self.source, market, place)], place.sequence).canonical()
        assert isinstance(document, dict)
        return dict(document)

    def void(self, *prices: SignedDocument) -> SignedDocument:
        """Use up the next number."""
        return ticks.void_tick(self.operator, price_set(prices, self.next_place().sequence).canonical())

    def tick(self, number: int, **changes: object) -> list[str]:
        """Send an example's prices under its number; numbers before it that no tick has become void."""
        for _ in range(self.next_place().sequence, int(str(changes.get("sequence", number)))):
            self.void()
        return ticks.take_tick(self.operator, self.prices(number, **changes))

    def evaluate(self) -> str | None:
        return runs.evaluate_next(self.operator)

    def play(self, number: int, **changes: object) -> str:
        """Send a tick and evaluate everything due; return the fund's run."""
        self.tick(number, **changes)
        while self.evaluate() is not None:
            pass
        sequence = changes.get("sequence", str(number))
        return f"{FUND}.{sequence}"

    def shown(self, run_id: str) -> Json:
        """Return a run as the operator shows it to its institution."""
        view: Json = self.client.get(f"/v1/runs/{run_id}", headers=self.admin).json()
        return view

    def sent(self, view: Json) -> tuple[Fund, Sent]:
        """Return who a run is of, and the submission it claims to be about."""
        claimed = view["record"]["body"]
        fund = self.funds[claimed["institution"]]
        return fund, fund.sent[int(claimed["submission_sequence"])]

    def checked(self, view: Json) -> CheckedRun:
        """Check a run by the agent's own code.

        What an agent compares with its own store (instructions booked, earlier runs) is left out: there is none.
        """
        _, sent = self.sent(view)
        book = book_of(sent.values, self.columns, self.terms.universe)
        return check_run(
            present(RunView.parse(view)), self.trust_file(), self.terms, sent.submission, sent.signed.body_hash(), book
        )

    def decrypted(self, run: CheckedRun, **other: bytes) -> DecryptedFlag:
        """Decrypt and compare the outputs of a run, or `other` words, by the agent's own code."""
        stored = self.run(run.record.run_id)
        words = {"surplus": stored.surplus_output or b"", "breach": stored.breach_output or b"", **other}
        return decrypt_and_compare(run, self.funds[run.record.institution].secret, words.__getitem__)

    def prove_answer(self, run_id: str) -> SignedDocument:
        """Check a run, decrypt, decide and prove, all by the agent's own code."""
        view = self.shown(run_id)
        (fund, sent), run = self.sent(view), self.checked(view)
        flag = None if run.record.outputs is None else self.decrypted(run)
        entry = self.entry_of(run_id)
        answer = decide(
            run, sent.submission, sent.own(), flag, lambda: fund.openings, self.terms, fund.identity, entry=entry
        )
        assert answer is not None
        return answer

    def answer(self, run_id: str, document: SignedDocument | None = None) -> SignedDocument:
        document = document or self.prove_answer(run_id)
        return answers.take_answer(self.operator, run_id, document.to_json())

    # What there is to see.

    def run(self, run_id: str) -> Run:
        with self.operator.store.unit_of_work() as session:
            return session.get_one(Run, run_id)

    def account(self, name: str = FUND) -> AccountValue:
        """What an account is, by the machine."""
        return state_of(self.operator.account(name))

    def head(self, name: str = FUND) -> str:
        """Hash of an account's last entry."""
        return self.operator.account(name).head

    def entry_of(self, run_id: str) -> str:
        """Hash of the entry that has a run's record."""
        run = self.run(run_id)
        with self.operator.store.unit_of_work() as session:
            row = entry_of(session, run.institution, run.record_hash or "")
        assert row is not None
        return row.sha256

    def entries(self, name: str = FUND) -> list[StoredEntry]:
        """Every entry of an account, with its document."""
        with self.operator.store.unit_of_work() as session:
            return list(entries_after(session, name, 0, 10_000))

    def state(self, name: str = FUND) -> str:
        return self.account(name).public.status

    def states(self) -> dict[str, str]:
        with self.operator.store.unit_of_work() as session:
            return {run.run_id: run.state for run in session.query(Run).order_by(Run.run_id)}

    def held(self, account: str) -> dict[str, int]:
        with self.operator.store.unit_of_work() as session:
            return ledger.balances(session, account)

    def ledger(self) -> dict[str, dict[str, int]]:
        with self.operator.store.unit_of_work() as session:
            return ledger.accounts(session)

    def totals(self) -> dict[str, int]:
        with self.operator.store.unit_of_work() as session:
            return ledger.totals(session)

    def settlements(self) -> dict[str, Json]:
        with self.operator.store.unit_of_work() as session:
            return {row.run_id: row.document for row in session.query(SettlementRow)}

    def bundle(self, run_id: str) -> Json:
        with self.operator.store.unit_of_work() as session:
            document: Json | None = bundles.load(session, run_id)
            assert document is not None
            return document

    def bundles(self) -> list[str]:
        with self.operator.store.unit_of_work() as session:
            return sorted(row.run_id for row in session.query(AttestationRow))

    def trust(self) -> Json:
        return {
            "format": "atomic-margin/trust/2",
            "operator": self.key,
            "prices": self.rules.canonical(),
            "institutions": {name: fund.identity.public_key for name, fund in self.funds.items()},
            "keys": {name: [fund.pair.hash] for name, fund in self.funds.items()},
            "universe": self.terms.universes[0].hash(),
            **self.terms.hashes,
            **({} if self.agreement is None else {"agreements": {FUND: [self.agreement.canonical()]}}),
            **({} if self.custody is None else {"custody": {name: [self.custody.canonical()] for name in self.funds}}),
        }

    def trust_file(self) -> TrustFile:
        return TrustFile.parse(self.trust())

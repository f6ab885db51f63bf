"""An operator, a price source and institutions in one process, for tests of everything around the encrypted evaluation.

Store, ledger, signatures and proofs are the real ones. Only the evaluator is a double, see `PlainEvaluator`; nothing in
this folder is an end-to-end test.
"""

import hashlib
import json
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from atomic_margin.circuits.layout import MessageLayout, layout_of
from atomic_margin.circuits.limbs import split
from atomic_margin.circuits.profile import STANDARD, Profile
from atomic_margin.fhe.errors import EvaluationFailed
from atomic_margin.fhe.evaluator import Evaluator
from atomic_margin.fhe.lwe import phases
from atomic_margin.fhe.masks import Ciphertext, expand_masks, mask_seed
from atomic_margin.fhe.messages import words_from_bytes
from atomic_margin.fhe.worker import Evaluation, KeyFile
from atomic_margin.margin.collateral import CollateralHoldings
from atomic_margin.margin.market.market import Market
from atomic_margin.margin.market.portfolio import Portfolio, encode
from atomic_margin.margin.rows.top_up import compute_top_up
from atomic_margin.service.feed.source import price_set, sign_market
from atomic_margin.service.operator.accounts import collateral, enrolment, submissions
from atomic_margin.service.operator.operator import Operator, Settings
from atomic_margin.service.operator.runs import answers, ticks
from atomic_margin.service.operator.runs import evaluation as runs
from atomic_margin.service.operator.settlement import ledger
from atomic_margin.service.operator.store.tables import Account, AttestationRow, Run, SettlementRow
from atomic_margin.service.operator.web.app import create_app
from atomic_margin.service.protocol.documents import (
    Answer,
    CollateralInstruction,
    Enrolment,
    EnrolmentConfirmation,
    RunRecord,
    Submission,
)
from atomic_margin.service.protocol.keys import KEY_OF, KeyPair
from atomic_margin.service.protocol.price_rules import PriceRules
from atomic_margin.service.protocol.signing import Identity, SignedDocument
from atomic_margin.service.protocol.terms import Terms, matrices_from_json
from atomic_margin.service.protocol.trust import TrustFile
from atomic_margin.zk.prove.breach import prove_breach
from atomic_margin.zk.prove.commit import commit_values
from atomic_margin.zk.prove.decryption import prove_decryption
from atomic_margin.zk.prove.encryption import prove_encryption
from atomic_margin.zk.prove.key import KeyOpening, commit_key
from atomic_margin.zk.prove.portfolio import prove_portfolio
from atomic_margin.zk.prove.sufficiency import prove_sufficiency
from atomic_margin.zk.prove.witness import BreachWitness, EncryptionWitness, PortfolioWitness, SufficiencyWitness
from atomic_margin.zk.statements.key import KeyCommitments

with warnings.catch_warnings():
    # Starlette would rather have a successor of httpx, which is not among our requirements.
    warnings.filterwarnings("ignore", message=".*httpx")
    from fastapi.testclient import TestClient

Json = dict[str, Any]
Ints = npt.NDArray[np.int64]

EXAMPLES = Path(__file__).parents[2] / "examples"
FUND, OTHER = "larkfield", "harbour"
GROSS_LIMIT = 64_000_000


def example(name: str) -> Json:
    value: Json = json.loads((EXAMPLES / f"{name}.json").read_text())
    return value


def example_terms() -> Terms:
    return Terms.parse(example("model-scan"), example("universe"), example("collateral-schedule"), STANDARD)


def price_rules(*sources: Identity, required: int | None = None, **changes: object) -> PriceRules:
    """Rules wide enough for the story's crash; one source is k = n = 1 of the same mechanism."""
    return PriceRules.parse(
        {
            "format": "atomic-margin/price-rules/1",
            "sources": [source.public_key for source in sources],
            "required": str(len(sources) // 2 + 1 if required is None else required),
            "max_skew_seconds": "60",
            "outlier": {"price": "0.02", "volatility": "0.05", "rate": "0.01"},
            "move": {"price": "0.5", "volatility": "1", "rate": "0.05"},
            **changes,
        }
    )


def trivial_words(values: list[int], layout: MessageLayout) -> bytes:
    """Return `values` as words that hide nothing: every mask is zero, the body is the message alone."""
    words = np.zeros(layout.shape, dtype="<u8")
    for index, value in enumerate(values):
        words[index, -1] = (value % (1 << layout.width)) << (63 - layout.width)
    return words.tobytes()


def trivial_values(data: bytes, layout: MessageLayout) -> list[int]:
    bodies = words_from_bytes(data, layout)[:, -1]
    values = [int(body) >> (63 - layout.width) for body in bodies]
    top = 1 << (layout.width - 1)
    return [value - 2 * top if layout.signed and value >= top else value for value in values]


# One LWE key for every fund of these tests, and for the double that evaluates: proofs about it are the real ones.
KEY_BITS = np.random.default_rng(20261122).integers(0, 2, 2048, dtype=np.uint64)


class PlainEvaluator(Evaluator):
    """Decrypts with the tests' key and computes in the clear; its outputs have zero masks, so they hide nothing.

    The operator never looks inside an output; it hashes the words, signs the hashes and hands them out. So whether
    A z + c was computed under encryption changes nothing that these tests look at, and a run takes a millisecond
    instead of seconds. That the real circuits compute the same is what tests/fhe and tests/e2e show.
    """

    def __init__(self, profile: Profile = STANDARD) -> None:
        super().__init__(profile)
        self.layout = layout_of(profile)
        self.failures = 0
        self.evaluated = 0
        self.warmed: list[str] = []
        self.unloadable: set[str] = set()
        self.meanwhile: Callable[[], None] = lambda: None

    def start(self) -> None:
        pass

    def close(self) -> None:
        pass

    def check_keys(self, keys: KeyFile, challenges: tuple[tuple[bytes, int], ...]) -> tuple[bytes, ...]:
        return tuple(trivial_words([flag], self.layout.messages["known_answer"]) for _, flag in challenges)

    def warm_up(self, keys: KeyFile, functions: tuple[str, ...]) -> str:
        self.warmed.append(keys.sha256)
        if keys.sha256 in self.unloadable:
            raise EvaluationFailed("the test makes this expansion fail")
        return "f0" * 32

    def evaluate(
        self,
        keys: KeyFile,
        ciphertext: bytes,
        A: Ints,
        c: Ints,
        functions: tuple[str, ...],
        chosen: dict[str, int] | None = None,
    ) -> Evaluation:
        self.meanwhile()
        if self.failures:
            self.failures -= 1
            raise EvaluationFailed("the test makes this evaluation fail")
        assert hashlib.sha256(keys.path.read_bytes()).hexdigest() == keys.sha256
        layout = self.layout.messages["input"]
        phase = phases(words_from_bytes(ciphertext, layout), KEY_BITS)
        half = np.uint64(1 << (62 - layout.width))
        z = ((phase + half) >> np.uint64(63 - layout.width)).astype(np.int64)
        surplus = (A @ z + c).tolist()
        short = split(max(0, -min(surplus)), self.profile.bits).tolist()
        values = {"surplus": surplus, "breach": [int(min(surplus) < 0)], "shortfall": short}
        self.evaluated += 1
        return Evaluation(
            {name: trivial_words(values[name], self.layout.messages[name]) for name in functions},
            "f0" * 32,
            dict.fromkeys(functions, 0.001),
        )


@dataclass
class Sent:
    """A submission with what opens its commitments."""

    signed: SignedDocument
    values: tuple[int, ...]
    blindings: tuple[int, ...]

    @property
    def submission(self) -> Submission:
        return Submission.parse(self.signed.body)


@dataclass
class Fund:
    """An institution: its identity and what it submitted."""

    name: str
    identity: Identity = field(default_factory=Identity.generate)
    sent: dict[int, Sent] = field(default_factory=dict)
    token: str = ""

    def copy(self, sent: bool) -> "Fund":
        """Return the same institution for another test, with what it sent so far or without."""
        other = Fund(self.name, self.identity, dict(self.sent) if sent else {}, self.token)
        other.__dict__["openings"] = self.openings
        return other

    @cached_property
    def openings(self) -> dict[str, tuple[KeyCommitments, KeyOpening]]:
        bits = tuple(int(bit) for bit in KEY_BITS)
        return {name: commit_key(bits, bytes(32), {"institution": self.name, "key": name}) for name in KEY_OF}

    @property
    def pair(self) -> KeyPair:
        return KeyPair(self.openings["input_key"][0], self.openings["flag_key"][0])

    def keys(self) -> bytes:
        return b"evaluation keys of " + self.name.encode()


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
        self.rules = rules or price_rules(source)
        self.evaluator = PlainEvaluator()
        self.operator = Operator(Settings(directory, self.rules), terms or example_terms(), self.evaluator)
        self.client = TestClient(create_app(self.operator, background=False), raise_server_exceptions=False)

    @property
    def terms(self) -> Terms:
        return self.operator.terms

    @property
    def key(self) -> str:
        return self.operator.identity.public_key

    @property
    def admin(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.operator.admin_token}"}

    def bearer(self, name: str = FUND) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.funds[name].token}"}

    def close(self) -> None:
        self.client.close()
        self.operator.close()

    def restarted(self) -> "World":
        """Return the same directory opened by a new process's worth of objects."""
        self.close()
        return World(self.directory, self.source, self.funds, self.rules, self.terms)

    # What the parties do.

    def admit(self, name: str) -> Fund:
        fund = self.funds.setdefault(name, Fund(name))
        enrolment.admit(self.operator, name, f"Fund {name}", fund.identity.public_key)
        return fund

    def enrolment_document(self, name: str, keys: bytes, known: bytes, sequence: int = 1) -> SignedDocument:
        body = Enrolment.parse(
            {
                "institution": name,
                "operator": self.key,
                "profile": self.terms.hashes["profile"],
                "key_sequence": str(sequence),
                "evaluation_keys": hashlib.sha256(keys).hexdigest(),
                "known_answer_input": hashlib.sha256(known).hexdigest(),
                **{
                    key: [point.hex() for point in commitments.commitments]
                    for key, (commitments, _) in self.funds[name].openings.items()
                },
            }
        )
        return body.signed_by(self.funds[name].identity)

    def known_answer_input(self) -> bytes:
        layout = self.evaluator.layout.messages["input"]
        return trivial_words([index % 32 for index in range(layout.count)], layout)

    def start_enrolment(self, name: str, keys: bytes, sequence: int = 1) -> list[str]:
        known = self.known_answer_input()
        document = self.enrolment_document(name, keys, known, sequence).to_json()
        challenge = enrolment.enrol(self.operator, name, document, keys, known)
        self.funds[name].token = challenge.token
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
            sequence = self.operator.account(name).instruction_sequence + 1
        body = CollateralInstruction.parse(
            {
                "institution": name,
                "operator": self.key,
                "sequence": str(sequence),
                "action": action,
                "asset": asset,
                "quantity": str(quantity),
            }
        )
        return body.signed_by(self.funds[name].identity)

    def instruct(self, name: str, action: str, asset: str, quantity: int) -> SignedDocument:
        return collateral.instruct(self.operator, name, self.instruction(name, action, asset, quantity).to_json())

    def prepare_submission(
        self, name: str, values: tuple[int, ...], committed: tuple[tuple[bytes, ...], tuple[int, ...]] | None = None
    ) -> Sent:
        """Encrypt, commit (unless that was done before), prove and sign; nothing is sent."""
        fund, terms = self.funds[name], self.terms
        layout = self.evaluator.layout.messages["input"]
        sequence = max(fund.sent, default=0) + 1
        context = {"institution": name, "sequence": str(sequence)}
        commitments, blindings = committed or commit_values(values, bytes(32), context)
        nonce = enrolment.issue_nonce(self.operator, name)
        masks = expand_masks(mask_seed(nonce, name, fund.pair.hash, sequence), len(values), layout.dimension)
        errors = np.arange(len(values), dtype=np.uint64) * np.uint64(97)
        scaled = np.array(values, dtype=np.uint64) << np.uint64(63 - layout.width)
        ciphertext = Ciphertext(masks, (masks * KEY_BITS).sum(axis=1, dtype=np.uint64) + scaled + errors, layout.count)
        fields = {
            "institution": name,
            "operator": self.key,
            "sequence": str(sequence),
            "nonce": nonce,
            **{part: terms.hashes[part] for part in ("profile", "universe", "entry_map", "generators")},
            "evaluation_keys": self.operator.account(name).evaluation_keys,
            "key_commitments": fund.pair.hash,
            "gross_limit": str(GROSS_LIMIT),
            "bodies": ciphertext.bodies.astype("<u8").tobytes().hex(),
            "ciphertext": hashlib.sha256(ciphertext.to_bytes()).hexdigest(),
            "commitments": [point.hex() for point in commitments],
        }
        unproven = Submission.parse({**fields, "portfolio_proof": "00", "encryption_proof": "00"})
        portfolio = prove_portfolio(terms.portfolio_statement(unproven), PortfolioWitness(values, blindings))
        encryption = prove_encryption(
            terms.encryption_statement(unproven, fund.pair),
            EncryptionWitness(values, blindings, fund.openings["input_key"][1]),
        )
        proofs = {"portfolio_proof": portfolio.hex(), "encryption_proof": encryption.hex()}
        return Sent(Submission.parse({**fields, **proofs}).signed_by(fund.identity), values, blindings)

    def submit(self, name: str, values: tuple[int, ...]) -> Sent:
        sent = self.prepare_submission(name, values)
        submissions.submit(self.operator, name, sent.signed.to_json())
        self.funds[name].sent[sent.submission.sequence] = sent
        return sent

    def prices(self, number: int, **changes: object) -> Json:
        """Return an example's prices as the one source signs them."""
        signed = sign_market(self.source, Market.parse({**example(f"market-{number}"), **changes}))
        document = price_set([signed], int(signed.body["sequence"])).canonical()
        assert isinstance(document, dict)
        return dict(document)

    def tick(self, number: int, **changes: object) -> list[str]:
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

    def prove_answer(self, run_id: str, **changes: object) -> SignedDocument:
        """Answer a run as the agent does. `changes` go into the body before it is proved and signed."""
        row = self.run(run_id)
        signed_run = SignedDocument.parse(row.record)
        record, matrices = RunRecord.parse(signed_run.body), matrices_from_json(row.matrices or {})
        fund = self.funds[record.institution]
        sent = fund.sent[record.submission_sequence]
        z = np.array(sent.values, dtype=np.int64)
        body: Json = {
            "run_id": record.run_id,
            "run": signed_run.body_hash(),
            "operator": record.operator,
            "institution": record.institution,
            "submission": sent.signed.body_hash(),
            "price_sequence": str(record.price_sequence),
            "outcome": "covered",
            "top_up": "0",
            "top_up_usd": "0",
        }
        if (matrices.maintenance_proof.surplus(z) < 0).any():
            call = compute_top_up(
                matrices.initial_proof,
                z,
                minimum_transfer_amount=self.terms.model.minimum_transfer_amount,
                gross_limit=record.gross_limit,
            )
            units = max(call.units, call.step)
            usd = format(matrices.initial_proof.usd(units), "f")
            body |= {"outcome": "breach", "flag": "1", "flag_output": record.outputs.breach}
            body |= {"top_up": str(units), "top_up_usd": usd}
        body |= changes
        unproven = Answer.parse({**body, "sufficiency_proof": "00"})
        statement = self.terms.sufficiency_statement(unproven, record, sent.submission, matrices)
        proofs = {"sufficiency_proof": prove_sufficiency(statement, SufficiencyWitness(sent.values, sent.blindings))}
        if body["outcome"] == "breach":
            words = row.breach_output or b""
            decryption = self.terms.decryption_statement(unproven, record, fund.pair, words, matrices)
            proofs["decryption_proof"] = prove_decryption(decryption, fund.openings["flag_key"][1])
            breach = self.terms.breach_statement(unproven, record, sent.submission, matrices)
            proofs["breach_proof"] = prove_breach(breach, BreachWitness(sent.values, sent.blindings))
        return Answer.parse({**body, **{key: proof.hex() for key, proof in proofs.items()}}).signed_by(fund.identity)

    def answer(self, run_id: str, document: SignedDocument | None = None) -> SignedDocument:
        document = document or self.prove_answer(run_id)
        return answers.take_answer(self.operator, run_id, document.to_json())

    # What there is to see.

    def run(self, run_id: str) -> Run:
        with self.operator.store.unit_of_work() as session:
            return session.get_one(Run, run_id)

    def state(self, name: str = FUND) -> str:
        return self.operator.account(name).state

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
            return session.get_one(AttestationRow, run_id).document

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
            **{part: self.terms.hashes[part] for part in ("model", "universe", "schedule", "profile", "generators")},
        }

    def trust_file(self) -> TrustFile:
        return TrustFile.parse(self.trust())

    @contextmanager
    def edited(self, name: str) -> Iterator[Account]:
        """Change an account's row behind the operator's back, to reach a state quickly."""
        with self.operator.store.unit_of_work() as session:
            yield session.get_one(Account, name)


class Stages:
    """Data directories of one operator at points of the story, made once and copied for every test."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.source = Identity.generate()
        self.funds: dict[str, Fund] = {}
        self.answers: dict[str, SignedDocument] = {}
        self.bundles: dict[str, Json] = {}
        self._play()

    def open(self, stage: str, directory: Path) -> World:
        shutil.copytree(self.root / stage, directory)
        # Each test may submit more; the proofs of what was sent before are shared.
        funds = {
            name: fund.copy(sent=stage != "enrolled")
            for name, fund in self.funds.items()
            if name == FUND or stage == "two"
        }
        return World(directory, self.source, funds)

    def _play(self) -> None:
        world = World(self.root / "live", self.source, self.funds)
        self.book = tuple(int(v) for v in encode(Portfolio.parse(example("portfolio")), world.terms.entry_map))
        world.enrol(FUND)
        world = self._keep(world, "enrolled")
        world.submit(FUND, self.book)
        world = self._keep(world, "bare")
        holdings = CollateralHoldings.parse(example("collateral"))
        for asset, quantity in holdings.posted.items():
            world.deposit(FUND, asset, quantity + holdings.free.get(asset, 0), f"custodian-{asset}")
            world.instruct(FUND, "post", asset, quantity)
        world = self._keep(world, "submitted")
        for name, number in (("calm", 1), ("fall", 2), ("crash", 4)):
            run_id = world.play(number)
            self.answers[name] = world.prove_answer(run_id)
            world = self._keep(world, f"{name}-open")
            world.answer(run_id, self.answers[name])
            self.bundles[name] = world.bundle(run_id)
            world = self._keep(world, f"{name}-done")
        self.trust = world.trust()
        world.close()
        # A second, flat account beside the first; its name comes first in the alphabet.
        shutil.copytree(self.root / "submitted", self.root / "live-two")
        world = World(self.root / "live-two", self.source, self.funds)
        world.enrol(OTHER)
        world.deposit(OTHER, "USDC", 10**12, "custodian-harbour")
        world.instruct(OTHER, "post", "USDC", 10**11)
        world.submit(OTHER, (0,) * len(world.terms.entry_map))
        world.close()
        shutil.copytree(self.root / "live-two", self.root / "two")

    def _keep(self, world: World, stage: str) -> World:
        world.close()
        shutil.copytree(world.directory, self.root / stage)
        return World(world.directory, world.source, world.funds)

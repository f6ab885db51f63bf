"""What the cheats of this folder are made of: documents as a cheat would craft them, with the prover's own code.

Provers that look at their witness refuse to prove a lie. A cheat leaves the look out, so the forgers here run the same
arguments on whatever bits come nearest, and the proofs are refused by whoever verifies them.
"""

import hashlib
import json
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
from typer.testing import CliRunner

from atomic_margin.circuits.layout import layout_of
from atomic_margin.fhe.institution import InstitutionKeys
from atomic_margin.fhe.lwe import Words
from atomic_margin.fhe.masks import Ciphertext, expand_masks, mask_seed
from atomic_margin.margin.errors import MarginError
from atomic_margin.margin.market.market import Market
from atomic_margin.service.cli.verify import app as verify_app
from atomic_margin.service.demo.parties import NAME
from atomic_margin.service.errors import AgentRefused
from atomic_margin.service.institution.agent import Agent
from atomic_margin.service.institution.gains import newest_prices, prove_gain
from atomic_margin.service.institution.openings import KeyOpenings, read_openings
from atomic_margin.service.institution.store import OwnEntry, OwnSubmission
from atomic_margin.service.institution.submissions import TERMS_NAMED, CommittedBook
from atomic_margin.service.protocol.account.books import compared_with
from atomic_margin.service.protocol.account.state import Account
from atomic_margin.service.protocol.account.values import commitments_hash
from atomic_margin.service.protocol.documents import Answer, AnswerClaim, RunRecord
from atomic_margin.service.protocol.messages import RunView
from atomic_margin.service.protocol.proof_rows import ProofRows
from atomic_margin.service.protocol.signing import Identity, SignedDocument
from atomic_margin.service.protocol.statements import (
    ciphertext_of,
    encryption_statement,
    portfolio_statement,
    sufficiency_statement,
)
from atomic_margin.service.protocol.submissions import Submission, SubmissionClaim
from atomic_margin.service.protocol.verification import day_of
from atomic_margin.zk.bits.prove import argue
from atomic_margin.zk.bits.witness import BitWitness
from atomic_margin.zk.errors import WitnessError
from atomic_margin.zk.groups import load_group
from atomic_margin.zk.prove.commit import commit_values
from atomic_margin.zk.prove.key import KeyOpening
from atomic_margin.zk.prove.witness import binary
from atomic_margin.zk.statements.decryption import DecryptionStatement
from atomic_margin.zk.statements.encryption import EncryptionStatement
from atomic_margin.zk.statements.lwe import carry_bits
from atomic_margin.zk.statements.portfolio import PortfolioStatement
from atomic_margin.zk.statements.sufficiency import SufficiencyStatement

from ..e2e.harness import World

Json = dict[str, Any]
Values = Sequence[int]
WORD = 1 << 64


# Proofs of what is not so.


def force_portfolio(statement: PortfolioStatement, values: Values, blindings: Values) -> bytes:
    """Run the argument on the low bits of entries and of what is left of the gross limit."""
    bits = [bit for value, width in zip(values, statement.widths, strict=True) for bit in binary(value, width)]
    gross = sum(weight * value for weight, value in zip(statement.gross_weights, values, strict=True))
    bits += binary(statement.gross_limit - gross, statement.slack_bits)
    return argue(statement.bit_statement(), BitWitness(bits, values, blindings), load_group())


def force_encryption(statement: EncryptionStatement, values: Values, blindings: Values, key: KeyOpening) -> bytes:
    """Run the argument on the committed entries, with the low bits of whatever error the ciphertexts would need."""
    bits = list(key.bits)
    phases = key.inner_products(statement.masks)
    for value, width, phase, body in zip(values, statement.widths, phases, statement.bodies.tolist(), strict=True):
        bits += binary(value, width)
        bits += _error_bits(phase + (value << statement.scale_bits), body, statement.noise_bits, len(key.bits))
    witness = BitWitness(bits, (*values, *key.packed), (*blindings, *key.blindings))
    return argue(statement.bit_statement(), witness, load_group())


def force_decryption(statement: DecryptionStatement, key: KeyOpening) -> bytes:
    """Run the argument on the claimed value, with the low bits of whatever error the ciphertext would need."""
    bits = list(key.bits)
    phases = key.inner_products(statement.masks)
    for value, phase, body in zip(statement.values, phases, statement.bodies.tolist(), strict=True):
        bits += _error_bits(phase + (value << statement.scale_bits), body, statement.noise_bits, len(key.bits))
    return argue(statement.bit_statement(), BitWitness(bits, key.packed, key.blindings), load_group())


def force_sufficiency(statement: SufficiencyStatement, values: Values, blindings: Values) -> bytes:
    """Run the argument on the low bits of every row, negative or not."""
    rows = statement.weights @ np.array(values, dtype=np.int64)
    bits = [
        bit
        for row, constant in zip(rows.tolist(), statement.constants, strict=True)
        for bit in binary(row + constant, statement.bits)
    ]
    return argue(statement.bit_statement(), BitWitness(bits, values, blindings), load_group())


def _error_bits(expected: int, body: int, noise_bits: int, dimension: int) -> list[int]:
    error = (body - expected + WORD // 2) % WORD - WORD // 2
    carry = (expected + error - body) // WORD
    return [*binary(error + (1 << noise_bits), noise_bits + 1), *binary(carry + 1, carry_bits(dimension))]


# The institution's secrets, as the cheating institution itself has them.


@dataclass(frozen=True)
class Secrets:
    """What an institution needs for documents of its own making."""

    agent: Agent
    keys: InstitutionKeys
    openings: KeyOpenings
    values: tuple[int, ...]
    commitments: tuple[bytes, ...]
    blindings: tuple[int, ...]
    submission: Submission

    @classmethod
    def of(cls, agent: Agent) -> "Secrets":
        own = agent._keys.of(str(agent._store.note("evaluation_keys")))
        keys = agent._keys.secret(own)
        with agent._store.unit_of_work() as session:
            sent = session.query(OwnSubmission).order_by(OwnSubmission.sequence.desc()).first()
        assert sent is not None
        submission = Submission.parse(sent.document["body"])
        layout = layout_of(agent.terms.profile).messages["input"]
        whole = keys.decrypt("input", ciphertext_of(submission, agent.terms).to_bytes()).values
        assert len(whole) == layout.count
        return cls(
            agent,
            keys,
            read_openings(keys, own.openings),
            tuple(int(value) for value in whole[: len(agent.terms.columns(submission))]),
            tuple(bytes.fromhex(point) for point in submission.commitments),
            tuple(int(blinding) for blinding in sent.blindings),
            submission,
        )

    def fields(self) -> Json:
        """What the next submission is addressed with, a fresh nonce among it."""
        self.agent.history.sync(adopt=True)
        return {
            "institution": NAME,
            "operator": self.agent.settings.trust.operator,
            "sequence": str(self.agent._client.account().next_submission),
            "entry": self.agent.history.head,
            "nonce": self.agent._client.nonce(),
            "randomness": secrets.token_hex(32),
            **{name: self.agent.terms.hashes[name] for name in TERMS_NAMED},
            "universe": self.submission.universe,
            "entry_map": self.submission.entry_map,
            "evaluation_keys": self.submission.evaluation_keys,
            "key_commitments": self.openings.pair.hash,
            "gross_limit": str(self.agent.settings.gross_limit),
        }

    def masks(self, fields: Json) -> Words:
        """The masks that everybody expands."""
        parts = (fields[name] for name in ("nonce", "randomness", "operator"))
        seed = mask_seed(*parts, NAME, fields["key_commitments"], int(fields["sequence"]))
        dimension = layout_of(self.agent.terms.profile).messages["input"].dimension
        return expand_masks(seed, len(self.values), dimension)

    def encrypt(self, masks: Words, values: Values, keys: InstitutionKeys | None = None) -> Ciphertext:
        """Encrypt any integers, in range or not."""
        clean = (keys or self.keys).encrypt_under(masks, np.zeros(len(values), dtype=np.int64))
        shift = 63 - layout_of(self.agent.terms.profile).messages["input"].width
        shifted = np.array([(value << shift) % WORD for value in values], dtype=np.uint64)
        return Ciphertext(clean.masks, clean.bodies + shifted, clean.count)

    def submit(
        self,
        *,
        committed: Values | None = None,
        encrypted: Values | None = None,
        under: InstitutionKeys | None = None,
        masks: Callable[[Words], Words] = lambda masks: masks,
        bodies: Callable[[Words], Words] = lambda bodies: bodies,
        named: str | None = None,
        opened: tuple[tuple[bytes, ...], tuple[int, ...]] | None = None,
        **changes: Any,
    ) -> Json:
        """Return a signed submission, cheating where told; with nothing told it is honest.

        Args:
            committed: entries of the commitments, by default the institution's book.
            encrypted: entries of the ciphertexts, by default those of the commitments.
            under: keys of the ciphertexts.
            masks: changes the masks the ciphertexts are made under.
            bodies: changes the bodies.
            named: hash the ciphertexts are named by, by default that of what the operator will expand.
            opened: commitments and their blindings, by default made afresh.
            changes: fields of the body.
        """
        fields, terms = {**self.fields(), **changes}, self.agent.terms
        values = self.values if committed is None else committed
        commitments, blindings = opened or commit_values(values, bytes(32), {"institution": NAME})
        expanded = self.masks(fields)
        made = self.encrypt(masks(expanded), values if encrypted is None else encrypted, under)
        words = Ciphertext(expanded, bodies(made.bodies), made.count)
        fields |= {
            "bodies": words.bodies.astype("<u8").tobytes().hex(),
            "ciphertext": named or hashlib.sha256(words.to_bytes()).hexdigest(),
            "commitments": [point.hex() for point in commitments],
            **changes,
        }
        # Whoever names another universe still has no other columns to prove about.
        said = {name: fields[name] for name in SubmissionClaim.model_fields if name in fields}
        claim = SubmissionClaim.parse(said | {"universe": self.submission.universe})
        portfolio = force_portfolio(portfolio_statement(claim, terms), values, blindings)
        statement = encryption_statement(claim, terms, self.openings.pair, ciphertext_of(claim, terms))
        encryption = force_encryption(statement, values, blindings, self.openings.input)
        gain, proof = self.gain(claim, CommittedBook(tuple(values), commitments, blindings))
        proofs = {"portfolio_proof": portfolio.hex(), "encryption_proof": encryption.hex(), "gain_proof": proof}
        fields["gain"] = gain
        return Submission.parse({**fields, **proofs, **changes}).signed_by(self.agent.identity).to_json()

    def gain(self, claim: SubmissionClaim, book: CommittedBook) -> tuple[Json, str]:
        """Return what the agent says of the gain and proves, or what it would say of a book it proves nothing about."""
        party = self.agent._party

        def followed() -> Account:
            self.agent.history.sync(adopt=True)
            assert self.agent.history.state is not None
            return self.agent.history.state

        try:
            gain, proof = prove_gain(party, followed, claim, book)
        except (AgentRefused, WitnessError, MarginError):
            priced, before = newest_prices(party), compared_with(followed().public, commitments_hash(claim))
            made = {
                "price_sequence": str(priced.number),
                "tick": priced.hash,
                "day": str(day_of(priced.market)),
                "allowance": "0",
            }
            return made if before is None else {**made, "before": before.submission}, "00"
        said = gain.canonical()
        assert isinstance(said, dict)
        return dict(said), proof.hex()

    def claim_covered(self, view: RunView) -> Json:
        """Return the answer "covered" to a run, whatever the book, with a proof forced to that."""
        signed = SignedDocument.parse(view.record)
        record = RunRecord.parse(signed.body)
        matrices = self.agent.terms.matrices_of(record, Market.parse(view.tick["body"]["market"]))
        body = {
            "run_id": record.run_id,
            "run": signed.body_hash(),
            "entry": self.entry_of(signed.body_hash()),
            "operator": record.operator,
            "institution": NAME,
            "submission": record.submission,
            "price_sequence": str(record.price_sequence),
            "outcome": "covered",
            "top_up": "0",
            "top_up_usd": "0",
        }
        claim = AnswerClaim.parse(body)
        rows = ProofRows.of(matrices.maintenance_proof)
        statement = sufficiency_statement(claim, self.agent.terms, record, self.submission, rows)
        proof = force_sufficiency(statement, self.values, self.blindings)
        return claim.proven(Answer, sufficiency_proof=proof).signed_by(self.agent.identity).to_json()

    def entry_of(self, document: str) -> str:
        """Hash of the entry that has a document."""
        self.agent.history.sync(adopt=True)
        with self.agent._store.unit_of_work() as session:
            return session.query(OwnEntry).filter_by(document_hash=document).one().sha256


# The running protocol at a point of the story, and what it says to a cheat.


@dataclass
class Stage:
    """A running operator with one covered run and one breached run that waits for its answer.

    Nothing that is refused changes it, so all tests that only send bad documents share it.
    """

    world: World
    agent: Agent
    covered: str
    open: str
    bundle: Json
    answer: Json

    @property
    def secrets(self) -> Secrets:
        return Secrets.of(self.agent)

    @property
    def server(self) -> Identity:
        """The operator's own signing key, for tests in which the operator cheats."""
        return Identity.load_or_create(self.world.root / "operator" / "operator.key")

    def view(self, run_id: str) -> Json:
        assert self.world.operator is not None
        view: Json = self.world.operator.get(f"/v1/runs/{run_id}")
        return view

    def post(self, path: str, document: Json, token: str | None = None) -> tuple[int, str | None]:
        """Post by a token, or signed by the institution; return status and the field that is named."""
        assert self.world.operator is not None
        caller: Any = (
            {"auth": self.world.auth()} if token is None else {"headers": {"Authorization": f"Bearer {token}"}}
        )
        response = httpx.post(f"{self.world.operator.url}{path}", json=document, timeout=60, **caller)
        problem = response.json()
        return response.status_code, problem.get("field")

    def submit(self, document: Json) -> tuple[int, str | None]:
        return self.post(f"/v1/institutions/{NAME}/submissions", document)

    def reply(self, document: Json, run_id: str | None = None) -> tuple[int, str | None]:
        return self.post(f"/v1/runs/{run_id or self.open}/answer", document)

    def state(self) -> Json:
        """Everything a refused document must leave as it was."""
        assert self.world.operator is not None
        account = self.world.account()
        return {"account": account, "ledger": self.world.ledger(), "run": self.view(self.open)["state"]}


def signed_again(document: Json, identity: Identity, /, **changes: Any) -> Json:
    """Return a document with another body, signed; a field set to None is left out."""
    body = {name: value for name, value in {**document["body"], **changes}.items() if value is not None}
    return identity.sign(document["type"], body).to_json()


def verify(stage: Stage, bundle: object, trust: Json | None = None) -> Json:
    """Run `atomic-margin verify --json` on a bundle; return what it prints."""
    path, anchors = stage.world.root / "bundle.json", stage.world.root / "anchors.json"
    path.write_text(bundle if isinstance(bundle, str) else json.dumps(bundle))
    anchors.write_text(stage.world.trust.read_text() if trust is None else json.dumps(trust))
    result = CliRunner().invoke(verify_app, [str(path), "--trust", str(anchors), "--json"])
    verdict: Json = json.loads(result.stdout)
    assert verdict["valid"] == (result.exit_code == 0)
    return verdict

"""The bodies of the signed documents, and the trust file. Numbers are decimal strings; unknown fields are refused.

Hashes name other documents; nothing is believed because it was sent along.
"""

from datetime import datetime
from typing import Literal

from pydantic import model_validator

from atomic_margin.documents.errors import MalformedDocument
from atomic_margin.documents.fields import (
    AmountText,
    Counter,
    Hash,
    PointHex,
    ProofHex,
    PublicKey,
    Time,
)
from atomic_margin.documents.strict import Identifier, IdMap, ListOf, Part, PriceText, Quantity
from atomic_margin.margin.collateral.agreement import Agreed
from atomic_margin.margin.market.columns import ColumnChoice
from atomic_margin.service.errors import Refused
from atomic_margin.service.protocol.bodies import Body, DocumentClaim
from atomic_margin.service.protocol.submissions import Submission

BUNDLE_VERSION = "6"

Outcome = Literal["covered", "breach"]
SettlementKind = Literal["margin_call", "liquidation"]


class Enrolment(Body):
    """An institution brings its evaluation keys, made for one profile, and commits to the secret keys behind them.

    `input_key` and `flag_key` are commitments to the keys that entries are encrypted under and that the breach flag
    comes out under.
    """

    TYPE = "enrolment"
    institution: Identifier
    operator: PublicKey
    profile: Hash
    key_sequence: Counter
    evaluation_keys: Hash
    known_answer_input: Hash
    input_key: ListOf[PointHex]
    flag_key: ListOf[PointHex]


class EnrolmentConfirmation(Body):
    """The institution's word that its keys passed the known-answer test; it activates them.

    It carries no decrypted bit: an answer that did would decrypt whatever a cheating operator sends.
    """

    TYPE = "enrolment-confirmation"
    institution: Identifier
    operator: PublicKey
    evaluation_keys: Hash
    known_answers: Literal["right"]


def second_run_of(run_id: str) -> str:
    """Return the identifier of the run that is evaluated after one of the same tick that was not proven in time."""
    # The suffix stands in signed records: it stays as it is, whatever the run is called elsewhere.
    return f"{run_id}.exact"


class MatrixHashes(Part):
    """Hashes of the run's matrices: the coarse ones are evaluated, the fine ones are what proofs are about."""

    maintenance_fhe: Hash
    maintenance_proof: Hash
    initial_fhe: Hash
    initial_proof: Hash


class OutputHashes(Part):
    """SHA-256 of each function's output words."""

    surplus: Hash
    breach: Hash


class RunRecord(Body):
    """What the operator evaluated, or is to be proven first: named by hash, signed, and chained to the run before it.

    A record of a run that was not evaluated has neither `outputs` nor `fft_plan`; it takes a covered answer alone.
    `posted` is the ledger's posted collateral when the evaluation began; `instructions` is the sequence number of the
    institution's last collateral instruction that was booked by then, so that the institution can tell whether all it
    has posted is counted.

    Attributes:
        columns: the submission's choice of what its commitments cover; absent for the whole universe.
        agreed: figures of the collateral agreement that the matrices count; absent where there is no agreement.
    """

    TYPE = "run"
    run_id: Identifier
    number: Counter
    previous: Hash
    operator: PublicKey
    institution: Identifier
    submission_sequence: Counter
    submission: Hash
    price_sequence: Counter
    tick: Hash
    model: Hash
    universe: Hash
    entry_map: Hash
    schedule: Hash
    profile: Hash
    generators: Hash
    gross_limit: Counter
    columns: ColumnChoice | None = None
    instructions: Counter
    posted: IdMap[Quantity]
    agreed: Agreed | None = None
    matrices: MatrixHashes
    evaluation_keys: Hash
    key_commitments: Hash
    ciphertext: Hash
    outputs: OutputHashes | None = None
    fft_plan: Hash | None = None
    evaluated_at: Time
    deadline: Time

    @model_validator(mode="after")
    def _check(self) -> "RunRecord":
        if (self.outputs is None) != (self.fft_plan is None):
            missing = "outputs" if self.outputs is None else "fft_plan"
            raise MalformedDocument(
                missing, "missing: outputs and fft_plan go together; a run that was not evaluated has neither"
            )
        return self

    def differing_from(self, submission: Submission) -> tuple[str, ...]:
        """Return the names of the submission's fields that the record repeats with another value; none may."""
        repeated = {
            "institution": self.institution,
            "operator": self.operator,
            "sequence": self.submission_sequence,
            "universe": self.universe,
            "entry_map": self.entry_map,
            "gross_limit": self.gross_limit,
            "columns": self.columns,
            "ciphertext": self.ciphertext,
            "evaluation_keys": self.evaluation_keys,
            "key_commitments": self.key_commitments,
        }
        return tuple(name for name, value in repeated.items() if getattr(submission, name) != value)

    @property
    def answer_seconds(self) -> int:
        """Time to answer, from when the witnesses see the run's entry, or from `evaluated_at` where there are none."""
        begin, end = (
            datetime.fromisoformat(text.replace("Z", "+00:00")) for text in (self.evaluated_at, self.deadline)
        )
        return int((end - begin).total_seconds())

    @property
    def breach_output(self) -> str:
        """Hash of the breach output's words.

        Raises:
            Refused: the run was not evaluated.
        """
        if self.outputs is None:
            raise Refused(
                "the run was not evaluated, so no breach can be answered; wait for the run that is", "outputs"
            )
        return self.outputs.breach


class AnswerClaim(DocumentClaim):
    """What the institution answers to a run.

    Attributes:
        entry: hash of the entry that has the run's record: what the account was when this was said.
        outcome: `covered` (the proof is the evidence; no flag is sent) or `breach`.
        form: `exact` where the sufficiency proof is of rows with slack; absent for those that the record names.
        flag: `1` on a breach, otherwise absent.
        flag_output: hash of the output ciphertext the flag was decrypted from.
        top_up: X in units of the initial rows of that form, 0 when covered.
        top_up_usd: the same in currency.
    """

    run_id: Identifier
    run: Hash
    entry: Hash
    operator: PublicKey
    institution: Identifier
    submission: Hash
    price_sequence: Counter
    outcome: Outcome
    form: Literal["exact"] | None = None
    flag: Literal["1"] | None = None
    flag_output: Hash | None = None
    top_up: Counter
    top_up_usd: AmountText

    def proof_context(self, record: RunRecord, matrix: str) -> dict[str, str]:
        """Return everything the answer's proofs are bound to besides their statements; `matrix` is a matrix's hash."""
        said = {} if self.form is None else {"form": self.form}
        return said | {
            "run_id": self.run_id,
            "run": self.run,
            "entry": self.entry,
            "operator": self.operator,
            "institution": self.institution,
            "submission": self.submission,
            "submission_sequence": str(record.submission_sequence),
            "price_sequence": str(self.price_sequence),
            "profile": record.profile,
            "model": record.model,
            "universe": record.universe,
            "entry_map": record.entry_map,
            "schedule": record.schedule,
            "generators": record.generators,
            "evaluation_keys": record.evaluation_keys,
            "key_commitments": record.key_commitments,
            "matrix": matrix,
            "outcome": self.outcome,
            "top_up": str(self.top_up),
        }


class Answer(Body, AnswerClaim):
    """The claim with its proofs. It is taken wherever the claim is.

    Attributes:
        sufficiency_proof: fine maintenance rows when covered, else initial ones with X added; of the claim's form.
        decryption_proof: on a breach, that the flag output decrypts to 1 under the committed key.
        breach_proof: on a breach, that some row of the maintenance proof matrix is negative.
    """

    TYPE = "answer"
    sufficiency_proof: ProofHex
    decryption_proof: ProofHex | None = None
    breach_proof: ProofHex | None = None


class Transfer(Part):
    """Quantity of one asset moved, in its smallest ledger unit."""

    asset: Identifier
    quantity: Quantity
    source: Literal["free", "posted"]
    destination: Literal["posted", "liquidation"]


class Settlement(Body):
    """What a verified breach moved, once.

    Attributes:
        answer: hash of the answer, or of what custodians found in its place.
        flag: how the breach is known: proven by the institution, or opened by custodians.
    """

    TYPE = "settlement"
    run_id: Identifier
    run: Hash
    answer: Hash
    operator: PublicKey
    institution: Identifier
    kind: SettlementKind
    flag: Literal["proven", "opened"]
    top_up: Counter
    top_up_usd: PriceText
    transfers: ListOf[Transfer]
    settled_at: Time


class ShortfallRecord(Body):
    """That the operator evaluated `shortfall` for a run, on the run's own ciphertext, keys and coarse maintenance rows.

    Attributes:
        run: hash of the run record, which names all inputs.
        operator: who evaluated.
        ciphertext: SHA-256 of the input words, as in the run record.
        output: SHA-256 of the output words.
        fft_plan: as in a run record, of the plans that `shortfall` uses.
        evaluated_at: time.
    """

    TYPE = "shortfall"
    run: Hash
    operator: PublicKey
    ciphertext: Hash
    output: Hash
    fft_plan: Hash
    evaluated_at: Time


class CollateralInstruction(Body):
    """The institution moves its own free collateral: `post` to the margin account, or `withdraw`.

    `entry` is the hash of the account's last entry that it saw.
    """

    TYPE = "collateral-instruction"
    institution: Identifier
    operator: PublicKey
    sequence: Counter
    entry: Hash
    action: Literal["post", "withdraw"]
    asset: Identifier
    quantity: Quantity

"""What an answer claims, as statements with the bytes that are to prove them: all that is checked but the proofs.

`verification.verify_answer` verifies them one by one and makes what counts; who has many answers verifies the claims of
all of them at once (`zk.verify.batch`), which takes a tenth of the time, and makes nothing that counts.
"""

import hashlib
from collections.abc import Mapping
from typing import NamedTuple

from atomic_margin.fhe.errors import MalformedCiphertext
from atomic_margin.margin.errors import MarginError
from atomic_margin.margin.kinds import MarginKind
from atomic_margin.margin.market.market import Market
from atomic_margin.margin.rows.rounding import RunMatrices
from atomic_margin.margin.rows.top_up import step_units
from atomic_margin.service.errors import Refused
from atomic_margin.service.protocol.documents import Answer, RunRecord
from atomic_margin.service.protocol.keys import KeyPair
from atomic_margin.service.protocol.proof_rows import ProofRows
from atomic_margin.service.protocol.statements import breach_statement, decryption_statement, sufficiency_statement
from atomic_margin.service.protocol.submissions import Submission
from atomic_margin.service.protocol.terms import Terms
from atomic_margin.zk.errors import ProofError
from atomic_margin.zk.verify.batch import Claim


class AnswerGround(NamedTuple):
    """What an answer is held against; all of it is verified before.

    Attributes:
        record: of the run.
        run_hash: of the signed record.
        submission: the book that the run is on.
        market: prices of the run's tick.
        matrices: what they give.
        terms: that the account is under.
        keys: commitments of the submission's enrolment.
        flag_words: raw words of the run's breach flag, needed for a breach only.
    """

    record: RunRecord
    run_hash: str
    submission: Submission
    market: Market
    matrices: RunMatrices
    terms: Terms
    keys: KeyPair
    flag_words: bytes | None


def answer_claims(answer: Answer, ground: AnswerGround) -> Mapping[str, Claim]:
    """Return what an answer's proofs have to show, by the field that has the proof.

    Raises:
        Refused: about another run, a flag that does not go with the outcome, a top-up off its step, or what no proof
            can show; `.field` names which.
    """
    record, terms = ground.record, ground.terms
    # (1) It is about this very run.
    for name, wanted in (
        ("run_id", record.run_id),
        ("run", ground.run_hash),
        ("operator", record.operator),
        ("institution", record.institution),
        ("submission", record.submission),
        ("price_sequence", record.price_sequence),
    ):
        if getattr(answer, name) != wanted:
            raise Refused(f"the answer is about another {name} than the run's", name)
    # (2) Outcome, flag and top-up go together.
    rows = _rows_of(answer, record, ground.market, ground.matrices, terms)
    _check_outcome(answer, record, rows, terms)
    # (3) The sufficiency proof: on maintenance margin as it is, or on initial margin with the top-up added.
    claims = {"sufficiency_proof": _sufficiency(answer, ground, rows)}
    if answer.outcome == "covered":
        return claims
    # (4) The flag is 1: the run's own output ciphertext decrypts to it under the committed flag key.
    claims["decryption_proof"] = _decryption(answer, ground)
    # (5) And rightly so: some row of the maintenance proof matrix is negative for the committed portfolio.
    claims["breach_proof"] = _breach(answer, ground)
    return claims


def _sufficiency(answer: Answer, ground: AnswerGround, rows: ProofRows) -> Claim:
    try:
        statement = sufficiency_statement(answer, ground.terms, ground.record, ground.submission, rows)
    except ProofError as error:
        raise Refused(str(error), "sufficiency_proof") from error
    return Claim(statement, bytes.fromhex(answer.sufficiency_proof))


def _decryption(answer: Answer, ground: AnswerGround) -> Claim:
    record, words = ground.record, ground.flag_words
    if record.outputs is None:
        raise Refused("the run was not evaluated; it has no flag", "flag_output")
    if words is None or hashlib.sha256(words).hexdigest() != record.outputs.breach:
        raise Refused("the words of the run's breach output are not at hand", "flag_output")
    try:
        statement = decryption_statement(answer, ground.terms, record, ground.keys, words, ground.matrices)
    except (ProofError, MalformedCiphertext) as error:
        raise Refused(str(error), "decryption_proof") from error
    return Claim(statement, bytes.fromhex(answer.decryption_proof or ""))


def _breach(answer: Answer, ground: AnswerGround) -> Claim:
    try:
        statement = breach_statement(answer, ground.terms, ground.record, ground.submission, ground.matrices)
    except ProofError as error:
        raise Refused(str(error), "breach_proof") from error
    return Claim(statement, bytes.fromhex(answer.breach_proof or ""))


def _rows_of(answer: Answer, record: RunRecord, market: Market, matrices: RunMatrices, terms: Terms) -> ProofRows:
    """Return the rows that an answer's sufficiency proof is about."""
    kind: MarginKind = "maintenance" if answer.outcome == "covered" else "initial"
    if answer.form is None:
        return ProofRows.of(matrices.of(kind, "proof"))
    try:
        return terms.proof_rows(kind, answer.form, market, record.posted, record, record.agreed)
    except MarginError as error:
        raise Refused(f"there are no exact rows at this tick: {error}; answer without a form", "form") from error


def _check_outcome(answer: Answer, record: RunRecord, rows: ProofRows, terms: Terms) -> None:
    if answer.outcome == "covered":
        # A decrypted 0 proves nothing and would be an answer to whoever fishes for key bits.
        if answer.flag is not None or answer.flag_output is not None:
            raise Refused("a covered answer carries no flag; its proof is the evidence", "flag")
        if answer.decryption_proof is not None or answer.breach_proof is not None:
            raise Refused("a covered answer proves coverage alone; a decryption proof would tell key bits", "flag")
        if answer.top_up != 0 or answer.top_up_usd != "0":
            raise Refused("a covered answer has no top-up", "top_up")
        return
    if record.outputs is None:
        raise Refused("the run was not evaluated; a breach is answered at the run of this tick that is", "outcome")
    if answer.flag != "1":
        raise Refused("a breach answer carries the decrypted flag 1", "flag")
    if answer.flag_output != record.outputs.breach:
        raise Refused("the flag was decrypted from another ciphertext than the run's breach output", "flag_output")
    for name in ("decryption_proof", "breach_proof"):
        if getattr(answer, name) is None:
            raise Refused(f"a breach answer carries its {name.replace('_', ' ')}", name)
    matrix = rows.matrix
    step = step_units(matrix.unit_exponent, terms.call_step(record.agreed, record), record.gross_limit)
    if answer.top_up == 0 or answer.top_up % step:
        raise Refused(f"the top-up must be a positive multiple of {step} units, got {answer.top_up}", "top_up")
    usd = format(matrix.usd(answer.top_up), "f")
    if answer.top_up_usd != usd:
        raise Refused(f"{answer.top_up} units are {usd} USD, not {answer.top_up_usd}", "top_up_usd")

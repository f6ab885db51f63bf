"""What the proofs of submissions and answers must show, by the terms: functions over claims, which have no proofs yet.

The institution makes a claim, takes its statements from here, and proves them; operator and verifier take the same
statements from the document that arrived. No secret, no I/O.
"""

import numpy as np

from atomic_margin.circuits.layout import layout_of
from atomic_margin.documents.canonical import canonical_hash
from atomic_margin.fhe.masks import Ciphertext, bodies_from_bytes, expand_masks, mask_seed
from atomic_margin.fhe.messages import words_from_bytes
from atomic_margin.margin.market.market import Market
from atomic_margin.margin.rows.gain import BITS, UNIT_EXPONENT, gain_weights
from atomic_margin.margin.rows.rounding import PROOF_SHIFT, RunMatrices
from atomic_margin.margin.rows.top_up import TOP_UP_BITS
from atomic_margin.service.protocol.account.events import CoverageClaim
from atomic_margin.service.protocol.documents import AnswerClaim, RunRecord
from atomic_margin.service.protocol.keys import KeyPair
from atomic_margin.service.protocol.proof_rows import ProofRows
from atomic_margin.service.protocol.submissions import Gain, SubmissionClaim
from atomic_margin.service.protocol.terms import Columned, Terms
from atomic_margin.zk.statements.breach import BreachStatement
from atomic_margin.zk.statements.decryption import DecryptionStatement
from atomic_margin.zk.statements.encryption import EncryptionStatement
from atomic_margin.zk.statements.portfolio import PortfolioStatement
from atomic_margin.zk.statements.sufficiency import SufficiencyStatement


def portfolio_statement(claim: SubmissionClaim, terms: Terms) -> PortfolioStatement:
    """Return what a submission's portfolio proof must show.

    Raises:
        StatementError: sizes or limits outside what the argument is sound for.
    """
    columns = terms.columns(claim)
    return PortfolioStatement(
        commitments=tuple(bytes.fromhex(point) for point in claim.commitments),
        widths=columns.widths,
        gross_weights=columns.gross_weights,
        gross_limit=claim.gross_limit,
        context=claim.proof_context(),
    )


def gains(account: Columned, terms: Terms, market: Market | None) -> tuple[int, ...]:
    """Return what one unit of each column of a submission has gained so far, `margin.rows.gain`."""
    return gain_weights(terms.universe_of(account.universe), market, terms.columns(account))


def gain_statement(
    claim: SubmissionClaim, gain: Gain, before: SubmissionClaim | None, terms: Terms, market: Market | None
) -> SufficiencyStatement:
    """Return what a submission's gain proof must show: it gained at most as much more as it says than the one before.

    Args:
        claim: the submission.
        gain: what it says about its gain.
        before: the submission it is compared with; None for none, whose gain is 0.
        terms: of the account.
        market: prices of the tick that it names; None before there are any.

    Raises:
        MarginError: the market does not price the universe, or a gain does not fit its row.
    """
    new = gains(claim, terms, market)
    old = () if before is None else gains(before, terms, market)
    points = (() if before is None else before.commitments) + claim.commitments
    settles = {} if gain.settles is None else {"settles": canonical_hash("settles", gain.settles.canonical())}
    return SufficiencyStatement(
        commitments=tuple(bytes.fromhex(point) for point in points),
        weights=np.array([[*old, *(-weight for weight in new)]], dtype=np.int64),
        offsets=(gain.usd << -UNIT_EXPONENT,),
        top_up=0,
        bits=BITS,
        context={
            **claim.proof_context(),
            "document": "gain",
            "model": terms.hashes["model"],
            "before": gain.before or "none",
            "before_entry_map": "none" if before is None else before.entry_map,
            "price_sequence": str(gain.price_sequence),
            "tick": gain.tick,
            **settles,
        },
    )


def ciphertext_of(claim: SubmissionClaim, terms: Terms) -> Ciphertext:
    """Return the whole ciphertexts of a submission: masks expanded from what it names, bodies as sent.

    Raises:
        MalformedCiphertext: another number of bodies than the account has columns.
    """
    layout = layout_of(terms.profile).messages["input"]
    bodies = bodies_from_bytes(bytes.fromhex(claim.bodies), len(terms.columns(claim)))
    seed = mask_seed(
        claim.nonce, claim.randomness, claim.operator, claim.institution, claim.key_commitments, claim.sequence
    )
    return Ciphertext(expand_masks(seed, len(bodies), layout.dimension), bodies, layout.count)


def encryption_statement(
    claim: SubmissionClaim, terms: Terms, keys: KeyPair, ciphertext: Ciphertext
) -> EncryptionStatement:
    """Return what a submission's encryption proof must show.

    Args:
        claim: the submission.
        terms: that the account is under.
        keys: the commitments to the secret keys.
        ciphertext: of the claim, as `ciphertext_of` returns it: masks take a while to expand.

    Raises:
        StatementError: sizes outside what the argument is sound for.
    """
    return EncryptionStatement(
        commitments=tuple(bytes.fromhex(point) for point in claim.commitments),
        key=keys.input,
        masks=ciphertext.masks,
        bodies=ciphertext.bodies,
        widths=terms.columns(claim).widths,
        scale_bits=63 - layout_of(terms.profile).messages["input"].width,
        context=claim.proof_context(),
    )


def sufficiency_statement(
    claim: AnswerClaim, terms: Terms, record: RunRecord, submission: SubmissionClaim, rows: ProofRows
) -> SufficiencyStatement:
    """Return what an answer's sufficiency proof must show: coverage, or initial margin with the top-up added.

    Args:
        claim: what the institution says.
        terms: that the account is under.
        record: of the run.
        submission: the book that it is on.
        rows: of the claim's form; of maintenance margin for coverage, else of initial margin.

    Raises:
        StatementError: more rows, slack or bits than a proof takes.
    """
    return rows.statement(
        tuple(bytes.fromhex(point) for point in submission.commitments),
        terms.profile.bits + PROOF_SHIFT + (0 if claim.outcome == "covered" else TOP_UP_BITS),
        claim.proof_context(record, rows.hash()),
        claim.top_up,
    )


def coverage_statement(
    claim: CoverageClaim, terms: Terms, submission: SubmissionClaim, rows: ProofRows
) -> SufficiencyStatement:
    """Return what the proof of an unasked coverage must show: none of the fine maintenance rows is negative.

    Args:
        claim: what the institution says.
        terms: that the account is under.
        submission: the book in force.
        rows: of the claim's form and tick, its posted collateral and the submission's gross limit.

    Raises:
        StatementError: more rows, slack or bits than a proof takes.
    """
    said: dict[str, str] = {} if claim.form is None else {"form": claim.form}
    said |= {} if claim.agreed is None else {"agreed": canonical_hash("agreed", claim.agreed.canonical())}
    posted = {asset: str(quantity) for asset, quantity in sorted(claim.posted.items())}
    return rows.statement(
        tuple(bytes.fromhex(point) for point in submission.commitments),
        terms.profile.bits + PROOF_SHIFT,
        said
        | {
            "document": "coverage",
            "institution": claim.institution,
            "operator": claim.operator,
            "entry": claim.entry,
            "submission": claim.submission,
            "price_sequence": str(claim.price_sequence),
            "tick": claim.tick,
            "posted": canonical_hash("posted", posted),
            "instructions": str(claim.instructions),
            "matrix": rows.hash(),
            "universe": submission.universe,
            "entry_map": submission.entry_map,
            **terms.hashes,
        },
    )


def decryption_statement(
    claim: AnswerClaim, terms: Terms, record: RunRecord, keys: KeyPair, flag_words: bytes, matrices: RunMatrices
) -> DecryptionStatement:
    """Return what a breach answer's decryption proof must show: these words decrypt to 1.

    Raises:
        MalformedCiphertext: the words are no flag of the profile.
    """
    layout = layout_of(terms.profile).messages["breach"]
    words = words_from_bytes(flag_words, layout)
    return DecryptionStatement(
        key=keys.flag,
        masks=words[:, :-1],
        bodies=words[:, -1],
        values=(1,),
        scale_bits=63 - layout.width,
        context={
            **claim.proof_context(record, matrices.maintenance_fhe.hash()),
            "flag_output": record.breach_output,
        },
    )


def breach_statement(
    claim: AnswerClaim, terms: Terms, record: RunRecord, submission: SubmissionClaim, matrices: RunMatrices
) -> BreachStatement:
    """Return what a breach answer's breach proof must show: a negative row of the maintenance proof matrix."""
    matrix = matrices.maintenance_proof
    return BreachStatement(
        commitments=tuple(bytes.fromhex(point) for point in submission.commitments),
        weights=matrix.weights,
        offsets=tuple(int(value) for value in matrix.collateral),
        bits=terms.profile.bits + PROOF_SHIFT,
        context=claim.proof_context(record, matrix.hash()),
    )

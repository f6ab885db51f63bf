"""Make a submission: encrypt a book under masks that nobody chose, and prove it in range and rightly encrypted.

Institution only. What it makes is signed by the caller, kept, and only then sent.
"""

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from atomic_margin.circuits.layout import layout_of
from atomic_margin.fhe.institution import InstitutionKeys
from atomic_margin.fhe.masks import expand_masks, mask_seed
from atomic_margin.service.institution.openings import KeyOpenings
from atomic_margin.service.protocol.dealings import BookSharing
from atomic_margin.service.protocol.statements import encryption_statement, portfolio_statement
from atomic_margin.service.protocol.submissions import Gain, Submission, SubmissionClaim
from atomic_margin.service.protocol.terms import Columned, Terms
from atomic_margin.zk.prove.encryption import prove_encryption
from atomic_margin.zk.prove.portfolio import prove_portfolio
from atomic_margin.zk.prove.witness import EncryptionWitness, PortfolioWitness

JsonObject = dict[str, Any]

TERMS_NAMED = ("profile", "generators")


@dataclass(frozen=True)
class CommittedBook:
    """The entries of a book and their commitments; nothing secret appears in its ``repr``.

    Attributes:
        values: the N entries.
        commitments: compressed points.
        blindings: what opens them.
    """

    values: tuple[int, ...] = field(repr=False)
    commitments: tuple[bytes, ...]
    blindings: tuple[int, ...] = field(repr=False)


def make_submission(
    addressed: JsonObject,
    account: Columned,
    terms: Terms,
    book: CommittedBook,
    keys: InstitutionKeys,
    openings: KeyOpenings,
    use_masks: Callable[[bytes], None],
    stage: Callable[[str], None],
    prove_gain: Callable[[SubmissionClaim, CommittedBook], tuple[Gain, bytes]],
    sharing: BookSharing | None = None,
) -> Submission:
    """Return a submission with its three proofs.

    Args:
        addressed: its fields institution, operator, sequence, nonce and evaluation_keys.
        account: gross limit and columns.
        terms: the pinned terms.
        book: what is submitted.
        keys: the FHE keys in use.
        openings: of the commitments to them.
        use_masks: remembers a mask seed; raises when it was used before.
        stage: told what is going on.
        prove_gain: makes the third proof, at the newest prices.
        sharing: the deal of the book to custodians, where the account has some; it was dealt before.

    Raises:
        GrossLimitTooSmall, GrossLimitTooLarge: the gross limit does not go with the terms.
        AgentRefused: these masks were used before.
    """
    terms.check_gross_limit(account)
    stage("encrypting the portfolio")
    layout = layout_of(terms.profile).messages["input"]
    # Drawn after the nonce is known and for this submission alone: whoever repeats nonces gets no two equal masks.
    randomness = secrets.token_hex(32)
    seed = mask_seed(
        addressed["nonce"],
        randomness,
        addressed["operator"],
        addressed["institution"],
        openings.pair.hash,
        int(addressed["sequence"]),
    )
    use_masks(seed)
    z = np.array(book.values, dtype=np.int64)
    ciphertext = keys.encrypt_under(expand_masks(seed, len(z), layout.dimension), z)
    claim = SubmissionClaim.parse(
        {
            **addressed,
            "randomness": randomness,
            **{name: terms.hashes[name] for name in TERMS_NAMED},
            "universe": account.universe,
            "entry_map": terms.columns(account).hash(),
            "gross_limit": str(account.gross_limit),
            **({} if account.columns is None else {"columns": account.columns.canonical()}),
            "key_commitments": openings.pair.hash,
            "bodies": ciphertext.bodies.astype("<u8").tobytes().hex(),
            "ciphertext": hashlib.sha256(ciphertext.to_bytes()).hexdigest(),
            "commitments": [point.hex() for point in book.commitments],
        }
    )
    stage("proving the portfolio")
    portfolio_proof = prove_portfolio(portfolio_statement(claim, terms), PortfolioWitness(book.values, book.blindings))
    stage("proving the encryption")
    encryption_proof = prove_encryption(
        encryption_statement(claim, terms, openings.pair, ciphertext),
        EncryptionWitness(book.values, book.blindings, openings.input),
    )
    stage("proving the gain")
    gain, gain_proof = prove_gain(claim, book)
    proofs = {"portfolio_proof": portfolio_proof, "encryption_proof": encryption_proof, "gain_proof": gain_proof}
    dealt = {} if sharing is None else {"sharing": sharing.canonical()}
    return claim.proven(Submission, {"gain": gain.canonical(), **dealt}, **proofs)

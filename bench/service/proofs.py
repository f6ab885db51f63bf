"""Both answers to a run: what proving and verifying a covered one costs, and one that owns to a breach."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from atomic_margin.bench.service.listing import GROSS_LIMIT
from atomic_margin.circuits.layout import layout_of
from atomic_margin.fhe.messages import words_from_bytes
from atomic_margin.margin.rows.matrix import MarginMatrix
from atomic_margin.margin.rows.rounding import PROOF_SHIFT, RunMatrices
from atomic_margin.margin.rows.top_up import TOP_UP_BITS, compute_top_up
from atomic_margin.service.institution.openings import KeyOpenings
from atomic_margin.service.institution.submissions import CommittedBook
from atomic_margin.service.protocol.terms import Terms
from atomic_margin.zk.groups import load_group
from atomic_margin.zk.prove.breach import prove_breach
from atomic_margin.zk.prove.decryption import prove_decryption
from atomic_margin.zk.prove.sufficiency import prove_sufficiency
from atomic_margin.zk.prove.witness import BreachWitness, SufficiencyWitness
from atomic_margin.zk.statements.breach import BreachStatement
from atomic_margin.zk.statements.decryption import DecryptionStatement
from atomic_margin.zk.statements.sufficiency import SufficiencyStatement
from atomic_margin.zk.verify.breach import verify_breach
from atomic_margin.zk.verify.decryption import verify_decryption
from atomic_margin.zk.verify.sufficiency import verify_sufficiency

Step = Callable[[str, str], AbstractContextManager[None]]

_CONTEXT = {"institution": "example", "run": "1"}


def prove_answers(
    step: Step,
    terms: Terms,
    matrices: tuple[RunMatrices, RunMatrices],
    book: CommittedBook,
    openings: KeyOpenings,
    flag_words: bytes,
) -> dict[str, Any]:
    """Prove and verify both answers, each step under `step`; return the bytes of the proofs.

    Args:
        step: times what is done within it, by name.
        terms: of the account.
        matrices: of a run that the account is covered in, and of one that it is short in.
        book: what opens the commitments.
        openings: of the commitments to the keys.
        flag_words: what the second run's flag came out as.

    Raises:
        ProofError: a proof does not hold.
    """
    group, (covered, short) = load_group(), matrices
    bits = terms.profile.bits + PROOF_SHIFT
    witness = SufficiencyWitness(book.values, book.blindings)

    statement = _sufficiency(covered.maintenance_proof, book, 0, bits)
    with step("prove_covered_s", "proving coverage"):
        proof = prove_sufficiency(statement, witness, group)
    with step("verify_covered_s", "verifying coverage"):
        verify_sufficiency(statement, proof, group)

    call = compute_top_up(
        short.initial_proof,
        np.array(book.values, dtype=np.int64),
        minimum_transfer_amount=terms.model.minimum_transfer_amount,
        gross_limit=GROSS_LIMIT,
    )
    topped = _sufficiency(short.initial_proof, book, max(call.units, call.step), bits + TOP_UP_BITS)
    layout = layout_of(terms.profile).messages["breach"]
    words = words_from_bytes(flag_words, layout)
    decryption = DecryptionStatement(
        openings.pair.flag, words[:, :-1], words[:, -1], (1,), _CONTEXT, scale_bits=63 - layout.width
    )
    matrix = short.maintenance_proof
    offsets = tuple(matrix.collateral.tolist())
    breach = BreachStatement(book.commitments, matrix.weights, offsets, bits, _CONTEXT)
    with step("prove_breach_s", "proving a breach"):
        proofs = (
            prove_sufficiency(topped, witness, group),
            prove_decryption(decryption, openings.flag, group),
            prove_breach(breach, BreachWitness(book.values, book.blindings), group),
        )
    with step("verify_breach_s", "verifying a breach"):
        verify_sufficiency(topped, proofs[0], group)
        verify_decryption(decryption, proofs[1], group)
        verify_breach(breach, proofs[2], group)
    return {"covered_proof_bytes": len(proof), "breach_proof_bytes": sum(map(len, proofs))}


def _sufficiency(matrix: MarginMatrix, book: CommittedBook, top_up: int, bits: int) -> SufficiencyStatement:
    offsets = tuple(matrix.collateral.tolist())
    return SufficiencyStatement(book.commitments, matrix.weights, offsets, top_up, bits, _CONTEXT)

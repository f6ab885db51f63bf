"""Verify many proofs, of any statements, in one multi-scalar multiplication. Anyone may call it.

>>> verify_batch([])
Traceback (most recent call last):
    ...
atomic_margin.zk.errors.StatementError: a batch of no proofs shows nothing: give at least one
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

from atomic_margin.zk.bits.final import FinalCheck, verify_checks
from atomic_margin.zk.errors import (
    BatchInvalid,
    BitProofInvalid,
    BreachProofInvalid,
    DecryptionProofInvalid,
    EncryptionProofInvalid,
    LackProofInvalid,
    PortfolioProofInvalid,
    ProofError,
    StatementError,
    SufficiencyProofInvalid,
    VerificationError,
)
from atomic_margin.zk.groups import Group, Point, load_group
from atomic_margin.zk.statements.breach import BreachStatement
from atomic_margin.zk.statements.decryption import DecryptionStatement
from atomic_margin.zk.statements.encryption import EncryptionStatement
from atomic_margin.zk.statements.lack import LackStatement
from atomic_margin.zk.statements.portfolio import PortfolioStatement
from atomic_margin.zk.statements.sufficiency import SufficiencyStatement
from atomic_margin.zk.verify.breach import gather_breach
from atomic_margin.zk.verify.conclude import conclude
from atomic_margin.zk.verify.decryption import gather_decryption
from atomic_margin.zk.verify.encryption import gather_encryption
from atomic_margin.zk.verify.lack import gather_lack
from atomic_margin.zk.verify.portfolio import gather_portfolio
from atomic_margin.zk.verify.sufficiency import gather_sufficiency

Statement: TypeAlias = (
    "BreachStatement | DecryptionStatement | EncryptionStatement | LackStatement | PortfolioStatement"
    " | SufficiencyStatement"
)


FRESH_BYTES = 32
"""Of the operating system's generator, absorbed before the weights of every multiplication are drawn."""


class Claim(NamedTuple):
    """A statement and the bytes that are to prove it."""

    statement: Statement
    proof: bytes


_KINDS: Mapping[type, tuple[Callable[..., FinalCheck], type[VerificationError]]] = MappingProxyType(
    {
        BreachStatement: (gather_breach, BreachProofInvalid),
        DecryptionStatement: (gather_decryption, DecryptionProofInvalid),
        EncryptionStatement: (gather_encryption, EncryptionProofInvalid),
        LackStatement: (gather_lack, LackProofInvalid),
        PortfolioStatement: (gather_portfolio, PortfolioProofInvalid),
        SufficiencyStatement: (gather_sufficiency, SufficiencyProofInvalid),
    }
)


def verify_batch(
    claims: Sequence[Claim | tuple[Statement, bytes]],
    group: Group | None = None,
    known: dict[bytes, Point] | None = None,
) -> None:
    """Check that every claim holds; returning means that all do.

    Commitments that occur in several statements are decoded once. If something is wrong, the culprits are found by
    halving, which costs a few multiplications for each.

    Args:
        claims: statements with their proofs, at least one.
        group: backend, by default the fastest installed.
        known: points of this backend decoded before, by their bytes; those decoded now are added. Keep it between
            batches about the same accounts: decoding their commitments is most of what a batch cannot share.

    Raises:
        StatementError: the batch is empty, or holds something that is not a statement.
        BatchInvalid: at least one claim does not hold; its ``culprits`` have the error of each by its position.
    """
    if not claims:
        raise StatementError("a batch of no proofs shows nothing: give at least one")
    group = group or load_group()
    known = {} if known is None else known
    checks: dict[int, FinalCheck] = {}
    culprits: dict[int, ProofError] = {}
    # (1) Everything but the multiplication, claim by claim: sizes, encodings, challenges.
    for index, (statement, proof) in enumerate(claims):
        gather, _ = _kind(statement)
        try:
            checks[index] = gather(statement, proof, group, known)
        except ProofError as error:
            culprits[index] = error
    # (2) One multiplication for all, under weights that depend on every byte and on fresh ones; on failure, for halves.
    for index in _bad(list(checks), checks, group):
        _, invalid = _kind(claims[index][0])
        culprits[index] = invalid()
    if culprits:
        raise BatchInvalid(culprits)


def verify_claim(claim: Claim, group: Group | None = None) -> None:
    """Check one claim; returning means that it holds.

    Raises:
        StatementError: it is about something that is not a statement.
        ProofError: as the statement's own function in `zk.verify` says.
    """
    gather, invalid = _kind(claim.statement)
    group = group or load_group()
    conclude(gather(claim.statement, claim.proof, group, {}), group, invalid)


def _kind(statement: Any) -> tuple[Callable[..., FinalCheck], type[VerificationError]]:
    try:
        return _KINDS[type(statement)]
    except KeyError:
        raise StatementError(f"{type(statement).__name__} is not a statement of this package") from None


def _bad(indices: list[int], checks: Mapping[int, FinalCheck], group: Group) -> list[int]:
    """Return which of ``indices`` have a check that does not hold."""
    if not indices:
        return []
    try:
        verify_checks([checks[index] for index in indices], group, secrets.token_bytes(FRESH_BYTES))
    except BitProofInvalid:
        if len(indices) == 1:
            return indices
    else:
        return []
    half = len(indices) // 2
    return [*_bad(indices[:half], checks, group), *_bad(indices[half:], checks, group)]

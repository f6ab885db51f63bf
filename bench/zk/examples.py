"""Honest statements of any size, made up: what the benchmark measures. Prover only.

>>> from atomic_margin.zk.groups import load_group
>>> example, = CASES["decryption"](1, 0, 1, 4, 1, load_group())
>>> example.verify(example.prove(load_group()), load_group())
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from atomic_margin.zk.bits.parameters import BitParameters
from atomic_margin.zk.groups import Group, Point
from atomic_margin.zk.prove.breach import prove_breach
from atomic_margin.zk.prove.commit import commit_values
from atomic_margin.zk.prove.decryption import prove_decryption
from atomic_margin.zk.prove.encryption import prove_encryption
from atomic_margin.zk.prove.key import KeyOpening, commit_key
from atomic_margin.zk.prove.portfolio import prove_portfolio
from atomic_margin.zk.prove.sufficiency import prove_sufficiency
from atomic_margin.zk.prove.witness import BreachWitness, EncryptionWitness, PortfolioWitness, SufficiencyWitness
from atomic_margin.zk.sharing.check import check_shares
from atomic_margin.zk.sharing.deal import SharingWitness, deal_shares
from atomic_margin.zk.sharing.messages import Deal, Shares, deal_bytes
from atomic_margin.zk.sharing.statement import Custodian, SharingStatement
from atomic_margin.zk.statements.breach import BreachStatement
from atomic_margin.zk.statements.decryption import DecryptionStatement
from atomic_margin.zk.statements.encryption import EncryptionStatement
from atomic_margin.zk.statements.key import KeyCommitments
from atomic_margin.zk.statements.portfolio import PortfolioStatement
from atomic_margin.zk.statements.sufficiency import SufficiencyStatement
from atomic_margin.zk.verify.breach import verify_breach
from atomic_margin.zk.verify.decryption import verify_decryption
from atomic_margin.zk.verify.encryption import verify_encryption
from atomic_margin.zk.verify.portfolio import verify_portfolio
from atomic_margin.zk.verify.sufficiency import verify_sufficiency

_SECRET = bytes(32)
_GROSS_LIMIT = 2**30 - 1
_INPUT_SCALE_BITS = 43
_OUTPUT_NOISE = 2**49
Words = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Example:
    """A statement, and its witness behind two calls; ``parameters`` are those of its longest argument, if any."""

    statement: Any
    bits: int
    parameters: BitParameters | None
    prove: Callable[[Group], bytes]
    verify: Callable[[bytes, Group], None]


def _context(copy: int) -> dict[str, str]:
    return {"institution": "example", "run": str(copy)}


def _entries(count: int, width: int, group: Group) -> tuple[tuple[int, ...], tuple[bytes, ...], tuple[int, ...]]:
    values = tuple(index % (1 << width) for index in range(count))
    return values, *commit_values(values, _SECRET, _context(0), group)


def _weights(rows: int, entries: int) -> npt.NDArray[np.int64]:
    return np.arange(rows * entries, dtype=np.int64).reshape(rows, entries) % 7 - 3


def portfolio(entries: int, rows: int, bits: int, dimension: int, copies: int, group: Group) -> list[Example]:
    """``entries`` of ``bits`` bits under a 30-bit gross limit."""
    values, commitments, blindings = _entries(entries, bits, group)
    witness = PortfolioWitness(values, blindings)
    examples = []
    for copy in range(copies):
        widths, ones = (bits,) * entries, (1,) * entries
        statement = PortfolioStatement(commitments, widths, ones, _GROSS_LIMIT, _context(copy))
        examples.append(_example(statement, witness, prove_portfolio, verify_portfolio))
    return examples


def sufficiency(entries: int, rows: int, bits: int, dimension: int, copies: int, group: Group) -> list[Example]:
    """``rows`` of ``bits`` bits over five-bit entries."""
    values, commitments, blindings = _entries(entries, 5, group)
    weights, offsets = _weights(rows, entries), (1 << (bits - 1),) * rows
    witness = SufficiencyWitness(values, blindings)
    examples = []
    for copy in range(copies):
        statement = SufficiencyStatement(commitments, weights, offsets, 0, bits, _context(copy))
        examples.append(_example(statement, witness, prove_sufficiency, verify_sufficiency))
    return examples


def sufficiency_with_slack(
    entries: int, rows: int, bits: int, dimension: int, copies: int, group: Group
) -> list[Example]:
    """The largest of rows - 1 losses against the collateral: one slack value, X in the last row alone."""
    values, commitments, blindings = _entries(entries, 5, group)
    weights = _weights(rows, entries)
    weights[-1] = 0
    losses = [-sum(int(w) * z for w, z in zip(row, values, strict=True)) for row in weights[:-1]]
    top_up = max(0, *losses)
    slack = np.ones((rows, 1), dtype=np.int64)
    slack[-1] = -1
    counts = (*(0,) * (rows - 1), 1)
    witness = SufficiencyWitness(values, blindings, (top_up,))
    examples = []
    for copy in range(copies):
        statement = SufficiencyStatement(
            commitments, weights, (0,) * rows, top_up, bits, _context(copy), slack, (bits,), counts
        )
        examples.append(_example(statement, witness, prove_sufficiency, verify_sufficiency))
    return examples


def breach(entries: int, rows: int, bits: int, dimension: int, copies: int, group: Group) -> list[Example]:
    """``rows`` of which the first is short by one unit."""
    values, commitments, blindings = _entries(entries, 5, group)
    weights = _weights(rows, entries)
    profits = [sum(int(w) * z for w, z in zip(row, values, strict=True)) for row in weights]
    offsets = tuple(-profit - (row == 0) for row, profit in enumerate(profits))
    witness = BreachWitness(values, blindings)
    examples = []
    for copy in range(copies):
        statement = BreachStatement(commitments, weights, offsets, bits, _context(copy))
        examples.append(_example(statement, witness, prove_breach, verify_breach, statement.parameters))
    return examples


def encryption(entries: int, rows: int, bits: int, dimension: int, copies: int, group: Group) -> list[Example]:
    """``entries`` of ``bits`` bits under a key of ``dimension``, with a scale of 2^43."""
    values, commitments, blindings = _entries(entries, bits, group)
    key, opening, masks, bodies = _ciphertexts(values, dimension, _INPUT_SCALE_BITS, 2**14, group)
    witness = EncryptionWitness(values, blindings, opening)
    examples = []
    for copy in range(copies):
        statement = EncryptionStatement(
            commitments, key, masks, bodies, (bits,) * entries, _INPUT_SCALE_BITS, _context(copy)
        )
        examples.append(_example(statement, witness, prove_encryption, verify_encryption))
    return examples


def decryption(entries: int, rows: int, bits: int, dimension: int, copies: int, group: Group) -> list[Example]:
    """``entries`` ciphertexts of one bit each under a key of ``dimension``."""
    values = tuple(index % 2 for index in range(1, entries + 1))
    key, opening, masks, bodies = _ciphertexts(values, dimension, 62, _OUTPUT_NOISE, group)
    examples = []
    for copy in range(copies):
        statement = DecryptionStatement(key, masks, bodies, values, _context(copy))
        examples.append(_example(statement, opening, prove_decryption, verify_decryption))
    return examples


def submission(entries: int, rows: int, bits: int, dimension: int, copies: int, group: Group) -> list[Example]:
    """Both proofs of one submission about the same ``entries``; points are decoded once for both."""
    values, commitments, blindings = _entries(entries, bits, group)
    key, opening, masks, bodies = _ciphertexts(values, dimension, _INPUT_SCALE_BITS, 2**14, group)
    widths, ones = (bits,) * entries, (1,) * entries

    def example(copy: int) -> Example:
        ranges = PortfolioStatement(commitments, widths, ones, _GROSS_LIMIT, _context(copy))
        encrypted = EncryptionStatement(commitments, key, masks, bodies, widths, _INPUT_SCALE_BITS, _context(copy))
        shorter, longer = ranges.bit_statement().parameters, encrypted.bit_statement().parameters

        def prove(group: Group) -> bytes:
            first = prove_portfolio(ranges, PortfolioWitness(values, blindings), group)
            return first + prove_encryption(encrypted, EncryptionWitness(values, blindings, opening), group)

        def verify(proofs: bytes, group: Group) -> None:
            known: dict[bytes, Point] = {}
            verify_portfolio(ranges, proofs[: shorter.proof_bytes], group, known)
            verify_encryption(encrypted, proofs[shorter.proof_bytes :], group, known)

        return Example((ranges, encrypted), shorter.bits + longer.bits, longer, prove, verify)

    return [example(copy) for copy in range(copies)]


def sharing(threshold: int, custodians: int) -> Callable[[int, int, int, int, int, Group], list[Example]]:
    """A book of ``entries`` among so many custodians: the deal, and what one of them checks."""

    def made(entries: int, rows: int, bits: int, dimension: int, copies: int, group: Group) -> list[Example]:
        values, commitments, blindings = _entries(entries, bits, group)
        holders = tuple(Custodian(point, bytes([point]) * 32) for point in range(1, custodians + 1))
        witness = SharingWitness(values, blindings)

        def example(copy: int) -> Example:
            statement = SharingStatement(commitments, threshold, holders, _context(copy))

            def prove(group: Group) -> bytes:
                deal, shares = deal_shares(statement, witness, group)
                return deal.to_bytes() + shares[-1].to_bytes()

            def verify(data: bytes, group: Group) -> None:
                deal = Deal.from_bytes(data[: deal_bytes(statement)], statement)
                shares = Shares.from_bytes(data[deal_bytes(statement) :], statement)
                check_shares(deal, shares, custodians, group)

            return Example(statement, 0, None, prove, verify)

        return [example(copy) for copy in range(copies)]

    return made


def _example(
    statement: Any,
    witness: Any,
    prove: Callable[..., bytes],
    verify: Callable[[Any, bytes, Group], None],
    parameters: BitParameters | None = None,
) -> Example:
    parameters = parameters or statement.bit_statement().parameters
    return Example(
        statement,
        parameters.bits,
        parameters,
        lambda group: prove(statement, witness, group),
        lambda proof, group: verify(statement, proof, group),
    )


def _ciphertexts(
    values: tuple[int, ...], dimension: int, scale_bits: int, noise: int, group: Group
) -> tuple[KeyCommitments, KeyOpening, Words, Words]:
    # Not for secrets: the numbers only have to look like some.
    rng = random.Random(1)  # noqa: S311 - what is proved in a measurement, nothing secret
    key, opening = commit_key([rng.randrange(2) for _ in range(dimension)], _SECRET, _context(0), group)
    masks = np.random.default_rng(1).integers(0, 2**64, (len(values), dimension), dtype=np.uint64)
    bodies = [
        (phase + (value << scale_bits) + rng.randrange(-noise, noise)) % 2**64
        for phase, value in zip(opening.inner_products(masks), values, strict=True)
    ]
    return key, opening, masks, np.array(bodies, dtype=np.uint64)


CASES: Mapping[str, Callable[[int, int, int, int, int, Group], list[Example]]] = MappingProxyType(
    {
        "breach": breach,
        "decryption": decryption,
        "encryption": encryption,
        "portfolio": portfolio,
        "sharing 2 of 4": sharing(2, 4),
        "sharing 3 of 6": sharing(3, 6),
        "submission": submission,
        "sufficiency": sufficiency,
        "sufficiency with slack": sufficiency_with_slack,
    }
)

"""Outcomes of branches that no test can take, each with its reason. `coverage_contracts.py` reads and checks it.

Each has to be there, and not taken: what was changed, or can be taken after all, is refused. Where a function has the
same condition twice, both are meant.
"""

from typing import NamedTuple


class Untaken(NamedTuple):
    """One outcome that is never taken.

    Attributes:
        function: `Contract.function`.
        text: the condition, as the report has it.
        outcome: as the report has it.
        reason: why it is never taken, and why it is there all the same.
    """

    function: str
    text: str
    outcome: str
    reason: str


def _always(reason: str, *loops: tuple[str, str]) -> tuple[Untaken, ...]:
    """Loops that have a turn whenever they are reached."""
    return tuple(Untaken(function, text, "skipped", reason) for function, text in loops)


UNTAKEN: tuple[Untaken, ...] = (
    *_always(
        "a statement without rows is refused when it is read",
        ("ChunkArgument._joined", "rowsLeft > 0"),
        ("ProofEquations._sufficiency", "row < header.rows"),
        ("ProofEquations._takeChoice", "index <= rows"),
        ("ProofEquations._takeChoice", "row < rows"),
        ("ProofEquations._drawShares", "row < header.rows"),
        ("ProofEquations._finish", "row < header.rows"),
        ("ProofEquations._foldOffsets", "row < offsets.length"),
        ("ProofEquations._columns", "row < factors.length"),
        ("ProofEquations._columns", "lt(factor, end)"),
        ("ProofEquations._checkWeights", "lt(place, end)"),
        ("Statements.offsets", "row < numbers.length"),
        ("Statements.sufficiencyJson", "row < statement.rows"),
        ("Statements._list", "index < numbers.length"),
        ("BitArgument.sumOfPowers", "index < count"),
        ("ChunkedSufficiency._chunkedSufficiency", "row < header.rows"),
    ),
    *_always(
        "a statement without entries is refused when it is read",
        ("ProofEquations._takeCommitments", "index < count"),
        ("ProofEquations._absorbCommitments", "index < count"),
        ("ProofEquations._columns", "lt(column, last)"),
    ),
    *_always(
        "a statement without bits is refused when it is read, and a tail has one at least",
        ("BitArgument._block", "left < end"),
        ("BitArgument.readTails", "k < tail"),
    ),
    *_always(
        "there is one block before the first round",
        ("BitArgument._vectors", "block_ < leftBlocks.length"),
        ("BitArgument.blockWeights", "index > 0"),
    ),
    *_always(
        "both bases are generators too, and a block of them that is read has one at least",
        ("Generators._loadGenerators", "left > 0"),
        ("Generators._loadGenerators", "lt(scratch, end)"),
    ),
    *_always(
        "the number of turns is a constant",
        ("Generators.constructor", "index < BLOCKS"),
        ("ChunkArgument.converse", "index < CROSSES"),
        ("ChunkArgument._takeVectors", "index < VECTORS"),
        ("ChunkArgument._join", "chunk < CHUNKS"),
        ("ChunkArgument._ownScalars", "index < CROSSES"),
    ),
    *_always(
        "a proof in chunks has more than 1,024 bits, so that every chunk is folded",
        ("ChunkArgument.shapeOf", "rounds < MAX_ROUNDS && each > FOLDED << rounds"),
        ("ChunkArgument.converse", "round < shape.rounds"),
        ("ChunkArgument._vectors", "index < shape.length"),
        ("ChunkArgument._power", "exponent > 0"),
    ),
    *_always("every number has a digit", ("Statements.append", "gt(place, start)")),
    *_always(
        "k is one at least, and fewer signatures than k are refused before",
        ("MatrixOracle._check", "i < signatures.length"),
    ),
    *_always("a set without signers has no k that is more than half", ("MatrixOracle._install", "i < count")),
)

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
        ("MarginVerifier.verifySufficiency", "row < header.rows"),
        ("MarginVerifier._takeChoice", "index <= rows"),
        ("MarginVerifier._takeChoice", "row < rows"),
        ("MarginVerifier._drawShares", "row < header.rows"),
        ("MarginVerifier._finish", "row < header.rows"),
        ("MarginVerifier._columns", "row < factors.length"),
        ("MarginVerifier._columns", "lt(factor, end)"),
        ("MarginVerifier._checkWeights", "lt(place, end)"),
        ("Statements.offsets", "row < numbers.length"),
        ("Statements.sufficiencyJson", "row < statement.rows"),
        ("Statements._list", "index < numbers.length"),
        ("BitArgument._sumOfPowers", "index < count"),
    ),
    *_always(
        "a statement without entries is refused when it is read",
        ("MarginVerifier._takeCommitments", "index < count"),
        ("MarginVerifier._absorbCommitments", "index < count"),
        ("MarginVerifier._columns", "lt(column, last)"),
    ),
    *_always(
        "a statement without bits is refused when it is read, and a tail has one at least",
        ("BitArgument._block", "left < end"),
        ("BitArgument._tails", "k < tail"),
    ),
    *_always(
        "there is one block before the first round",
        ("BitArgument._vectors", "block_ < leftBlocks.length"),
        ("BitArgument._blocks", "index > 0"),
    ),
    *_always(
        "both bases are generators too, and a block of them that is read has one at least",
        ("Generators._loadGenerators", "left > 0"),
        ("Generators._loadGenerators", "lt(scratch, end)"),
    ),
    *_always("every number has a digit", ("Statements.append", "gt(place, start)")),
    *_always(
        "k is one at least, and fewer signatures than k are refused before",
        ("MatrixOracle._check", "i < signatures.length"),
    ),
    *_always("a set without signers has no k that is more than half", ("MatrixOracle._install", "i < count")),
)

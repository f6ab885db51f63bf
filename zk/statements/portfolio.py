"""The portfolio statement: every entry in its range, and the gross limit kept. Anyone may call it.

It is made once per submission, on the commitments alone, and every sufficiency statement rests on it.

>>> statement = PortfolioStatement(
...     commitments=(bytes(48), bytes(48)), widths=(5, 5), gross_weights=(1, 32), gross_limit=100, context={"run": "1"}
... )
>>> statement.bit_statement().parameters.bits
17
"""

from collections.abc import Mapping
from dataclasses import dataclass

from atomic_margin.documents.canonical import canonical_bytes
from atomic_margin.zk.bits.parameters import BitParameters
from atomic_margin.zk.bits.statement import BitStatement, LinearForm, Relation
from atomic_margin.zk.errors import StatementError
from atomic_margin.zk.statements import checks

NAME = "portfolio"
MAX_GROSS_LIMIT = 2**63 - 1


@dataclass(frozen=True)
class PortfolioStatement:
    """Entry i lies in [0, 2^widths[i]), and gross_limit - sum of gross_weights[i] * entry i in [0, 2^slack_bits).

    Attributes:
        commitments: compressed Pedersen commitments to the N entries, N at most 4096.
        widths: bits of each entry, 1 to 32.
        gross_weights: public weight g_i >= 0 of each entry, in the units of the limit; 0 for what it does not bound.
        gross_limit: proven limit G of the account, 1 to 2^63 - 1.
        context: everything else the proof belongs to, as labelled strings.

    Raises:
        StatementError: sizes, widths, weights or limits outside these bounds.
    """

    commitments: tuple[bytes, ...]
    widths: tuple[int, ...]
    gross_weights: tuple[int, ...]
    gross_limit: int
    context: Mapping[str, str]

    def __post_init__(self) -> None:
        object.__setattr__(self, "commitments", checks.commitments(self.commitments))
        count = len(self.commitments)
        if (len(self.widths), len(self.gross_weights)) != (count, count):
            raise StatementError(
                f"{count} commitments, but {len(self.widths)} widths and {len(self.gross_weights)} gross weights"
            )
        object.__setattr__(self, "widths", checks.integers("widths", self.widths, 1, checks.MAX_WIDTH))
        high = 1 << checks.MAX_TERM_BITS
        object.__setattr__(self, "gross_weights", checks.integers("gross_weights", self.gross_weights, 0, high))
        checks.integer("gross_limit", self.gross_limit, 1, MAX_GROSS_LIMIT)
        for index, (width, weight) in enumerate(zip(self.widths, self.gross_weights, strict=True)):
            if (weight << width) > high:
                raise StatementError(f"gross_weights[{index}] times an entry of {width} bits could exceed {high}")
        checks.total_bits(sum(self.widths) + self.slack_bits)
        object.__setattr__(self, "context", checks.context(self.context))

    @property
    def slack_bits(self) -> int:
        """Bits of the unused part of the gross limit: enough for the limit itself."""
        return self.gross_limit.bit_length()

    def bit_statement(self) -> BitStatement:
        """Return the statement as relations: one per entry and one for the gross limit."""
        relations, start = [], 0
        for index, width in enumerate(self.widths):
            relations.append(Relation(LinearForm.binary(start, width), LinearForm(range(index, index + 1), (1,)), 0))
            start += width
        weights = tuple(-weight for weight in self.gross_weights)
        relations.append(
            Relation(
                LinearForm.binary(start, self.slack_bits), LinearForm(range(len(weights)), weights), self.gross_limit
            )
        )
        return BitStatement(
            name=NAME,
            binding=(("public", self._public()),),
            commitments=self.commitments,
            relations=tuple(relations),
            parameters=BitParameters.for_bits(start + self.slack_bits),
        )

    def _public(self) -> bytes:
        return canonical_bytes(
            {
                "context": self.context,
                "entries": str(len(self.commitments)),
                "gross_limit": str(self.gross_limit),
                "gross_weights": checks.decimal(self.gross_weights),
                "statement": NAME,
                "version": checks.PROTOCOL_VERSION,
                "widths": checks.decimal(self.widths),
            }
        )

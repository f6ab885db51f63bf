"""The port through which the settlement hook moves collateral: what a rail is, and the usual one, the ledger alone.

The hook decides what a proven breach has to move, and nothing else does. A rail carries it out where the collateral is,
and says when that is final; only then is the settlement entered and booked. Where the operator's ledger is all there
is, that is at once. Where a contract holds the collateral, it takes blocks (`settlement.chain`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple, Protocol

from sqlalchemy import select
from sqlalchemy.orm import Session

from atomic_margin.service.operator.store.rail_tables import RailTransfer
from atomic_margin.service.operator.store.tables import Run
from atomic_margin.service.protocol.documents import Answer
from atomic_margin.service.protocol.rail_messages import RailView
from atomic_margin.service.protocol.settlements import Rightful
from atomic_margin.service.protocol.states import RunState

MOST_TROUBLES = 20


@dataclass(frozen=True)
class Instruction:
    """What the hook tells a rail of one verified breach.

    Attributes:
        run_id: of the run, which settles once.
        run_hash: hash of its signed record.
        answer_hash: of the answer that proved the breach.
        institution: whose account it is.
        top_up: X in units of the initial proof matrix.
        top_up_usd: the same in USD.
        rightful: what has to move, by the ledger as it is now.
    """

    run_id: str
    run_hash: str
    answer_hash: str
    institution: str
    top_up: int
    top_up_usd: Decimal
    rightful: Rightful


class Trouble(NamedTuple):
    """Something that keeps a rail from going on, for whoever looks after it.

    Attributes:
        run_id: of the settlement that waits; empty for what is not about one.
        what: what is wrong, and what to do.
    """

    run_id: str
    what: str


class Rail(Protocol):
    """What carries settlements out."""

    def require_carriable(self, run_id: str, answer: Answer) -> None:
        """Make sure that a breach could be settled on an answer, before it is taken.

        Raises:
            Refused: where the collateral is, its proofs would settle nothing.
        """

    def holds(self, institution: str) -> bool:
        """Return whether an institution's collateral is somewhere else than in the ledger."""

    def require_backed(self, institution: str, asset: str, posted: int, adding: bool) -> None:
        """Make sure that there is what the ledger is to have posted, before an instruction or a return is entered.

        Args:
            institution: whose account.
            asset: that is posted or comes back.
            posted: of it in the ledger afterwards, smallest units.
            adding: whether something is posted; else something comes back.

        Raises:
            Refused: where the collateral is, it is otherwise.
        """

    def carry(self, session: Session, instruction: Instruction) -> Rightful | None:
        """Return what moved once that is final, inside the hook's unit of work; None while it is not.

        It is called again with the same breach until it is, and what it is given meanwhile may differ with the ledger.
        """

    def under_way(self, session: Session) -> frozenset[str]:
        """Return the runs that were carried and are not final: nobody need ask for them."""

    def finals(self, session: Session) -> frozenset[str]:
        """Return the runs that are final and wait for the ledger: halts of settlements come too late for them."""

    def troubles(self, session: Session) -> list[Trouble]:
        """Return what keeps it from going on, a limited number."""

    def view(self, session: Session) -> RailView:
        """Return what the operator's staff are shown."""

    def rounds(self) -> list[tuple[str, Callable[[], bool]]]:
        """Return what is done again and again in the background, by the name of its thread."""

    def close(self) -> None:
        """Let go of what it holds."""


class LedgerRail:
    """The operator's ledger is where the collateral is: what is booked has moved.

    What was handed to a rail on a chain by an earlier start waits: it may have moved there, or be about to.
    """

    def require_carriable(self, run_id: str, answer: Answer) -> None:
        """Take every answer: the operator verifies all kinds of proof itself."""
        del run_id, answer

    def holds(self, institution: str) -> bool:
        """Return that it is nobody's."""
        del institution
        return False

    def require_backed(self, institution: str, asset: str, posted: int, adding: bool) -> None:
        """Take every instruction: what the ledger has is there."""
        del institution, asset, posted, adding

    def carry(self, session: Session, instruction: Instruction) -> Rightful | None:
        """Return what has to move: the hook books it in the same transaction."""
        return None if session.get(RailTransfer, instruction.run_id) is not None else instruction.rightful

    def under_way(self, session: Session) -> frozenset[str]:
        """Return what was handed to a rail on a chain, and is not booked."""
        query = (
            select(RailTransfer.run_id)
            .join(Run, Run.run_id == RailTransfer.run_id)
            .where(Run.state == RunState.BREACH_VERIFIED)
        )
        return frozenset(session.scalars(query))

    def finals(self, session: Session) -> frozenset[str]:
        """Return none: what is final is booked."""
        del session
        return frozenset()

    def troubles(self, session: Session) -> list[Trouble]:
        """Return what was handed to a rail on a chain, and is not booked."""
        return [
            Trouble(run_id, "it was handed to a rail on a chain, and may move there: start the operator with --rail")
            for run_id in sorted(self.under_way(session))[:MOST_TROUBLES]
        ]

    def view(self, session: Session) -> RailView:
        """Return that there is no other rail."""
        del session
        return RailView(
            rail="ledger",
            chain=None,
            vault=None,
            asset=None,
            sender=None,
            transfers=(),
            accounts=(),
            troubles=(),
        )

    def rounds(self) -> list[tuple[str, Callable[[], bool]]]:
        """Return none."""
        return []

    def close(self) -> None:
        """Hold nothing."""

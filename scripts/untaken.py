"""Outcomes of branches that no test can take, each with its reason. `coverage_contracts.py` reads and checks it.

Each has to be there, and not taken: what was moved, changed or can be taken after all is refused.
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


UNTAKEN: tuple[Untaken, ...] = ()

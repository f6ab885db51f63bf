"""Named points at which the process can be made to die, so that recovery is tested and not believed.

Set ``ATOMIC_MARGIN_FAULT`` to the name of a point; the process then ends there at once, as if the power had gone.
"""

import os
from typing import Literal, get_args

FaultPoint = Literal[
    "answer-stored", "settlement-booked", "settlement-committed", "run-evaluated", "sale-booked", "close-out-booked"
]
FAULT_POINTS: tuple[str, ...] = get_args(FaultPoint)
EXIT_CODE = 86


def fault_point(name: FaultPoint) -> None:
    """Die here if the environment names this point."""
    if os.environ.get("ATOMIC_MARGIN_FAULT") == name:
        os._exit(EXIT_CODE)

"""Named points at which the process can be made to die, so that recovery is tested and not believed.

Set ``ATOMIC_MARGIN_FAULT`` to the name of a point; the process then ends there at once, as if the power had gone.
"""

import os
from typing import Literal, get_args

RunFault = Literal["answer-stored", "settlement-booked", "settlement-committed", "run-evaluated"]
DefaultFault = Literal["sale-booked", "close-out-booked"]
OpeningFault = Literal["opening-stored"]
RailFault = Literal["transaction-stored", "transaction-sent", "settlement-final"]
FaultPoint = RunFault | DefaultFault | OpeningFault | RailFault
RUN_FAULTS: tuple[str, ...] = get_args(RunFault)
"""Those between a tick and the end of a settlement."""
FAULT_POINTS: tuple[str, ...] = (*RUN_FAULTS, *get_args(DefaultFault), *get_args(OpeningFault), *get_args(RailFault))
EXIT_CODE = 86


def fault_point(name: FaultPoint) -> None:
    """Die here if the environment names this point."""
    if os.environ.get("ATOMIC_MARGIN_FAULT") == name:
        os._exit(EXIT_CODE)

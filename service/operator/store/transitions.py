"""The only module that writes a state into a row; what follows what is in `protocol.states`."""

from atomic_margin.service.operator.store.tables import Run, ShortfallRow
from atomic_margin.service.protocol.states import (
    RUNS,
    SHORTFALLS,
    RunEvent,
    ShortfallEvent,
)


def move_run(run: Run, event: RunEvent) -> None:
    """Give a run the state that follows, inside the caller's unit of work.

    Raises:
        IllegalTransition: the event is not possible in its state.
    """
    run.state = RUNS.next_state(run.state, event, f"run {run.run_id}")


def move_shortfall(shortfall: ShortfallRow, event: ShortfallEvent) -> None:
    """Give a shortfall the state that follows, inside the caller's unit of work.

    Raises:
        IllegalTransition: the event is not possible in its state.
    """
    shortfall.state = SHORTFALLS.next_state(shortfall.state, event, f"the shortfall of run {shortfall.run_id}")

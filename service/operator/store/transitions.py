"""The only module that writes a state into a row; what follows what is in `protocol.states`."""

import logging
from typing import Any

from sqlalchemy.orm import object_session

from atomic_margin.service.operator.store.tables import Run, ShortfallRow
from atomic_margin.service.operator.store.told import tell
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
    _tell(run, event)


def move_shortfall(shortfall: ShortfallRow, event: ShortfallEvent) -> None:
    """Give a shortfall the state that follows, inside the caller's unit of work.

    Raises:
        IllegalTransition: the event is not possible in its state.
    """
    shortfall.state = SHORTFALLS.next_state(shortfall.state, event, f"the shortfall of run {shortfall.run_id}")
    level = logging.WARNING if event is ShortfallEvent.FAILED else logging.DEBUG
    if event is ShortfallEvent.RECORDED:
        level = logging.INFO
    tell(object_session(shortfall), f"shortfall {event}", level=level, run=shortfall.run_id)


def _tell(run: Run, event: RunEvent) -> None:
    """Say what became of a run, where no entry says it."""
    session = object_session(run)
    named: dict[str, Any] = {"run": run.run_id, "institution": run.institution}
    if event is RunEvent.RECORDED:
        spent = run.seconds or {}
        seconds = {f"{name}_seconds": value for name, value in spent.items()}
        tell(session, "run recorded", number=run.number, **named, **seconds)
    elif event is RunEvent.FAILED:
        tell(session, "run failed", level=logging.WARNING, attempts=run.attempts, problem=run.problem, **named)
    elif event is RunEvent.RETRIED:
        tell(session, "run given back", attempts=run.attempts, problem=run.problem, **named)
    else:
        tell(session, f"run {event}", level=logging.DEBUG, **named)

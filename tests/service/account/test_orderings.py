"""Genuine documents in any order: an operator that cheats, and an institution that does.

Each holds every document ever made, and plays them, old and new, its own and the other's. Beside them stands what is
so (`truth`): what each book needs at each tick. An operator that cheats signs whatever it likes, and makes entries
about it; the institution follows them as its agent does. An institution that cheats brings whatever it can sign and
prove; the operator runs the machine. Whatever they did, an honest operator and an honest institution bring the account
home from there by events that are in the documents.
"""

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from .cheating_institution import CheatingInstitution
from .cheating_operator import CheatingOperator
from .played import Played

GAMES = [CheatingOperator, CheatingInstitution]


def play(game: type[Played], examples: int, steps: int, fixed: bool) -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        game,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            derandomize=fixed,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.parametrize("game", GAMES)
def test_no_order_of_documents_takes_what_is_not_owed(game: type[Played]) -> None:
    play(game, 80, 15, True)


@pytest.mark.slow
@pytest.mark.parametrize("game", GAMES)
def test_no_order_of_documents_takes_what_is_not_owed_at_length(game: type[Played]) -> None:
    play(game, 600, 60, False)

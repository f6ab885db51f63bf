"""Genuine documents in any order: an operator that cheats, and an institution that does.

Each holds every document ever made, and plays them, old and new, its own and the other's. Beside them stands what is
so (`truth`): what each book needs at each tick. An operator that cheats signs whatever it likes, and makes entries
about it; the institution follows them as its agent does. An institution that cheats brings whatever it can sign and
prove; the operator runs the machine. Whatever they did, an honest operator and an honest institution bring the account
home from there by events that are in the documents.

The first two games are against the machine and a replica. In the third, every reader is real (`before_readers`).
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from .before_readers import BeforeReaders
from .cheating_institution import CheatingInstitution
from .cheating_operator import CheatingOperator
from .played import Played
from .told_agent import ToldAgent, marked

GAMES = {CheatingOperator: 40, CheatingInstitution: 50}
"""How often each is played by default."""


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
            # Shrinking takes minutes, and is for those who look for what was found.
            phases=[Phase.generate] if fixed else [Phase.generate, Phase.shrink],
        ),
    )


@pytest.mark.parametrize("game", GAMES)
def test_no_order_of_documents_takes_what_is_not_owed(game: type[Played]) -> None:
    play(game, GAMES[game], 14, True)


@pytest.fixture
def before_readers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Played]]:
    class Game(BeforeReaders):
        agent = ToldAgent(tmp_path)

    marked(monkeypatch, lambda: Game.agent.parties)
    yield Game
    Game.agent.store.close()


@pytest.mark.long
def test_no_reader_believes_a_wrong_order(before_readers: type[Played]) -> None:
    play(before_readers, 6, 12, True)


@pytest.mark.slow
def test_no_reader_believes_a_wrong_order_at_length(before_readers: type[Played]) -> None:
    play(before_readers, 100, 50, False)


@pytest.mark.slow
@pytest.mark.parametrize("game", GAMES)
def test_no_order_of_documents_takes_what_is_not_owed_at_length(game: type[Played]) -> None:
    play(game, 600, 60, False)

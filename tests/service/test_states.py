"""States: the tables say all that may happen, one module writes states, and nobody else spells their names."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from atomic_margin.service.errors import Conflict, IllegalTransition
from atomic_margin.service.protocol.account.state import Stage
from atomic_margin.service.protocol.account.table import TABLE
from atomic_margin.service.protocol.states import (
    RUNS,
    SHORTFALLS,
    AccountState,
    RunEvent,
    RunState,
    ShortfallEvent,
    ShortfallState,
    Transitions,
)

SERVICE = Path(__file__).parents[2] / "service"
OWNERS = {SERVICE / "operator" / "store" / name for name in ("transitions.py", "entries.py")}
ROWS = {"Account", "Run", "ShortfallRow"}
# Also outcomes of answers, verdicts of audits, kinds of events and stages of an open run, which are no states.
SHARED_WORDS = {"covered", "recorded", "failed", "settled", "admitted", "waiting", *get_args(Stage)}

TABLES = [
    (RUNS, RunState, RunEvent),
    (SHORTFALLS, ShortfallState, ShortfallEvent),
]


def written_states(tree: ast.AST) -> Iterator[int]:
    """Yield the lines that write an attribute `state` other than `self.state`, or make a row in a chosen state."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr == "state" and isinstance(node.ctx, ast.Store):
            yield node.lineno
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            keywords = {keyword.arg for keyword in node.keywords}
            if name in {*ROWS, "values"} and "state" in keywords:
                yield node.lineno
            texts = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
            if name == "setattr" and "state" in texts:
                yield node.lineno


def spelled_states(tree: ast.AST) -> Iterator[tuple[int, str]]:
    kinds = (AccountState, RunState, ShortfallState)
    names = {str(state) for states in kinds for state in states} - SHARED_WORDS
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and node.value in names:
            yield node.lineno, node.value


@pytest.mark.parametrize(
    "source",
    [
        "run.state = X",
        "run.state, run.attempts = X, 1",
        "session.get_one(Account, name).state = X",
        "run.state += X",
        "run.state: str = X",
        "Run(run_id=name, state=X)",
        "tables.Account(state=X)",
        "update(Run).values(state=X)",
        "setattr(run, 'state', X)",
    ],
)
def test_every_way_to_write_a_state_is_found(source: str) -> None:
    assert list(written_states(ast.parse(source))) == [1]


def test_one_module_writes_states() -> None:
    modules = sorted(SERVICE.rglob("*.py"))
    writing = {path for path in modules if list(written_states(ast.parse(path.read_text())))}
    assert writing == OWNERS


def test_one_module_spells_states() -> None:
    assert list(spelled_states(ast.parse("if view['state'] == 'awaiting_answer': pass"))) == [(1, "awaiting_answer")]
    spelling = {path for path in SERVICE.rglob("*.py") if list(spelled_states(ast.parse(path.read_text())))}
    # Kinds of events and stages of an open run are no states of anybody's rows.
    account = {SERVICE / "protocol" / "account" / name for name in ("events.py", "machine.py", "state.py")}
    assert spelling <= {SERVICE / "protocol" / "states.py", *account}


@pytest.mark.parametrize(("transitions", "states", "events"), TABLES, ids=["runs", "shortfalls"])
def test_a_table_has_every_event_and_every_state(
    transitions: Transitions[RunState, RunEvent], states: type[RunState], events: type[RunEvent]
) -> None:
    assert list(transitions.table) == list(events)
    reached, before = {transitions.first}, set[RunState]()
    while reached != before:
        before = set(reached)
        reached |= {following for _, state, following in transitions.rows() if state in before}
    assert reached == set(states)


@pytest.mark.parametrize(("transitions", "states", "events"), TABLES, ids=["runs", "shortfalls"])
def test_what_is_not_in_a_table_is_refused_by_name(
    transitions: Transitions[RunState, RunEvent], states: type[RunState], events: type[RunEvent]
) -> None:
    allowed = {(event, state): following for event, state, following in transitions.rows()}
    for event in events:
        for state in states:
            if (event, state) in allowed:
                assert transitions.next_state(state, event, "it") is allowed[event, state]
                continue
            with pytest.raises(IllegalTransition) as refused:
                transitions.next_state(state, event, "it")
            assert str(refused.value) == f"it is {state}; the event '{event}' is not possible in that state"
            assert refused.value.field == "state"


def test_ends_are_ends() -> None:
    ends = {state for state in RunState if all(state is not before for _, before, _ in RUNS.rows())}
    assert ends == {
        RunState.FAILED,
        RunState.COVERED,
        RunState.SETTLED,
        RunState.GIVEN_UP,
        RunState.SUPERSEDED,
    }
    after = {moves.get(AccountState.IN_DEFAULT) for moves in TABLE.values()}
    assert after == {None, AccountState.IN_DEFAULT, AccountState.CLOSED}
    after = {moves.get(AccountState.CLOSED) for moves in TABLE.values()}
    assert after == {None, AccountState.CLOSED}
    assert issubclass(IllegalTransition, Conflict)

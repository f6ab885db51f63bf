"""The power goes between any two writes: after a restart log, machine and ledger agree, and the story goes on.

Writes are counted where SQLAlchemy hands them to the database. The transaction that is cut is never committed, as when
the process dies: SQLite rolls back what has no commit record.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event

from atomic_margin.service.operator import replay
from atomic_margin.service.operator.accounts import disputes, giving_up, releases
from atomic_margin.service.operator.runs import answers, claims, evaluation
from atomic_margin.service.protocol.states import RunState

from .bundles import Remembering
from .documents import FUND
from .stages import Stages
from .test_disputes import disputed, resolution
from .test_giving_up import asking
from .world import World

WRITES = ("INSERT", "UPDATE", "DELETE")
EVERY = 5
"""In the short tests the power goes at every so many writes, at another first one in each story."""


@pytest.fixture(autouse=True)
def _answers_are_checked_once(remembering: dict[str, Remembering], monkeypatch: pytest.MonkeyPatch) -> None:
    """The same answer is sent again after every cut; checking its proofs takes a second."""
    name = "atomic_margin.service.verifier.attestation.verify_answer"
    monkeypatch.setattr(answers, "verify_answer", remembering[name])


class PowerCut(BaseException):
    """No handler of the operator's catches it, as none would run."""


@contextmanager
def power_until(world: World, writes: int) -> Iterator[list[str]]:
    """Cut the power at a write; yield the statements so far."""
    seen: list[str] = []

    def before(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith(WRITES):
            if len(seen) == writes:
                raise PowerCut
            seen.append(statement)

    event.listen(world.operator.store.engine, "before_cursor_execute", before)
    try:
        yield seen
    finally:
        event.remove(world.operator.store.engine, "before_cursor_execute", before)


def tick_and_evaluate(world: World, stages: Stages) -> None:
    world.tick(1)
    world.evaluate()


def answer_covered(world: World, stages: Stages) -> None:
    world.answer(f"{FUND}.1", stages.answers["calm"])


def answer_breach(world: World, stages: Stages) -> None:
    world.answer(f"{FUND}.2", stages.answers["fall"])


def answer_liquidation(world: World, stages: Stages) -> None:
    world.answer(f"{FUND}.4", stages.answers["crash"])


def post_and_deposit(world: World, stages: Stages) -> None:
    world.deposit(FUND, "USDC", 5, "more")
    world.instruct(FUND, "post", "USDC", 5)


def give_up(world: World, stages: Stages) -> None:
    document = asking(world)
    giving_up.ask(world.operator, FUND, document.to_json())
    giving_up.agree(world.operator, FUND, document.body_hash())


def resolve(world: World, stages: Stages) -> None:
    """Dispute, offer and end, as far as they are not there."""
    if world.account().public.disputes is None:
        disputed(world)
    found = world.account().public.disputes
    if found is not None and found.open is not None:
        offer = resolution(world)
        disputes.offer(world.operator, FUND, offer.to_json())
        disputes.agree(world.operator, FUND, offer.body_hash())


def substitute(world: World, stages: Stages) -> None:
    """Other collateral takes the place of some that is posted, without a proof: it is worth more."""
    public = world.account().public
    assert public.book is not None
    held = {**public.posted, "USDC": public.posted["USDC"] - 1, "TBILL-2027-02": public.posted["TBILL-2027-02"] + 1000}
    tick = world.entries()[-1].entry.body
    body = {
        "institution": FUND,
        "operator": world.key,
        "sequence": str(public.instructions + 1),
        "entry": world.head(),
        "submission": public.book.submission,
        "price_sequence": tick["market_sequence"],
        "tick": tick["market"],
        "posted": {asset: str(quantity) for asset, quantity in public.posted.items()},
        "taken": {"USDC": "1"},
        "given": {"TBILL-2027-02": "1000"},
        "remaining": {asset: str(quantity) for asset, quantity in held.items()},
    }
    releases.take_release(world.operator, FUND, world.funds[FUND].identity.sign("release", body).to_json())


STORIES: list[tuple[str, Callable[[World, Stages], None]]] = [
    ("submitted", tick_and_evaluate),
    ("calm-open", answer_covered),
    ("fall-open", answer_breach),
    ("crash-open", answer_liquidation),
    ("submitted", post_and_deposit),
    ("calm-open", give_up),
    ("calm-done", resolve),
    ("calm-done", substitute),
]


def told(world: World) -> dict[str, Any]:
    """Everything that must be the same however often the power went; times and signatures over them are not."""
    public = world.account().public
    return {
        "ledger": world.ledger(),
        "runs": world.states(),
        "status": public.status,
        "posted": public.posted,
        "free": world.account().private.free,
        "run": None if public.run is None else (public.run.run_id, public.run.stage, public.run.posted),
        "kinds": [entry.entry.body["kind"] for entry in world.entries()],
    }


def recover(world: World) -> None:
    """What the background work does at its start."""
    world.operator.remove_orphans()
    answers.settle_unfinished(world.operator)
    claims.recover(world.operator)


def check(world: World) -> None:
    with world.operator.store.unit_of_work() as session:
        replay.check(session, world.key)
    assert not any(world.totals().values())


def finish(world: World, stages: Stages, story: Callable[[World, Stages], None]) -> None:
    """Go on from wherever the power went, as the parties would: what has no entry is sent again."""
    if story is tick_and_evaluate:
        if world.next_place().sequence == 1:
            world.tick(1)
        while evaluation.evaluate_next(world.operator) is not None:
            pass
    elif story is post_and_deposit:
        if "more" not in {entry.document.body.get("reference") for entry in world.entries()}:
            world.deposit(FUND, "USDC", 5, "more")
        if world.account().public.posted == STARTED["posted"]:
            world.instruct(FUND, "post", "USDC", 5)
    elif story is substitute:
        # The transaction that was cut was the only one.
        if world.account().public.posted == STARTED["posted"]:
            story(world, stages)
    else:
        # The same answer again is the same answer.
        story(world, stages)


STARTED: dict[str, Any] = {}


def play(
    world_at: Callable[[str], World], stages: Stages, stage: str, story: Callable[[World, Stages], None], cuts: range
) -> int:
    """Play a story with a power cut at each of the writes; return how many writes it has."""
    whole = world_at(stage)
    STARTED.update(told(whole))
    with power_until(whole, 10**6) as written:
        story(whole, stages)
    check(whole)
    wanted, count = told(whole), len(written)
    for cut in cuts:
        if cut >= count:
            break
        world = world_at(stage)
        with power_until(world, cut), pytest.raises(PowerCut):
            story(world, stages)
        world = world.restarted()
        check(world)
        recover(world)
        check(world)
        finish(world, stages, story)
        check(world)
        assert told(world) == wanted, f"cut before write {cut}"
        assert RunState.EVALUATING not in world.states().values()
        world.close()
    return count


@pytest.mark.parametrize(("number", "case"), list(enumerate(STORIES)), ids=lambda value: str(value)[:40])
def test_log_machine_and_ledger_agree_after_a_power_cut(
    world_at: Callable[[str], World],
    stages: Stages,
    number: int,
    case: tuple[str, Callable[[World, Stages], None]],
) -> None:
    stage, story = case
    assert play(world_at, stages, stage, story, range(number, 10**6, EVERY)) > EVERY


@pytest.mark.slow
@pytest.mark.parametrize("case", STORIES, ids=lambda value: str(value)[:40])
def test_they_agree_wherever_it_is(
    world_at: Callable[[str], World], stages: Stages, case: tuple[str, Callable[[World, Stages], None]]
) -> None:
    stage, story = case
    assert play(world_at, stages, stage, story, range(10**6)) > EVERY

"""No honest account is frozen for ever: whatever went wrong, a documented way leads to an active one and to a new run.

The operator is the real one behind its HTTP interface, the agent is the real one, and answers carry real proofs. Those
of submissions are left out: they are shown elsewhere, and take seconds. Each test ends in `goes_on`, and says which
section of the docs its way is in.
"""

import dataclasses
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from atomic_margin.margin.market.portfolio import Portfolio
from atomic_margin.service.errors import AgentRefused, OperatorBehind, RemoteError
from atomic_margin.service.institution import submissions
from atomic_margin.service.operator.accounts import enrolment as admission
from atomic_margin.service.operator.publishing import LogBehind, Publisher
from atomic_margin.service.operator.runs import evaluation as runs
from atomic_margin.service.operator.runs.background import BackgroundWork
from atomic_margin.service.protocol import verification
from atomic_margin.service.protocol.account.errors import EntryRefused, EntryUnsent
from atomic_margin.service.protocol.account.state import Account
from atomic_margin.service.protocol.signing import Identity
from atomic_margin.service.protocol.states import AccountState, RunState
from atomic_margin.service.witness.witness import Witness

from .documents import FUND, example
from .resident import Resident, Residents
from .rounds import Clock, flat, in_step, lose, mend, unproven
from .rounds import later as later
from .test_log import serving
from .world import Fund, World

pytestmark = pytest.mark.long

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def residents(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Residents]:
    """Without the proofs of submissions, from here to the end; what opens a book is in it all the same."""
    with pytest.MonkeyPatch.context() as spared:
        for name in ("prove_portfolio", "prove_encryption"):
            spared.setattr(submissions, name, lambda *_: bytes(1))
        for name in ("verify_portfolio", "verify_encryption"):
            spared.setattr(verification, name, lambda *_: None)
        yield Residents(tmp_path_factory.mktemp("residents"))


@pytest.fixture
def resident(residents: Residents, tmp_path: Path) -> Iterator[Resident]:
    resident = residents.copy(tmp_path, proofs=True)
    yield resident
    resident.close()


def documented(page: str, section: str, *words: str) -> None:
    """Make sure that the way which a test goes is written down where it says."""
    text = (DOCS / page).read_text()
    (part,) = [part for part in text.split("\n#") if part.splitlines()[0].lstrip("# ") == section]
    for said in words:
        assert said in " ".join(part.split())


def tick_at(resident: Resident, number: int, prices: int = 1) -> str:
    """Evaluate what is due at a tick with the prices of an example; return the resident's run."""
    resident.world.play(prices, sequence=str(number), as_of=f"2026-11-20T09:{number:02}:00Z")
    return f"{resident.name}.{number}"


def goes_on(resident: Resident, number: int, contradicted: bool = False) -> None:
    """The account is active, nothing is open, owed or waiting, and its next run is answered."""
    run_id = tick_at(resident, number)
    assert resident.agent.answer_due() == [run_id]
    assert resident.world.states()[run_id] == RunState.COVERED
    public = resident.state.public
    assert (public.status, public.run, public.owed, public.waiting) == (AccountState.ACTIVE, None, None, None)
    assert in_step(resident)
    assert (resident.agent.contradiction is not None) == contradicted


def test_an_answer_that_the_operator_does_not_take(resident: Resident, later: Callable[[int], None]) -> None:
    documented("institution.md", "What the agent knows of your account", "A document without an entry is sent again")
    run_id = tick_at(resident, 1)
    lose(resident, "/answer", "request")
    with pytest.raises(RemoteError):
        resident.agent.answer_due()
    later(1000)
    assert runs.sweep_deadlines(resident.world.operator) == [run_id]
    assert resident.state.public.status is AccountState.FROZEN
    mend(resident)
    assert resident.agent.answer_due() == [run_id]
    goes_on(resident, 2)


def test_an_answer_that_came_too_late_for_its_run(resident: Resident, later: Callable[[int], None]) -> None:
    """The operator takes no answer, lets the time run out, and opens no other run. A proof needs none."""
    documented(
        "institution.md", "4. Post collateral, submit, watch", "proves the book in force covered at the newest tick"
    )
    agent, clock = resident.agent, Clock()
    run_id = tick_at(resident, 1, prices=2)
    own = agent._keys.in_use()
    assert own is not None
    agent._keys.raise_alarm(own, "for this test")
    # Its flag is withheld, and new keys are made.
    assert agent.answer_due() == []
    later(1000)
    assert runs.sweep_deadlines(resident.world.operator) == [run_id]
    assert resident.state.public.status is AccountState.FROZEN
    agent = resident.restarted(clock=clock)
    resident.world.tick(1, sequence="2", as_of="2026-11-20T09:02:00Z")
    agent.answer_due()
    clock.wait(agent.settings.unasked_after)
    agent.answer_due()
    assert resident.state.public.status is AccountState.ACTIVE
    assert len(resident.line.sent("/coverage")) == 1
    goes_on(resident, 3)


def test_replies_that_are_lost(resident: Resident) -> None:
    documented("institution.md", "What the agent knows of your account", "byte for byte")
    run_id = f"{FUND}.1"
    steps: dict[str, Callable[[], object]] = {
        "/collateral": lambda: resident.agent.instruct("post", "USDC", 1),
        "/submissions": lambda: resident.agent.submit(flat()),
        "/answer": lambda: tick_at(resident, 1) and resident.agent.answer_due(),
    }
    for end, step in steps.items():
        lose(resident, end, "reply")
        with pytest.raises(RemoteError):
            step()
        mend(resident)
        # The machine stops before it tries again.
        resident.restarted().answer_due()
        assert len(resident.line.sent(end)) <= 2
        assert in_step(resident)
    assert resident.world.states()[run_id] == RunState.COVERED
    goes_on(resident, 2)


def test_void_ticks(resident: Resident) -> None:
    documented("operator.md", "4. Ticks", "void-tick")
    for _ in range(2):
        resident.world.void()
        assert resident.agent.answer_due() == []
    run_id = tick_at(resident, 3)
    # One comes while the run is open, and a book.
    resident.world.void()
    resident.agent.submit(flat())
    assert resident.agent.answer_due() == [run_id]
    resident.world.void()
    goes_on(resident, 6)


def test_evaluations_that_fail(resident: Resident) -> None:
    documented(
        "institution.md", "4. Post collateral, submit, watch", "after a void run a book that waited comes in force"
    )
    clock = Clock()
    agent = resident.restarted(clock=clock)
    resident.world.evaluator.failures = 3
    run_id = tick_at(resident, 1)
    assert resident.world.states()[run_id] == RunState.FAILED
    agent.submit(flat())
    assert resident.state.public.waiting is not None
    agent.answer_due()
    clock.wait(agent.settings.unasked_after)
    agent.answer_due()
    assert resident.state.public.waiting is None
    goes_on(resident, 2)


def test_keys_that_are_replaced_while_a_run_is_owed(resident: Resident, later: Callable[[int], None]) -> None:
    documented("institution.md", "5. Replace the FHE keys")
    run_id = unproven(resident, 1, later)
    before = resident.state.public.keys
    resident.agent.rotate_keys()
    public = resident.state.public
    assert (public.status, public.keys == before) == (AccountState.FROZEN, False)
    assert public.book.evaluation_keys == public.keys  # type: ignore[union-attr]
    # The owed run is under the old ones.
    assert resident.agent.answer_due() == [run_id]
    goes_on(resident, 2)


# Backups


def older(resident: Resident, backup: Path) -> None:
    """Bring an institution's database back from a backup."""
    resident.agent.close()
    resident._agent = None
    for path in resident.folder.glob("institution.db*"):
        path.unlink()
    shutil.copy(backup / "institution.db", resident.folder)


def restored(resident: Resident, backup: Path) -> None:
    """Bring the operator's folder back from a backup, and start it."""
    world = resident.world
    world.close()
    shutil.rmtree(world.directory)
    shutil.copytree(backup, world.directory)
    resident.world = resident.line.world = World(world.directory, world.source, world.funds, world.rules, world.terms)


def test_an_institution_from_an_older_backup(residents: Residents, resident: Resident) -> None:
    documented("institution.md", "A directory from an older backup", "bring the newest backup")
    resident.agent.submit(flat())
    resident.agent.close()
    newest = resident.folder.with_name("newest")
    shutil.copytree(resident.folder, newest)
    older(resident, residents.root / "institution")
    with pytest.raises(EntryUnsent, match="institution adopt"):
        resident.agent.answer_due()
    older(resident, newest)
    assert resident.agent.answer_due() == []
    older(resident, residents.root / "institution")
    assert resident.agent.adopt() > 0
    # Another book would have to be compared with the one that it cannot open.
    with pytest.raises(AgentRefused, match="restore its newest backup, or give it up"):
        resident.agent.submit(Portfolio.parse(example("portfolio")))
    older(resident, newest)
    resident.agent.submit(Portfolio.parse(example("portfolio")))
    goes_on(resident, 1)


def begun(anew: Resident, last: Account) -> None:
    """Begin an account with what another one held."""
    key = anew.world.funds[anew.name].identity.public_key
    admission.admit(anew.world.operator, anew.name, "Larkfield", key, anew.world.allowances)
    anew.agent.enrol()
    for asset, quantity in last.private.free.items():
        anew.world.deposit(anew.name, asset, quantity, f"once more, free {asset}")
    for asset, quantity in last.public.posted.items():
        anew.world.deposit(anew.name, asset, quantity, f"once more, {asset}")
        anew.agent.instruct("post", asset, quantity)
    anew.agent.submit(Portfolio.parse(example("portfolio")))
    assert (anew.state.public.posted, anew.state.private) == (last.public.posted, last.private)


def test_an_institution_that_cannot_open_its_book_gives_it_up_with_its_operator(
    residents: Residents, resident: Resident, later: Callable[[int], None]
) -> None:
    """What was lost all the same is an entry that both sides sign: the same account goes on."""
    documented("institution.md", "A directory from an older backup", "institution give-up", "Submit your book again")
    documented("operator.md", "A book that nobody can open any more", "operator give-up fund --yes")
    resident.agent.submit(flat())
    run_id = tick_at(resident, 1)
    older(resident, residents.root / "institution")
    resident.agent.adopt()
    assert resident.agent.answer_due() == []
    later(1000)
    assert runs.sweep_deadlines(resident.world.operator) == [run_id]
    before = resident.state
    assert before.public.status is AccountState.FROZEN
    asked = resident.agent.give_up("the disk with its blindings was lost")
    assert resident.state == before
    agreement = {"institution": resident.name, "giving_up": asked}
    agreed = resident.world.client.post("/v1/giving-up", json=agreement, headers=resident.world.admin)
    assert agreed.status_code == 201, agreed.json()
    assert resident.agent.answer_due() == []
    public = resident.state.public
    assert (public.status, public.book, public.waiting) == (AccountState.ACTIVE, None, None)
    assert (public.posted, resident.state.private) == (before.public.posted, before.private)
    assert resident.world.states()[run_id] == RunState.GIVEN_UP
    with pytest.raises(RemoteError, match="a book was given up"):
        resident.agent.instruct("withdraw", "USDC", 1)
    resident.agent.submit(Portfolio.parse(example("portfolio")))
    goes_on(resident, 2)
    resident.agent.instruct("withdraw", "USDC", 1)


@pytest.fixture
def witness(resident: Resident, tmp_path: Path) -> Iterator[tuple[str, Witness]]:
    key = resident.world.operator.log_key
    witness = Witness(tmp_path / "w1", "w1", {key.name: key}, lambda: int(time.time()))
    with serving(witness) as url:
        yield url, witness
    witness.close()


def watched(world: World, witness: tuple[str, Witness]) -> World:
    """Have the operator's log cosigned."""
    url, key = witness[0], witness[1].key
    world.operator.settings = dataclasses.replace(world.operator.settings, witnesses=((url, key),))
    return world


def test_an_operator_from_an_older_backup(
    residents: Residents, resident: Resident, tmp_path: Path, witness: tuple[str, Witness]
) -> None:
    documented("operator.md", "The log and its witnesses", "Restore a newer one")
    run_id = tick_at(resident, 1)
    assert resident.agent.answer_due() == [run_id]
    publisher = Publisher(watched(resident.world, witness).operator)
    assert publisher.publish() is True
    publisher.close()
    resident.world.close()
    newest = tmp_path / "newest"
    shutil.copytree(resident.world.directory, newest)
    restored(resident, residents.root / "operator")
    work = BackgroundWork(watched(resident.world, witness).operator)
    with pytest.raises(LogBehind, match="Restore the newest backup"):
        work.start()
    work._publisher.close()
    # Where witnesses do not stop it, agents do: they know of entries that it has not,
    with pytest.raises(OperatorBehind, match="was restored from an older backup"):
        resident.agent.instruct("post", "USDC", 1)
    # and once it has as many, these are others, at other ticks.
    for number in range(4):
        resident.world.deposit(resident.name, "USDC", 1, f"another history {number}")
    with pytest.raises(EntryRefused, match="entry"):
        resident.agent.answer_due()
    tick_at(resident, 1, prices=2)
    restored(resident, newest)
    publisher = Publisher(watched(resident.world, witness).operator)
    publisher.require_newest()
    # The second tick that it signed stays on show.
    goes_on(resident, 2, contradicted=True)
    assert publisher.publish() is True
    publisher.close()


def test_an_operator_without_a_newer_backup_begins_anew(resident: Resident, tmp_path: Path) -> None:
    """A new folder of each, a new identity of the operator's, and what the last entries say was held."""
    documented("operator.md", "The log and its witnesses", "Start a new directory", "copy `identity.key`")
    last = resident.agent.history.state
    assert last is not None
    folder = tmp_path / "anew" / "institution"
    folder.mkdir(parents=True)
    shutil.copy(resident.folder / "identity.key", folder)
    fund = Fund(FUND, Identity.load_or_create(folder / "identity.key"))
    anew = Resident(World(tmp_path / "anew" / "operator", resident.world.source, {FUND: fund}), folder, proofs=True)
    try:
        assert anew.world.key != resident.world.key
        begun(anew, last)
        goes_on(anew, 1)
    finally:
        anew.close()

"""Several worker processes behind one interface: each on its threads, keys stay, a death costs one call.

The pools here are of real worker processes with real keys; choosing a worker is tested on doubles that only say which
of them was called.
"""

import hashlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from atomic_margin.circuits import reference
from atomic_margin.circuits.profile import TINY, Profile
from atomic_margin.fhe.errors import ExecutorUnavailable, WorkerLost
from atomic_margin.fhe.evaluator import Evaluator, IntArray, remove_leftovers
from atomic_margin.fhe.executors.port import Job
from atomic_margin.fhe.executors.process_pool import ProcessPool, threads_of_each
from atomic_margin.fhe.institution import InstitutionKeys
from atomic_margin.fhe.worker import Evaluation, Holdings, KeyFile

from ..circuits.cases import cases

FUNCTIONS = ("surplus", "breach")
PLACES = 4

Doubles = tuple[ProcessPool, "list[Noted]", list[int]]


class Noted(Evaluator):
    """Does not evaluate: it notes whose call it got, and may be told to wait or to fail."""

    def __init__(self, calls: list[int], number: int) -> None:
        super().__init__(TINY)
        self.calls, self.number = calls, number
        self.meanwhile: Callable[[], None] = lambda: None
        self.held: list[str] = []

    def holdings(self) -> Holdings:
        return Holdings(tuple(self.held), 1 << 30, PLACES << 30)

    def evaluate(
        self,
        keys: KeyFile,
        ciphertext: bytes,
        A: IntArray,
        c: IntArray,
        functions: tuple[str, ...],
        chosen: dict[str, int] | None = None,
    ) -> Evaluation:
        self.calls.append(self.number)
        self.meanwhile()
        self.held = [*(other for other in self.held if other != keys.sha256), keys.sha256][-PLACES:]
        return Evaluation({}, "f0" * 32, {})


@pytest.fixture
def noted() -> Doubles:
    calls: list[int] = []
    evaluators = [Noted(calls, number) for number in range(3)]
    return ProcessPool(evaluators), evaluators, calls


def some_keys(number: int) -> KeyFile:
    return KeyFile(Path("nowhere"), hashlib.sha256(bytes([number])).hexdigest(), b"")


def call(pool: ProcessPool, number: int) -> None:
    zero = np.zeros((1, 1), dtype=np.int64)
    pool.evaluate(Job(some_keys(number), b"", zero, zero, FUNCTIONS))


def test_an_account_stays_with_the_worker_that_has_its_keys(
    noted: Doubles,
) -> None:
    pool, _, calls = noted
    for number in (1, 2, 3, 3, 2, 1):
        call(pool, number)
    assert calls == [0, 1, 2, 2, 1, 0]
    assert pool.is_warm(some_keys(1).sha256)
    assert not pool.is_warm(some_keys(4).sha256)


def test_a_free_worker_is_better_than_a_warm_one(noted: Doubles) -> None:
    pool, evaluators, calls = noted
    call(pool, 1)

    def meanwhile() -> None:
        evaluators[0].meanwhile = lambda: None
        call(pool, 1)

    evaluators[0].meanwhile = meanwhile
    call(pool, 1)
    assert calls == [0, 0, 1]


def test_with_no_free_worker_a_call_queues_at_the_shortest(noted: Doubles) -> None:
    pool, evaluators, calls = noted
    entered, go = threading.Barrier(4), threading.Event()

    def wait() -> None:
        entered.wait(10)
        go.wait(10)

    for evaluator in evaluators:
        evaluator.meanwhile = wait
    with ThreadPoolExecutor(3) as threads:
        waiting = [threads.submit(call, pool, number) for number in (1, 2, 3)]
        entered.wait(10)
        for evaluator in evaluators:
            evaluator.meanwhile = lambda: None
        call(pool, 4)
        go.set()
        for future in waiting:
            future.result(10)
    assert sorted(calls) == [0, 0, 1, 2]
    assert calls[3] == 0


def test_room_ends_and_old_keys_make_way(noted: Doubles) -> None:
    pool, _, _ = noted
    places = 3 * PLACES
    for number in range(places):
        assert pool.has_room()
        call(pool, number)
    assert not pool.has_room()
    call(pool, places)
    assert pool.is_warm(some_keys(places).sha256)
    assert sum(pool.is_warm(some_keys(number).sha256) for number in range(places)) == places - 1


def test_what_a_replaced_worker_had_in_memory_is_forgotten(noted: Doubles) -> None:
    pool, evaluators, _ = noted
    call(pool, 1)
    evaluators[0].replaced += 1
    assert not pool.is_warm(some_keys(1).sha256)


@pytest.mark.parametrize(("cores", "workers", "threads"), [(8, 1, None), (8, 2, 4), (8, 3, 2), (2, 4, 1)])
def test_workers_share_the_cores(
    monkeypatch: pytest.MonkeyPatch, cores: int, workers: int, threads: int | None
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))
    assert threads_of_each(workers) == threads


def test_a_pool_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="an evaluator at least"):
        ProcessPool([])


@pytest.fixture(scope="module")
def pool(profile: Profile) -> Iterator[ProcessPool]:
    with ProcessPool([Evaluator(profile, threads=threads_of_each(2)) for _ in range(2)]) as running:
        running.start()
        yield running


def process_of(evaluator: Evaluator) -> int:
    (number,) = evaluator._executor._processes  # type: ignore[union-attr]
    return int(number)


def busiest_share(process: int, work: Callable[[], object]) -> float:
    """Share of the process's computing time during `work` that its busiest thread had; load does not change it."""

    def spent() -> dict[str, int]:
        tasks = Path(f"/proc/{process}/task").iterdir()
        return {task.name: int((task / "schedstat").read_text().split()[0]) for task in tasks}

    before = spent()
    work()
    grown = [after - before.get(task, 0) for task, after in spent().items()]
    return max(grown) / sum(grown)


@pytest.mark.fhe
@pytest.mark.long
@pytest.mark.parametrize(("threads", "least", "most"), [(1, 0.9, 1.0), (2, 0.3, 0.75)])
def test_a_worker_uses_the_threads_it_is_given(
    keys: InstitutionKeys, key_file: KeyFile, profile: Profile, threads: int, least: float, most: float
) -> None:
    z, A, c = next(cases(profile, 1, seed=4))
    ciphertext = keys.encrypt(z)
    with Evaluator(profile, threads=threads) as evaluator:
        evaluator.warm_up(key_file, FUNCTIONS)
        process = process_of(evaluator)
        # Where others compute too, one thread may take what the other does not come to: the most even of some counts.
        share = min(
            busiest_share(process, lambda: evaluator.evaluate(key_file, ciphertext, A, c, FUNCTIONS)) for _ in range(8)
        )
    assert least <= share <= most


@pytest.mark.long
@pytest.mark.fhe
def test_two_calls_run_at_once_in_two_workers_and_are_right(
    pool: ProcessPool, keys: InstitutionKeys, key_file: KeyFile
) -> None:
    work = list(cases(keys.profile, 2, seed=5))
    pool.warm_up(key_file, FUNCTIONS)
    assert pool.is_warm(key_file.sha256)
    started = threading.Barrier(2)

    def evaluate(case: tuple[IntArray, IntArray, IntArray]) -> Evaluation:
        z, A, c = case
        ciphertext = keys.encrypt(z)
        started.wait(60)
        return pool.evaluate(Job(key_file, ciphertext, A, c, FUNCTIONS))

    with ThreadPoolExecutor(2) as threads:
        evaluations = list(threads.map(evaluate, work))
    # One of them found the keys warm; the other worker had to load them.
    assert sorted(evaluation.seconds["load_keys"] > 0.5 for evaluation in evaluations) == [False, True]
    for (z, A, c), evaluation in zip(work, evaluations, strict=True):
        assert int(keys.decrypt("breach", evaluation.outputs["breach"]).values[0]) == reference.breach(z, A, c)
        surplus = keys.decrypt("surplus", evaluation.outputs["surplus"])
        assert np.array_equal(surplus.values, reference.surplus(z, A, c))


@pytest.mark.long
@pytest.mark.fhe
def test_a_worker_that_dies_costs_its_own_call_alone(
    pool: ProcessPool, keys: InstitutionKeys, key_file: KeyFile
) -> None:
    z, A, c = next(cases(keys.profile, 1, seed=6))
    ciphertext = keys.encrypt(z)
    pool.warm_up(key_file, FUNCTIONS)
    victim, other = (slot.evaluator for slot in pool._slots)
    survivor = process_of(other)
    next(iter(victim._executor._processes.values())).kill()  # type: ignore[union-attr]
    with pytest.raises(WorkerLost, match="died and is replaced"):
        victim.evaluate(key_file, ciphertext, A, c, FUNCTIONS)
    assert victim.replaced == 1
    # The pool goes on, and so do the victim's successor and the other one, whichever it chose.
    job = Job(key_file, ciphertext, A, c, ("surplus",))
    for evaluate in (
        lambda: pool.evaluate(job),
        lambda: victim.evaluate(key_file, ciphertext, A, c, job.functions),
        lambda: other.evaluate(key_file, ciphertext, A, c, job.functions),
    ):
        words = evaluate().outputs["surplus"]
        assert np.array_equal(keys.decrypt("surplus", words).values, reference.surplus(z, A, c))
    assert process_of(other) == survivor


@pytest.mark.fhe
def test_keys_that_cannot_be_loaded_do_not_count_as_warm(pool: ProcessPool, key_file: KeyFile, tmp_path: Path) -> None:
    path = tmp_path / "cut"
    path.write_bytes(key_file.path.read_bytes()[:-1])
    broken = replace(key_file, path=path, sha256="0" * 64)
    with pytest.raises(Exception, match="make keys for this profile"):
        pool.warm_up(broken, FUNCTIONS)
    assert not pool.is_warm("0" * 64)


# A worker's life


@pytest.mark.parametrize(("held", "each", "room"), [(0, 9, True), (1, 4, True), (2, 4, False), (1, 5, False)])
def test_room_is_counted_in_bytes(held: int, each: int, room: bool) -> None:
    assert Holdings(tuple("abc"[:held]), each, 8).has_room is room


def test_a_closed_pool_takes_no_job(noted: Doubles) -> None:
    pool, _, _ = noted
    pool.close()
    assert not pool.available()
    with pytest.raises(ExecutorUnavailable, match="being stopped"):
        call(pool, 1)


@pytest.mark.fhe
def test_a_worker_that_hangs_is_killed_when_its_time_is_over(profile: Profile) -> None:
    evaluator = Evaluator(profile)
    evaluator.start()
    process = process_of(evaluator)
    os.kill(process, signal.SIGSTOP)
    evaluator.close(seconds=0.5)
    assert not Path(f"/proc/{process}").exists()


@pytest.mark.fhe
def test_ctrl_c_is_not_for_the_worker(profile: Profile) -> None:
    with Evaluator(profile) as evaluator:
        evaluator.start()
        process = process_of(evaluator)
        os.kill(process, signal.SIGINT)
        evaluator.start()
        assert (process_of(evaluator), evaluator.replaced) == (process, 0)


PARENT = """
import sys
from atomic_margin.circuits.profile import TINY
from atomic_margin.fhe.evaluator import Evaluator
if __name__ == "__main__":
    evaluator = Evaluator(TINY)
    executor = evaluator._executor = evaluator._make_executor()
    executor.submit(int)
    print(*executor._processes, flush=True)
    sys.stdin.read()
"""


@pytest.mark.fhe
@pytest.mark.parametrize("after", [0.0, 0.5])
def test_a_worker_ends_with_its_parent_however_early_that_is_killed(tmp_path: Path, after: float) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    parent = subprocess.Popen(
        [sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True
    )
    assert parent.stdin is not None
    assert parent.stdout is not None
    child = Path("/proc", parent.stdout.readline().strip())
    time.sleep(after)
    parent.kill()
    parent.wait()
    parent.stdin.close()
    parent.stdout.close()
    deadline = time.monotonic() + 60
    while child.exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    # What the worker could not remove itself is removed by the next operator.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(tmp_path))
        remove_leftovers()
    assert [path.name for path in tmp_path.iterdir()] == ["parent.py"]


def test_leftovers_are_those_of_parents_that_have_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    ended = subprocess.Popen(["true"])
    ended.wait()
    kept = {f"atomic-margin-worker-{os.getpid()}-a", "atomic-margin-worker-x-a", "another"}
    for name in (*kept, f"atomic-margin-worker-{ended.pid}-a"):
        (tmp_path / name).mkdir()
    # Whatever is gone before it is looked at was removed by another operator.
    (tmp_path / f"atomic-margin-worker-{ended.pid}-b").symlink_to(tmp_path / "gone")
    assert remove_leftovers() == 1
    assert {path.name for path in tmp_path.iterdir() if path.exists()} == kept

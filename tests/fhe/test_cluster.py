"""Evaluation on a cluster: a scheduler and workers as processes of their own, real keys, real circuits."""

import hashlib
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest

from atomic_margin.circuits import reference
from atomic_margin.circuits.profile import TINY, Profile
from atomic_margin.fhe.errors import ExecutorUnavailable, MalformedKeys, WorkerLost
from atomic_margin.fhe.executors import cluster as cluster_executor
from atomic_margin.fhe.executors.cluster import Cluster
from atomic_margin.fhe.executors.cluster_settings import ClusterSettings
from atomic_margin.fhe.executors.port import IntArray, Job
from atomic_margin.fhe.executors.station import KeyName, KeysMissing, Station
from atomic_margin.fhe.institution import InstitutionKeys
from atomic_margin.fhe.worker import Evaluation, KeyFile

from ..circuits.cases import cases
from .cluster import Machines, children, eventually, listens, machines, port_of

FUNCTIONS = ("surplus", "breach")


@pytest.fixture
def cluster(tmp_path: Path, profile: Profile) -> Iterator[tuple[Machines, Cluster]]:
    with machines(tmp_path, 2) as running, Cluster(profile, ClusterSettings(running.address), jobs=2) as executor:
        eventually(lambda: executor.available() and len(executor.held()) == 2)
        yield running, executor


def right(keys: InstitutionKeys, case: tuple[IntArray, IntArray, IntArray], evaluation: Evaluation) -> bool:
    z, A, c = case
    surplus = keys.decrypt("surplus", evaluation.outputs["surplus"])
    return np.array_equal(surplus.values, reference.surplus(z, A, c))


def job(keys: InstitutionKeys, key_file: KeyFile, case: tuple[IntArray, IntArray, IntArray]) -> Job:
    z, A, c = case
    return Job(key_file, keys.encrypt(z), A, c, FUNCTIONS)


@pytest.mark.long
@pytest.mark.fhe
def test_keys_are_sent_once_and_a_killed_worker_is_told_apart(
    cluster: tuple[Machines, Cluster], keys: InstitutionKeys, key_file: KeyFile
) -> None:
    running, executor = cluster
    first, second, third = cases(keys.profile, 3, seed=9)
    evaluation = executor.evaluate(job(keys, key_file, first))
    assert right(keys, first, evaluation)
    assert executor.is_warm(key_file.sha256)
    (holder,) = (name for name, held in executor.held().items() if key_file.sha256 in held.keys)
    # The second job finds them in the memory of the worker that has them.
    evaluation = executor.evaluate(job(keys, key_file, second))
    assert evaluation.seconds["load_keys"] < 0.1
    assert right(keys, second, evaluation)
    assert len(evaluation.fingerprint) == 64

    worker = next(
        process
        for attendant in running.workers
        for process in children(attendant.pid)
        if listens(process, port_of(holder))
    )
    lost: Future[Evaluation] = executor.submit(job(keys, key_file, third))
    eventually(lambda: not lost.done() and any(executor._client.processing().values()), 20)
    os.kill(worker, signal.SIGKILL)
    with pytest.raises(WorkerLost, match="died with the job"):
        lost.result(60)
    # The other one does it: nothing was tried again behind the caller's back.
    assert right(keys, third, executor.evaluate(job(keys, key_file, third)))
    assert holder not in executor.held()
    # A new process takes the place of the dead one; it has no keys.
    eventually(lambda: executor.available() and len(executor.held()) == 2)


@pytest.mark.long
@pytest.mark.fhe
def test_a_job_for_a_worker_that_has_just_left_is_given_back(
    tmp_path: Path, profile: Profile, keys: InstitutionKeys, key_file: KeyFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_executor, "STRANDED_SECONDS", 0.5)
    (case,) = cases(keys.profile, 1, seed=11)
    with machines(tmp_path, 1) as running, Cluster(profile, ClusterSettings(running.address), jobs=1) as executor:
        eventually(lambda: executor.available() and len(executor.held()) == 1)
        (gone,) = executor.held()
        (attendant,) = running.workers
        for process in (attendant.pid, *children(attendant.pid)):
            os.kill(process, signal.SIGKILL)
        eventually(lambda: not executor.available())
        # Nobody has looked since it left: the job is for a worker that the scheduler does not know any more.
        monkeypatch.setattr(executor, "_look", lambda _: (gone,))
        lost = executor.submit(job(keys, key_file, case))
        eventually(lambda: sum(executor._calls.values()) == 1)
        running.start_worker()
        with pytest.raises(ExecutorUnavailable, match=f"the worker {gone} left before it took the job"):
            lost.result(30)
        monkeypatch.undo()
        eventually(lambda: executor.available() and len(executor.held()) == 1)
        assert right(keys, case, executor.evaluate(job(keys, key_file, case)))


@pytest.mark.long
@pytest.mark.fhe
def test_a_scheduler_that_goes_away_and_comes_back(
    cluster: tuple[Machines, Cluster], keys: InstitutionKeys, key_file: KeyFile
) -> None:
    running, executor = cluster
    assert running.scheduler is not None
    running.scheduler.kill()
    running.scheduler.wait()
    eventually(lambda: not executor.available())
    (case,) = cases(keys.profile, 1, seed=10)
    with pytest.raises(ExecutorUnavailable, match="scheduler"):
        executor.evaluate(job(keys, key_file, case))
    running.start_scheduler()
    eventually(executor.available)
    assert right(keys, case, executor.evaluate(job(keys, key_file, case)))


def test_a_scheduler_that_is_not_there_keeps_nobody_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_executor, "CONNECT_SECONDS", 0.5)
    with Cluster(TINY, ClusterSettings(Machines(tmp_path).address), jobs=1) as executor:
        executor.start()
        threads = threading.active_count()
        for _ in range(3):
            monkeypatch.setattr(executor, "_next_try", 0.0)
            assert not executor.available()
        # A scheduler that is away for a week leaves nothing behind.
        assert threading.active_count() == threads
        assert executor.held() == {}
        with pytest.raises(ExecutorUnavailable, match="does not answer; runs wait until it does"):
            executor.warm_up(KeyFile(tmp_path, "0" * 64, b""), FUNCTIONS)


# Key files of a worker


def test_keys_that_arrive_changed_are_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("atomic_margin.fhe.executors.station._address", lambda: "tcp://here")
    station = Station(4 << 30, None)
    with pytest.raises(MalformedKeys, match="are not 0000"):
        station.keep("0" * 64, b"keys")
    with pytest.raises(KeysMissing, match="tcp://here"):
        station.key_file(KeyName("0" * 64, b""))
    station.close()


def test_key_files_make_way_when_there_are_too_many_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("atomic_margin.fhe.executors.station._address", lambda: "tcp://here")
    station, names = Station(4 << 30, None, files_bytes=10), []
    for number in range(3):
        data = bytes([number]) * 4
        names.append(KeyName(hashlib.sha256(data).hexdigest(), b""))
        station.keep(names[-1].sha256, data)
        os.utime(station.key_file(names[-1]).path, (number, number))
    assert [station._path(name.sha256).exists() for name in names] == [False, True, True]
    station.close()


# Settings


@pytest.mark.parametrize(
    ("address", "files", "message"),
    [
        ("http://host:1", 0, "is tcp://HOST:PORT"),
        ("tcp://host", 0, "is tcp://HOST:PORT"),
        ("tcp://host:port", 0, "is tcp://HOST:PORT"),
        ("tls://host:1", 0, "takes certificates"),
        ("tcp://host:1", 3, "certificates a tls:// address"),
        ("tls://host:1", 2, "takes all three"),
    ],
)
def test_settings_that_do_not_fit_are_refused(tmp_path: Path, address: str, files: int, message: str) -> None:
    path = tmp_path / "file"
    path.touch()
    with pytest.raises(ValueError, match=message):
        ClusterSettings(address, *[path] * files)


@pytest.mark.parametrize(
    ("address", "exposed"),
    [
        ("tcp://127.0.0.1:1", False),
        ("tcp://localhost:1", False),
        ("tcp://[::1]:1", False),
        ("tcp://10.0.0.7:1", True),
    ],
)
def test_plain_connections_to_others_are_exposed(address: str, exposed: bool) -> None:
    assert ClusterSettings(address).exposed is exposed

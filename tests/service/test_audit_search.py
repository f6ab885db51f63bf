"""The search of an audit for the recorded plan, on workers with scripted plans: which starts it takes, what it says.

That real workers choose plans so, and that their bytes agree, is shown in `tests/e2e/test_audit.py`.
"""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from atomic_margin.circuits.profile import TINY
from atomic_margin.fhe.evaluator import Evaluator, IntArray
from atomic_margin.fhe.worker import Evaluation, KeyFile
from atomic_margin.service.audit.evidence import EvaluatedFunction, Evidence
from atomic_margin.service.audit.search import Repetition, Verdict, overall, repeat
from atomic_margin.service.protocol.signing import Identity

OWN = ("surplus", "breach")
ZERO = np.zeros((1, 1), dtype=np.int64)
SIGNED = Identity.generate().sign("run", {})


def words(function: str, plan: str) -> bytes:
    """What an honest worker gives: only `surplus` does not depend on the plan."""
    return f"{function} {'' if function == 'surplus' else plan}".encode()


class Scripted(Evaluator):
    """A worker with a given plan for each pair of functions; `then` is its plan once it has been replaced."""

    def __init__(self, plans: dict[tuple[str, ...], str], then: str | None = None) -> None:
        super().__init__(TINY)
        self.plans, self.then = plans, then
        self.evaluated: list[tuple[str, ...]] = []
        self.closed = False

    def warm_up(self, keys: KeyFile, functions: tuple[str, ...]) -> str:
        return self.plans[functions]

    def evaluate(
        self,
        keys: KeyFile,
        ciphertext: bytes,
        A: IntArray,
        c: IntArray,
        functions: tuple[str, ...],
        chosen: dict[str, int] | None = None,
    ) -> Evaluation:
        self.evaluated.append(functions)
        plan = self.then or self.plans.get(functions, "any")
        return Evaluation({name: words(name, plan) for name in functions}, plan, {})

    def close(self, seconds: float = 0) -> None:
        self.closed = True


def recorded(plan: str, functions: tuple[str, ...] = OWN, **other: bytes) -> EvaluatedFunction:
    stored = {**{name: words(name, plan) for name in functions}, **other}
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in stored.items()}
    return EvaluatedFunction(functions, plan, stored, SIGNED, hashes)


def audit(workers: list[Scripted], *evaluations: EvaluatedFunction) -> list[Repetition]:
    """Search with these workers, one a start; the ones that were started are closed, the others untouched."""
    keys = KeyFile(Path("nowhere"), "00" * 32, b"")
    evidence = Evidence(SIGNED, None, TINY, keys, b"", ZERO, ZERO[0], evaluations)  # type: ignore[arg-type]  # not read
    left = iter(workers)
    numbers: list[int] = []
    found = repeat(evidence, len(workers), lambda: next(left), numbers.append)
    assert numbers == list(range(1, len(numbers) + 1))
    assert [worker.closed for worker in workers] == [number < len(numbers) for number in range(len(workers))]
    return found


def with_plan(*plans: str) -> list[Scripted]:
    return [Scripted({OWN: plan}) for plan in plans]


def test_the_first_worker_with_the_recorded_plan_confirms_and_no_other_is_started() -> None:
    workers = with_plan("a", "b", "c", "d")
    (found,) = audit(workers, recorded("c"))
    assert (found.verdict, found.starts, found.plan_free) == (Verdict.CONFIRMED, 3, ("surplus",))
    assert found.plans == {"a": 1, "b": 1, "c": 1}
    assert found.hashes == found.evaluated.hashes
    # What has no plan is repeated in the first worker; the rest only where the plan is the recorded one.
    assert [worker.evaluated for worker in workers] == [[("surplus",)], [], [OWN], []]


def test_a_plan_that_does_not_come_up_is_undecided_and_the_last_worker_evaluates_all_the_same() -> None:
    workers = with_plan("a", "a", "b")
    (found,) = audit(workers, recorded("c"))
    assert (found.verdict, found.starts, found.plan, found.differs) == (Verdict.UNDECIDED, 3, "b", ())
    assert found.plans == {"a": 2, "b": 1}
    assert found.words["breach"] == words("breach", "b")


@pytest.mark.parametrize("starts", [1, 3])
def test_other_bytes_under_the_recorded_plan_are_refuted(starts: int) -> None:
    (found,) = audit(with_plan(*"abc"[3 - starts :]), recorded("c", breach=b"other"))
    assert (found.verdict, found.differs, found.starts) == (Verdict.REFUTED, ("breach",), starts)


def test_other_bytes_of_what_has_no_plan_are_refuted_by_the_first_worker() -> None:
    (found,) = audit(with_plan("a", "c"), recorded("c", surplus=b"other"))
    assert (found.verdict, found.differs, found.plan_free, found.starts) == (Verdict.REFUTED, ("surplus",), (), 1)


def test_words_that_are_kept_no_longer_are_compared_by_their_hash() -> None:
    for stored, verdict in ((recorded("c"), Verdict.CONFIRMED), (recorded("c", breach=b"other"), Verdict.REFUTED)):
        stored.words.clear()
        (found,) = audit(with_plan("c"), stored)
        assert found.verdict is verdict


def test_the_plan_that_counts_is_that_of_the_words() -> None:
    """The worker had the plan when it was asked, and was replaced before it evaluated."""
    (found,) = audit([Scripted({OWN: "c"}, then="d"), *with_plan("c")], recorded("c"))
    assert (found.verdict, found.starts) == (Verdict.CONFIRMED, 2)
    assert found.plans == {"d": 1, "c": 1}


def test_every_evaluation_of_a_run_is_searched_for_until_all_are_decided() -> None:
    plans = (("a", "t"), ("b", "s"), ("c", "t"), ("c", "t"))
    workers = [Scripted({OWN: own, ("shortfall",): short}) for own, short in plans]
    found = audit(workers, recorded("c"), recorded("s", ("shortfall",)))
    assert [(one.verdict, one.starts) for one in found] == [(Verdict.CONFIRMED, 3), (Verdict.CONFIRMED, 2)]
    assert [worker.evaluated for worker in workers] == [[("surplus",)], [("shortfall",)], [OWN], []]


def test_one_refuted_evaluation_decides_and_then_one_undecided() -> None:
    short = ("shortfall",)
    workers = [Scripted({OWN: "c", short: "s"})]
    assert overall(audit(workers, recorded("c"), recorded("s", short, shortfall=b"other"))) is Verdict.REFUTED
    workers = [Scripted({OWN: "c", short: "t"})]
    assert overall(audit(workers, recorded("c"), recorded("s", short))) is Verdict.UNDECIDED
    workers = [Scripted({OWN: "c", short: "s"})]
    assert overall(audit(workers, recorded("c"), recorded("s", short))) is Verdict.CONFIRMED

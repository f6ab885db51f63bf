"""Evaluate a run again, in fresh workers until one has the recorded FFT plan, and compare the outputs' hashes.

A worker chooses its plan by timing when it starts and keeps it; only another process can have another. A function
without a bootstrap has no plan: every worker must give its recorded bytes.
"""

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from atomic_margin.fhe.evaluator import Evaluator
from atomic_margin.fhe.worker import Evaluation
from atomic_margin.service.audit.evidence import EvaluatedFunction, Evidence

PLAN_FREE = ("surplus",)
"""Functions that bootstrap nothing: their bytes are the same under every plan."""


class Verdict(str, Enum):
    """What an audit says of an evaluation."""

    CONFIRMED = "confirmed"
    """The same bytes, in a worker with the recorded plan."""
    REFUTED = "refuted"
    """Other bytes although the plan is the recorded one, or although the function has no plan."""
    UNDECIDED = "undecided"
    """No worker had the recorded plan."""


@dataclass
class Repetition:
    """What came of repeating one evaluation.

    Attributes:
        evaluated: what the operator recorded.
        verdict: of it.
        plans: fingerprints of the workers that were tried, and how many had each.
        words: outputs of the audit's own evaluation.
        plan: under which they were made.
        differs: functions whose bytes are not the recorded ones although they should be.
        plan_free: functions whose recorded bytes were repeated without regard to the plan.
    """

    evaluated: EvaluatedFunction
    verdict: Verdict = Verdict.UNDECIDED
    plans: Counter[str] = field(default_factory=Counter)
    words: dict[str, bytes] = field(default_factory=dict)
    plan: str | None = None
    differs: tuple[str, ...] = ()
    plan_free: tuple[str, ...] = ()

    @property
    def starts(self) -> int:
        """Workers that were tried."""
        return self.plans.total()

    @property
    def hashes(self) -> dict[str, str]:
        """SHA-256 of each output of the audit's own evaluation."""
        return {name: hashlib.sha256(words).hexdigest() for name, words in self.words.items()}


def repeat(
    evidence: Evidence,
    starts: int,
    make_evaluator: Callable[[], Evaluator],
    on_start: Callable[[int], None] = lambda number: None,
) -> list[Repetition]:
    """Repeat every evaluation of a run, each in the first fresh worker that has its recorded plan.

    What no worker had the plan for is evaluated in the last one all the same: its words are other bytes, and the
    institution can tell whether they say the same (`atomic-margin institution compare-audit`).

    Args:
        evidence: of the run.
        starts: workers to start at most, at least 1.
        make_evaluator: returns an evaluator of the run's profile whose worker has not started yet.
        on_start: called with the number of each worker that has been tried.

    Raises:
        FheError: a worker refused the stored keys or ciphertext, died or took too long.
    """
    found = [Repetition(evaluated) for evaluated in evidence.evaluations]
    for number in range(1, starts + 1):
        with make_evaluator() as evaluator:
            for repetition in found:
                if number == 1:
                    _repeat_plan_free(evidence, repetition, evaluator)
                if repetition.verdict is Verdict.UNDECIDED:
                    _try(evidence, repetition, evaluator, last=number == starts)
        on_start(number)
        if all(repetition.verdict is not Verdict.UNDECIDED for repetition in found):
            break
    return found


def overall(found: list[Repetition]) -> Verdict:
    """Return the verdict on all evaluations of a run: one that is refuted decides, then one that is undecided."""
    verdicts = {repetition.verdict for repetition in found}
    return next(verdict for verdict in (Verdict.REFUTED, Verdict.UNDECIDED, Verdict.CONFIRMED) if verdict in verdicts)


def _repeat_plan_free(evidence: Evidence, repetition: Repetition, evaluator: Evaluator) -> None:
    functions = tuple(name for name in repetition.evaluated.functions if name in PLAN_FREE)
    if not functions:
        return
    evaluation = _evaluate(evidence, evaluator, functions)
    repetition.differs = _differing(repetition.evaluated, evaluation.outputs)
    repetition.plan_free = tuple(name for name in functions if name not in repetition.differs)
    if repetition.differs:
        repetition.verdict = Verdict.REFUTED
        repetition.words, repetition.plan = evaluation.outputs, evaluation.fingerprint
        repetition.plans[evaluation.fingerprint] += 1


def _try(evidence: Evidence, repetition: Repetition, evaluator: Evaluator, *, last: bool) -> None:
    evaluated = repetition.evaluated
    plan = evaluator.warm_up(evidence.keys, evaluated.functions)
    if plan != evaluated.fft_plan and not last:
        repetition.plans[plan] += 1
        return
    evaluation = _evaluate(evidence, evaluator, evaluated.functions)
    # The plan that counts is the one the words were made under, should the worker have been replaced in between.
    repetition.plans[evaluation.fingerprint] += 1
    repetition.words, repetition.plan = evaluation.outputs, evaluation.fingerprint
    if evaluation.fingerprint == evaluated.fft_plan:
        repetition.differs = _differing(evaluated, evaluation.outputs)
        repetition.verdict = Verdict.REFUTED if repetition.differs else Verdict.CONFIRMED


def _evaluate(evidence: Evidence, evaluator: Evaluator, functions: tuple[str, ...]) -> Evaluation:
    return evaluator.evaluate(evidence.keys, evidence.ciphertext, evidence.A, evidence.c, functions)


def _differing(evaluated: EvaluatedFunction, outputs: dict[str, bytes]) -> tuple[str, ...]:
    return tuple(name for name, words in outputs.items() if hashlib.sha256(words).hexdigest() != evaluated.hashes[name])

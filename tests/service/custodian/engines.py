"""What stands for the engine in tests of what is around it: it knows the book, and says what the engine would."""

from collections.abc import Callable
from typing import Any

from atomic_margin.margin.market.market import Market
from atomic_margin.service.custodian.engine.task import EngineTask, Verdict
from atomic_margin.service.protocol.documents import RunRecord
from atomic_margin.service.protocol.signing import Identity

from ..documents import FUND, example
from .played import Scene

Engine = Callable[[EngineTask, Identity], Verdict]


def rows(scene: Scene, kind: Any, tick: int) -> list[int]:
    """Return all rows of the book in a run, as the institution could."""
    record = RunRecord.parse(scene.world.run(f"{FUND}.{tick}").record["body"])
    matrices = scene.world.terms.matrices_of(record, Market.parse(example(f"market-{tick}")))
    matrix = matrices.of(kind, "proof")
    return [
        sum(int(weight) * value for weight, value in zip(row, scene.dealt.values, strict=True)) + int(offset)
        for row, offset in zip(matrix.weights, matrix.collateral, strict=True)
    ]


def truthful(scene: Scene, tick: int) -> Engine:
    """Return an engine that says the truth."""
    maintenance, initial = rows(scene, "maintenance", tick), rows(scene, "initial", tick)
    if min(maintenance) >= 0:
        return saying(Verdict(False))
    return saying(Verdict(True, maintenance.index(min(maintenance)), initial.index(min(initial))))


def saying(verdict: Verdict) -> Engine:
    """Return an engine that says something."""
    return lambda task, identity: verdict

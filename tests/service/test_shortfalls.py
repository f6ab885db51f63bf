"""Shortfalls at the operator: scheduled by the settlement, in order, tried again, recovered; and what X is held to."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from atomic_margin.circuits.limbs import join
from atomic_margin.circuits.profile import TINY
from atomic_margin.margin.market.market import Market
from atomic_margin.margin.rows.matrix import MarginMatrix
from atomic_margin.margin.rows.rounding import RunMatrices, round_down
from atomic_margin.margin.rows.top_up import compute_top_up
from atomic_margin.margin.rows.weights import TrueWeights
from atomic_margin.service.errors import Conflict
from atomic_margin.service.institution.shortfalls import within_top_up
from atomic_margin.service.operator.runs.background import BackgroundWork
from atomic_margin.service.operator.runs.claims import run_again
from atomic_margin.service.operator.runs.records import recorded_matrices
from atomic_margin.service.operator.runs.shortfalls import evaluate_shortfall, recover_shortfalls
from atomic_margin.service.operator.store.tables import ShortfallRow
from atomic_margin.service.protocol.bodies import parse_signed
from atomic_margin.service.protocol.documents import RunRecord, ShortfallRecord
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.states import AccountState, RunState, ShortfallState
from atomic_margin.service.protocol.terms import AccountColumns, Terms

from .documents import FUND, GROSS_LIMIT, example
from .double import trivial_values
from .stages import Stages
from .waiting import eventually
from .world import World

WorldAt = Callable[[str], World]
FALL, CRASH = f"{FUND}.2", f"{FUND}.4"
HASH = "5a" * 32


def row_of(world: World, run_id: str) -> ShortfallRow | None:
    with world.operator.store.unit_of_work() as session:
        return session.get(ShortfallRow, run_id)


def states(world: World) -> dict[str, tuple[str, int]]:
    with world.operator.store.unit_of_work() as session:
        return {row.run_id: (row.state, row.attempts) for row in session.query(ShortfallRow)}


def test_only_a_settled_breach_has_a_shortfall(world_at: WorldAt) -> None:
    assert states(world_at("calm-done")) == {}
    assert states(world_at("fall-open")) == {}
    assert states(world_at("fall-done")) == {FALL: (ShortfallState.WAITING, 0)}


def test_it_is_of_the_run_s_own_inputs_and_signed(world_at: WorldAt, stages: Stages) -> None:
    world = world_at("fall-done")
    assert evaluate_shortfall(world.operator) is True
    assert evaluate_shortfall(world.operator) is False
    row, run = row_of(world, FALL), world.run(FALL)
    assert row is not None
    assert row.output is not None
    matrix = recorded_matrices(world.operator, RunRecord.parse(SignedDocument.parse(run.record).body)).maintenance_fhe
    z = np.array(stages.book, dtype=np.int64)
    limbs = trivial_values(row.output, world.evaluator.layout.messages["shortfall"])
    assert join(np.array(limbs)) == -int(matrix.surplus(z).min()) > 0
    signed, record = parse_signed(row.record, ShortfallRecord)
    signed.verify(frozenset({world.key}))
    run_record = SignedDocument.parse(run.record)
    assert record.run == run_record.body_hash()
    assert record.ciphertext == run_record.body["ciphertext"]
    assert record.output == hashlib.sha256(row.output).hexdigest()


def test_it_is_shown_to_the_institution_alone(world_at: WorldAt) -> None:
    world = world_at("fall-done")
    path, mine = f"/v1/runs/{FALL}/outputs/shortfall", world.auth()
    account = f"/v1/institutions/{FUND}"
    assert world.client.get(path, auth=mine).status_code == 404
    assert world.client.get(account, auth=mine).json()["shortfalls"] == []
    evaluate_shortfall(world.operator)
    row = row_of(world, FALL)
    assert row is not None
    assert world.client.get(path, auth=mine).content == row.output
    assert world.client.get(path).status_code == 401
    assert world.client.get(account, auth=mine).json()["shortfalls"] == [FALL]
    shown = world.client.get(f"/v1/runs/{FALL}", auth=mine).json()["shortfall"]
    assert shown == {"state": "recorded", "record": row.record, "seconds": {"shortfall": "0.001"}, "problem": None}


def test_shortfalls_are_evaluated_in_the_order_of_their_runs(world_at: WorldAt) -> None:
    world = world_at("fall-done")
    crash = world.play(4)
    world.answer(crash)
    assert world.state() == AccountState.IN_DEFAULT
    seen = []
    while evaluate_shortfall(world.operator):
        seen.append(sorted(run_id for run_id, (state, _) in states(world).items() if state == ShortfallState.RECORDED))
    assert seen == [[FALL], [FALL, crash]]


def test_one_that_fails_is_tried_again_then_given_up_and_touches_nothing_else(world_at: WorldAt) -> None:
    world = world_at("fall-done")
    world.evaluator.failures = 1
    evaluate_shortfall(world.operator)
    assert states(world) == {FALL: (ShortfallState.WAITING, 1)}
    world.evaluator.failures = 2
    evaluate_shortfall(world.operator)
    evaluate_shortfall(world.operator)
    assert states(world) == {FALL: (ShortfallState.FAILED, 3)}
    row = row_of(world, FALL)
    assert row is not None
    assert "EvaluationFailed" in str(row.problem)
    assert (row.record, row.output) == (None, None)
    assert evaluate_shortfall(world.operator) is False
    assert (world.state(), world.run(FALL).state) == (AccountState.ACTIVE, RunState.SETTLED)


def test_a_crash_while_evaluating_costs_no_attempt(world_at: WorldAt) -> None:
    world = world_at("fall-done")

    class PowerCut(BaseException):
        pass

    def cut() -> None:
        raise PowerCut

    for _ in range(4):
        world.evaluator.meanwhile = cut
        with pytest.raises(PowerCut):
            evaluate_shortfall(world.operator)
        assert states(world) == {FALL: (ShortfallState.EVALUATING, 1)}
        assert evaluate_shortfall(world.operator) is False
        world = world.restarted()
        assert recover_shortfalls(world.operator) == [FALL]
        assert states(world) == {FALL: (ShortfallState.WAITING, 0)}
    assert evaluate_shortfall(world.operator) is True
    assert states(world) == {FALL: (ShortfallState.RECORDED, 1)}
    world.close()


def test_one_that_is_cut_off_is_handed_back_and_was_no_attempt(world_at: WorldAt) -> None:
    world = world_at("fall-done")
    world.evaluator.failures, world.evaluator.meanwhile = 1, world.operator.stopping.set
    assert evaluate_shortfall(world.operator) is True
    assert states(world) == {FALL: (ShortfallState.WAITING, 0)}
    world = world.restarted()
    background = BackgroundWork(world.operator, interval=0.01)
    background.start()
    eventually(lambda: states(world) == {FALL: (ShortfallState.RECORDED, 1)})
    background.stop()
    world.close()


def test_one_that_was_given_up_can_be_wanted_again(world_at: WorldAt) -> None:
    world = world_at("fall-done")
    with pytest.raises(Conflict, match="is covered; nothing of it waits"):
        run_again(world.operator, f"{FUND}.1")
    world.evaluator.failures = 3
    while evaluate_shortfall(world.operator):
        pass
    assert states(world) == {FALL: (ShortfallState.FAILED, 3)}
    run_again(world.operator, FALL)
    assert states(world) == {FALL: (ShortfallState.WAITING, 0)}
    assert evaluate_shortfall(world.operator) is True
    assert states(world) == {FALL: (ShortfallState.RECORDED, 1)}


# X against the shortfall.


def matrix(kind: str, place: str, exponent: int, weights: list[list[int]], collateral: list[int]) -> MarginMatrix:
    labels = tuple(f"row {number}" for number in range(len(weights)))
    return MarginMatrix(kind, place, exponent, labels, np.array(weights), np.array(collateral), HASH, HASH)  # type: ignore[arg-type]


@dataclass
class Rows:
    """Matrices of one row with units of 16 USD (coarse) and 1/256 USD (fine)."""

    maintenance: int
    initial: int

    def matrices(self) -> RunMatrices:
        return RunMatrices(
            maintenance_fhe=matrix("maintenance", "fhe", 4, [[self.maintenance]], [0]),
            maintenance_proof=matrix("maintenance", "proof", -8, [[self.maintenance << 12]], [0]),
            initial_fhe=matrix("initial", "fhe", 4, [[self.initial]], [0]),
            initial_proof=matrix("initial", "proof", -8, [[self.initial << 12]], [0]),
        )


@pytest.mark.parametrize("z", [[0], [1], [31]])
def test_the_inequality_at_its_boundary(z: list[int]) -> None:
    matrices = Rows(-3, -4).matrices()
    for short in (1, 700, 1 << 19):
        # (S - (1 + 2^-10) (z + 1)) 16 USD = X / 256 USD
        least = (1024 * short - 1025 * (z[0] + 1)) << 2
        assert within_top_up(short, least, matrices, np.array(z))
        assert not within_top_up(short, least - 1, matrices, np.array(z))
        assert not within_top_up(short + 1, least, matrices, np.array(z))


def test_hardly_a_smaller_allowance_would_do() -> None:
    """Rounding takes nearly all of the allowance where a value lies just above what is kept of it."""
    z = np.array([5, 1])
    entries, value = ("a", "b"), -48.0 + 2.0**-7
    weights = TrueWeights(("row 0",), entries, HASH, HASH, np.full((1, 2), value), np.full((1, 2), value))
    coarse = matrix("maintenance", "fhe", 4, round_down(weights.maintenance, 4).tolist(), [-1])
    fine = matrix("initial", "proof", -8, round_down(weights.initial, -8).tolist(), [0])
    assert coarse.weights.tolist() == [[-4, -4]]
    matrices = RunMatrices(coarse, matrix("maintenance", "proof", -8, [[0, 0]], [0]), coarse, fine)
    true = -float(weights.maintenance[0] @ z)
    short = -int(coarse.surplus(z).min())
    assert short * 16 > true
    top_up = -int(fine.surplus(z).min())
    assert within_top_up(short, top_up, matrices, z)
    # A tenth of a dollar less would not explain it.
    assert not within_top_up(short, top_up - 26, matrices, z)


def test_it_tells_that_initial_margin_is_the_weaker_one() -> None:
    """A model may have no scenario that hurts a book; then X restores initial, and not maintenance, margin."""
    z = np.array([31])
    weaker = Rows(maintenance=-100, initial=-90).matrices()
    short, top_up = 3100, -int(weaker.initial_proof.surplus(z).min())
    assert not within_top_up(short, top_up, weaker, z)


def test_it_holds_for_random_books_of_the_example(terms: Terms) -> None:
    generator, breaches = np.random.default_rng(20261123), 0
    account = AccountColumns(terms.universe.hash(), GROSS_LIMIT)
    entry_map = terms.columns(account)
    gross = np.array(entry_map.gross_weights)
    for number in (1, 2, 3, 4):
        market = Market.parse(example(f"market-{number}"))
        for posted in ({}, {"USDC": 10**12}):
            matrices = terms.compile(market, posted, account)
            for _ in range(40):
                z = generator.integers(0, 32, len(entry_map)) * (generator.random(len(entry_map)) < 0.1)
                while int(gross @ z) > GROSS_LIMIT:
                    z[np.argmax(gross * z)] = 0
                coarse = matrices.maintenance_fhe
                short = max(0, -int(coarse.surplus(z).min()))
                call = compute_top_up(
                    matrices.initial_proof,
                    z,
                    minimum_transfer_amount=terms.model.minimum_transfer_amount,
                    gross_limit=GROSS_LIMIT,
                )
                breaches += short > 0
                assert within_top_up(short, call.units, matrices, z)
    assert breaches > 80
    assert terms.profile == TINY

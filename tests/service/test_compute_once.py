"""Weights are compiled once a tick, however many accounts and attempts there are, and documents are parsed once.

    .venv/bin/python -m tests.service.test_compute_once

prints what a tick costs an operator with many accounts, evaluation left out (`PlainEvaluator`): CPU seconds.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from atomic_margin.margin.kinds import Form
from atomic_margin.margin.market.market import Market
from atomic_margin.margin.market.universe import Universe
from atomic_margin.margin.models.scan.rules import ScanRules
from atomic_margin.margin.rows.rows import Rows
from atomic_margin.service.operator.store.entries import as_object, state_of
from atomic_margin.service.operator.store.tables import Account, EnrolledKeys, SubmissionRow
from atomic_margin.service.protocol.signing import Identity

from .documents import FUND
from .stages import Stages
from .world import World


def add_accounts(world: World, count: int) -> None:
    """Give the operator `count` accounts more, with the fund's book: rows alone, since nothing is proved again here."""
    with world.operator.store.unit_of_work() as session:
        account = session.get_one(Account, FUND)
        public = state_of(account).public
        assert public.book is not None
        keys = session.get_one(EnrolledKeys, public.keys)
        submission = session.query(SubmissionRow).filter_by(institution=FUND).one()
        for number in range(count):
            name = f"fund-{number:03}"
            key = world.operator.blobs.put(b"evaluation keys of " + name.encode())
            identity = Identity.generate().public_key
            book = public.book.model_copy(update={"submission": key, "evaluation_keys": key})
            changed = public.model_copy(update={"institution": name, "identity": identity, "keys": key, "book": book})
            session.add(
                Account(
                    institution=name,
                    name=name,
                    identity=identity,
                    seed=key,
                    entries=account.entries,
                    head=account.head,
                    state=account.state,
                    public_state=as_object(changed),
                    private_state=account.private_state,
                )
            )
            session.flush()
            session.add(
                EnrolledKeys(
                    evaluation_keys=key,
                    institution=name,
                    sequence=1,
                    known_answer_input=keys.known_answer_input,
                    document=keys.document,
                    confirmed=True,
                )
            )
            body = {**submission.document["body"], "institution": name, "evaluation_keys": key}
            session.add(
                SubmissionRow(
                    institution=name,
                    sequence=1,
                    sha256=key,
                    document={**submission.document, "body": body},
                    public_before=submission.public_before,
                    public_after=submission.public_after,
                    received_at=submission.received_at,
                )
            )


def test_weights_are_compiled_once_a_tick(world_at: Callable[[str], World], monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_at("submitted")
    add_accounts(world, 9)
    compiled: list[int] = []
    rows = ScanRules.rows

    def counted(self: ScanRules, universe: Universe, market: Market, form: Form = "conservative") -> Rows:
        compiled.append(market.sequence)
        return rows(self, universe, market, form)

    monkeypatch.setattr(ScanRules, "rows", counted)
    world.evaluator.failures = 1
    for number in (1, 2):
        assert len(world.tick(number)) == 10
        while world.evaluate() is not None:
            pass
    assert compiled == [1, 2]
    # Runs wait for the answer to the one before, so that the second tick's are still scheduled.
    assert world.evaluator.evaluated == 10


def main() -> None:
    """Print what a tick costs with many accounts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accounts", type=int, default=50)
    accounts = parser.parse_args().accounts
    with tempfile.TemporaryDirectory() as root:
        stages = Stages(Path(root) / "stages")
        world = stages.open("submitted", Path(root) / "world")
        add_accounts(world, accounts - 1)
        # The double looks into ciphertexts; that is no work of the operator's.
        evaluate, inside = world.evaluator.evaluate, 0.0

        def timed(*args: object, **options: object) -> object:
            nonlocal inside
            began = time.process_time()
            result = evaluate(*args, **options)
            inside += time.process_time() - began
            return result

        world.evaluator.evaluate = timed
        start = time.process_time()
        world.tick(1)
        taken = time.process_time()
        done = 0
        while world.evaluate() is not None:
            done += 1
        spent = time.process_time() - taken - inside
        print(
            f"{done} runs: tick taken in {taken - start:.3f} s, runs {spent:.3f} s, {1000 * spent / done:.1f} ms a run"
        )
        world.close()


if __name__ == "__main__":
    main()

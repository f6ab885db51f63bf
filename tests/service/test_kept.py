"""What is computed once: matrices of a tick, submissions, keys; always what computing anew would give."""

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest

from atomic_margin.margin.collateral.agreement import Agreed
from atomic_margin.service.operator import compiled_ticks
from atomic_margin.service.operator.store import entries, market_chain
from atomic_margin.service.operator.store.tables import SubmissionRow
from atomic_margin.service.protocol.kept import Kept
from atomic_margin.service.protocol.terms import AccountColumns, matrix_hashes

from .documents import FUND, GROSS_LIMIT
from .world import World

Open = Callable[[str], World]

USDC = 10**6


def test_the_one_not_asked_for_longest_goes_first() -> None:
    kept: Kept[str, int] = Kept(2)
    computed: list[str] = []

    def of(key: str) -> int:
        return kept.of(key, lambda: computed.append(key) or len(computed))

    assert [of(key) for key in ("a", "b", "a", "c", "a", "b")] == [1, 2, 1, 3, 1, 4]
    assert computed == ["a", "b", "c", "b"]
    assert len(kept) == 2
    with pytest.raises(ValueError, match="at least one"):
        Kept(0)


def test_all_threads_get_one_value() -> None:
    kept: Kept[str, object] = Kept(4)
    together = threading.Barrier(8)
    found: list[object] = []

    def ask() -> None:
        together.wait()
        found.append(kept.of("key", object))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(map(id, found))) == 1


def test_kept_matrices_are_those_that_compiling_anew_gives(world_at: Open) -> None:
    world = world_at("submitted")
    world.tick(1)
    operator, terms = world.operator, world.terms
    tick = operator.compiled_ticks.kept(1)
    assert tick is not None
    account = AccountColumns(terms.universe.hash(), GROSS_LIMIT)
    agreed = Agreed.parse(
        {"independent_amount": "1000", "threshold": "0", "minimum_transfer_amount": "0", "rounding": "1"}
    )
    seen = set()
    for posted in ({"USDC": 10**11}, {"USDC": 2 * 10**11}, {}):
        for terms_of_account in (None, agreed):
            for columns in (account, replace(account, gross_limit=2 * GROSS_LIMIT)):
                found = tick.matrices(posted, columns, terms_of_account)
                anew = terms.compile(tick.market, posted, columns, terms_of_account)
                assert matrix_hashes(found) == matrix_hashes(anew)
                assert tick.matrices(dict(posted), columns, terms_of_account) is found
                seen.add(found.maintenance_proof.hash())
    assert len(seen) == 12


def test_few_matrices_are_kept_of_large_profiles(world_at: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled_ticks, "KEPT_CELLS", 1)
    world = world_at("submitted")
    world.tick(1)
    tick = world.operator.compiled_ticks.kept(1)
    assert tick is not None
    account = AccountColumns(world.terms.universe.hash(), GROSS_LIMIT)
    for units in range(10):
        tick.matrices({"USDC": units * USDC}, account)
    assert len(tick._matrices) == compiled_ticks.LEAST_MATRICES


def test_a_submission_is_read_once_and_a_tick_by_its_columns(world_at: Open) -> None:
    world = world_at("fall-done")
    book = world.account().public.book
    assert book is not None
    with world.operator.store.unit_of_work() as session:
        stored = world.operator.parsed.submission(session, book.submission)
        row = session.get_one(SubmissionRow, stored.id)
        assert (stored.sha256, stored.submission.canonical()) == (row.sha256, row.document["body"])
        assert world.operator.parsed.submission(session, book.submission) is stored
    # A void tick is the newest, and the one before it the newest with a market.
    for _ in range(2):
        with world.operator.store.unit_of_work() as session:
            last, market = market_chain.newest_named(session)
            rows = market_chain.newest_tick(session), market_chain.newest_market(session)
            at = entries.newest(session)
        assert last is not None
        assert market is not None
        assert rows[0] is not None
        assert rows[1] is not None
        assert [(last.sequence, last.sha256), (market.sequence, market.sha256)] == [
            (row.sequence, row.sha256) for row in rows if row is not None
        ]
        assert (at.tick, at.market) == (rows[0].sequence, rows[1].sequence)
        world.void()
    keys = world.operator.enrolled_keys(FUND, str(world.account().public.keys))
    assert world.operator.key_pair(keys) is world.operator.key_pair(keys)
    assert world.operator.key_pair(keys).hash == world.funds[FUND].pair.hash

"""Proofs of many callers at once: each gets the answer that it would get alone, and points are decoded once."""

import dataclasses
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from atomic_margin.zk import BatchInvalid, Claim
from atomic_margin.zk.bits import final
from atomic_margin.zk.bits.final import batch_weights
from atomic_margin.zk.bits.verify import gather
from atomic_margin.zk.errors import ProofError, StatementError
from atomic_margin.zk.groups import Group
from atomic_margin.zk.verify import batch, queue
from atomic_margin.zk.verify.queue import KnownPoints, VerificationQueue

from .kinds import KINDS

TOGETHER = 50


@pytest.fixture
def claims(request: pytest.FixtureRequest) -> dict[str, Claim]:
    cases = {name: request.getfixturevalue(name) for name in KINDS}
    return {name: Claim(case.statement, case.proof) for name, case in cases.items()}


def renamed(claim: Claim) -> Claim:
    """The proof of one run for another: well-formed, and false."""
    return Claim(dataclasses.replace(claim.statement, context={"run": "another"}), claim.proof)


def outcomes(verifier: VerificationQueue, jobs: list[list[Claim]]) -> list[Exception | None]:
    """Have everybody call at once, while the first verification is held up; return what each caller gets."""
    everybody = threading.Barrier(len(jobs))

    def call(job: list[Claim]) -> Exception | None:
        everybody.wait()
        try:
            verifier.verify(job)
        except Exception as error:
            return error
        return None

    with ThreadPoolExecutor(len(jobs)) as callers:
        return list(callers.map(call, jobs))


@pytest.mark.parametrize("name", KINDS)
def test_one_bad_among_fifty_is_refused_alone(claims: dict[str, Claim], group: Group, name: str) -> None:
    bad = random.Random(name).randrange(TOGETHER)
    jobs = [[claims[name]] for _ in range(TOGETHER)]
    jobs[bad] = [renamed(claims[name])]
    verifier = VerificationQueue(group)
    found = outcomes(verifier, jobs)
    assert {index for index, error in enumerate(found) if error is not None} == {bad}
    error = found[bad]
    assert isinstance(error, BatchInvalid)
    assert {index: type(culprit) for index, culprit in error.culprits.items()} == {0: KINDS[name].invalid}
    assert verifier.claims == TOGETHER
    assert verifier.batches < TOGETHER


def test_culprits_are_numbered_within_ones_own_claims(claims: dict[str, Claim], group: Group) -> None:
    answer = [claims["sufficiency"], claims["decryption"], claims["breach"]]
    jobs = [answer, [*answer[:2], renamed(answer[2])], answer, [renamed(answer[0]), *answer[1:]]]
    found = outcomes(VerificationQueue(group), jobs)
    assert [sorted(error.culprits) if isinstance(error, BatchInvalid) else error for error in found] == [
        None, [2], None, [0],
    ]  # fmt: skip


def test_who_comes_alone_is_verified_at_once(claims: dict[str, Claim], group: Group) -> None:
    verifier = VerificationQueue(group)
    for count, claim in enumerate(claims.values(), 1):
        verifier.verify([claim])
        assert (verifier.batches, verifier.claims) == (count, count)


def test_a_batch_is_bounded_and_one_large_job_is_not_split(
    claims: dict[str, Claim], group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    monkeypatch.setattr(queue, "verify_batch", lambda claims, *_: sizes.append(len(claims)))
    verifier = VerificationQueue(group, most_claims=4)
    assert outcomes(verifier, [[claims["breach"]] * 3 for _ in range(8)]) == [None] * 8
    verifier.verify([claims["breach"]] * 9)
    assert sizes == [3] * 8 + [9]


def test_other_things_than_statements_are_the_error_of_their_own_job(claims: dict[str, Claim], group: Group) -> None:
    good = [claims["sufficiency"]]
    found = outcomes(VerificationQueue(group), [good, [Claim("statement", b"")], good])  # type: ignore[arg-type]
    assert [type(error) for error in found] == [type(None), StatementError, type(None)]
    with pytest.raises(StatementError, match="no proofs shows nothing"):
        VerificationQueue(group).verify([])


def test_what_is_no_proof_error_is_the_error_of_its_own_job(
    claims: dict[str, Claim], group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = batch.verify_batch

    def fails(together: list[Claim], *rest: Any) -> None:
        if any(claim is poison for claim in together):
            raise RuntimeError("a defect of one statement")
        real(together, *rest)

    poison = Claim(claims["breach"].statement, claims["breach"].proof)
    monkeypatch.setattr(queue, "verify_batch", fails)
    jobs = [[claims["sufficiency"]], [poison], [renamed(claims["breach"])], [claims["breach"]]]
    found = outcomes(VerificationQueue(group), jobs)
    assert [type(error) for error in found] == [type(None), RuntimeError, BatchInvalid, type(None)]


def test_an_interrupted_verification_accepts_nothing(
    claims: dict[str, Claim], group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    verifier = VerificationQueue(group)
    entered, go_on = threading.Event(), threading.Event()

    def interrupted(*_: Any) -> None:
        entered.set()
        go_on.wait(10)
        raise KeyboardInterrupt

    monkeypatch.setattr(queue, "verify_batch", interrupted)
    seen: list[BaseException] = []

    def call() -> None:
        try:
            verifier.verify([claims["sufficiency"]])
        except BaseException as error:
            seen.append(error)

    callers = [threading.Thread(target=call) for _ in range(3)]
    callers[0].start()
    assert entered.wait(10)
    for caller in callers[1:]:
        caller.start()
    go_on.set()
    for caller in callers:
        caller.join(10)
    # The one that verifies is interrupted; whoever it verified for is refused, not accepted.
    assert len(seen) == 3
    assert all(isinstance(error, KeyboardInterrupt | ProofError) for error in seen)


def test_points_are_decoded_once_and_forgotten_in_order(claims: dict[str, Claim], group: Group) -> None:
    decoded: list[bytes] = []

    class Counting:
        def __getattr__(self, name: str) -> Any:
            return getattr(group, name)

        def decode_point(self, data: bytes, **options: Any) -> Any:
            decoded.append(data)
            return group.decode_point(data, **options)

    verifier = VerificationQueue(Counting())  # type: ignore[arg-type]
    claim = claims["sufficiency"]
    of_book = set(claim.statement.commitments)  # type: ignore[union-attr]
    verifier.remember({data: group.decode_point(data) for data in of_book})
    verifier.verify([claim])
    verifier.verify([claim])
    assert not of_book & set(decoded)
    fresh = VerificationQueue(Counting(), points=1)  # type: ignore[arg-type]
    for _ in range(2):
        fresh.verify([claim])
    assert all(decoded.count(data) >= 1 for data in of_book)


def test_the_point_not_asked_for_longest_goes_first(group: Group) -> None:
    known = KnownPoints(2)
    for name in (b"a", b"b", b"c"):
        known[name] = group.identity()
        known.get(b"a")
    assert known[b"a"] is not None
    known.prune()
    assert list(known) == [b"c", b"a"]


def test_weights_are_drawn_anew_for_every_multiplication(
    claims: dict[str, Claim], group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[tuple[int, ...]] = []

    def weights(*arguments: Any) -> Any:
        found = batch_weights(*arguments)
        drawn.append(tuple(map(group.integer, found)))
        return found

    monkeypatch.setattr(final, "batch_weights", weights)
    pair = [claims["sufficiency"], claims["portfolio"]]
    for _ in range(3):
        batch.verify_batch(pair, group)
    assert len(set(drawn)) == 3
    # Powers of one weight of full length, the first of them 1.
    assert all(first == 1 and second.bit_length() > 200 for first, second in drawn)
    # Without fresh bytes they follow from the proofs alone, as for who checks one.
    checks = [gather(claim.statement.bit_statement(), claim.proof, group) for claim in pair]  # type: ignore[union-attr]
    assert batch_weights(checks, group) == batch_weights(checks, group)

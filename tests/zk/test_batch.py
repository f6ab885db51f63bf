"""Many proofs at once: accepted together exactly when each is accepted alone, and the culprits are named."""

import dataclasses
import random
from typing import Any

import pytest

from atomic_margin.zk import BatchInvalid, Claim, verify_batch
from atomic_margin.zk.bits import final
from atomic_margin.zk.bits.challenges import ChallengeSequence
from atomic_margin.zk.bits.final import batch_weights, verify_checks
from atomic_margin.zk.bits.proof import BitProof
from atomic_margin.zk.bits.verify import gather
from atomic_margin.zk.errors import BitProofInvalid, PointEncodingError, ProofEncodingError, StatementError
from atomic_margin.zk.groups import ORDER, Group

from .conftest import Case
from .kinds import KINDS, components


@pytest.fixture
def claims(request: pytest.FixtureRequest) -> list[Claim]:
    cases = [request.getfixturevalue(name) for name in KINDS]
    return [Claim(case.statement, case.proof) for case in cases]


def renamed(claim: Claim) -> Claim:
    """The proof of one run for another: well-formed, and false."""
    return Claim(dataclasses.replace(claim.statement, context={"run": "another"}), claim.proof)


@pytest.mark.long
def test_proofs_of_every_statement_together(claims: list[Claim], backend: Group) -> None:
    verify_batch(claims, backend)


def test_one_many_and_repeated(claims: list[Claim], group: Group) -> None:
    for claim in claims:
        verify_batch([claim], group)
    verify_batch(claims * 3, group)
    verify_batch([tuple(claim) for claim in claims], group)


def test_an_empty_batch_is_refused(group: Group) -> None:
    for empty in ([], ()):
        with pytest.raises(StatementError, match="a batch of no proofs"):
            verify_batch(empty, group)


def test_other_things_than_statements_are_refused(claims: list[Claim], group: Group) -> None:
    with pytest.raises(StatementError, match="str is not a statement"):
        verify_batch([claims[0], ("statement", b"")], group)  # type: ignore[list-item]


@pytest.mark.parametrize("bad", range(len(KINDS)))
def test_one_bad_among_many_is_named(claims: list[Claim], group: Group, bad: int) -> None:
    name = list(KINDS)[bad]
    many = [*claims[:bad], renamed(claims[bad]), *claims[bad + 1 :]]
    with pytest.raises(BatchInvalid) as caught:
        verify_batch(many, group)
    assert {index: type(error) for index, error in caught.value.culprits.items()} == {bad: KINDS[name].invalid}
    assert f"proof {bad}: {KINDS[name].invalid.__name__}" in str(caught.value)
    verify_batch([*many[:bad], *many[bad + 1 :]], group)


def test_several_bad_ones_of_every_sort_are_named(claims: list[Claim], group: Group) -> None:
    many = claims * 2
    many[1] = renamed(many[1])
    many[4] = Claim(many[4].statement, many[4].proof[:-1])
    many[6] = Claim(many[6].statement, many[6].proof[:1] + bytes([0xC0]) + bytes(47) + many[6].proof[49:])
    no_point = dataclasses.replace(
        many[9].statement, commitments=(bytes([0xC0]) + bytes(47), *many[9].statement.commitments[1:])
    )
    many[9] = Claim(no_point, many[9].proof)
    many[12] = renamed(many[12])
    with pytest.raises(BatchInvalid) as caught:
        verify_batch(many, group)
    assert {index: type(error) for index, error in caught.value.culprits.items()} == {
        1: KINDS["sufficiency"].invalid,
        4: ProofEncodingError,
        6: ProofEncodingError,
        9: PointEncodingError,
        12: KINDS["breach"].invalid,
    }


def test_a_batch_of_nothing_but_bad_ones(claims: list[Claim], group: Group) -> None:
    with pytest.raises(BatchInvalid) as caught:
        verify_batch([renamed(claim) for claim in claims], group)
    assert sorted(caught.value.culprits) == list(range(len(claims)))


def _shifted(case: Case, by: int, group: Group) -> bytes:
    """A proof whose final check is off by a multiple of H that is linear in ``by``: mu is not what it should be.

    It is absorbed before w and e, so all that follows is made anew by hand: nothing does, hence the check fails.
    """
    parameters = case.statement.bit_statement().parameters
    proof = BitProof.from_bytes(case.proof, parameters)
    mu = (int.from_bytes(proof.mu, "big") + by) % ORDER
    return dataclasses.replace(proof, mu=mu.to_bytes(32, "big")).to_bytes()


def test_two_that_cancel_under_equal_weights_are_refused(
    sufficiency: Case, group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    # With the challenges of the honest proof, shifting mu by 1 and by -1 leaves errors of -H and H.
    statement = sufficiency.statement.bit_statement()
    honest = BitProof.from_bytes(sufficiency.proof, statement.parameters)
    original = ChallengeSequence.after_evaluation
    with monkeypatch.context() as patch:
        patch.setattr(
            ChallengeSequence,
            "after_evaluation",
            lambda self, t_hat, tau_x, mu: original(self, t_hat, tau_x, honest.mu),
        )
        checks = [gather(statement, _shifted(sufficiency, by, group), group) for by in (1, -1)]
    for check in checks:
        with pytest.raises(BitProofInvalid):
            verify_checks([check], group)
    with pytest.raises(BitProofInvalid):
        verify_checks(checks, group)
    # They are a real pair: under equal weights the errors cancel.
    monkeypatch.setattr(final, "batch_weights", lambda checks, group, fresh: [group.scalar(1)] * len(checks))
    verify_checks(checks, group)


def test_weights_depend_on_every_byte_of_every_proof(claims: list[Claim], group: Group) -> None:
    statement, proof = claims[0]
    bits = statement.bit_statement()
    other = gather(claims[1].statement.bit_statement(), claims[1].proof, group)

    def weights(statement: Any, proof: bytes) -> list[int]:
        return [group.integer(weight) for weight in batch_weights([other, gather(statement, proof, group)], group)]

    seen = {tuple(weights(bits, proof))}
    changed = 0
    for name, start, size in components(statement):
        # The last byte of a scalar plus or minus one is a scalar again; a point is exchanged for its negative.
        position, flip = (start, 0x20) if name.startswith("p ") else (start + size - 1, 0x01)
        try:
            seen.add(tuple(weights(bits, proof[:position] + bytes([proof[position] ^ flip]) + proof[position + 1 :])))
        except ProofEncodingError:
            continue
        changed += 1
    assert changed > 10
    seen.add(tuple(weights(dataclasses.replace(statement, context={"run": "2"}).bit_statement(), proof)))
    seen.add(tuple(weights(dataclasses.replace(statement, gross_limit=999).bit_statement(), proof)))
    assert len(seen) == changed + 3
    assert all(first == 1 and second not in (0, 1) for first, second in seen)


def test_points_known_before_are_used_and_added(claims: list[Claim], group: Group) -> None:
    known: dict[bytes, Any] = {}
    verify_batch(claims, group, known)
    assert set(claims[0].statement.commitments) <= set(known)

    class NoMoreDecoding:
        def __getattr__(self, name: str) -> Any:
            return getattr(group, name)

        def decode_point(self, data: bytes, **_: Any) -> Any:
            assert data not in claims[0].statement.commitments
            return group.decode_point(data)

    verify_batch(claims, NoMoreDecoding(), known)  # type: ignore[arg-type]


def test_a_random_mixture(claims: list[Claim], group: Group) -> None:
    rng = random.Random(7)
    for _ in range(10):
        many = [rng.choice(claims) for _ in range(rng.randrange(1, 9))]
        bad = {index for index in range(len(many)) if rng.random() < 0.3}
        many = [renamed(claim) if index in bad else claim for index, claim in enumerate(many)]
        if bad:
            with pytest.raises(BatchInvalid) as caught:
                verify_batch(many, group)
            assert set(caught.value.culprits) == bad
        else:
            verify_batch(many, group)

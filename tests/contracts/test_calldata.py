"""Calldata says what the statement says, and what the contract does not verify is refused before it is sent."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from atomic_margin.contracts.calldata import expected, proof_calldata, statement_calldata
from atomic_margin.contracts.errors import CalldataError
from atomic_margin.contracts.points import PRIME, uncompressed
from atomic_margin.zk import SufficiencyStatement, load_group
from atomic_margin.zk.errors import PointEncodingError, ProofEncodingError

from .cases import CONTEXT, Case, proof_places, statement_places


def test_points_are_on_the_curve_and_compress_to_what_they_were() -> None:
    group = load_group()
    larger = set()
    for number in range(20):
        point = group.encode_point(group.hash_to_point(bytes([number]), b"test"))
        data = uncompressed(point)
        x, y = int.from_bytes(data[:48], "big"), int.from_bytes(data[48:], "big")
        assert (y * y - x**3 - 4) % PRIME == 0
        assert x == int.from_bytes(point, "big") % (1 << 381)
        assert (y > PRIME // 2) == bool(point[0] & 0x20)
        larger.add(bool(point[0] & 0x20))
    assert larger == {True, False}


def test_numbers_stand_where_the_layout_has_them(small_sufficiency: Case) -> None:
    statement = small_sufficiency.statement
    data = statement_calldata(statement)
    places = statement_places(statement)

    def number(name: str) -> int:
        place = places[name]
        return int.from_bytes(data[place.start : place.start + place.size], "big", signed=name[0] in "Ac")

    assert [number(name) for name in ("bits", "top_up", "rows", "entries")] == [11, 7, 3, 4]
    assert [[number(f"A {row} {entry}") for entry in range(4)] for row in range(3)] == statement.weights.tolist()
    assert tuple(number(f"c {row}") for row in range(3)) == statement.offsets
    said = expected(statement)
    assert said.matrix == hashlib.sha256(data[10 : places["V 0"].start]).digest()
    assert said.context == hashlib.sha256(data[places["V 3"].start + 96 :]).digest()


@pytest.mark.parametrize("kind", ["small_sufficiency", "small_breach"])
def test_the_components_make_up_the_proof(kind: str, request: pytest.FixtureRequest) -> None:
    case: Case = request.getfixturevalue(kind)
    last = proof_places(case.statement)[-1]
    assert last.start + last.size == len(proof_calldata(case.statement, case.proof))


def test_what_does_not_decode_is_refused(small_breach: Case) -> None:
    with pytest.raises(ProofEncodingError):
        proof_calldata(small_breach.statement, small_breach.proof[:-1])
    with pytest.raises(PointEncodingError):
        proof_calldata(small_breach.statement, small_breach.proof[:1] + bytes(48) + small_breach.proof[49:])
    broken = replace(small_breach.statement, commitments=(bytes(48), *small_breach.statement.commitments[1:]))
    with pytest.raises(PointEncodingError, match="commitment 0"):
        statement_calldata(broken)


def test_statements_the_contract_does_not_verify(small_sufficiency: Case) -> None:
    statement = small_sufficiency.statement
    assert isinstance(statement, SufficiencyStatement)
    slack = replace(statement, slack=np.zeros((3, 1), dtype=np.int64), slack_widths=(4,))
    with pytest.raises(CalldataError, match="no slack"):
        statement_calldata(slack)
    with pytest.raises(CalldataError, match="once in every row"):
        expected(replace(statement, top_up_weights=(1, 1, 0)))
    many = SufficiencyStatement(statement.commitments, np.zeros((22, 4), dtype=np.int64), (1,) * 22, 0, 48, CONTEXT)
    with pytest.raises(CalldataError, match="22 rows of 48 bits are 1056 bits"):
        proof_calldata(many, b"")

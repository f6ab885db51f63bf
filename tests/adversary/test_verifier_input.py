"""Row: "malformed bytes", for verifiers: every negative encoding of a proof, through `atomic-margin verify`.

The cheats here are institution and operator together: every document is signed by whom it should be, so only the check
of the proof itself can find the change.
"""

import json

import pytest

from atomic_margin.zk.groups import ORDER

from .attacks import Stage, signed_again, verify

pytestmark = pytest.mark.fhe

FIELD = 0x1A0111EA397FE69A4B1BA7B6434BACD764774B84F38512BF6730D2A0F6B0F6241EABFFFEB153FFFFB9FEFFFFFFFFAAAB
FIRST_POINT, FIRST_SCALAR = 1, 1 + 4 * 48


def point(proof: bytes, new: bytes) -> bytes:
    return proof[:FIRST_POINT] + new + proof[FIRST_POINT + 48 :]


def scalar(proof: bytes, add: int) -> bytes:
    value = int.from_bytes(proof[FIRST_SCALAR : FIRST_SCALAR + 32], "big") + add
    return proof[:FIRST_SCALAR] + value.to_bytes(32, "big") + proof[FIRST_SCALAR + 32 :]


def x_plus_p(proof: bytes) -> bytes:
    flagged = int.from_bytes(proof[FIRST_POINT : FIRST_POINT + 48], "big")
    return point(proof, ((flagged + FIELD) % (1 << 384)).to_bytes(48, "big"))


def swapped(proof: bytes) -> bytes:
    return proof[:1] + proof[49:97] + proof[1:49] + proof[97:]


CHANGES = {
    "compression flag cleared": lambda proof: point(proof, bytes([proof[1] & 0x7F]) + proof[2:49]),
    "x plus p": x_plus_p,
    "off the curve": lambda proof: point(proof, b"\x80" + bytes(46) + b"\x01"),
    "off the subgroup": lambda proof: point(proof, b"\x80" + bytes(46) + b"\x04"),
    "canonical identity": lambda proof: point(proof, b"\xc0" + bytes(47)),
    "malformed identity": lambda proof: point(proof, b"\xe0" + bytes(47)),
    "identity with a tail": lambda proof: point(proof, b"\xc0" + bytes(46) + b"\x01"),
    "all ones": lambda proof: point(proof, b"\xff" * 48),
    "scalar plus r": lambda proof: scalar(proof, ORDER),
    "scalar plus one": lambda proof: scalar(proof, 1),
    "2^256 - 1": lambda proof: proof[:FIRST_SCALAR] + b"\xff" * 32 + proof[FIRST_SCALAR + 32 :],
    "swapped points": swapped,
    "truncated": lambda proof: proof[:-1],
    "one byte more": lambda proof: proof + b"\0",
    "a version byte alone": lambda proof: proof[:1],
    "unknown version": lambda proof: b"\x02" + proof[1:],
    "all zero": lambda proof: proof[:1] + bytes(len(proof) - 1),
}


@pytest.mark.long
@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_proof_is_refused(stage: Stage, change: str) -> None:
    body = stage.bundle["body"]
    bad = CHANGES[change](bytes.fromhex(body["answer"]["body"]["sufficiency_proof"])).hex()
    answer = signed_again(body["answer"], stage.agent.identity, sufficiency_proof=bad)
    verdict = verify(stage, signed_again(stage.bundle, stage.server, answer=answer))
    assert (verdict["valid"], verdict["failed"]) == (False, "answer")
    assert verdict["reason"].startswith("sufficiency_proof: ")


def test_an_empty_proof_and_other_texts_fail_in_format(stage: Stage) -> None:
    answer = signed_again(stage.bundle["body"]["answer"], stage.agent.identity, sufficiency_proof="")
    assert verify(stage, signed_again(stage.bundle, stage.server, answer=answer))["failed"] == "format"
    text = json.dumps(stage.bundle)
    other = json.dumps({**stage.bundle, "body": {**stage.bundle["body"], "version": "3"}})
    for bad in ("", "{", "[]", "null", text[:-1], text[: len(text) // 2], text + "}", other):
        assert verify(stage, bad)["failed"] == "format"

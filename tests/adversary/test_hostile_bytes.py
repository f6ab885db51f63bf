"""Row: "malformed bytes". Sizes before parsing, parsing in a worker process, canonical encodings only."""

import hashlib
from typing import Any

import httpx
import pytest

from atomic_margin.circuits.layout import layout_of
from atomic_margin.circuits.profile import TINY
from atomic_margin.service.demo.parties import NAME
from atomic_margin.service.protocol.documents import Enrolment

from ..uploads import upload
from .attacks import Stage, signed_again

pytestmark = [pytest.mark.fhe, pytest.mark.usefixtures("unmoved")]

INFINITY = "c0" + "00" * 47
BAD_POINTS = ["00" * 48, INFINITY, "e0" + "00" * 47, "c0" + "00" * 46 + "01", "ff" * 48, "9a" + "ff" * 47]


def test_proofs_and_commitments_that_are_none_are_refused(stage: Stage) -> None:
    good = stage.secrets.submit()
    commitments = good["body"]["commitments"]
    for point in BAD_POINTS:
        changed = signed_again(good, stage.agent.identity, commitments=[point, *commitments[1:]])
        assert stage.submit(changed) == (422, "portfolio_proof")
    for name in ("portfolio_proof", "encryption_proof"):
        proof = good["body"][name]
        # As in one piece if it is in chunks, and the other way round.
        other = "01" if proof[:2] == "02" else "02"
        for bad in (proof[:-2], proof + "00", other + proof[2:], proof[:2] + INFINITY + proof[98:], "01"):
            assert stage.submit(signed_again(good, stage.agent.identity, **{name: bad})) == (422, name)
        for bad in ("", "0", proof.upper(), "zz"):
            assert stage.submit(signed_again(good, stage.agent.identity, **{name: bad})) == (422, name)


def test_words_of_another_length_are_refused(stage: Stage) -> None:
    good = stage.secrets.submit()
    bodies = good["body"]["bodies"]
    for bad in (bodies[:-2], bodies[:-16], bodies + "00" * 8):
        assert stage.submit(signed_again(good, stage.agent.identity, bodies=bad)) == (422, "bodies")


@pytest.mark.long
def test_evaluation_keys_that_are_none_are_refused_and_the_operator_goes_on(stage: Stage) -> None:
    """Zeros would make every flag a 0 if they could be evaluated with."""
    size = layout_of(TINY).evaluation_key_bytes
    # Nothing is no file, and a file that was not uploaded is none either.
    assert enrol(stage, b"") == (409, "evaluation_keys")
    for keys in (bytes(100), bytes(size)):
        assert enrol(stage, keys) == (422, "evaluation_keys")
    assert enrol(stage, bytes(size), known=bytes(7)) == (422, "known_answer_input")
    assert enrol(stage, b"these", named=b"those") == (409, "evaluation_keys")


def test_documents_that_are_none_are_refused(stage: Stage) -> None:
    url = f"{stage.world.operator.url}/v1/institutions/{NAME}/submissions"
    for content in (b"", b"{", b"[]", b"\xff", b"NaN", b'{"a": 1, "a": 1}', b"[" * 100_000):
        refused = httpx.post(url, content=content, auth=stage.world.auth())
        assert refused.status_code in (400, 422)
        assert refused.headers["content-type"] == "application/problem+json"
    assert httpx.post(url, content=b"x" * (64 << 20), auth=stage.world.auth()).status_code == 413


def enrol(stage: Stage, keys: bytes, known: bytes | None = None, named: bytes | None = None) -> Any:
    known = bytes(layout_of(TINY).messages["input"].size) if known is None else known
    pair = stage.secrets.openings.pair
    body = Enrolment.parse(
        {
            "institution": NAME,
            "operator": stage.agent.settings.trust.operator,
            "profile": TINY.hash(),
            "key_sequence": "9",
            "evaluation_keys": hashlib.sha256(keys if named is None else named).hexdigest(),
            "known_answer_input": hashlib.sha256(known).hexdigest(),
            "input_key": [point.hex() for point in pair.input.commitments],
            "flag_key": [point.hex() for point in pair.flag.commitments],
        }
    )
    base = f"{stage.world.operator.url}/v1/institutions/{NAME}"
    auth = stage.world.auth()
    for data in (keys, known):
        upload(base, data, auth)
    document = body.signed_by(stage.agent.identity).to_json()
    response = httpx.post(f"{base}/enrolment", json=document, timeout=60, auth=auth)
    return response.status_code, response.json().get("field")

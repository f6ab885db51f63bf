"""Bad input over HTTP: a 4xx problem document that names the field, the server still up, nothing stored.

Operator and agent are the real processes, and evaluation keys are parsed by the real worker.
"""

import copy
import hashlib
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from sqlalchemy import func, select

from atomic_margin.circuits.layout import layout_of
from atomic_margin.circuits.profile import STANDARD, TINY
from atomic_margin.margin.market.portfolio import Portfolio
from atomic_margin.service.demo.parties import NAME
from atomic_margin.service.institution.agent import Agent
from atomic_margin.service.operator.store.tables import Base
from atomic_margin.service.protocol.documents import Enrolment
from atomic_margin.service.protocol.messages import AccountStanding, Admission, OperatorView
from atomic_margin.service.protocol.signing import Identity
from atomic_margin.service.protocol.submissions import Submission

from ..lines import FLAT, line
from ..uploads import upload
from .harness import World, copy_world
from .small import PORTFOLIO, market

pytestmark = pytest.mark.fhe

INPUT_BYTES = layout_of(TINY).messages["input"].size
KEY_POINTS = 9  # commitments to a key of dimension 2048, 248 bits each
KEY_BYTES = layout_of(TINY).evaluation_key_bytes


@pytest.fixture(scope="module")
def running(enrolled: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One pair of processes for the whole module: what is refused changes nothing, so no test disturbs another."""
    world = copy_world(enrolled, tmp_path_factory.mktemp("bad"))
    with world.both():
        yield world


@pytest.fixture
def unchanged(running: World) -> Iterator[World]:
    """The running world, checked afterwards: it answers, and neither database rows nor files have changed."""

    def stored() -> tuple[dict[str, int], set[str]]:
        with running.stored() as session:
            # Checkpoints are published by the clock, whoever asks for what.
            told = set(Base.metadata.tables) - {"log_checkpoints", "log_cosigned"}
            count = select(func.count()).select_from
            rows = {name: session.scalars(count(Base.metadata.tables[name])).one() for name in told}
        return rows, {path.name for path in (running.root / "operator" / "blobs").iterdir()}

    before = stored()
    account = running.account()
    yield running
    assert httpx.get(f"{running.operator.url}/healthz").json()["status"] == "ok"
    assert stored() == before
    assert running.account() == account


def assert_problem(response: httpx.Response, field: str | None, *statuses: int) -> dict[str, Any]:
    assert response.headers["content-type"] == "application/problem+json", response.text
    document: dict[str, Any] = response.json()
    assert response.status_code == document["status"]
    assert response.status_code in (statuses or (400, 401, 403, 404, 409, 413, 422)), document
    assert document["type"].startswith("urn:atomic-margin:problem:")
    assert document["detail"]
    assert document.get("field") == field, document
    return document


def position(**changes: str) -> dict[str, Any]:
    return {**PORTFOLIO, "lines": [line("BTC-PERP", "long", 1, **changes)]}


@pytest.mark.parametrize(
    ("portfolio", "field", "says"),
    [
        (position(instrument="BTC-PERPETUAL"), "lines[0].instrument", "no instrument"),
        (position(lots="-7"), "lines[0].lots", "at least 0"),
        (position(lots="1024"), "lines[0].lots", "at most 1023"),
        (position(lots="1.5"), "lines[0].lots", "whole number"),
        (position(lots="NaN"), "lines[0].lots", "plain decimal"),
        (position(side="flat"), "lines[0].side", "long"),
        ({**PORTFOLIO, "lines": PORTFOLIO["lines"] * 2}, "lines[3]", "already"),
        ({**PORTFOLIO, "notes": "x"}, "notes", "no such field"),
        ({"format": FLAT["format"]}, "lines", "missing"),
        (position(lots="1023"), None, "gross"),
    ],
)
def test_a_wrong_portfolio_is_refused_by_the_agent(
    unchanged: World, portfolio: dict[str, Any], field: str | None, says: str
) -> None:
    response = unchanged.agent._client.post("/v1/portfolio", json=portfolio)
    assert says in assert_problem(response, field, 422)["detail"]


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("underlyings", "BTC", "spot"), "NaN", "underlyings.BTC.spot"),
        (("underlyings", "BTC", "spot"), "Infinity", "underlyings.BTC.spot"),
        (("underlyings", "BTC", "spot"), "1e999", "underlyings.BTC.spot"),
        (("underlyings", "BTC", "spot"), "-1", "underlyings.BTC.spot"),
        (("underlyings", "ETH", "perpetual"), "0", "underlyings.ETH.perpetual"),
        (("collateral", "USDC"), "nan", "collateral.USDC"),
        (("sequence",), "-1", "sequence"),
        (("as_of",), "yesterday", "as_of"),
    ],
)
def test_a_tick_with_a_wrong_price_is_refused(unchanged: World, path: tuple[str, ...], value: str, said: str) -> None:
    """Two of three sources send it: one alone would be dropped."""
    place = unchanged.next_place()
    document = market(1, place.sequence, minutes=50)
    target = document
    for name in path[:-1]:
        target = target[name]
    target[path[-1]] = value
    prices = unchanged.prices(1, place.sequence, minutes=50)
    price = {**prices["prices"][0]["body"], "market": document}
    prices["prices"] = [source.sign("price", price).to_json() for source in unchanged.sources[:2]]
    problem = assert_problem(httpx.post(f"{unchanged.operator.url}/v1/ticks", json=prices), "prices", 422)
    assert said in problem["detail"]


def test_a_tick_signed_by_a_stranger_or_changed_after_signing_is_refused(unchanged: World) -> None:
    good = unchanged.prices(1, unchanged.next_place().sequence, minutes=50)
    stranger = Identity.generate().sign("price", good["prices"][0]["body"]).to_json()
    changed = copy.deepcopy(good["prices"][0])
    changed["body"]["market"]["underlyings"]["BTC"]["spot"] = "1"
    for document, field in ((stranger, "signer"), (changed, "signature")):
        prices = {**good, "prices": [*good["prices"][1:], document]}
        assert_problem(httpx.post(f"{unchanged.operator.url}/v1/ticks", json=prices), field, 403)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'"x"', b'{"a": 1}', b'{"a": "1", "a": "2"}', b"\xff\xfe", b"[" * 5000, b'{"a": NaN}']
)
def test_bytes_that_are_no_document_are_refused(unchanged: World, body: bytes) -> None:
    for path in ("/v1/ticks", f"/v1/institutions/{NAME}/collateral", f"/v1/institutions/{NAME}/enrolment/confirmation"):
        response = httpx.post(unchanged.operator.url + path, content=body, auth=unchanged.auth())
        assert response.status_code in (400, 422)
        assert_problem(response, response.json().get("field"))


def test_a_body_that_is_too_large_or_states_no_length_is_refused_while_it_arrives(unchanged: World) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(64):
            yield bytes(1 << 16)

    bodies: list[tuple[bytes | Iterator[bytes], int]] = [(bytes(3 << 20), 413), (endless(), 411)]
    for content, status in bodies:
        response = httpx.post(f"{unchanged.operator.url}/v1/ticks", content=content)
        assert_problem(response, None, status)


class Hostile:
    """An admitted institution that sends what it likes: correctly signed, wrong in one place."""

    def __init__(self, world: World) -> None:
        self.url, self.auth = world.operator.url, world.auth
        self.name = f"hostile-{Identity.generate().public_key[:8]}"
        self.identity = Identity.generate()
        self.operator_key = world.operator.read("/v1/operator", OperatorView).operator
        admission = Admission(institution=self.name, name="Hostile", identity=self.identity.public_key)
        world.operator.send("/v1/admissions", admission, AccountStanding)

    def enrol(self, keys: bytes, known_answer: bytes, **changes: Any) -> httpx.Response:
        body = {
            "institution": self.name,
            "operator": self.operator_key,
            "profile": TINY.hash(),
            "key_sequence": "1",
            "evaluation_keys": hashlib.sha256(keys).hexdigest(),
            "known_answer_input": hashlib.sha256(known_answer).hexdigest(),
            "input_key": ["ab" * 48] * KEY_POINTS,
            "flag_key": ["ab" * 48] * KEY_POINTS,
            **changes,
        }
        signed = Enrolment.parse(body).signed_by(self.identity)
        base, auth = f"{self.url}/v1/institutions/{self.name}", self.auth(self.identity)
        for data in (keys, known_answer):
            refused = upload(base, data, auth)
            if refused is not None:
                return refused
        return httpx.post(f"{base}/enrolment", json=signed.to_json(), timeout=120, auth=auth)


@pytest.fixture(scope="module")
def hostile(running: World) -> Hostile:
    return Hostile(running)


@pytest.mark.parametrize(
    ("keys", "known_answer", "field"),
    [
        pytest.param(b"random", bytes(INPUT_BYTES), "evaluation_keys", marks=pytest.mark.slow),
        pytest.param(bytes(KEY_BYTES), bytes(INPUT_BYTES), "evaluation_keys", marks=pytest.mark.slow),
        (np.random.default_rng(1).bytes(KEY_BYTES), bytes(INPUT_BYTES), "evaluation_keys"),
        pytest.param(
            np.random.default_rng(2).bytes(KEY_BYTES // 2),
            bytes(INPUT_BYTES),
            "evaluation_keys",
            marks=pytest.mark.slow,
        ),
        (bytes(100), bytes(INPUT_BYTES - 8), "known_answer_input"),
    ],
    ids=["short", "zero", "random", "truncated", "ciphertext"],
)
def test_bytes_that_are_no_keys_or_ciphertext_are_refused(
    unchanged: World, hostile: Hostile, keys: bytes, known_answer: bytes, field: str
) -> None:
    assert_problem(hostile.enrol(keys, known_answer), field, 422)


def test_keys_for_another_profile_are_refused(unchanged: World, hostile: Hostile) -> None:
    keys = bytes(100)
    assert (
        "another profile"
        in assert_problem(hostile.enrol(keys, bytes(INPUT_BYTES), profile=STANDARD.hash()), "profile", 422)["detail"]
    )
    # Announced for this profile, but of the length of another's.
    foreign = bytes(KEY_BYTES + 4096)
    assert_problem(hostile.enrol(foreign, bytes(INPUT_BYTES)), "size", 413)


def test_an_enrolment_of_files_that_are_not_there_is_refused(unchanged: World, hostile: Hostile) -> None:
    absent = hostile.enrol(bytes(100), bytes(INPUT_BYTES), evaluation_keys="0" * 64)
    assert "is not uploaded" in assert_problem(absent, "evaluation_keys", 409)["detail"]
    assert_problem(hostile.enrol(b"", bytes(INPUT_BYTES)), "size", 413)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"operator": Identity.generate().public_key}, "operator"),
        ({"institution": NAME}, "institution"),
        ({"key_sequence": "0"}, "key_sequence"),
        ({"input_key": ["ab" * 48] * (KEY_POINTS - 1)}, "input_key"),
        ({"flag_key": ["ab" * 48] * (KEY_POINTS + 1)}, "flag_key"),
    ],
    ids=str,
)
def test_an_enrolment_about_something_else_is_refused(
    unchanged: World, hostile: Hostile, changes: dict[str, Any], field: str
) -> None:
    assert_problem(hostile.enrol(bytes(100), bytes(INPUT_BYTES), **changes), field)


@pytest.fixture(scope="module")
def insider(enrolled: World, running: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    """The enrolled institution's own agent, turned hostile: its keys are right, what it sends is not.

    It has a copy of the directory: on the other one the honest agent runs.
    """
    copied = tmp_path_factory.mktemp("insider") / "institution"
    shutil.copytree(enrolled.root / "institution", copied)
    with running.own_agent(directory=copied) as agent:
        yield agent


@pytest.fixture(scope="module")
def prepared(insider: Agent) -> dict[str, Any]:
    """The body of an honest submission, which the agent thinks is sent. Its nonce is good until one is accepted."""
    made: list[dict[str, Any]] = []

    def keep(document: dict[str, Any]) -> dict[str, Any]:
        made.append(document["body"])
        return {}

    with pytest.MonkeyPatch.context() as kept:
        kept.setattr(insider._client, "submit", keep)
        kept.setattr(insider.history, "expect", lambda entry, document: None)
        insider.submit(Portfolio.parse(PORTFOLIO))
    return made[0]


Spoil = Callable[[dict[str, Any]], None]


def point(hexadecimal: str) -> Spoil:
    def spoil(body: dict[str, Any]) -> None:
        body["commitments"] = [hexadecimal, *body["commitments"][1:]]

    return spoil


def proof(change: Callable[[str], str]) -> Spoil:
    def spoil(body: dict[str, Any]) -> None:
        body["portfolio_proof"] = change(body["portfolio_proof"])

    return spoil


def field_is(name: str, value: str) -> Spoil:
    def spoil(body: dict[str, Any]) -> None:
        body[name] = value

    return spoil


def body_of_zero(body: dict[str, Any]) -> None:
    body["bodies"] = "00" * 8 + body["bodies"][16:]


@pytest.mark.parametrize(
    ("spoil", "field"),
    [
        (point("c0" + "00" * 47), "portfolio_proof"),
        (point("e0" + "00" * 47), "portfolio_proof"),
        (point("9a" + "ff" * 47), "portfolio_proof"),
        (point("00" * 48), "portfolio_proof"),
        (point("80" + "00" * 46 + "04"), "portfolio_proof"),
        (point("00" * 47), "commitments[0]"),
        (proof(lambda text: text[:-2]), "portfolio_proof"),
        (proof(lambda text: text + "00"), "portfolio_proof"),
        (proof(lambda text: "ff" + text[2:]), "portfolio_proof"),
        (proof(lambda text: text[:-64] + "ff" * 32), "portfolio_proof"),
        (proof(lambda text: text[:-64] + "00" * 32), "portfolio_proof"),
        (proof(lambda text: "zz" + text[2:]), "portfolio_proof"),
        (field_is("gross_limit", "1"), "entry_map"),
        (field_is("gross_limit", "5000000"), "entry_map"),
        (field_is("gross_limit", "4100000"), "portfolio_proof"),
        (field_is("sequence", "7"), "sequence"),
        (field_is("nonce", "0" * 64), "nonce"),
        (field_is("randomness", "0" * 64), "ciphertext"),
        (field_is("randomness", "0" * 62), "randomness"),
        (field_is("profile", "0" * 64), "profile"),
        (field_is("universe", "0" * 64), "universe"),
        (field_is("evaluation_keys", "0" * 64), "evaluation_keys"),
        (field_is("ciphertext", "0" * 64), "ciphertext"),
        (field_is("key_commitments", "0" * 64), "key_commitments"),
        (field_is("bodies", "00" * 8), "bodies"),
        (field_is("bodies", "0"), "bodies"),
        (field_is("bodies", "00" * 8 * 100_000), "bodies"),
        (field_is("encryption_proof", "00"), "encryption_proof"),
        (field_is("encryption_proof", "zz"), "encryption_proof"),
        (body_of_zero, "ciphertext"),
        (field_is("operator", "0" * 64), "operator"),
    ],
)
def test_a_submission_with_a_malformed_part_is_refused(
    unchanged: World, insider: Agent, prepared: dict[str, Any], spoil: Spoil, field: str | None
) -> None:
    body = copy.deepcopy(prepared)
    spoil(body)
    signed = insider.identity.sign("submission", body)
    url = f"{unchanged.operator.url}/v1/institutions/{NAME}/submissions"
    assert_problem(httpx.post(url, json=signed.to_json(), timeout=60, auth=unchanged.auth()), field)


def test_submission_types_are_what_the_tests_spoil() -> None:
    fields = "gross_limit sequence nonce randomness bodies ciphertext commitments key_commitments"
    assert {*fields.split(), "portfolio_proof", "encryption_proof"} <= set(Submission.model_fields)


@pytest.mark.parametrize(("method", "path"), [("GET", "/v1/status"), ("GET", "/v1/runs"), ("POST", "/v1/portfolio")])
def test_the_agent_answers_nobody_without_its_token(unchanged: World, method: str, path: str) -> None:
    """Another user of the machine, or a page in a browser, can reach loopback but does not have the token."""
    for headers in ({}, {"Authorization": "Bearer 0000"}, {"Origin": "http://page.example"}):
        response = httpx.request(method, unchanged.agent.url + path, headers=headers, json=FLAT)
        assert_problem(response, None, 401)
    # A page whose name leads here is told apart by that name, whatever token it has.
    headers = {"Host": "page.example", "Authorization": unchanged.agent._client.headers["Authorization"]}
    response = httpx.request(method, unchanged.agent.url + path, headers=headers, json=FLAT)
    assert_problem(response, "Host", 421)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"/v1/institutions/{NAME}"),
        ("POST", f"/v1/institutions/{NAME}/nonce"),
        ("GET", "/v1/runs/larkfield.1"),
        ("GET", "/v1/runs/nobody.1/outputs/breach"),
        ("GET", "/v1/ledger"),
        ("POST", "/v1/deposits"),
        ("POST", "/v1/admissions"),
    ],
)
def test_without_the_right_token_nothing_private_is_shown(unchanged: World, method: str, path: str) -> None:
    for headers in ({}, {"Authorization": "Bearer 0000"}, {"Authorization": "Basic eDp5"}):
        response = httpx.request(method, unchanged.operator.url + path, headers=headers)
        assert_problem(response, None, 401)


def test_the_submission_that_was_spoiled_is_accepted_as_it_was(
    running: World, insider: Agent, prepared: dict[str, Any]
) -> None:
    """So that every refusal above is owed to what was spoiled. Last, because it changes the account."""
    url = f"{running.operator.url}/v1/institutions/{NAME}/submissions"
    document = insider.identity.sign("submission", prepared).to_json()
    response = httpx.post(url, json=document, timeout=60, auth=running.auth())
    assert response.is_success, response.text

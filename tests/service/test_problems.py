"""Every error leaves as a problem document with the status its docstring promises, and nothing else leaves."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi import FastAPI

from atomic_margin.circuits.errors import CircuitError, ProfileError
from atomic_margin.documents.errors import DocumentError, NotADecimal
from atomic_margin.fhe.errors import EvaluationFailed, FheError, MalformedKeys
from atomic_margin.margin.errors import GrossLimitTooLarge, MarginError, MarginOverflow, UnknownAsset
from atomic_margin.service import errors, request_errors
from atomic_margin.service.errors import RequestError
from atomic_margin.service.http import problems
from atomic_margin.zk.errors import ProofError, StatementError

from .documents import FUND
from .world import TestClient, World

MEDIA_TYPE = "application/problem+json"
INSIDE = "postgresql://operator:hunter2@db/ledger"


def subclasses(root: type[Exception]) -> set[type[Exception]]:
    return {root}.union(*(subclasses(child) for child in root.__subclasses__()))


EXPECTED = {
    errors.RequestError: (400, "request"),
    errors.MalformedRequest: (400, "malformed"),
    errors.NotAuthorised: (401, "not-authorised"),
    errors.RequestSignatureInvalid: (401, "request-signature"),
    errors.BodyDiffers: (401, "body-differs"),
    errors.EpochPast: (401, "epoch-past"),
    errors.KeyReplaced: (401, "key-replaced"),
    errors.KeyUnknown: (401, "key-unknown"),
    errors.RequestExpired: (401, "request-expired"),
    errors.RequestReplayed: (401, "request-replayed"),
    errors.NotPermitted: (403, "not-permitted"),
    errors.SignatureInvalid: (403, "signature"),
    errors.NotFound: (404, "not-found"),
    errors.Conflict: (409, "conflict"),
    errors.IllegalTransition: (409, "conflict"),
    errors.QuotaExceeded: (409, "quota"),
    errors.InsufficientFunds: (409, "insufficient-funds"),
    errors.TooLarge: (413, "too-large"),
    errors.ClaimLost: (409, "claim-lost"),
    errors.AccountHeld: (409, "account-held"),
    errors.TooManyRequests: (429, "too-many-requests"),
    errors.TooManyStreams: (429, "too-many-streams"),
    errors.EntriesMissing: (409, "entries-missing"),
    errors.Gone: (410, "gone"),
    errors.Refused: (422, "refused"),
    errors.RulesNotSigned: (422, "rules-not-signed"),
    errors.UnknownUniverse: (422, "unknown-universe"),
    errors.PricesRefused: (422, "prices"),
    errors.TooFewSources: (422, "too-few-sources"),
    errors.PriceMoveTooLarge: (422, "price-move"),
    errors.SaleRefused: (422, "sale"),
    errors.FundBroken: (422, "fund"),
    errors.DealingOver: (409, "dealing-over"),
    errors.OpeningOver: (409, "opening-over"),
    errors.RunOld: (409, "run-old"),
    errors.AskedTooEarly: (409, "opening-too-early"),
    errors.NotOpened: (422, "not-opened"),
}
DOMAIN = [
    (MarginError("text"), "margin-error", None),
    (DocumentError("a.b", "text"), "document-error", "a.b"),
    (NotADecimal("positions[3].lots", "text"), "not-a-decimal", "positions[3].lots"),
    (UnknownAsset("DOGE", "text"), "unknown-asset", "DOGE"),
    (GrossLimitTooLarge("text"), "gross-limit-too-large", None),
    (MarginOverflow("crash", "BTC", "text"), "margin-overflow", "crash"),
    (CircuitError("text"), "circuit-error", None),
    (ProfileError("text"), "profile-error", None),
    (FheError("text"), "fhe-error", None),
    (MalformedKeys("text"), "malformed-keys", None),
    (EvaluationFailed("text"), "evaluation-failed", None),
    (ProofError("text"), "proof-error", None),
    (StatementError("text"), "statement-error", None),
    (errors.AgentRefused("text"), "agent-refused", None),
    (errors.ConfigurationError("text"), "configuration-error", None),
]
UNEXPECTED = [RuntimeError(INSIDE), KeyError(INSIDE), ZeroDivisionError(), TypeError(INSIDE), OSError(5, INSIDE)]


@pytest.fixture
def raising() -> Iterator[Callable[[Exception], Any]]:
    app = FastAPI()
    problems.install(app)
    wanted: list[Exception] = []

    @app.get("/fails")
    def fails() -> None:
        raise wanted.pop()

    with TestClient(app, raise_server_exceptions=False) as client:

        def get(error: Exception) -> Any:
            wanted.append(error)
            return client.get("/fails")

        yield get


def test_every_request_error_is_expected_here() -> None:
    assert {kind for kind in subclasses(RequestError) if kind.__module__ == request_errors.__name__} == set(EXPECTED)


@pytest.mark.parametrize("kind", EXPECTED, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("field", [None, "body.quantity"])
def test_request_errors(raising: Callable[[Exception], Any], kind: type[RequestError], field: str | None) -> None:
    response = raising(kind("what is wrong", field))
    status, slug = EXPECTED[kind]
    assert (response.status_code, response.headers["content-type"]) == (status, MEDIA_TYPE)
    document = response.json()
    assert document.pop("title")
    assert document.pop("field", None) == field
    assert document == {
        "type": f"urn:atomic-margin:problem:{slug}",
        "status": status,
        "detail": "what is wrong",
        "instance": "/fails",
    }


@pytest.mark.parametrize(("error", "slug", "field"), DOMAIN, ids=lambda value: type(value).__name__)
def test_errors_of_the_other_packages(
    raising: Callable[[Exception], Any], error: Exception, slug: str, field: str | None
) -> None:
    response = raising(error)
    assert (response.status_code, response.headers["content-type"]) == (422, MEDIA_TYPE)
    document = response.json()
    assert document["type"] == f"urn:atomic-margin:problem:{slug}"
    assert document.get("field") == field
    assert document["detail"] == str(error)


@pytest.mark.parametrize("error", UNEXPECTED, ids=lambda error: type(error).__name__)
def test_unexpected_errors_say_nothing_of_the_inside(
    raising: Callable[[Exception], Any], error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    response = raising(error)
    assert (response.status_code, response.headers["content-type"]) == (500, MEDIA_TYPE)
    assert set(response.json()) == {"type", "title", "status", "detail", "instance"}
    assert "hunter2" not in response.text
    assert type(error).__name__ not in response.text
    assert "Traceback" not in response.text
    assert type(error).__name__ in caplog.text


@pytest.mark.parametrize("text", ["\ud800", "\x00", "\U0001f600", "x" * 100_000], ids=["half", "nul", "emoji", "long"])
def test_a_problem_can_always_be_sent(raising: Callable[[Exception], Any], text: str) -> None:
    """Details quote what was sent; none of it may turn a 4xx into a 500."""
    assert raising(errors.Refused(f"got {text}", text)).status_code == 422


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("DELETE", "/v1/operator", 405),
        ("PUT", "/v1/ticks", 405),
        ("GET", "/v1/terms/portfolio", 404),
        ("GET", "/v1/ticks/1", 404),
        ("GET", "/v1/ticks/-1", 404),
        ("GET", "/v1/ticks/one", 404),
        ("GET", "/v1/ticks/99999999999999999999", 422),
        ("GET", "/v1/attestations/none", 401),
        ("GET", "/v1/attestations/..%2f..%2fetc", 404),
        ("GET", "/v1/attestations/%00", 400),
        ("GET", "/v1/runs/none", 401),
        ("GET", "/v1/institutions/none", 401),
        ("GET", "/v1/ledger", 401),
        ("POST", "/v1/institutions/none/enrolment", 401),
    ],
)
def test_wrong_requests_to_the_operator(world_at: Callable[[str], World], method: str, path: str, status: int) -> None:
    response = world_at("enrolled").client.request(method, path)
    assert (response.status_code, response.headers["content-type"]) == (status, MEDIA_TYPE)
    document = response.json()
    assert document["status"] == status
    assert document["detail"]
    assert document["type"].startswith("urn:atomic-margin:problem:")


def test_a_field_of_a_framework_body_is_named(world_at: Callable[[str], World]) -> None:
    world = world_at("enrolled")
    good = {"institution": "new", "name": "New Fund", "identity": "9a" * 32}
    for change, field in (
        ({"institution": "a/b"}, "institution"),
        ({"institution": "../x"}, "institution"),
        ({"institution": "new\n"}, "institution"),
        ({"institution": "a" * 49}, "institution"),
        ({"identity": "9A" * 32}, "identity"),
        ({"name": ""}, "name"),
        ({"name": None}, "name"),
        ({"more": "1"}, "more"),
    ):
        response = world.client.post("/v1/admissions", json={**good, **change}, headers=world.admin)
        assert response.status_code == 422, change
        assert response.json()["field"] == field
    assert world.client.post("/v1/admissions", content=b"{", headers=world.admin).status_code in (400, 422)
    assert world.client.post("/v1/admissions", json=good, headers=world.admin).status_code == 201


SURROGATES = ['{"a": "\\ud800"}', '{"\\ud800": "a"}', '"\\ud800"', '["\\ud800"]']


def surrogate_bodies(world: World) -> Iterator[tuple[str, str]]:
    """Yield path and body for every place of a POST where half of a surrogate pair can stand."""
    tick = world.prices(1)
    instruction = world.instruction(FUND, "post", "USDC", 1).to_json()
    paths = {
        "/v1/ticks": tick,
        "/v1/ticks?prices": tick["prices"][0],
        f"/v1/institutions/{FUND}/collateral": instruction,
        f"/v1/institutions/{FUND}/enrolment/confirmation": instruction,
        f"/v1/runs/{FUND}.1/answer": instruction,
        "/v1/admissions": {"institution": "x", "name": "x", "identity": "9a" * 32},
        "/v1/deposits": {"institution": FUND, "asset": "USDC", "quantity": "5", "reference": "r"},
    }
    for path, document in paths.items():
        for text in SURROGATES:
            yield path, text
        for name in document:
            yield path, json.dumps({**document, name: "x\ud800"})
        if "body" in document:
            for name in document["body"]:
                yield path, json.dumps({**document, "body": {**document["body"], name: "\ud800"}})
            yield path, json.dumps({**document, "body": {**document["body"], "\ud800": "1"}})
        yield path, json.dumps({**document, "\ud800": "1"})


def test_half_of_a_surrogate_pair_is_never_a_500(world_at: Callable[[str], World]) -> None:
    world = world_at("calm-open")
    failed = []
    for path, body in surrogate_bodies(world):
        response = world.client.post(
            path, content=body.encode(), headers={**world.admin, "content-type": "application/json"}
        )
        if not 400 <= response.status_code < 500:
            failed.append((path, response.status_code, body[:200]))
    assert failed == []


def test_half_of_a_surrogate_pair_under_a_good_signature_is_never_a_500(world_at: Callable[[str], World]) -> None:
    """An enrolled institution could sign other bytes than the canonical ones; it has no way to sign these."""
    world = world_at("calm-open")
    for name in ("asset", "action", "institution", "new"):
        document = world.instruction(FUND, "post", "USDC", 1).to_json()
        document["body"] = {**document["body"], name: "\ud800"}
        response = world.client.post(
            f"/v1/institutions/{FUND}/collateral", content=json.dumps(document).encode(), auth=world.auth()
        )
        assert 400 <= response.status_code < 500

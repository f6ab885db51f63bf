"""The API's own documentation: complete, and with examples that can be sent."""

import base64
import hashlib
import re
from collections.abc import Callable
from html import escape
from typing import Any

import pytest

from atomic_margin.service.http.reference import reference
from atomic_margin.service.institution.app import AgentProcess
from atomic_margin.service.institution.app import create_app as create_agent
from atomic_margin.service.protocol.account.amendments import AgreementAmendment
from atomic_margin.service.protocol.account.default_documents import LossAgreement
from atomic_margin.service.protocol.account.events import Coverage, GivingUp, Readers
from atomic_margin.service.protocol.account.netting_documents import Obligation
from atomic_margin.service.protocol.account.release_documents import Release
from atomic_margin.service.protocol.account.rotation_documents import IdentityRotation
from atomic_margin.service.protocol.agent_messages import (
    Adopted,
    AgentStatus,
    AskedToGiveUp,
    DecidedRuns,
    Excess,
    KeysReplaced,
    LossesSettled,
    LossSigned,
    NettingShown,
    Promised,
    ReaderNames,
    ReaderToken,
    Released,
    Submitted,
)
from atomic_margin.service.protocol.agreement_messages import AskedToAmend
from atomic_margin.service.protocol.bodies import parse_signed
from atomic_margin.service.protocol.dealings import ResealedShares, ShareComplaint, ShareReceipt
from atomic_margin.service.protocol.dispute_messages import SignedOf
from atomic_margin.service.protocol.disputes import Dispute, DisputeResolution, DisputeWithdrawal
from atomic_margin.service.protocol.documents import Answer, CollateralInstruction, Enrolment, EnrolmentConfirmation
from atomic_margin.service.protocol.messages import AccountView, Booked, RunView
from atomic_margin.service.protocol.rule_changes import NewRules, RulesChange
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.states import AccountState, RunState
from atomic_margin.service.protocol.submissions import Submission
from atomic_margin.service.protocol.ticks import Price, PriceSet

from .world import World

INSTITUTION = "/v1/institutions/{institution}"
JSON_DOCUMENTS = {
    f"{INSTITUTION}/submissions": Submission,
    f"{INSTITUTION}/enrolment": Enrolment,
    f"{INSTITUTION}/enrolment/confirmation": EnrolmentConfirmation,
    f"{INSTITUTION}/collateral": CollateralInstruction,
    f"{INSTITUTION}/coverage": Coverage,
    f"{INSTITUTION}/readers": Readers,
    f"{INSTITUTION}/giving-up": GivingUp,
    f"{INSTITUTION}/disputes": Dispute,
    f"{INSTITUTION}/disputes/withdrawal": DisputeWithdrawal,
    f"{INSTITUTION}/disputes/resolution": DisputeResolution,
    f"{INSTITUTION}/obligations": Obligation,
    f"{INSTITUTION}/loss": LossAgreement,
    f"{INSTITUTION}/releases": Release,
    f"{INSTITUTION}/amendment": AgreementAmendment,
    f"{INSTITUTION}/identity": IdentityRotation,
    f"{INSTITUTION}/dealings/{{deal}}/shares": ResealedShares,
    "/v1/custodian/dealings/{deal}/receipt": ShareReceipt,
    "/v1/custodian/dealings/{deal}/complaint": ShareComplaint,
    "/v1/custodian/resharings/{resharing}/receipt": ShareReceipt,
    "/v1/custodian/resharings/{resharing}/complaint": ShareComplaint,
    "/v1/runs/{run_id}/answer": Answer,
    "/v1/prices": Price,
}


@pytest.fixture
def api(world_at: Callable[[str], World]) -> Any:
    response = world_at("enrolled").client.get("/openapi.json")
    assert response.status_code == 200
    return response.json()


def test_every_route_says_what_it_does_and_how_it_fails(api: Any) -> None:
    routes = {(method, path): route for path, methods in api["paths"].items() for method, route in methods.items()}
    assert len(routes) >= 18
    for name, route in routes.items():
        assert route.get("description"), name
        assert route["tags"], name
        assert "4XX" in route["responses"], name


def test_the_page_is_made_here_and_fetches_nothing(world_at: Callable[[str], World], api: Any) -> None:
    """Row 21: no asset of anybody else, no script, and every call with what it takes."""
    page = world_at("enrolled").client.get("/docs")
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert "<script" not in page.text
    assert not re.findall(r"(?:src|href)=.(?!#|data:,|/openapi.json)", page.text)
    for path, methods in api["paths"].items():
        for method, route in methods.items():
            assert f'<b class="method">{method.upper()}</b> {escape(path)}' in page.text
            assert escape(route["description"].split("\n")[0], quote=False)[:40] in page.text.replace("&#39;", "'")
    for name in api["components"]["schemas"]:
        assert f'id="schema-{name}"' in page.text
    links = set(re.findall(r'href="#([^"]+)"', page.text))
    assert links <= set(re.findall(r'id="([^"]+)"', page.text))
    style = re.search(r"<style>(.*?)</style>", page.text, re.DOTALL)
    assert style is not None
    assert base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode() in policy


def test_texts_of_the_page_are_escaped() -> None:
    odd = "<script>alert(1)</script>"
    schema = {"type": "object", "description": odd, "properties": {odd: {"type": "string", "examples": [odd]}}}
    api = {
        "info": {"title": odd, "version": odd, "description": odd},
        "paths": {odd: {"get": {"description": odd, "operationId": odd, "tags": [odd], "responses": {}}}},
        "components": {"schemas": {odd: schema}},
    }
    assert "<script" not in reference(api, odd)


def test_every_post_that_takes_a_signed_document_is_looked_at_here(api: Any) -> None:
    posts = {path for path, methods in api["paths"].items() if "post" in methods}
    others = {
        "/v1/ticks",
        "/v1/ticks/void",
        "/v1/price-rules",
        f"{INSTITUTION}/nonce",
        f"{INSTITUTION}/uploads",
        "/v1/admissions",
        "/v1/deposits",
        "/v1/giving-up",
        "/v1/maturities",
        "/v1/amendments",
        "/v1/resharings",
        "/v1/custodian/resharings/{resharing}/shares",
        "/v1/universes",
        "/v1/disputes/proposals",
        "/v1/disputes/resolutions",
        "/v1/disputes/lapses",
        "/v1/parties",
        "/v1/netting",
        "/v1/sales",
        "/v1/fund",
        "/v1/losses",
        "/v1/close-outs",
        "/v1/breakers/halts",
        "/v1/breakers/resumes",
        f"{INSTITUTION}/dealings",
        "/v1/openings",
        *(f"/v1/custodian/openings/{{request}}/{what}" for what in ("part", "refusal", "rows", "finding", "void")),
    }
    assert posts == {*JSON_DOCUMENTS, *others}


@pytest.mark.parametrize(("path", "body"), JSON_DOCUMENTS.items(), ids=str)
def test_the_example_of_a_signed_document_parses(api: Any, path: str, body: Any) -> None:
    signed, _ = parse_signed(api["paths"][path]["post"]["requestBody"]["content"]["application/json"]["example"], body)
    assert signed.type == body.TYPE


def test_the_example_of_a_tick_parses(api: Any) -> None:
    for path in ("/v1/ticks", "/v1/ticks/void"):
        example = api["paths"][path]["post"]["requestBody"]["content"]["application/json"]["example"]
        (signed,) = PriceSet.parse(example).prices
        parse_signed(signed, Price)


def test_the_example_of_a_change_of_rules_parses(api: Any) -> None:
    body = api["paths"]["/v1/price-rules"]["post"]["requestBody"]["content"]["application/json"]
    (signed,) = RulesChange.parse(body["example"]).signed
    parse_signed(signed, NewRules)


def responses(api: Any) -> dict[tuple[str, str], Any]:
    """The schema of what every route answers with when all is well, by method and path."""
    return {
        (method, path): next(
            response.get("content", {}) for status, response in route["responses"].items() if status.startswith("2")
        )
        for path, methods in api["paths"].items()
        for method, route in methods.items()
    }


def test_every_route_says_what_it_answers_with(api: Any) -> None:
    bytes_or_documents = {
        ("get", "/v1/runs/{run_id}/outputs/{function}"),
        ("get", "/v1/terms/{name}"),
        ("get", "/v1/universes/{sha256}"),
        ("get", "/v1/institutions"),
        ("get", "/v1/log/checkpoint"),
        ("get", "/v1/log/tile/{path}"),
        ("get", "/metrics"),
        ("get", "/v1/custodian/accounts/{institution}/history"),
        ("get", "/v1/custodian/dealings/{deal}/coefficients"),
        ("get", "/v1/custodian/dealings/{deal}/box"),
        ("get", "/v1/events"),
        ("get", "/v1/institutions/{institution}/events"),
    }
    named = {
        call: content["application/json"]["schema"]["$ref"].rpartition("/")[2]
        for call, content in responses(api).items()
        if call not in bytes_or_documents and content
    }
    assert named[("get", INSTITUTION)] == AccountView.__name__
    assert named[("get", "/v1/runs/{run_id}")] == RunView.__name__
    assert named[("post", f"{INSTITUTION}/submissions")] == SignedDocument.__name__
    fields = api["components"]["schemas"][AccountView.__name__]["properties"]
    assert list(fields) == list(AccountView.model_fields)
    assert fields["next_submission"]["type"] == "string"
    assert api["components"]["schemas"][RunState.__name__]["enum"] == [str(state) for state in RunState]
    assert "text/plain" in responses(api)[("get", "/v1/log/checkpoint")]
    states = responses(api)[("get", "/v1/institutions")]["application/json"]["schema"]["additionalProperties"]
    assert states["$ref"].endswith(AccountState.__name__)


def test_every_route_of_the_agent_says_what_it_answers_with() -> None:
    def unused(_: Any) -> Any:
        raise AssertionError("no agent is opened here")

    api = create_agent(AgentProcess(unused), "token").openapi()
    named = {
        path: content["application/json"]["schema"]["$ref"].rpartition("/")[2]
        for (_, path), content in responses(api).items()
    }
    assert named == {
        "/v1/status": AgentStatus.__name__,
        "/v1/loss": LossSigned.__name__,
        "/v1/portfolio": Submitted.__name__,
        "/v1/readers": ReaderToken.__name__,
        "/v1/readers/{name}": ReaderNames.__name__,
        "/v1/keys": KeysReplaced.__name__,
        "/v1/adopt": Adopted.__name__,
        "/v1/giving-up": AskedToGiveUp.__name__,
        "/v1/amendment": AskedToAmend.__name__,
        "/v1/custody-amendment": AskedToAmend.__name__,
        "/v1/collateral": Booked.__name__,
        "/v1/losses": LossesSettled.__name__,
        "/v1/obligations": Promised.__name__,
        "/v1/releases": Released.__name__,
        "/v1/netting/{cycle}": NettingShown.__name__,
        "/v1/excess": Excess.__name__,
        "/v1/runs": DecidedRuns.__name__,
        "/v1/disputes": SignedOf.__name__,
        "/v1/disputes/resolution": SignedOf.__name__,
        "/v1/disputes/withdrawal": SignedOf.__name__,
    }


@pytest.mark.parametrize("name", ["Admission", "Deposit", "Agreement"])
def test_every_field_of_the_operator_s_bodies_has_an_example(api: Any, name: str) -> None:
    for field, schema in api["components"]["schemas"][name]["properties"].items():
        assert schema.get("examples"), field

"""The API's own documentation: complete, and with examples that can be sent."""

from collections.abc import Callable
from typing import Any

import pytest

from atomic_margin.margin.market.market import Market
from atomic_margin.service.protocol.documents import (
    Answer,
    CollateralInstruction,
    Enrolment,
    EnrolmentConfirmation,
    Submission,
    parse_signed,
)
from atomic_margin.service.protocol.ticks import PriceSet

from .world import World

INSTITUTION = "/v1/institutions/{institution}"
JSON_DOCUMENTS = {
    f"{INSTITUTION}/submissions": Submission,
    f"{INSTITUTION}/enrolment/confirmation": EnrolmentConfirmation,
    f"{INSTITUTION}/collateral": CollateralInstruction,
    "/v1/runs/{run_id}/answer": Answer,
}
UPLOADS = {f"{INSTITUTION}/enrolment": Enrolment}


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


def test_the_page_is_served(world_at: Callable[[str], World]) -> None:
    assert "swagger" in world_at("enrolled").client.get("/docs").text


def test_every_post_that_takes_a_signed_document_is_looked_at_here(api: Any) -> None:
    posts = {path for path, methods in api["paths"].items() if "post" in methods}
    others = {"/v1/ticks", f"{INSTITUTION}/nonce", "/v1/admissions", "/v1/deposits"}
    assert posts == {*JSON_DOCUMENTS, *UPLOADS, *others}


@pytest.mark.parametrize(("path", "body"), JSON_DOCUMENTS.items(), ids=str)
def test_the_example_of_a_signed_document_parses(api: Any, path: str, body: Any) -> None:
    signed, _ = parse_signed(api["paths"][path]["post"]["requestBody"]["content"]["application/json"]["example"], body)
    assert signed.type == body.TYPE


def test_the_example_of_a_tick_parses(api: Any) -> None:
    example = api["paths"]["/v1/ticks"]["post"]["requestBody"]["content"]["application/json"]["example"]
    prices = PriceSet.parse(example)
    assert [signed.type for signed in prices.prices] == ["price"]
    Market.parse(prices.prices[0].body)


@pytest.mark.parametrize("path", UPLOADS)
def test_an_upload_shows_its_document(api: Any, path: str) -> None:
    """Whoever writes a client needs to see the signed document that goes into the form's `document` part."""
    content = api["paths"][path]["post"]["requestBody"]["content"]["multipart/form-data"]
    example = content.get("example") or content.get("examples")
    assert example is not None
    parse_signed(example["document"], UPLOADS[path])


@pytest.mark.parametrize("name", ["Admission", "Deposit"])
def test_every_field_of_the_operator_s_bodies_has_an_example(api: Any, name: str) -> None:
    for field, schema in api["components"]["schemas"][name]["properties"].items():
        assert schema.get("examples"), field

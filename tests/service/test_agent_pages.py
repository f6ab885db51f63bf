"""The institution's pages on its agent: what they show, and that nobody else is shown it."""

import re
import threading

import pytest

from atomic_margin.service.http.page_paths import PREFIX
from atomic_margin.service.http.pages import COOKIE
from atomic_margin.service.institution.app import AgentProcess
from atomic_margin.service.institution.app import create_app as create_agent

from .client import TestClient
from .documents import FUND, example
from .resident import Resident
from .rounds import resident as resident
from .rounds import residents as residents
from .test_pages import Page, check_headers, signed_in

pytestmark = pytest.mark.long

TOKEN = "5" * 64
PAGES = ["/", "/margin", "/runs"]


@pytest.fixture
def client(resident: Resident) -> TestClient:
    process = AgentProcess(lambda stage: resident.agent)
    process._opened = process._agent = resident.agent
    return TestClient(create_agent(process, TOKEN))


def test_the_ladder_and_the_runs_are_shown(resident: Resident, client: TestClient) -> None:
    resident.world.play(1)
    resident.agent.answer_due()
    first = signed_in(client, TOKEN)
    assert f"Account {FUND}" in first.text
    assert "covered" in first.text
    margin = Page(client.get(f"{PREFIX}/margin").text)
    assert "Margin ladder" in margin.text
    assert "at tick 1 of" in margin.text
    labels = [scenario["label"] for scenario in example("model-scan")["scenarios"]]
    assert labels
    assert all(label in margin.text for label in labels)
    runs = Page(client.get(f"{PREFIX}/runs").text)
    (figures,) = resident.agent.figures()
    assert figures.surplus_true in runs.text
    for path in PAGES:
        response = client.get(PREFIX + path)
        check_headers(response)
        page = Page(response.text)
        assert not {"script", "iframe", "style"} & page.names
        assert all(re.match(r"/pages/|#", address) for address in page.addresses)
        assert "harbour" not in response.text  # another account of the same operator


def test_an_agent_that_is_at_work_is_not_waited_for(client: TestClient, resident: Resident) -> None:
    signed_in(client, TOKEN)
    held, over = threading.Event(), threading.Event()

    def work() -> None:
        with resident.agent._lock:
            held.set()
            over.wait(30)

    thread = threading.Thread(target=work)
    thread.start()
    held.wait(10)
    try:
        assert "the agent is at work" in client.get(f"{PREFIX}/margin").text
        assert client.get(f"{PREFIX}/").status_code == 200
    finally:
        over.set()
        thread.join()


@pytest.mark.parametrize("path", PAGES)
def test_a_page_asks_for_the_token_first(client: TestClient, path: str) -> None:
    response = client.get(PREFIX + path)
    assert response.status_code == 401
    assert FUND not in response.text
    check_headers(response)


def test_a_session_calls_no_route_of_the_agent(client: TestClient) -> None:
    signed_in(client, TOKEN)
    cookie = client.cookies[COOKIE]
    for path in ("/v1/status", "/v1/runs", "/v1/excess"):
        assert client.get(path, headers={"cookie": f"{COOKIE}={cookie}"}).status_code == 401, path


@pytest.mark.parametrize("host", ["elsewhere.example", "127.0.0.1.elsewhere.example", "elsewhere.example:8401", ""])
@pytest.mark.parametrize("path", ["/", f"{PREFIX}/", "/v1/runs", "/openapi.json"])
def test_another_name_for_this_machine_is_refused(client: TestClient, host: str, path: str) -> None:
    answer = client.get(path, headers={"host": host, "Authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 421
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["field"] == "Host"


@pytest.mark.parametrize("host", ["localhost:8401", "127.0.0.1:8401", "[::1]:8401", "LOCALHOST", "[::1]"])
def test_own_names_are_taken(client: TestClient, host: str) -> None:
    headers = {"host": host, "Authorization": f"Bearer {TOKEN}"}
    assert client.get("/v1/status", headers=headers).status_code == 200

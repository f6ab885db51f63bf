"""Pages for people: what they show, what they escape, who may see them, and what a session opens."""

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser

import pytest
from httpx import Response

from atomic_margin.service.http.page_paths import PREFIX
from atomic_margin.service.http.pages import COOKIE, POLICY
from atomic_margin.service.http.sessions import Sessions
from atomic_margin.service.operator.accounts import enrolment
from atomic_margin.service.protocol.signing import Identity
from atomic_margin.service.protocol.submissions import USUAL_ALLOWANCES

from .client import TestClient
from .documents import FUND
from .world import World

pytestmark = pytest.mark.long

WorldAt = Callable[[str], World]

PAGES = ["/", "/accounts", "/runs", "/ledger", "/log", "/verify", f"/accounts/{FUND}"]
HOSTILE = "<script>alert(1)</script>\"'&<img src=x onerror=alert(2)>"


class Page(HTMLParser):
    """The tags, addresses, fields and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    @property
    def names(self) -> set[str]:
        return {tag for tag, _ in self.tags}

    @property
    def addresses(self) -> list[str]:
        wanted = ("href", "src", "action", "xlink:href", "formaction")
        return [str(value) for _, attributes in self.tags for name, value in attributes.items() if name in wanted]

    @property
    def form_token(self) -> str:
        return next(str(found["value"]) for _, found in self.tags if found.get("name") == "form_token")


def check_headers(response: Response) -> None:
    assert response.headers["content-security-policy"] == POLICY
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-content-type-options"] == "nosniff"


def signed_in(client: TestClient, token: str) -> Page:
    """Sign in through the form; return the first page."""
    form = Page(client.get(f"{PREFIX}/").text).form_token
    response = client.post(f"{PREFIX}/sign-in", data={"token": token, "form_token": form})
    assert response.status_code == 200, response.text
    return Page(response.text)


@pytest.fixture
def world(world_at: WorldAt) -> World:
    return world_at("fall-done")


@pytest.fixture
def client(world: World) -> TestClient:
    signed_in(world.client, world.operator.admin_token)
    return world.client


# Who sees them


@pytest.mark.parametrize("path", PAGES)
def test_a_page_asks_for_a_token_first(world: World, path: str) -> None:
    response = world.client.get(PREFIX + path)
    assert response.status_code == 401
    check_headers(response)
    assert FUND not in response.text
    page = Page(response.text)
    assert ("token", "password") in {(found.get("name"), found.get("type")) for _, found in page.tags}


def test_the_beginning_leads_to_the_pages(world: World) -> None:
    response = world.client.get("/", follow_redirects=False)
    assert (response.status_code, response.headers["location"]) == (303, f"{PREFIX}/")
    check_headers(response)
    icon = world.client.get("/favicon.ico")
    assert (icon.status_code, icon.headers["content-type"]) == (200, "image/svg+xml")


@pytest.mark.parametrize("token", ["", "0" * 64, "x" * 4000, "\u2028é"])
def test_another_token_opens_nothing(world: World, token: str) -> None:
    form = Page(world.client.get(f"{PREFIX}/").text).form_token
    response = world.client.post(f"{PREFIX}/sign-in", data={"token": token, "form_token": form})
    assert response.status_code == 401
    check_headers(response)
    assert world.client.get(f"{PREFIX}/accounts").status_code == 401


def test_a_session_is_a_strict_cookie_of_the_pages_alone(world: World) -> None:
    before = world.client.get(f"{PREFIX}/")
    planted = world.client.cookies[COOKIE]
    data = {"token": world.operator.admin_token, "form_token": Page(before.text).form_token}
    response = world.client.post(f"{PREFIX}/sign-in", data=data, follow_redirects=False)
    assert response.status_code == 303
    said = response.headers["set-cookie"]
    parts = {part.strip().lower() for part in said.split(";")[1:]}
    assert {"httponly", f"path={PREFIX}", "samesite=strict", "max-age=28800"} <= parts
    cookie = said.split(";")[0].partition("=")[2]
    # Whoever planted a cookie before does not know the one that is signed in; and it is not the token.
    assert cookie not in (planted, world.operator.admin_token)
    assert len(cookie) >= 43


def test_a_session_calls_no_route_of_the_api(client: TestClient, world: World) -> None:
    cookie = client.cookies[COOKIE]
    # Browsers send it nowhere else; whoever does all the same gets nothing.
    for path in ("/v1/ledger", "/v1/institutions", "/v1/accounts", "/v1/runs", f"/v1/institutions/{FUND}"):
        assert client.get(path, headers={"cookie": f"{COOKIE}={cookie}"}).status_code == 401, path
        bearer = {"Authorization": f"Bearer {cookie}"}
        assert client.get(path, headers=bearer).status_code == 401, path
    assert client.get(f"{PREFIX}/accounts").status_code == 200


def test_a_token_in_a_header_opens_no_page(world: World) -> None:
    assert world.client.get(f"{PREFIX}/accounts", headers=world.admin).status_code == 401


def test_a_session_ends_with_a_sign_out(client: TestClient) -> None:
    cookie = client.cookies[COOKIE]
    form = Page(client.get(f"{PREFIX}/accounts").text).form_token
    assert client.post(f"{PREFIX}/sign-out", data={"form_token": form}).status_code == 401
    assert client.get(f"{PREFIX}/accounts", headers={"cookie": f"{COOKIE}={cookie}"}).status_code == 401


def test_a_session_ends_with_its_token(client: TestClient, world: World) -> None:
    assert client.get(f"{PREFIX}/accounts").status_code == 200
    world.operator.admin_token = "0" * 64
    assert client.get(f"{PREFIX}/accounts").status_code == 401


@pytest.mark.parametrize("form", [None, "", "0" * 64])
@pytest.mark.parametrize("path", ["/sign-in", "/sign-out", "/verify"])
def test_a_form_of_another_site_is_refused(client: TestClient, world: World, path: str, form: str | None) -> None:
    data = {"token": world.operator.admin_token} | ({} if form is None else {"form_token": form})
    response = client.post(PREFIX + path, data=data)
    assert response.status_code == 403
    check_headers(response)
    assert client.get(f"{PREFIX}/accounts").status_code == 200


def test_sessions_end_and_are_few() -> None:
    now = [0.0]
    sessions = Sessions(seconds=10, most=2, clock=lambda: now[0])
    cookies = [sessions.begin(token) for token in ("a", "b", "c")]
    assert [sessions.token_of(cookie) for cookie in cookies] == [None, "b", "c"]
    now[0] = 10.0
    assert [sessions.token_of(cookie) for cookie in cookies] == [None, None, None]
    assert sessions.token_of(None) is None
    assert not sessions.is_own_form(None, sessions.form_token(cookies[0]))
    assert not sessions.is_own_form(cookies[1], sessions.form_token(cookies[0]))


# What they show


@pytest.mark.parametrize("path", PAGES)
def test_pages_are_whole_and_take_nothing_from_elsewhere(client: TestClient, path: str) -> None:
    response = client.get(PREFIX + path)
    assert response.status_code == 200
    check_headers(response)
    page = Page(response.text)
    assert not {"script", "iframe", "object", "embed", "style", "base"} & page.names
    assert all(re.match(r"/pages/|#|/pages$", address) for address in page.addresses), page.addresses
    for _, attributes in page.tags:
        assert not any(name.startswith("on") or name == "style" for name in attributes)
    # Headings, language, and a label for everything that is filled in.
    assert ("html", {"lang": "en"}) in page.tags
    labelled = {found.get("for") for tag, found in page.tags if tag == "label"}
    filled = [found for tag, found in page.tags if tag == "input" and found.get("type") != "hidden"]
    assert {found.get("id") for found in filled} <= labelled
    assert [tag for tag, _ in page.tags].count("h1") == 1


@pytest.mark.parametrize("name", ["style.css", "favicon.svg"])
def test_what_pages_name_is_served(world: World, name: str) -> None:
    response = world.client.get(f"{PREFIX}/assets/{name}")
    assert response.status_code == 200
    check_headers(response)
    assert "url(" not in response.text
    assert "@import" not in response.text


@pytest.mark.parametrize("name", ["base.html", "../pyproject.toml", "..%2f..%2fpyproject.toml", "operator/log.html"])
def test_nothing_else_of_the_folder_is_served(world: World, name: str) -> None:
    response = world.client.get(f"{PREFIX}/assets/{name}")
    assert response.status_code == 404


def test_a_fall_is_shown(client: TestClient) -> None:
    page = Page(client.get(f"{PREFIX}/").text)
    assert "settled" in page.text
    assert "Runs by state" in page.text
    assert {"svg", "rect"} <= page.names
    runs = Page(client.get(f"{PREFIX}/runs").text)
    assert f"{FUND}.2" in runs.text
    ledger = Page(client.get(f"{PREFIX}/ledger").text)
    assert f"{FUND}/posted" in ledger.text
    assert "not zero" not in ledger.text


def test_names_are_escaped(client: TestClient, world: World) -> None:
    key = Identity.generate().public_key
    enrolment.admit(world.operator, "hostile", HOSTILE, key, USUAL_ALLOWANCES, None)
    for path in ("/accounts", "/accounts/hostile"):
        response = client.get(PREFIX + path)
        assert "<script" not in response.text
        assert "<img src=x" not in response.text
        assert HOSTILE in Page(response.text).text
    missing = client.get(f"{PREFIX}/accounts/%3Cscript%3Ealert(1)%3C%2Fscript%3E")
    assert missing.status_code == 404
    check_headers(missing)
    assert "<script" not in missing.text


def test_pages_are_drawn_again_on_demand(client: TestClient) -> None:
    def refreshed(query: str) -> list[str | None]:
        page = Page(client.get(f"{PREFIX}/{query}").text)
        return [found.get("content") for tag, found in page.tags if found.get("http-equiv") == "refresh"]

    assert refreshed("") == []
    assert refreshed("?refresh=10") == ["10"]
    assert refreshed("?refresh=0") == []
    assert refreshed("?refresh=10;url=https://elsewhere.example") == []


def test_the_list_of_accounts_goes_on(client: TestClient, world: World) -> None:
    assert world.client.get("/v1/accounts?limit=1", headers=world.admin).json()["more"] is False
    enrolment.admit(world.operator, "zebra", "Zebra", Identity.generate().public_key, USUAL_ALLOWANCES, None)
    first = world.client.get("/v1/accounts?limit=1", headers=world.admin).json()
    assert ([line["institution"] for line in first["accounts"]], first["more"]) == ([FUND], True)
    then = world.client.get(f"/v1/accounts?after={FUND}", headers=world.admin).json()
    assert ([line["institution"] for line in then["accounts"]], then["more"]) == (["zebra"], False)
    assert "zebra" in client.get(f"{PREFIX}/accounts?after={FUND}").text
    assert client.get(f"{PREFIX}/accounts?after={'x' * 200}").status_code == 422


def test_pages_wait_for_no_writer(client: TestClient, world: World) -> None:
    with world.operator.store.unit_of_work() as session:
        session.connection()  # the write lock is taken
        assert client.get(f"{PREFIX}/accounts").status_code == 200
        assert client.get(f"{PREFIX}/").status_code == 200


# A bundle that is checked


def send(client: TestClient, data: bytes, name: str = "bundle.json") -> Response:
    form = Page(client.get(f"{PREFIX}/verify").text).form_token
    return client.post(f"{PREFIX}/verify", data={"form_token": form}, files={"bundle": (name, data)})


def test_a_bundle_is_verified_step_by_step(client: TestClient, world: World) -> None:
    bundle = client.get(f"/v1/attestations/{FUND}.2", headers=world.admin).json()
    response = send(client, json.dumps(bundle).encode())
    assert response.status_code == 200
    check_headers(response)
    text = Page(response.text).text
    assert "Valid." in text
    assert f"Run {FUND}.2 of {FUND}: breach." in text
    assert "attestation: holds" in text

    bundle["body"]["answer"]["body"]["top_up"] = "1"
    text = Page(send(client, json.dumps(bundle).encode(), HOSTILE).text).text
    assert "Not valid." in text
    assert "does not hold" in text


@pytest.mark.parametrize("data", [b"{", b"[" * 100_000, b"\xff", b'{"type": 1}', b"null", b'{"body": {"run": 7}}'])
def test_what_is_no_bundle_is_said(client: TestClient, data: bytes) -> None:
    response = send(client, data, f"{HOSTILE}.json")
    assert response.status_code == 200
    assert "Not valid." in Page(response.text).text
    assert "<script" not in response.text


def test_an_upload_has_a_limit_and_wants_a_session(client: TestClient, world: World) -> None:
    assert send(client, bytes(17 << 20)).status_code == 413
    assert client.post(f"{PREFIX}/sign-in", data={"token": "x" * 100_000}).status_code == 413
    form = Page(client.get(f"{PREFIX}/verify").text).form_token
    stranger = TestClient(world.client.app)
    files = {"bundle": ("bundle.json", b"{}")}
    assert stranger.post(f"{PREFIX}/verify", data={"form_token": form}, files=files).status_code == 401


@pytest.mark.parametrize(
    ("charset", "token"),
    [("undefined", b"x"), ("punycode", b"_-_"), ("unicode_escape", b"\\ud800"), ("utf-7", b"+2AA-")],
)
@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=b", "application/x-www-form-urlencoded"])
def test_a_form_in_another_character_set_is_refused(world: World, kind: str, charset: str, token: bytes) -> None:
    for options in (f"charset={charset}", f'charset="{charset}"', f"charset=utf-8; charset={charset}"):
        response = world.client.post(
            f"{PREFIX}/sign-in",
            content=b'--b\r\nContent-Disposition: form-data; name="form_token"\r\n\r\n' + token + b"\r\n--b--\r\n",
            headers={"content-type": f"{kind}; {options}", "cookie": f"{COOKIE}=x"},
        )
        assert response.status_code == 415, options
        check_headers(response)


@pytest.mark.parametrize("token", ["%ED%A0%80", "%FF", "\udcff"])
@pytest.mark.parametrize("charset", ["", "; charset=UTF-8", '; charset="utf8"'])
def test_a_form_with_bytes_that_are_no_text_is_none_of_these_pages(world: World, charset: str, token: str) -> None:
    response = world.client.post(
        f"{PREFIX}/sign-in",
        content=f"form_token={token}&token={token}".encode(errors="surrogateescape"),
        headers={"content-type": f"application/x-www-form-urlencoded{charset}", "cookie": f"{COOKIE}=x"},
    )
    assert response.status_code == 403

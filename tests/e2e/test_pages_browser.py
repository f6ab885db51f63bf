"""The pages in a real browser: by keyboard alone, light and dark, wide and on a phone. Screenshots stay for a look.

Chromium is the system's (`apt-get install chromium`), or where ATOMIC_MARGIN_CHROMIUM says. Without one these tests are
skipped, and say so.
"""

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from atomic_margin.service.demo.processes import free_port
from atomic_margin.service.institution.app import AgentProcess
from atomic_margin.service.institution.app import create_app as create_agent
from atomic_margin.service.operator.accounts import enrolment
from atomic_margin.service.operator.web.app import create_app
from atomic_margin.service.protocol.signing import Identity
from atomic_margin.service.protocol.submissions import USUAL_ALLOWANCES

from ..service.conftest import stages as stages
from ..service.conftest import world_at as world_at
from ..service.documents import FUND
from ..service.resident import Resident
from ..service.rounds import resident as resident
from ..service.rounds import residents as residents
from ..service.world import World

CHROMIUM = os.environ.get("ATOMIC_MARGIN_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(CHROMIUM is None, reason="NO CHROMIUM: no page is tried in a browser; apt-get install it"),
]
HOSTILE = "<script>document.title='run'</script>\"'<b>"
AGENT_TOKEN = "5" * 64


@contextmanager
def served(app: Any) -> Iterator[str]:
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.01)
    assert server.started
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(20)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = Path(os.environ.get("ATOMIC_MARGIN_SCREENSHOTS", tmp_path / "pictures"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def opened(browser: Any) -> Iterator[Callable[..., Any]]:
    """Open a page of a new visitor; what the browser's console says, or is blocked from, fails the test."""
    contexts = []
    said: list[str] = []

    def make(**options: Any) -> Any:
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("requestfailed", lambda request: said.append(request.url))
        return page

    yield make
    for context in contexts:
        context.close()
    # The sign-in form itself is an answer of status 401, which browsers mention.
    assert [line for line in said if "401" not in line] == []


def sign_in(page: Any, url: str, token: str) -> None:
    """As somebody without a mouse: the field has the focus, Enter sends it."""
    page.goto(url)
    assert page.evaluate("document.activeElement.id") == "token"
    page.keyboard.type(token)
    page.keyboard.press("Enter")
    page.wait_for_selector("nav")


def test_the_operator_s_pages_by_keyboard(
    world_at: Callable[[str], World], opened: Callable[..., Any], pictures: Path
) -> None:
    world = world_at("crash-done")
    key = Identity.generate().public_key
    enrolment.admit(world.operator, "hostile", HOSTILE, key, USUAL_ALLOWANCES, None)
    bundle = pictures.parent / "bundle.json"
    bundle.write_text(world.client.get(f"/v1/attestations/{FUND}.1", headers=world.admin).text)
    with served(create_app(world.operator, background=False)) as url:
        page = opened(viewport={"width": 1280, "height": 900}, java_script_enabled=True)
        page.goto(url)
        page.screenshot(path=pictures / "sign-in.png", full_page=True)
        sign_in(page, url, world.operator.admin_token)
        assert page.title() == "Overview · Operator · atomic-margin"
        page.screenshot(path=pictures / "overview.png", full_page=True)
        # The first stop of the Tab key leads past the navigation.
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.screenshot(path=pictures / "skip-link.png")
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "content"
        for name in ("Accounts", "Runs", "Ledger", "Log", "Verify"):
            link = page.get_by_role("link", name=name, exact=True)
            link.focus()
            assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
            page.keyboard.press("Enter")
            page.wait_for_selector(f"nav a[aria-current]:has-text('{name}')")
            page.screenshot(path=pictures / f"{name.lower()}.png", full_page=True)
        page.set_input_files("#bundle", bundle)
        page.get_by_role("button", name="Verify").press("Enter")
        page.wait_for_selector("text=attestation: holds")
        page.screenshot(path=pictures / "verified.png", full_page=True)
        page.get_by_role("button", name="Sign out").press("Enter")
        page.wait_for_selector("#token")


def test_the_pages_are_dark_and_narrow_where_the_reader_is(
    world_at: Callable[[str], World], opened: Callable[..., Any], pictures: Path
) -> None:
    world = world_at("fall-done")
    with served(create_app(world.operator, background=False)) as url:
        # Without scripts, as they are meant to work.
        for name, options in (
            ("dark", {"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark"}),
            ("phone", {"viewport": {"width": 375, "height": 740}, "is_mobile": True, "color_scheme": "light"}),
        ):
            page = opened(**options)
            sign_in(page, url, world.operator.admin_token)
            page.screenshot(path=pictures / f"overview-{name}.png", full_page=True)
            # Tables scroll in their own boxes, the page itself does not move sideways.
            assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
            ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
            assert (ground == "rgb(18, 22, 28)") == (name == "dark")


def test_the_pages_work_without_scripts(world_at: Callable[[str], World], opened: Callable[..., Any]) -> None:
    world = world_at("fall-done")
    with served(create_app(world.operator, background=False)) as url:
        page = opened(java_script_enabled=False)
        page.goto(url)
        page.fill("#token", world.operator.admin_token)
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("link", name="10 seconds").click()
        page.wait_for_selector("text=Drawn again every 10 seconds")


def test_the_institution_s_pages(resident: Resident, opened: Callable[..., Any], pictures: Path) -> None:
    resident.world.play(1)
    resident.agent.answer_due()
    process = AgentProcess(lambda stage: resident.agent)
    process._opened = process._agent = resident.agent
    process.stage = "answering"
    with served(create_agent(process, AGENT_TOKEN)) as url:
        page = opened(viewport={"width": 1280, "height": 900})
        sign_in(page, url, AGENT_TOKEN)
        page.screenshot(path=pictures / "institution.png", full_page=True)
        page.get_by_role("link", name="Margin", exact=True).press("Enter")
        page.wait_for_selector("text=Margin ladder")
        page.screenshot(path=pictures / "ladder.png", full_page=True)

"""Pages for people, as both HTTP faces serve them: sign-in, templates, and what every answer of theirs says.

The pages are an application of their own under ``/pages``: a session's cookie goes nowhere else, and no route of the
API is in it. They work without scripts and take nothing from elsewhere; the policy that browsers are told allows
neither. Templates are in `web/`, whose values are escaped by the engine.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from python_multipart.multipart import parse_options_header
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, MutableHeaders, UploadFile
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import atomic_margin
from atomic_margin.service.errors import NotAuthorised, RequestError, ServiceError
from atomic_margin.service.files import web_folder
from atomic_margin.service.http.page_paths import PREFIX
from atomic_margin.service.http.refusals import Refusal
from atomic_margin.service.http.sessions import Sessions

COOKIE = "atomic-margin-pages"
POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
REFRESH_SECONDS = (10, 60)
"""What a page may be drawn again after, by itself, when asked to."""
FIELDS, FILES = 8, 1
"""Of a form, at most."""
FORM_SECONDS = 30.0
"""For a form to arrive."""
ASSETS = {"style.css": "text/css; charset=utf-8", "favicon.svg": "image/svg+xml"}

_log = logging.getLogger(__name__)

Show = Callable[[Request], Response]
Take = Callable[[Request, FormData], Response]


@dataclass(frozen=True)
class Entry:
    """A page that the navigation names.

    Attributes:
        path: below the prefix.
        name: that it goes by.
        show: draws it for whoever is signed in.
    """

    path: str
    name: str
    show: Show


@dataclass
class Pages:
    """The pages of one party.

    Attributes:
        party: whose pages: the name of their folder of templates.
        title: in every heading.
        token_file: where the token to sign in with is, for the form.
        check_token: raises `NotAuthorised` unless a token opens the pages.
        sessions: who is signed in.
        entries: what the navigation shows; the first one is the beginning.
        others: further routes.
    """

    party: str
    title: str
    token_file: str
    check_token: Callable[[str], None]
    sessions: Sessions = field(default_factory=Sessions)
    entries: list[Entry] = field(default_factory=list)
    others: list[Route] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Prepare the templates."""
        self._templates = Environment(
            loader=FileSystemLoader(web_folder()),
            autoescape=select_autoescape(default=True, default_for_string=True),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    def draw(self, request: Request, template: str, values: dict[str, Any], status: int = 200) -> Response:
        """Return a page of a template, with what all of them show."""
        cookie = request.cookies.get(COOKIE)
        fresh = cookie is None
        cookie = self.sessions.new_cookie() if cookie is None else cookie
        refresh = request.query_params.get("refresh", "")
        shown = {
            "title": self.title,
            "version": atomic_margin.__version__,
            "navigation": [(PREFIX + entry.path, entry.name) for entry in self.entries],
            "here": request.url.path,
            "signed_in": self.sessions.token_of(cookie) is not None,
            "form_token": self.sessions.form_token(cookie),
            "refresh": int(refresh) if refresh in map(str, REFRESH_SECONDS) else None,
            "refreshes": REFRESH_SECONDS,
            "can_refresh": request.method == "GET",
            **values,
        }
        response = HTMLResponse(self._templates.get_template(template).render(shown), status)
        if fresh:
            self._set_cookie(request, response, cookie)
        return response

    def showing(self, show: Show) -> Callable[[Request], Awaitable[Response]]:
        """Return an endpoint that shows a page to whoever is signed in, and the sign-in form to others."""

        async def endpoint(request: Request) -> Response:
            if self._is_stranger(request):
                return self._sign_in_page(request, None)
            return await run_in_threadpool(show, request)

        return endpoint

    def taking(self, take: Take) -> Callable[[Request], Awaitable[Response]]:
        """Return an endpoint that takes a form of whoever is signed in; nobody else's is even read."""

        async def endpoint(request: Request) -> Response:
            if self._is_stranger(request):
                return self._sign_in_page(request, None)
            form = await self._form(request)
            try:
                return await run_in_threadpool(take, request, form)
            finally:
                await form.close()

        return endpoint

    def application(self) -> Starlette:
        """Return what is mounted at the prefix."""
        routes = [Route(entry.path, self.showing(entry.show), methods=["GET"]) for entry in self.entries]
        routes += [
            *self.others,
            Route("/sign-in", self._sign_in, methods=["POST"]),
            Route("/sign-out", self._sign_out, methods=["POST"]),
            Route("/assets/{name}", _asset, methods=["GET"]),
        ]
        handlers: dict[Any, Any] = {
            HTTPException: self._http_error,
            ServiceError: self._service_error,
        }
        pages = Starlette(routes=routes, exception_handlers=handlers, middleware=[Middleware(PageHeaders)])
        pages.router.redirect_slashes = False
        return pages

    def install(self, app: Starlette) -> None:
        """Put the pages into a face: at the prefix, with a way there from its beginning."""
        app.mount(PREFIX, self.application())
        app.router.routes += [
            *(Route(path, _to_pages, methods=["GET"], include_in_schema=False) for path in ("/", PREFIX)),
            Route("/favicon.ico", _favicon, methods=["GET"], include_in_schema=False),
        ]

    def _is_stranger(self, request: Request) -> bool:
        return self._token(request) is None

    def _token(self, request: Request) -> str | None:
        """Return the token of a session that is still good."""
        cookie = request.cookies.get(COOKIE)
        token = self.sessions.token_of(cookie)
        if token is None:
            return None
        try:
            self.check_token(token)
        except NotAuthorised:
            # Withdrawn, or over, since.
            self.sessions.end(cookie)
            return None
        return token

    async def _form(self, request: Request) -> FormData:
        _require_utf8(request)
        try:
            form = await asyncio.wait_for(request.form(max_files=FILES, max_fields=FIELDS), FORM_SECONDS)
        except asyncio.TimeoutError:
            raise HTTPException(HTTPStatus.REQUEST_TIMEOUT, "the form took too long to arrive; send it again") from None
        try:
            self._check_form(request, form)
        except HTTPException:
            await form.close()
            raise
        return form

    def _check_form(self, request: Request, form: FormData) -> None:
        presented = form.get("form_token")
        if not isinstance(presented, str) or not self.sessions.is_own_form(request.cookies.get(COOKIE), presented):
            raise HTTPException(
                HTTPStatus.FORBIDDEN,
                "this form is not one of these pages, or of an older session; go back, load the page again, and send "
                "the form once more",
            )

    async def _sign_in(self, request: Request) -> Response:
        form = await self._form(request)
        token = form.get("token")
        token = token.strip() if isinstance(token, str) else ""
        try:
            await run_in_threadpool(self.check_token, token)
        except NotAuthorised:
            _log.info("a sign-in to the pages was refused")
            return self._sign_in_page(request, "this token opens nothing here; copy all of it, without spaces")
        # Another cookie than before: whoever put one there knows nothing of this one.
        self.sessions.end(request.cookies.get(COOKIE))
        response = RedirectResponse(PREFIX + "/", HTTPStatus.SEE_OTHER)
        self._set_cookie(request, response, self.sessions.begin(token))
        _log.info("somebody signed in to the pages")
        return response

    async def _sign_out(self, request: Request) -> Response:
        await self._form(request)
        self.sessions.end(request.cookies.get(COOKIE))
        response = RedirectResponse(PREFIX + "/", HTTPStatus.SEE_OTHER)
        response.delete_cookie(COOKIE, path=PREFIX, httponly=True, samesite="strict")
        return response

    def _sign_in_page(self, request: Request, problem: str | None) -> Response:
        values = {"problem": problem, "token_file": self.token_file, "can_refresh": False}
        return self.draw(request, "sign-in.html", values, HTTPStatus.UNAUTHORIZED)

    def _set_cookie(self, request: Request, response: Response, cookie: str) -> None:
        response.set_cookie(
            COOKIE,
            cookie,
            max_age=self.sessions.seconds,
            path=PREFIX,
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="strict",
        )

    def _error(self, request: Request, status: int, detail: str) -> Response:
        values = {"status": status, "phrase": HTTPStatus(status).phrase, "detail": detail, "can_refresh": False}
        return self.draw(request, "error.html", values, status)

    def _http_error(self, request: Request, error: HTTPException) -> Response:
        response = self._error(request, error.status_code, error.detail)
        response.headers.update(error.headers or {})
        return response

    def _service_error(self, request: Request, error: ServiceError) -> Response:
        return self._error(request, error.status if isinstance(error, RequestError) else 422, str(error))


class PageHeaders:
    """ASGI middleware that puts the headers of pages on every answer, errors of the framework too."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Add the headers to what is sent."""

        async def tell(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self._app(scope, receive, tell)


ELSEWHERE = Refusal(
    HTTPStatus.MISDIRECTED_REQUEST,
    "another-host",
    "Another host is asked for",
    "this is served under 127.0.0.1 and localhost alone; call it by one of these",
    "Host",
    close=True,
    headers=tuple(HEADERS.items()),
)
"""What who names another host is told."""


class OwnHost:
    """ASGI middleware that answers only under names of this machine's loopback.

    A page of a stranger may have its name lead to 127.0.0.1 once it is open (DNS rebinding); the browser then takes
    what is here for that page's own, but names the stranger in ``Host``.
    """

    NAMES = frozenset({"127.0.0.1", "localhost", "[::1]"})

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse requests that name another host, with status 421."""
        if scope["type"] == "http" and not self.is_named(scope):
            await ELSEWHERE.send(scope, send)
            return
        await self._app(scope, receive, send)

    def is_named(self, scope: Scope) -> bool:
        """Return whether a request names this machine."""
        named = [value.decode("latin-1").lower() for name, value in scope["headers"] if name == b"host"]
        return len(named) == 1 and _without_port(named[0]) in self.NAMES


def _without_port(host: str) -> str:
    name, separator, port = host.rpartition(":")
    return name if separator and port.isdigit() else host


def _require_utf8(request: Request) -> None:
    """Refuse a form that says to be in another character set; some codecs raise, or make text that cannot be encoded.

    It is read from the header as the parser of the form reads it.
    """
    _, options = parse_options_header(request.headers.get("content-type"))
    named = options.get(b"charset", b"utf-8").decode("latin-1")
    if named.lower() not in ("utf-8", "utf8"):
        raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "forms are taken in UTF-8 alone; send it in that")


def uploaded(form: FormData, name: str) -> UploadFile | None:
    """Return a file of a form that is not empty."""
    found = form.get(name)
    return found if isinstance(found, UploadFile) and found.filename else None


def assets() -> Sequence[Path]:
    """Return the files that pages name, but for templates."""
    return [web_folder() / name for name in ASSETS]


async def _asset(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in ASSETS:
        raise HTTPException(HTTPStatus.NOT_FOUND, "there is no such file")
    content = (web_folder() / name).read_bytes()
    return Response(content, media_type=ASSETS[name])


async def _to_pages(_: Request) -> Response:
    return RedirectResponse(PREFIX + "/", HTTPStatus.SEE_OTHER, HEADERS)


async def _favicon(_: Request) -> Response:
    return Response((web_folder() / "favicon.svg").read_bytes(), headers=HEADERS, media_type=ASSETS["favicon.svg"])

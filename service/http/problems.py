"""Errors as RFC 9457 problem documents, for both HTTP faces (operator and agent)."""

import json
import logging
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from atomic_margin.circuits.errors import CircuitError
from atomic_margin.documents.errors import DocumentError, DocumentsError
from atomic_margin.fhe.errors import FheError
from atomic_margin.margin.errors import MarginError
from atomic_margin.service.errors import (
    BlobsUnreachable,
    DatabaseBusy,
    OutOfSpace,
    RequestError,
    ServiceError,
    StoreError,
)
from atomic_margin.service.http.methods import allowed
from atomic_margin.zk.errors import ProofError

MEDIA_TYPE = "application/problem+json"

_log = logging.getLogger(__name__)


class Problem(BaseModel):
    """A problem document (RFC 9457)."""

    type: str = Field(examples=["urn:atomic-margin:problem:refused"])
    title: str = Field(examples=["A check of the protocol fails"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=["the answer is about another run than the run's"])
    field: str | None = Field(None, examples=["positions[3].lots"], description="the part of the request that is wrong")
    instance: str | None = Field(None, description="path of the request")
    not_before: str | None = Field(
        None, examples=["2026-11-27T12:00:00Z"], description="from when the same request may be taken"
    )


def problem(
    request: Request,
    status: int,
    slug: str,
    title: str,
    detail: str,
    field: str | None,
    not_before: str | None = None,
) -> Response:
    """Return a problem response."""
    document = Problem(
        type=f"urn:atomic-margin:problem:{slug}",
        title=title,
        status=status,
        detail=detail,
        field=field,
        instance=request.url.path,
        not_before=not_before,
    )
    # Texts may quote what was sent; escapes keep any of it representable.
    body = json.dumps(document.model_dump(exclude_none=True))
    return Response(body, status, media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Answer every error of this project, of the framework, and any other, with a problem document."""

    @app.exception_handler(RequestError)
    def _request(request: Request, error: RequestError) -> Response:
        return problem(request, error.status, error.slug, error.title, str(error), error.field, error.not_before)

    @app.exception_handler(BlobsUnreachable)
    @app.exception_handler(DatabaseBusy)
    def _busy(request: Request, error: DatabaseBusy | BlobsUnreachable) -> Response:
        answer = problem(request, error.status, error.slug, error.title, str(error), None)
        answer.headers["Retry-After"] = "1"
        return answer

    @app.exception_handler(OutOfSpace)
    def _full(request: Request, error: OutOfSpace) -> Response:
        _log.warning("refused %s %s: %s", request.method, request.url.path, error)
        return problem(request, error.status, error.slug, error.title, str(error), None)

    @app.exception_handler(StoreError)
    def _stored(request: Request, error: StoreError) -> Response:
        _log.error("%s in %s %s: %s", type(error).__name__, request.method, request.url.path, error)
        return problem(request, 500, _slug(error), "What is stored cannot be read", str(error), None)

    @app.exception_handler(DocumentError)
    def _document(request: Request, error: DocumentError) -> Response:
        return problem(request, 422, _slug(error), "A field of the document is wrong", str(error), error.field)

    def _domain(request: Request, error: Exception) -> Response:
        field = getattr(error, "field", None) or getattr(error, "row", None)
        return problem(request, 422, _slug(error), "The document is refused", str(error), field)

    for kind in (DocumentsError, MarginError, CircuitError, FheError, ProofError, ServiceError):
        app.add_exception_handler(kind, _domain)

    @app.exception_handler(RequestValidationError)
    def _validation(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        path = ".".join(str(part) for part in first["loc"][1:]) or str(first["loc"][0])
        return problem(request, 422, "malformed", "A field is wrong", f"{path}: {first['msg']}", path)

    @app.exception_handler(HTTPException)
    def _http(request: Request, error: HTTPException) -> Response:
        title = HTTPStatus(error.status_code).phrase
        slug = title.lower().replace(" ", "-")
        response = problem(request, error.status_code, slug, title, str(error.detail), None)
        response.headers.update(error.headers or {})
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            # Of all routes that the path matches; the framework names those of one.
            methods = allowed(request.app.openapi()["paths"], request.url.path)
            response.headers["Allow"] = methods or response.headers.get("Allow", "GET")
        return response

    @app.exception_handler(ClientDisconnect)
    def _gone(request: Request, error: ClientDisconnect) -> Response:
        # Nobody reads the answer; it ends the request.
        _log.debug("whoever sent %s %s went away before its end", request.method, request.url.path)
        return Response(status_code=400)

    @app.exception_handler(Exception)
    def _unexpected(request: Request, error: Exception) -> Response:
        _log.exception("unexpected error in %s %s", request.method, request.url.path, exc_info=error)
        detail = "the operation was not carried out; the server's log has the cause"
        return problem(request, 500, "internal", "Internal error", detail, None)


def _slug(error: Exception) -> str:
    name = type(error).__name__
    return "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("-")

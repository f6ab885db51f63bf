"""Uploads in the operator's HTTP face: declare a file, append to it, ask how far it is.

An upload that breaks goes on from where it is. Bytes go to disk as they come.
"""

from typing import Annotated

from fastapi import APIRouter, Header, Path, Request, Response
from fastapi.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.store.uploads import UploadAt, UploadWriter
from atomic_margin.service.protocol.upload_messages import UploadDeclared, UploadView

_BLOCK = 1 << 19

Sha256 = Annotated[str, Path(pattern="^[0-9a-f]{64}$", examples=["4d" * 32])]
Offset = Annotated[int, Header(alias="Upload-Offset", ge=0, le=2**40, examples=[0])]
_BYTES = {"requestBody": {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}}


def uploads_router(operator: Operator) -> APIRouter:
    """Return the calls about uploads."""
    router = APIRouter(prefix="/v1/institutions/{institution}/uploads", tags=["institution"])
    uploads = operator.uploads

    @router.post("", status_code=201)
    def declare(institution: str, declared: UploadDeclared, response: Response) -> UploadView:
        """Declare a file by its SHA-256 and size; says how far it is, which is not 0 if some of it came before."""
        operator.account(institution)
        at = uploads.declare(institution, declared.sha256, declared.size)
        # How far it is changes: nobody may be told what it once was.
        response.headers["Cache-Control"] = "no-store"
        response.headers["Location"] = f"/v1/institutions/{institution}/uploads/{declared.sha256}"
        return _view(at, response)

    @router.patch("/{sha256}", openapi_extra=_BYTES)
    async def append(
        institution: str, sha256: Sha256, offset: Offset, request: Request, response: Response
    ) -> UploadView:
        """Append the body to a file, at the offset that it is at; the last byte has its hash checked.

        What came of a body that breaks stays: ask how far the file is, and go on from there.
        """
        writer = await run_in_threadpool(uploads.append, institution, sha256, offset)
        try:
            await _take(request, writer)
        except ClientDisconnect:
            return Response(status_code=400)  # type: ignore[return-value]  # nobody is there to read it
        finally:
            at = await run_in_threadpool(uploads.finish, institution, writer)
        return _view(at, response)

    @router.head("/{sha256}", status_code=204)
    def upload(institution: str, sha256: Sha256, response: Response) -> None:
        """How far a file is (`Upload-Offset`), and how long (`Upload-Length`)."""
        _view(uploads.at(institution, sha256), response)

    @router.delete("/{sha256}", status_code=204)
    def forget(institution: str, sha256: Sha256) -> None:
        """Remove what came of a file."""
        uploads.at(institution, sha256)
        uploads.remove(institution, sha256)

    return router


async def _take(request: Request, writer: UploadWriter) -> None:
    waiting = bytearray()
    try:
        async for chunk in request.stream():
            waiting += chunk
            if len(waiting) >= _BLOCK:
                block, waiting = bytes(waiting), bytearray()
                await run_in_threadpool(writer.write, block)
    finally:
        if waiting:
            await run_in_threadpool(writer.write, bytes(waiting))


def _view(at: UploadAt, response: Response) -> UploadView:
    response.headers["Upload-Offset"] = str(at.offset)
    response.headers["Upload-Length"] = str(at.size)
    return UploadView(sha256=at.sha256, size=at.size, offset=at.offset)

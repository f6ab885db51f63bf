"""What goes over HTTP about uploads, unsigned, as types; see `protocol.messages`, whose rules hold here too."""

from pydantic import Field

from atomic_margin.service.protocol.messages import Count, RequestBody, ResponseBody


class UploadDeclared(RequestBody):
    """A file that is to come."""

    sha256: str = Field(pattern="^[0-9a-f]{64}$", examples=["4d" * 32])
    size: Count = Field(examples=["60000000"], description="in bytes")


class UploadView(ResponseBody):
    """How far an upload is."""

    sha256: str
    size: Count
    """Of the whole file, in bytes."""
    offset: Count
    """Bytes that are here; the next one goes there."""

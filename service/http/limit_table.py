"""The limits of the operator's HTTP face, all in one table; `serve --limits` reads others from a JSON document.

>>> Limits.parse({"format": "atomic-margin/limits/1", "reads_per_second": "50"}).reads_per_second
50
"""

from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import ConfigDict

from atomic_margin.documents.strict import Part, integer_in

Limit: TypeAlias = Annotated[int, integer_in(1, 2**40)]


class Limits(Part):
    """What one HTTP face takes.

    A tenant is an institution, a reader or the operator's staff; whoever is none of them counts by address.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(use_attribute_docstrings=True)

    format: Literal["atomic-margin/limits/1"] = "atomic-margin/limits/1"
    reads_per_second: Limit = 100
    """GET and HEAD of one tenant, for long."""
    reads_burst: Limit = 1000
    """GET and HEAD of one tenant, at once."""
    writes_per_second: Limit = 50
    """POST of one tenant, for long."""
    writes_burst: Limit = 500
    """POST of one tenant, at once."""
    uploads_per_second: Limit = 20
    """Calls about uploads of one tenant, for long."""
    uploads_burst: Limit = 200
    """Calls about uploads of one tenant, at once."""
    tenants: Limit = 8192
    """Tenants whose rates are remembered; the one that was quiet longest is forgotten."""
    requests: Limit = 256
    """Requests in hand at once."""
    requests_of_a_peer: Limit = 64
    """Requests in hand at once, of one address."""
    bodies: Limit = 64
    """Requests in hand at once whose body is not all there yet."""
    bodies_of_a_peer: Limit = 16
    """The same, of one address."""
    connections: Limit = 1024
    """Connections at once."""
    connections_of_a_peer: Limit = 256
    """Connections at once, of one address."""
    head_seconds: Limit = 10
    """Time for a request's first line and headers, from the beginning of the connection."""
    idle_seconds: Limit = 10
    """Time until some more of a body has to be there."""
    body_seconds: Limit = 60
    """Time for a whole body, and a second more for every 64 KiB that it may have."""
    open_uploads: Limit = 4
    """Uploads of one institution that are not part of an enrolment; the oldest one makes place."""
    upload_seconds: Limit = 3600
    """Time after which an upload that nothing was added to is removed."""
    upload_bytes: Limit = 1 << 30
    """Bytes of all uploads of one institution; one file is as long at most as keys of the profile."""
    key_sets: Limit = 64
    """Evaluation keys that one institution has enrolled."""


USUAL_LIMITS = Limits()

"""How long the bodies of calls may be: of each call, by method and path, and little where there is no call."""

from collections.abc import Sequence

from starlette.routing import BaseRoute, Match, compile_path
from starlette.types import Scope

from atomic_margin.circuits.layout import layout_of
from atomic_margin.circuits.profile import Profile
from atomic_margin.service.http.page_paths import PREFIX, is_of_pages
from atomic_margin.service.operator.web.checking import MAX_BUNDLE_BYTES
from atomic_margin.service.operator.web.dealings import longest_upload

MAX_DOCUMENT_BYTES = 2 << 20
"""Of a document. Prices are the longest: some 75 kB of a source that quotes 4096 strikes."""
MAX_OTHER_BYTES = 64 << 10
"""Of a form without a file, and of what no call takes: it is read, so that who sends it is told what is wrong."""


def longer_bodies(profile: Profile) -> dict[tuple[str, str], int]:
    """Return the calls whose bodies may be longer than a document, by method and path, with bytes."""
    layout, deal = layout_of(profile), longest_upload(profile.entries)
    return {
        ("PATCH", "/v1/institutions/{institution}/uploads/{sha256}"): max(
            layout.evaluation_key_bytes, layout.messages["input"].size
        ),
        ("POST", "/v1/institutions/{institution}/dealings"): deal,
        ("POST", "/v1/custodian/resharings/{resharing}/shares"): deal,
        ("POST", f"{PREFIX}/verify"): MAX_BUNDLE_BYTES + MAX_OTHER_BYTES,
    }


class BodyLimits:
    """The limits of one operator, for `service.http.limits.BodyLimit`."""

    def __init__(self, profile: Profile, routes: Sequence[BaseRoute]) -> None:
        """`routes` are those that the application has, later ones too."""
        self._routes = routes
        self._longer = [
            (method, compile_path(path)[0], limit) for (method, path), limit in longer_bodies(profile).items()
        ]

    def __call__(self, scope: Scope) -> int:
        """Return how many bytes the body of a request may have."""
        method, path = scope["method"], scope["path"]
        for listed, pattern, limit in self._longer:
            if listed == method and pattern.match(path):
                return limit
        if method != "POST" or is_of_pages(path):
            return MAX_OTHER_BYTES
        is_call = any(route.matches(scope)[0] == Match.FULL for route in self._routes)
        return MAX_DOCUMENT_BYTES if is_call else MAX_OTHER_BYTES

"""Rates of requests: a token bucket for every tenant and class of route, of which a bounded number is remembered.

For `service.http.gate`. Buckets start full; one that was forgotten was quiet for longer than all others, and would be
full again soon. Answers carry `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers).
"""

import math
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from atomic_margin.service.http.limit_table import Limits
from atomic_margin.service.http.refusals import Refusal

_UPLOAD = re.compile(r"/v1/institutions/[^/]+/uploads(/.*)?")


class Rate(NamedTuple):
    """How many requests a second, and how many at once."""

    name: str
    per_second: int
    burst: int


class Standing(NamedTuple):
    """What a bucket says to one request."""

    refusal: Refusal | None
    headers: tuple[tuple[bytes, bytes], ...]


class Buckets:
    """The buckets of one HTTP face. Used on its event loop alone."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        """Start with every bucket full."""
        self._rates = {
            name: Rate(name, getattr(limits, f"{name}_per_second"), getattr(limits, f"{name}_burst"))
            for name in ("reads", "writes", "uploads")
        }
        self._limit, self._clock = limits.tenants * len(self._rates), clock
        self._buckets: OrderedDict[tuple[str, str], tuple[float, float]] = OrderedDict()

    def take(self, tenant: str, method: str, path: str) -> Standing:
        """Take a token for one request, or say when there is one."""
        rate = self._rates[class_of(method, path)]
        now = self._clock()
        left, then = self._buckets.pop((tenant, rate.name), (float(rate.burst), now))
        left = min(float(rate.burst), left + (now - then) * rate.per_second)
        allowed = left >= 1
        if allowed:
            left -= 1
        self._buckets[tenant, rate.name] = (left, now)
        while len(self._buckets) > self._limit:
            self._buckets.popitem(last=False)
        wait = 0 if allowed else max(1, math.ceil((1 - left) / rate.per_second))
        window = math.ceil(rate.burst / rate.per_second)
        headers = (
            ("RateLimit-Policy", f'"{rate.name}";q={rate.burst};w={window}'),
            ("RateLimit", f'"{rate.name}";r={int(left)};t={wait}'),
        )
        if allowed:
            return Standing(None, tuple((name.lower().encode(), value.encode()) for name, value in headers))
        detail = f"{rate.name} come at {rate.per_second} a second, {rate.burst} at once; ask again in {wait} s"
        title = "Too many requests"
        refusal = Refusal(429, "rate", title, detail, retry_after=wait, close=method != "GET", headers=headers)
        return Standing(refusal, ())


def class_of(method: str, path: str) -> str:
    """Return the class that a request counts in."""
    if _UPLOAD.fullmatch(path):
        return "uploads"
    return "reads" if method in ("GET", "HEAD", "OPTIONS") else "writes"

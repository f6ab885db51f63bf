"""Sessions of people who look at pages: a cookie that opens pages and nothing else. For `service.http.pages`.

A cookie is a random identifier; the token that somebody signed in with stays here, and is looked at again with every
page, so that one that is withdrawn ends its sessions. Sessions end with the process, after a time, and when there are
too many of them, the oldest first.
"""

import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable

SESSION_SECONDS = 8 * 3600
"""A working day."""
MOST_SESSIONS = 64
_TEXT_BYTES = 128
"""What is looked at of a cookie or a form's token; both are shorter."""


class Sessions:
    """Who is signed in, and the tokens of their forms."""

    def __init__(
        self,
        seconds: int = SESSION_SECONDS,
        most: int = MOST_SESSIONS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin with nobody.

        Args:
            seconds: how long a session lasts.
            most: how many there are at most.
            clock: seconds that only go up.
        """
        self.seconds, self._most, self._clock = seconds, most, clock
        self._key = secrets.token_bytes(32)
        # By the hash of the cookie: until when, and the token.
        self._open: OrderedDict[bytes, tuple[float, str]] = OrderedDict()

    @staticmethod
    def new_cookie() -> str:
        """Return a cookie that nobody has; it opens nothing before `begin`."""
        return secrets.token_urlsafe(32)

    def begin(self, token: str) -> str:
        """Return the cookie of a new session, for whoever showed a token that was checked."""
        cookie = self.new_cookie()
        self._forget()
        while len(self._open) >= self._most:
            self._open.popitem(last=False)
        self._open[_hashed(cookie)] = (self._clock() + self.seconds, token)
        return cookie

    def token_of(self, cookie: str | None) -> str | None:
        """Return what somebody signed in with; None without a session, or after its end."""
        self._forget()
        found = None if cookie is None else self._open.get(_hashed(cookie))
        return None if found is None else found[1]

    def end(self, cookie: str | None) -> None:
        """End a session, if it is one."""
        if cookie is not None:
            self._open.pop(_hashed(cookie), None)

    def form_token(self, cookie: str) -> str:
        """Return what a form that is shown with a cookie carries, signed in or not: no other site can know it."""
        return hmac.new(self._key, cookie[:_TEXT_BYTES].encode(), "sha256").hexdigest()

    def is_own_form(self, cookie: str | None, presented: str) -> bool:
        """Return whether a form was shown with this cookie."""
        if cookie is None:
            return False
        return hmac.compare_digest(self.form_token(cookie).encode(), presented[:_TEXT_BYTES].encode())

    def _forget(self) -> None:
        now = self._clock()
        # Begun in the order of their ends.
        while self._open and next(iter(self._open.values()))[0] <= now:
            self._open.popitem(last=False)


def _hashed(cookie: str) -> bytes:
    return hashlib.sha256(cookie[:_TEXT_BYTES].encode()).digest()

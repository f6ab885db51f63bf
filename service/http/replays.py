"""That a signed request is taken once, and only while it is meant to be: nonces, the clock, and epochs.

An epoch is a random word that a process makes when it starts and tells with every answer. Every nonce begins with it,
so nothing that was signed for an earlier process is taken by this one, and no nonce is kept on disk.

A nonce is forgotten when the operator's clock is past the time at which its signature could still be taken. That time
is measured by the monotonic clock. Should the wall clock be set back meanwhile, signatures that are forgotten could be
taken once more: then a new epoch begins, and callers sign again. Nobody has to wait until the clock has caught up.
"""

import heapq
import logging
import secrets
import threading
import time
from collections.abc import Callable

from atomic_margin.service.errors import EpochPast, RequestExpired, RequestReplayed, TooManyRequests
from atomic_margin.service.http.signatures import LIFETIME_SECONDS, Signed

SKEW_SECONDS = 30
"""How far the clock of a caller may be from the operator's, either way."""
STEP_SECONDS = 5
"""The wall clock may fall behind the monotonic one by so much before an epoch ends; nonces are kept as much longer."""
MAX_LIVE_NONCES = 4096
"""Nonces that are kept for one key: some 30 requests a second, for as long as signatures can be taken."""

_log = logging.getLogger(__name__)


class Replays:
    """Nonces of the signatures that were taken in this epoch, of each key."""

    def __init__(
        self,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        live: int = MAX_LIVE_NONCES,
    ) -> None:
        """Begin an epoch. `live` is how many nonces are kept for one key."""
        self._wall, self._monotonic, self._live = wall, monotonic, live
        self._lock = threading.Lock()
        self._ahead = self._wall() - self._monotonic()
        self._begin()

    @property
    def epoch(self) -> str:
        """What nonces begin with at present: 16 hex digits."""
        with self._lock:
            self._observe()
            return self._epoch

    def take(self, signed: Signed) -> None:
        """Take a signature that holds, of a key that is known, this once.

        Raises:
            EpochPast: it is for another process, or of before the clock was set back.
            RequestExpired: its time is over, or has not come.
            RequestReplayed: it was taken before.
            TooManyRequests: too many of the key's are kept.
        """
        with self._lock:
            now = self._observe()
            if signed.epoch != self._epoch:
                raise EpochPast(f"sign again, with a nonce that begins with this epoch: {self._epoch}", "nonce")
            if signed.created > now + SKEW_SECONDS or signed.expires < now - SKEW_SECONDS:
                raise RequestExpired(
                    f"signed at {signed.created} to be taken until {signed.expires}, and it is {int(now)} here (seconds"
                    " since 1970); set your clock right and sign again",
                    "created",
                )
            kept = self._nonces.setdefault(signed.key, set())
            if signed.nonce in kept:
                raise RequestReplayed("this very request was taken before; sign it anew to send it again", "nonce")
            if len(kept) >= self._live:
                raise TooManyRequests(
                    f"this key signed {self._live} requests within {LIFETIME_SECONDS + SKEW_SECONDS} s; send fewer"
                )
            kept.add(signed.nonce)
            left = signed.expires + SKEW_SECONDS - now + STEP_SECONDS
            heapq.heappush(self._ends, (self._monotonic() + left, signed.key, signed.nonce))

    def _observe(self) -> float:
        """Return the time, forget what can be forgotten, and begin an epoch where the clock was set back."""
        passed = self._monotonic()
        now = self._wall()
        if now - passed < self._ahead - STEP_SECONDS:
            _log.warning(
                "the clock was set back by %d s: requests that were signed before are refused",
                self._ahead - (now - passed),
            )
            self._ahead = now - passed
            self._begin()
        self._ahead = max(self._ahead, now - passed)
        # Strictly past: at that very moment the signature would still be taken.
        while self._ends and self._ends[0][0] < passed:
            _, key, nonce = heapq.heappop(self._ends)
            kept = self._nonces[key]
            kept.discard(nonce)
            if not kept:
                del self._nonces[key]
        return now

    def _begin(self) -> None:
        self._epoch = secrets.token_hex(8)
        self._nonces: dict[str, set[str]] = {}
        self._ends: list[tuple[float, str, str]] = []

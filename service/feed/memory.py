"""What a source remembers: the newest tick it knows, and what it signed last. One JSON file, replaced atomically.

A source signs the tick after the newest one, once. It follows the operator's chain by itself, tick by tick, and signs
nothing for a chain that forks, skips or goes back. The operator's key is the one that signed the first tick it saw.
"""

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from atomic_margin.documents.errors import DocumentsError
from atomic_margin.margin.errors import MarginError
from atomic_margin.service.errors import (
    AlreadySigned,
    ChainBroken,
    ConfigurationError,
    RequestError,
    RulesNotSigned,
    SourceError,
    TickGoneBack,
)
from atomic_margin.service.feed.chain import Known, begin, follow
from atomic_margin.service.feed.changes import rules_after, rules_of, said
from atomic_margin.service.files import read_json
from atomic_margin.service.protocol.bodies import parse_signed
from atomic_margin.service.protocol.messages import LastTick
from atomic_margin.service.protocol.price_rules import PriceRules
from atomic_margin.service.protocol.rule_changes import RulesChange
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.ticks import Place, PriceTick, place_after

FORMAT = "atomic-margin/source-memory/1"


@contextmanager
def remembering(path: Path, rules: PriceRules) -> Iterator["SourceMemory"]:
    """Open the memory at `path` for this process alone; it begins empty if there is no file.

    Raises:
        ConfigurationError: another process has it open, or the file is not what was written.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with path.with_name(path.name + ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConfigurationError(f"{path} is in use: another process signs for this source; wait for it") from error
        yield SourceMemory(path, rules)


class SourceMemory:
    """The memory of one source; see `remembering`."""

    def __init__(self, path: Path, rules: PriceRules) -> None:
        """Read the file, if there is one."""
        self._path, self._rules = path, rules
        self._known: Known | None = None
        self._signed: SignedDocument | None = None
        if path.exists():
            self._read()

    def catch_up(self, newest: LastTick, fetch: Callable[[int], SignedDocument]) -> Place:
        """Follow the operator's chain to its newest tick; return the place of the next one.

        Args:
            newest: what the operator shows.
            fetch: asks it for a tick by number.

        Raises:
            ChainBroken: the chain forks, skips a number or goes back.
            SourceError: a tick is not what its sources signed under the rules, or these change without them.
        """
        try:
            self._follow(newest, fetch)
        except ChainBroken:
            raise
        except (RequestError, DocumentsError, MarginError) as error:
            raise SourceError(f"the operator's ticks do not hold, so nothing is signed after them: {error}") from error
        self._write()
        last = None if self._known is None else PriceTick.parse(self._known.last.body)
        return place_after(last, self._rules_of_next(last, newest))

    def sign_once(self, place: Place, sign: Callable[[Place], SignedDocument]) -> SignedDocument:
        """Return what `sign` signs at a place, remembered before it is returned.

        Raises:
            AlreadySigned: another document was signed for this tick, or one for a later tick.
        """
        made = sign(place)
        if self._signed is not None:
            number = int(self._signed.body["market"]["sequence"])
            if number > place.sequence:
                raise AlreadySigned(f"tick {number} is signed already, and this one comes before: {place.sequence}")
            if number == place.sequence and made.body != self._signed.body:
                raise AlreadySigned(
                    f"another document is signed for tick {number}, and a source signs one: post that, or wait until "
                    "the operator makes the tick or declares it void"
                )
        self._signed = made
        self._write()
        return made

    def _rules_of_next(self, last: PriceTick | None, newest: LastTick) -> PriceRules:
        """Return the rules of the tick that comes next: the change that the operator shows begins with it."""
        if last is None or self._known is None:
            return self._rules
        number, changes = last.sequence + 1, last.changes or ()
        try:
            if newest.change is not None:
                changes = (*changes, RulesChange.parse(newest.change))
                if said(changes[-1]).from_sequence != number:
                    raise RulesNotSigned(f"it does not begin with tick {number}", "changes")
            return rules_after(self._rules, changes, number, self._known.last.signer)
        except (RequestError, DocumentsError) as error:
            raise SourceError(f"the operator shows a change of price rules that does not hold: {error}") from error

    def _follow(self, newest: LastTick, fetch: Callable[[int], SignedDocument]) -> None:
        if newest.document is None:
            if self._known is not None:
                raise TickGoneBack(f"the operator shows no tick; tick {self._known.sequence} was seen")
            return
        last, shown = parse_signed(newest.document, PriceTick)
        if self._known is None:
            if shown.rules != rules_of(shown, self._rules, last.signer).hash():
                # These rules hold from the next tick on, so there are no sources yet whose word it could be taken on.
                last.verify(frozenset({last.signer}))
                self._known = Known(last, None)
                return
            before = None if newest.last_market is None else SignedDocument.parse(newest.last_market)
            self._known = begin(last, before, self._rules, last.signer)
            return
        operator = self._known.last.signer
        for between in range(self._known.sequence + 1, shown.sequence):
            self._known = follow(self._known, fetch(between), self._rules, operator)
            self._write()
        self._known = follow(self._known, last, self._rules, operator)

    def _read(self) -> None:
        try:
            value = read_json(self._path)
            if value["format"] != FORMAT:
                raise ValueError(f"the format is not {FORMAT}")
            last, before, signed = (
                None if value[name] is None else SignedDocument.parse(value[name])
                for name in ("last", "last_market", "signed")
            )
        except (DocumentsError, RequestError, KeyError, TypeError, ValueError) as error:
            raise ConfigurationError(
                f"{self._path} is not the memory of a source ({error}); restore it from your backup: without it, two "
                "documents may be signed for one tick"
            ) from error
        self._known = None if last is None else Known(last, before)
        self._signed = signed

    def _write(self) -> None:
        known = self._known
        value = {
            "format": FORMAT,
            "last": None if known is None else known.last.to_json(),
            "last_market": None if known is None or known.last_market is None else known.last_market.to_json(),
            "signed": None if self._signed is None else self._signed.to_json(),
        }
        fresh = self._path.with_name(self._path.name + ".new")
        with fresh.open("w") as file:
            file.write(json.dumps(value, sort_keys=True))
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, self._path)
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

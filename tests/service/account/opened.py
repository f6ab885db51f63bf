"""Histories of the machine's accounts as an institution could release them: any parts opened, any step forged."""

import copy
from collections.abc import Collection
from typing import Any, cast

from atomic_margin.service.log.checkpoints import Checkpoint
from atomic_margin.service.protocol.account.entries import Chain, Entry, followed
from atomic_margin.service.protocol.account.state import Account
from atomic_margin.service.protocol.leaves import entry_leaf
from atomic_margin.service.protocol.released import ReleasedHistory, release
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.verifier.chains import TickSeen
from atomic_margin.service.verifier.released import Checked, LogRead, Placed, check_released
from atomic_margin.service.verifier.served import Served

from ..documents import Json
from .documents import Parties
from .story import forged

CHECKPOINT = cast(Checkpoint, None)
"""Nothing is read of it."""


class Log(LogRead):
    """A log that has just these entries; what is shown of it stays out."""

    def shown(self, *leaves: int | None) -> list[dict[str, Any]]:
        return []


def log_of(parties: Parties, entries: list[SignedDocument]) -> Log:
    """Return what a log has of an account."""
    bodies = [Entry.parse(signed.body) for signed in entries]
    ticks = {number: parties.tick_hash(number) for number in range(1, parties.newest + 1)}
    # Between the newest tick with a market and the newest one all are void.
    places = [(parties.market, parties.newest), *((body.market_sequence, body.tick_sequence) for body in bodies)]
    void = {number for market, tick in places for number in range(market + 1, tick + 1)}
    markets = sorted(set(ticks) - void)
    placed = {number: Placed(number, entry_leaf(signed).to_bytes()) for number, signed in enumerate(entries, 1)}
    seen = {number: TickSeen(number, number, hash_) for number, hash_ in ticks.items()}
    return Log(Served(lambda path, limit: b""), CHECKPOINT, {parties.salts.account: placed}, seen, markets)


class Whole:
    """An account with everything that an institution could open of it."""

    def __init__(self, parties: Parties) -> None:
        self._parties, self._states = parties, list[Account]()
        self._released = release(parties.entries, parties.salts, parties.operator.public_key)
        chain = Chain()
        for entry, document in parties.entries:
            chain = followed(chain, entry, document, parties.salts, parties.operator.public_key)
            assert chain.state is not None
            self._states.append(chain.state)

    def opened(self, private: Collection[int] = (), documents: Collection[int] = ()) -> Json:
        """Return a released history in which more is opened than has to be.

        Args:
            private: numbers of the entries whose private part is opened.
            documents: and of those whose document is.
        """
        value, salts = copy.deepcopy(self._released), self._parties.salts
        for number, state in enumerate(self._states, 1):
            item, (_, document) = value["entries"][number - 1], self._parties.entries[number - 1]
            if number in private:
                item |= {"private_salt": salts.of("private", number), "private": state.private.canonical()}
            if number in documents:
                item |= {"document_salt": salts.of("document", number), "document": document.canonical()}
        return value


def with_forged(
    parties: Parties,
    value: Json,
    document: SignedDocument,
    kind: str,
    after: Account,
    *,
    shown: bool = False,
    private: bool = False,
    **changes: Any,
) -> tuple[Json, list[SignedDocument]]:
    """Return a released history with one more entry, which the operator signed against the rules; and all entries."""
    entry, number, salts = forged(parties, document, kind, after, **changes), parties.chain.number + 1, parties.salts
    item: Json = {
        "entry": entry.canonical(),
        "salt": salts.of("public", number),
        "public": after.public.canonical(),
    }
    if shown:
        item |= {"document_salt": salts.of("document", number), "document": document.canonical()}
    if private:
        item |= {"private_salt": salts.of("private", number), "private": after.private.canonical()}
    return {**value, "entries": [*value["entries"], item]}, [*(one for one, _ in parties.entries), entry]


def checked(parties: Parties, value: Json, entries: list[SignedDocument] | None = None) -> Checked:
    """Check a released history as a monitor does."""
    log = log_of(parties, [one for one, _ in parties.entries] if entries is None else entries)
    return check_released(ReleasedHistory.parse(value), parties.operator.public_key, log)

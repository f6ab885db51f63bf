"""Entries: the operator's signed word, one after the other, on what happened to an account. They are its receipts.

An entry names its document and both parts of the state after it by salted hashes, so whoever reads the log learns
neither statuses nor balances, and whoever has the documents can check every one. The operator makes entries with
`extended`, the institution checks them with `followed`, the operator again with `recomputed`; all run the same machine.
"""

import hashlib
import hmac
from typing import Annotated, NamedTuple, Protocol

from pydantic import Field

from atomic_margin.documents.canonical import CanonicalValue, canonical_bytes, utf8
from atomic_margin.documents.errors import DocumentsError
from atomic_margin.documents.fields import Counter, Hash, PublicKey, Time
from atomic_margin.documents.strict import Label, PartWriter
from atomic_margin.service.errors import IllegalTransition, RequestError
from atomic_margin.service.protocol.account import machine
from atomic_margin.service.protocol.account.errors import EntryForged, EntryForked, EntryGap, EntryIllegal
from atomic_margin.service.protocol.account.events import Event, EventKind, read_event
from atomic_margin.service.protocol.account.state import NOTHING, Account, Newest
from atomic_margin.service.protocol.account.values import At
from atomic_margin.service.protocol.bodies import Body, parse_signed
from atomic_margin.service.protocol.signing import Hashes, Identity, SignedDocument

# Strict types take the names of events as enums alone, and JSON has none.
Kind = Annotated[EventKind, Field(strict=False)]


class Entry(Body):
    """One event of an account, numbered and chained.

    Attributes:
        log: origin of the log that it is in.
        operator: who signs.
        account: the account's pseudonym.
        number: from 1, without a gap.
        previous: hash of the entry before; 64 zeros in the first.
        kind: what happened.
        document: salted hash of the whole signed document.
        public: salted hash of the public part of the state after it.
        private: salted hash of the private part.
        tick: hash of the newest tick, void or not; 64 zeros if there is none.
        tick_sequence: its number.
        market: hash of the newest tick with a market.
        market_sequence: its number.
        receipted: number of the next tick if a source's document for it has a leaf before this entry's, that of the
            newest tick otherwise.
        entered_at: the operator's time.
    """

    TYPE = "entry"
    log: Label
    operator: PublicKey
    account: Hash
    number: Counter
    previous: Hash
    kind: Kind
    document: Hash
    public: Hash
    private: Hash
    tick: Hash
    tick_sequence: Counter
    market: Hash
    market_sequence: Counter
    receipted: Counter
    entered_at: Time

    @property
    def at(self) -> At:
        """Where its event stands."""
        return At(self.tick_sequence, self.tick, self.market_sequence, self.market, self.previous, self.receipted)

    @property
    def newest(self) -> Newest:
        """The same ticks as the state after it names them."""
        return Newest.model_construct(
            tick=self.tick_sequence,
            tick_hash=self.tick,
            market=self.market_sequence,
            market_hash=self.market,
            receipted=self.receipted,
        )


class OpensEntries(Protocol):
    """Has the salts of entries: of a whole account (`Salts`), or those that somebody shows."""

    @property
    def account(self) -> str:
        """The account's pseudonym."""

    def of(self, part: str, number: int) -> str:
        """Return the salt of one hash of one entry."""


class Salts:
    """What hides an account in the log. The operator and the institution know the seed, and nobody else."""

    def __init__(self, seed: str) -> None:
        """Use a seed of 64 hex digits."""
        self._keyed = hmac.new(bytes.fromhex(seed), digestmod=hashlib.sha256)
        self.account: str = self.of("account", 0)
        """The account's pseudonym."""

    def of(self, part: str, number: int) -> str:
        """Return the salt of one hash of one entry."""
        keyed = self._keyed.copy()
        keyed.update(f"atomic-margin/v1/{part}/{number}".encode())
        return keyed.hexdigest()


def salted_hash(salt: str, value: CanonicalValue) -> str:
    """Return the hash, in hex, that hides what it names from whoever does not have the salt."""
    return _salted(salt, canonical_bytes(value))


def _salted(salt: str, data: bytes) -> str:
    return hashlib.sha256(b"atomic-margin/v1/salted\n" + bytes.fromhex(salt) + data).hexdigest()


class Chain(NamedTuple):
    """An account's entries so far, as far as anything depends on them.

    Attributes:
        number: of the last entry, 0 for none.
        head: its hash.
        state: after it, None before the first.
    """

    number: int = 0
    head: str = NOTHING
    state: Account | None = None


def extended(
    chain: Chain, document: SignedDocument, at: At, salts: Salts, log: str, identity: Identity, entered_at: str
) -> tuple[Chain, SignedDocument]:
    """Return a chain with one more event, and the signed entry about it.

    Args:
        chain: as it is.
        document: the signed document; what it proves is verified already.
        at: the newest ticks; its head is not looked at.
        salts: of the account.
        log: origin of the log.
        identity: of the operator.
        entered_at: the time.

    Raises:
        IllegalTransition: the document is no legal event now.
        SignatureInvalid, DocumentError: it does not hold.
    """
    at = at._replace(head=chain.head)
    event = read_event(document, owes=_owes(chain.state))
    state = machine.apply(chain.state, event, at)
    number = chain.number + 1
    body = {
        "log": log,
        "operator": identity.public_key,
        "entered_at": entered_at,
        **_said(number, event.kind, at, salts),
        **_hashes(salts, number, document, state),
    }
    signed = Entry.parse(body).signed_by(identity)
    return Chain(number, signed.body_hash(), state), signed


class Recomputed(NamedTuple):
    """A chain with one more entry, what happened, and the hash of the whole signed entry."""

    chain: Chain
    event: Event
    entry: str


class StateWriters(NamedTuple):
    """What writes both parts of the states of one account, one state after the other."""

    public: PartWriter
    private: PartWriter

    @classmethod
    def fresh(cls) -> "StateWriters":
        """Return those of an account that begins."""
        return cls(PartWriter(), PartWriter())


def recomputed(
    chain: Chain, signed: SignedDocument, document: SignedDocument, salts: Salts, operator: str, writers: StateWriters
) -> Recomputed:
    """Return a chain with one more entry, as its own operator computes it again.

    It knows its signatures, which the entry names by hash and the log has. Everything else is as in `followed`.

    Args:
        chain: what was computed before.
        signed: the next entry.
        document: what it is about.
        salts: of the account.
        operator: public key of the operator.
        writers: those that wrote the states before.

    Raises:
        EntryForged: the entry does not say what follows.
        IllegalTransition, MalformedRequest, DocumentError: the document is no legal event.
    """
    said = signed.body
    try:
        tick, market, receipted = (int(said[name]) for name in ("tick_sequence", "market_sequence", "receipted"))
        at = At(tick, said["tick"], market, said["market"], chain.head, receipted)
        body: dict[str, CanonicalValue] = {name: said[name] for name in ("log", "entered_at")}
    except (KeyError, TypeError, ValueError) as error:
        raise EntryForged(f"an entry has fields of another kind: {error!r}", entry=signed.to_json()) from error
    named, own = Hashes.of(document), Hashes.of(signed)
    event = read_event(document, owes=_owes(chain.state), verified=named.body)
    state, number = machine.apply(chain.state, event, at), chain.number + 1
    body |= {
        "operator": operator,
        **_said(number, event.kind, at, salts),
        "document": _salted(salts.of("document", number), named.data),
        "public": _salted(salts.of("public", number), utf8(writers.public.text(state.public))),
        "private": _salted(salts.of("private", number), utf8(writers.private.text(state.private))),
    }
    if said != body:
        name = next(name for name in sorted({*body, *said}) if said.get(name) != body.get(name))
        raise EntryForged(f"the entry has another {name} than follows", entry=signed.to_json())
    return Recomputed(Chain(number, own.body, state), event, own.document)


def followed(
    chain: Chain, signed: SignedDocument, document: SignedDocument, salts: OpensEntries, operator: str
) -> Chain:
    """Return a chain with one more entry, as somebody who does not trust the operator checks it.

    Args:
        chain: what was checked before.
        signed: the next entry.
        document: what it is about.
        salts: of the account.
        operator: public key of the trusted operator.

    Raises:
        EntryGap: it does not follow the chain.
        EntryForked: it is another entry than the last one, of its number.
        EntryForged: signature, account or a hash in it is wrong.
        EntryIllegal: the document is no legal event.
    """
    try:
        signed.verify(frozenset({operator}))
        _, entry = parse_signed(signed, Entry)
    except (RequestError, DocumentsError) as error:
        raise EntryForged(f"an entry is not the operator's: {error}", entry=signed.to_json()) from error
    shown = {"entry": signed.to_json(), "document": document.to_json()}
    if entry.number == chain.number and signed.body_hash() != chain.head:
        raise EntryForked(f"there are two entries of number {entry.number}", **shown)
    if entry.number != chain.number + 1 or entry.previous != chain.head:
        raise EntryGap(f"entry {entry.number} does not follow entry {chain.number}", **shown)
    for name, wanted in (("operator", operator), ("account", salts.account)):
        if getattr(entry, name) != wanted:
            raise EntryForged(f"entry {entry.number} names another {name}", **shown)
    last = chain.state
    try:
        event = read_event(document, owes=_owes(last))
        state = machine.apply(last, event, entry.at)
    except (IllegalTransition, RequestError, DocumentsError) as error:
        raise EntryIllegal(f"entry {entry.number} is of no legal event: {error}", **shown) from error
    if entry.kind is not event.kind:
        raise EntryForged(f"entry {entry.number} says '{entry.kind}', its document '{event.kind}'", **shown)
    for name, value in _hashes(salts, entry.number, document, state).items():
        if getattr(entry, name) != value:
            raise EntryForged(f"entry {entry.number} has another hash of {name} than follows", **shown)
    return Chain(entry.number, signed.body_hash(), state)


def _hashes(salts: OpensEntries, number: int, document: SignedDocument, state: Account) -> dict[str, str]:
    return {
        "document": salted_hash(salts.of("document", number), document.canonical()),
        "public": salted_hash(salts.of("public", number), state.public.canonical()),
        "private": salted_hash(salts.of("private", number), state.private.canonical()),
    }


def _said(number: int, kind: EventKind, at: At, salts: Salts) -> dict[str, str]:
    return {
        "account": salts.account,
        "number": str(number),
        "previous": at.head,
        "kind": kind.value,
        "tick": at.tick_hash,
        "tick_sequence": str(at.tick),
        "market": at.market_hash,
        "market_sequence": str(at.market),
        "receipted": str(at.receipted),
    }


def _owes(state: Account | None) -> bool:
    return state is None or state.public.run is None or state.public.run.owes

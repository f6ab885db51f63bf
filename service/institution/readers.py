"""Whom the institution lets read its bundles, by a key of theirs or a token: the operator gets the whole list, signed.

Of a token it gets the hash; the token is shown once.
"""

import hashlib
import secrets

from atomic_margin.service.errors import AgentRefused
from atomic_margin.service.institution.outbox import Outbox
from atomic_margin.service.institution.party import Party
from atomic_margin.service.institution.store import OwnDocument
from atomic_margin.service.protocol.account.events import MAX_READERS, Reader, Readers


def named(party: Party) -> tuple[Reader, ...]:
    """Return the readers of the last list that was made here and is not superseded."""
    with party.store.unit_of_work() as session:
        lists = session.query(OwnDocument).filter_by(type=Readers.TYPE, superseded=None)
        last = lists.order_by(OwnDocument.id.desc()).first()
    return () if last is None else Readers.parse(last.document["body"]).readers


def name(party: Party, outbox: Outbox, reader: str, key: str | None = None) -> str | None:
    """Let somebody read the institution's bundles, by a public key or by a token; return the token, which is not kept.

    Whoever has the name already is replaced: the old key or token opens nothing any more.

    Raises:
        AgentRefused: there are too many readers.
        DocumentError: it is no name, or no public key.
        RemoteError: the operator does not take the list, or does not answer; then it is sent again.
    """
    others = [one for one in named(party) if one.name != reader]
    if len(others) >= MAX_READERS:
        raise AgentRefused(f"there are {MAX_READERS} readers; remove one first")
    token = None if key is not None else secrets.token_hex(32)
    opens = {"public_key": key} if token is None else {"token_sha256": hashlib.sha256(token.encode()).hexdigest()}
    _send(party, outbox, [*others, Reader.parse({"name": reader, **opens})])
    return token


def remove(party: Party, outbox: Outbox, reader: str) -> None:
    """Let somebody read the institution's bundles no more.

    Raises:
        AgentRefused: nobody is named so.
        RemoteError: as `name`.
    """
    before = named(party)
    others = [one for one in before if one.name != reader]
    if len(others) == len(before):
        known = ", ".join(one.name for one in before) or "none"
        raise AgentRefused(f"no reader is named {reader!r}; there are: {known}")
    _send(party, outbox, others)


def _send(party: Party, outbox: Outbox, readers: list[Reader]) -> None:
    state = party.history.state
    if state is None:
        raise AgentRefused("the agent is not enrolled yet; enrol first")
    body = Readers.parse(
        {
            "institution": party.settings.institution,
            "operator": party.settings.trust.operator,
            "sequence": str(state.public.readers + 1),
            "entry": party.history.head,
            "readers": [one.canonical() for one in readers],
        }
    )
    signed = body.signed_by(party.identity)
    outbox.keep(signed)
    outbox.send(signed)

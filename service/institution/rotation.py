"""Replace the identity key of an institution: another key file beside the one in force, a rotation, then the swap.

Both files are kept until the account's entry about the rotation was followed, so a stop at any line leaves a directory
that goes on: an agent that opens it asks which of the two keys the operator has in force.
"""

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from atomic_margin.service.errors import AgentRefused, RemoteError
from atomic_margin.service.institution.client import OperatorClient
from atomic_margin.service.institution.outbox import REFUSALS, Outbox
from atomic_margin.service.institution.party import Party
from atomic_margin.service.protocol.account.rotation_documents import rotation
from atomic_margin.service.protocol.signing import Identity

KEY = "identity.key"
NEXT = "identity.key.next"
_ATTEMPTS = 5
"""Other entries of the account may come between what is signed and the operator."""

_log = logging.getLogger(__name__)


class Rotates(Protocol):
    """An agent, as far as this needs one."""

    identity: Identity

    def send_rotation(self, adopt: bool = False) -> None:
        """Make the next key, and have the operator enter it."""

    def close(self) -> None:
        """End."""


def rotate(directory: Path, opened: Callable[[], Rotates], adopt: bool = False) -> str:
    """Replace the identity key of a directory, or finish what was begun; return the new public key.

    Args:
        directory: of the institution.
        opened: opens an agent on it; whoever calls holds the directory.
        adopt: take over what the key in force signed elsewhere: whoever was robbed has to follow what the thief did
            before anything can be entered after it.

    Raises:
        RemoteError, EntryRefused, AgentRefused: as `send`. Whatever arrived, the directory goes on.
    """
    before = _opened(directory, opened)
    if before is not None:
        return before
    agent = opened()
    try:
        agent.send_rotation(adopt)
    finally:
        agent.close()
    after = _opened(directory, opened)
    if after is None:
        raise AgentRefused("the operator took the new key, and shows no account under it; try again, or talk to it")
    return after


def _opened(directory: Path, opened: Callable[[], Rotates]) -> str | None:
    """Open an agent where a rotation was begun; return the key in force if that finished it."""
    if next_identity(directory) is None:
        return None
    agent = opened()
    agent.close()
    return agent.identity.public_key if next_identity(directory) is None else None


def next_identity(directory: Path) -> Identity | None:
    """Return the key that is to take the place of the one in force, if a rotation was begun here."""
    path = directory / NEXT
    return Identity.load_or_create(path) if path.exists() else None


def make_next(directory: Path) -> Identity:
    """Return the key that is to take the place of the one in force; it is made, whole or not at all, if need be."""
    found = next_identity(directory)
    if found is not None:
        return found
    part = directory / f"{NEXT}.part"
    # Nobody has signed with what a crash has left of it.
    part.unlink(missing_ok=True)
    made = Identity.load_or_create(part)
    part.replace(directory / NEXT)
    _sync(directory)
    return made


def swap(directory: Path) -> None:
    """Let the next key be the one in force: the old one is gone from the directory."""
    (directory / NEXT).replace(directory / KEY)
    _sync(directory)


def in_force(client: OperatorClient, directory: Path) -> Identity | None:
    """Return the next key if the operator says that it has it in force. Its entries show whether that is so."""
    found = next_identity(directory)
    return found if found is not None and client.admitted(found.public_key) else None


def send(party: Party, outbox: Outbox, new: Identity, adopt: bool = False) -> None:
    """Sign a rotation to a key at the account's last entry, and send it until the operator has entered it.

    Args:
        party: of the agent.
        outbox: keeps what is signed.
        new: the key.
        adopt: take over what the key in force signed elsewhere, and give up what has no entry yet.

    Raises:
        AgentRefused: something else is on its way, or the account goes on faster than it can be signed.
        RemoteError: the operator does not answer, or refuses. The next attempt goes on with the same key.
    """
    settings = party.settings
    for _ in range(_ATTEMPTS):
        party.history.sync(adopt)
        # Whoever was robbed waits for nothing: what has no entry by then can have none, and answers are signed anew.
        if outbox.outstanding() and not adopt:
            raise AgentRefused(
                "something that the key in force signed is not entered yet, and could not be afterwards; let the agent "
                "run until it is, then rotate the key"
            )
        signed = rotation(settings.institution, settings.trust.operator, party.history.head, party.identity, new)
        outbox.keep(signed)
        try:
            party.client.rotate_identity(signed.to_json())
        except RemoteError as error:
            if error.status not in REFUSALS or error.problem.get("field") != "entry":
                raise
            continue
        _log.info("the operator took the identity key %s", new.public_key)
        return
    raise AgentRefused(f"the account went on {_ATTEMPTS} times while its key was to be replaced; try again")


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

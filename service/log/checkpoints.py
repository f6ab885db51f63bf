"""Checkpoints: signed tree heads of C2SP tlog-checkpoint, their cosignatures, and what it takes to believe one.

A log signs with a key named by its origin; witnesses cosign with the time at which they found the tree consistent with
all they saw before. Nobody here has a clock: the caller says what time it is.
"""

import base64
import binascii
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from atomic_margin.service.log.errors import LogForked, MalformedNote, NoteNotSigned, ProofInvalid, TooFewWitnesses
from atomic_margin.service.log.hashing import EMPTY_ROOT, HASH_BYTES
from atomic_margin.service.log.notes import (
    COSIGNATURE,
    ED25519,
    Note,
    NoteKey,
    cosigned_message,
    parse_note,
    signature_line,
)
from atomic_margin.service.log.proofs import check_consistency
from atomic_margin.service.log.tree import MAX_SIZE
from atomic_margin.service.protocol.signing import Identity


@dataclass(frozen=True)
class TreeHead:
    """What a checkpoint says.

    Attributes:
        origin: name of the log.
        size: leaves.
        root: hash of all of them.
    """

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """The lines that are signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"

    @classmethod
    def parse(cls, text: str) -> "TreeHead":
        """Return what the text of a checkpoint says. Extension lines are refused: nobody could check them.

        Raises:
            MalformedNote: another form, or another spelling.
        """
        lines = text.split("\n")
        if len(lines) == 4 and lines[0] and lines[1].isascii() and lines[1].isdecimal() and len(lines[1]) < 20:
            try:
                head = cls(lines[0], int(lines[1]), base64.b64decode(lines[2], validate=True))
            except (binascii.Error, ValueError):
                raise MalformedNote("the root of a checkpoint is no base64") from None
            if head.text == text and len(head.root) == HASH_BYTES and head.size <= MAX_SIZE:
                if head.size == 0 and head.root != EMPTY_ROOT:
                    raise MalformedNote("a log without leaves has one root, this is another")
                return head
        raise MalformedNote("a checkpoint is origin, size and root, a line each, in their one spelling")


@dataclass(frozen=True)
class Checkpoint:
    """A tree head with its signatures; `head` is only what it says, until `believe` looked at it."""

    head: TreeHead
    note: Note

    @classmethod
    def parse(cls, text: str) -> "Checkpoint":
        """Take a checkpoint apart.

        Raises:
            MalformedNote: it is none.
        """
        note = parse_note(text)
        return cls(TreeHead.parse(note.text), note)

    def __str__(self) -> str:
        """Return it as it is sent."""
        return str(self.note)


@dataclass(frozen=True)
class WitnessPolicy:
    """Whose cosignatures are wanted.

    Attributes:
        witnesses: their keys.
        needed: how many of them; 0 if a log is to be believed alone, which says so wherever it reports.
        max_age_seconds: how old the newest moment may be at which that many had seen the checkpoint; None if age does
            not matter, as for what is archived.
    """

    witnesses: tuple[NoteKey, ...] = ()
    needed: int = 0
    max_age_seconds: int | None = None


@dataclass(frozen=True)
class Believed:
    """A checkpoint that holds.

    Attributes:
        head: what it says.
        witnesses: names of those that cosigned it, with the time of each, seconds of the epoch, in that order.
        seen_at: the moment from which the wanted number had seen it, the time of the k-th oldest cosignature; None if
            none are wanted. What it holds exists since then at the latest.
        newest_at: the wanted number saw it then or later, the time of the k-th newest; None likewise. It is no older.
    """

    head: TreeHead
    witnesses: tuple[tuple[str, int], ...]
    seen_at: int | None
    newest_at: int | None


def log_key(origin: str, identity: str) -> NoteKey:
    """Return the key of a log from its origin and the Ed25519 public key, in hex, of who keeps it."""
    return NoteKey(origin, ED25519, bytes.fromhex(identity))


def witness_key(name: str, identity: str) -> NoteKey:
    """Return the key of a witness from its name and its Ed25519 public key, in hex."""
    return NoteKey(name, COSIGNATURE, bytes.fromhex(identity))


def sign_head(head: TreeHead, identity: Identity) -> Checkpoint:
    """Return the checkpoint that the keeper of a log publishes."""
    key = log_key(head.origin, identity.public_key)
    signature = identity.sign_note(head.text.encode())
    return Checkpoint.parse(f"{head.text}\n{signature_line(key.name, key.identifier, signature)}")


def cosign(checkpoint: Checkpoint, name: str, identity: Identity, time: int) -> str:
    """Return the signature line of a witness; whether it may sign is the witness's to know.

    Args:
        checkpoint: what it saw.
        name: of the witness.
        identity: its key.
        time: seconds of the epoch.
    """
    key = witness_key(name, identity.public_key)
    signature = identity.sign_note(cosigned_message(checkpoint.note.text, time))
    return signature_line(key.name, key.identifier, time.to_bytes(8, "big") + signature)


def believe(checkpoint: Checkpoint, log: NoteKey, policy: WitnessPolicy, now: int) -> Believed:
    """Make sure a log signed a checkpoint and enough witnesses saw it, recently enough.

    Args:
        checkpoint: as it was fetched, or stands in a bundle.
        log: key of the log.
        policy: whose cosignatures are wanted.
        now: the caller's time, seconds of the epoch.

    Raises:
        NoteNotSigned: another log's, or a signature under a known key is wrong.
        TooFewWitnesses: fewer than wanted, or not recently enough.
    """
    if checkpoint.head.origin != log.name:
        raise NoteNotSigned(f"a checkpoint of {log.name} is wanted, this is one of {checkpoint.head.origin}")
    checkpoint.note.verify(log)
    times = {
        witness.name: checkpoint.note.verify(witness)
        for witness in policy.witnesses
        if checkpoint.note.signature_of(witness) is not None
    }
    seen = tuple(sorted(times.items(), key=lambda item: (item[1], item[0])))
    if len(seen) < policy.needed:
        raise TooFewWitnesses(
            f"{len(seen)} of the {len(policy.witnesses)} trusted witnesses cosigned, {policy.needed} are wanted: wait "
            "for the next checkpoint, or ask the operator why its witnesses do not sign"
        )
    seen_at = seen[policy.needed - 1][1] if policy.needed else None
    # As many as are wanted must have seen it lately, not one of them.
    newest_at = seen[-policy.needed][1] if policy.needed else None
    age = 0 if newest_at is None else now - newest_at
    if policy.max_age_seconds is not None and age > policy.max_age_seconds:
        raise TooFewWitnesses(
            f"the witnesses saw this checkpoint {age} s ago, at most {policy.max_age_seconds} s are allowed: fetch a "
            "newer one"
        )
    return Believed(checkpoint.head, seen, seen_at, newest_at)


def check_successor(known: Checkpoint, newer: Checkpoint, proof: Sequence[bytes]) -> None:
    """Make sure a checkpoint goes on where another one, both signed by the log, stands.

    Raises:
        LogForked: equal sizes with different roots, or the newer tree does not begin with the older one. The two
            checkpoints, signed by one log, are the evidence.
        ProofInvalid: the newer one is smaller; both may be true.
    """
    old, new = known.head, newer.head
    if new.size < old.size:
        raise ProofInvalid(f"the checkpoint is of {new.size} leaves, one of {old.size} is known: ask for a newer one")
    if old.size == 0:
        if proof:
            raise ProofInvalid("every log goes on from nothing; the proof of that is empty")
        return
    try:
        check_consistency(old.size, new.size, old.root, new.root, proof)
    except ProofInvalid as error:
        if old.size == new.size and old.root != new.root:
            raise LogForked(str(error), str(known), str(newer)) from error
        # Without the right proof nobody can tell a fork from a wrong proof; the log owes the right one.
        raise


def parse_keys(texts: Iterable[str]) -> tuple[NoteKey, ...]:
    """Return the keys of witnesses from their strings.

    Raises:
        MalformedNote: one is no witness key, or stands there twice.
    """
    keys = tuple(NoteKey.parse(text) for text in texts)
    if any(key.type != COSIGNATURE for key in keys):
        raise MalformedNote("a witness has a key of the type of cosignatures (4)")
    if len({key.public for key in keys}) != len(keys) or len({key.name for key in keys}) != len(keys):
        raise MalformedNote("two witnesses have one name or one key; each counts once")
    return keys

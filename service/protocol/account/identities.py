"""Identity keys in the account machine: which one is in force, and how it is replaced; and what follows readers. Pure.

A key that was replaced never comes back, so what it signed and nobody entered by then is entered by nobody. The state
names all keys that the account had; `keys_shown` is for whoever has one of them in a trust file and is shown the
rotations: each is signed by the key before it and by the key after it.
"""

from collections.abc import Iterable

from atomic_margin.service.errors import Refused, SignatureInvalid
from atomic_margin.service.protocol.account.errors import OutOfSequence, WrongIdentity
from atomic_margin.service.protocol.account.events import Event
from atomic_margin.service.protocol.account.rotation_documents import IdentityRotation
from atomic_margin.service.protocol.account.state import Account, PublicState
from atomic_margin.service.protocol.account.values import At, body_of, with_public
from atomic_margin.service.protocol.bodies import parse_signed
from atomic_margin.service.protocol.signing import SignedDocument

MAX_ROTATIONS = 64


def identity_rotated(state: Account, event: Event, at: At) -> Account:
    """Put another key in the place of the one in force: at the account's last entry, by who has both."""
    body, public = body_of(event, IdentityRotation), state.public
    if body.old != public.identity:
        raise WrongIdentity("it replaces another key than the one in force", "old")
    if body.entry != at.head:
        raise OutOfSequence("the account went on since it was signed: sign another one at its last entry", "entry")
    keys = keys_of(public)
    if body.new in keys:
        raise WrongIdentity("the account had this key before; make a new one", "new")
    if body.new == public.operator:
        raise WrongIdentity("this is the operator's key; make one of your own", "new")
    if len(keys) > MAX_ROTATIONS:
        raise WrongIdentity(f"the key was replaced {MAX_ROTATIONS} times; have another account opened", "new")
    try:
        body.verify_possession()
    except SignatureInvalid as error:
        raise WrongIdentity(f"nothing shows that whoever asks has the new key: {error}", "possession") from error
    return with_public(state, identity=body.new, former=keys)


def keys_of(public: PublicState) -> tuple[str, ...]:
    """Return the keys that an account had, oldest first; the last one is in force."""
    return (*(public.former or ()), public.identity)


def keys_shown(pinned: str, rotations: Iterable[object], institution: str, operator: str) -> tuple[str, ...]:
    """Return the keys of an account that rotations lead over, oldest first; without any the pinned one alone.

    Args:
        pinned: the key in a trust file, any one of them.
        rotations: signed documents as JSON, in order, from the first key on.
        institution: whose keys.
        operator: at whom.

    Raises:
        SignatureInvalid, Refused, DocumentError: they do not lead over the pinned key.
    """
    keys: list[str] = []
    for number, value in enumerate(rotations):
        if number >= MAX_ROTATIONS:
            raise Refused(f"there are more than {MAX_ROTATIONS} rotations of one account", "rotations")
        signed, body = parse_signed(value, IdentityRotation)
        if (body.institution, body.operator) != (institution, operator):
            raise Refused("a rotation is of another account, or at another operator", "rotations")
        keys = keys or [body.old]
        if body.old != keys[-1] or body.new in keys:
            raise Refused("a rotation does not go on from the key before it to a new one", "rotations")
        signed.verify(frozenset({body.old}))
        body.verify_possession()
        keys.append(body.new)
    keys = keys or [pinned]
    if pinned not in keys:
        raise Refused(f"the rotations do not lead over the key of {institution!r} in the trust file", "rotations")
    return tuple(keys)


def require_keys(public: PublicState, keys: tuple[str, ...], name: str) -> None:
    """Make sure that a state names the keys that were shown, up to the one that was in force then.

    Raises:
        Refused: it names others.
    """
    had = keys_of(public)
    if had != keys[: len(had)]:
        raise Refused(
            "the account had another identity than the trust file names, and no rotations that are shown lead there",
            name,
        )


def signer_among(signed: SignedDocument, keys: tuple[str, ...]) -> str:
    """Return whose signature a document has to have: its own signer if that is one of some keys, else the last one."""
    return signed.signer if signed.signer in keys else keys[-1]

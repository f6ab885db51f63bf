"""The account machine on identity keys: who replaces one, by which, and what the replaced one still does: nothing."""

from itertools import pairwise

import pytest

from atomic_margin.service.errors import Refused, SignatureInvalid
from atomic_margin.service.protocol.account import identities
from atomic_margin.service.protocol.account.errors import OutOfSequence, WrongIdentity, WrongSigner
from atomic_margin.service.protocol.account.identities import keys_of, keys_shown, require_keys
from atomic_margin.service.protocol.account.rotation_documents import IdentityRotation, rotation
from atomic_margin.service.protocol.signing import Identity, SignedDocument

from .documents import INSTITUTION, Parties
from .story import covered, recorded, refuses


def rotated(parties: Parties, new: Identity | None = None) -> Identity:
    """Replace the key; return the one from before."""
    old, new = parties.institution, new or Identity.generate()
    parties.enter(parties.rotation(new))
    parties.institution = new
    return old


def test_documents_count_under_the_new_key_alone() -> None:
    parties = covered()
    early = parties.submission(2, "b")
    old = rotated(parties)
    assert parties.state.public.identity == parties.institution.public_key
    assert keys_of(parties.state.public) == (old.public_key, parties.institution.public_key)
    # What the old key signed before and nobody entered by then.
    refuses(parties, early, WrongSigner, "signed by the institution")
    new, parties.institution = parties.institution, old
    refuses(parties, parties.submission(2, "b"), WrongSigner, "signed by the institution")
    refuses(parties, parties.rotation(Identity.generate()), WrongSigner, "signed by the institution")
    parties.institution = new
    parties.enter(parties.submission(2, "b"))


def test_an_open_run_is_answered_under_the_new_key() -> None:
    parties = recorded()
    before = parties.answer("covered")
    rotated(parties)
    refuses(parties, before, WrongSigner, "signed by the institution")
    parties.enter(parties.answer("covered"))


def test_it_replaces_the_key_in_force() -> None:
    parties, other, new = covered(), Identity.generate(), Identity.generate()
    of_other = rotation(INSTITUTION, parties.operator.public_key, parties.chain.head, other, new)
    refuses(parties, of_other, WrongSigner, "signed by the institution")
    refuses(
        parties,
        IdentityRotation.parse(of_other.body).signed_by(parties.institution),
        WrongIdentity,
        "than the one in force",
    )


def test_it_is_at_the_last_entry() -> None:
    parties = covered()
    early = parties.rotation(Identity.generate())
    parties.enter(parties.deposit(5))
    refuses(parties, early, OutOfSequence, "went on")


def test_a_key_never_comes_back() -> None:
    parties = covered()
    refuses(parties, parties.rotation(parties.institution), WrongIdentity, "had this key before")
    first = rotated(parties)
    rotated(parties)
    refuses(parties, parties.rotation(first), WrongIdentity, "had this key before")


def test_the_operators_key_is_no_institutions() -> None:
    parties = covered()
    refuses(parties, parties.rotation(parties.operator), WrongIdentity, "operator's key")


def test_it_is_of_this_account_at_this_operator() -> None:
    parties = covered()
    new = Identity.generate()
    for place, field in (
        (("other", parties.operator.public_key), "institution"),
        ((INSTITUTION, "9a" * 32), "operator"),
    ):
        refuses(
            parties, rotation(*place, parties.chain.head, parties.institution, new), WrongSigner, f"another {field}"
        )


def test_whoever_asks_has_the_new_key() -> None:
    parties, new = covered(), Identity.generate()
    good = parties.rotation(new)
    somebody = parties.rotation(Identity.generate())
    refuses(parties, parties.rotation(new, possession=somebody.body["possession"]), WrongIdentity, "nothing shows")
    # A signature of the new key over something else, the signed document itself.
    refuses(parties, parties.rotation(new, possession=new.sign("identity-rotation", good.body).signature),
            WrongIdentity, "nothing shows")  # fmt: skip
    # What the new key signs alone is no document.
    claim = {name: value for name, value in good.body.items() if name != "possession"}
    assert good.body["possession"] == new.sign("identity-rotation", claim).signature
    parties.enter(good)


def test_it_is_replaced_so_often_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identities, "MAX_ROTATIONS", 2)
    parties = covered()
    rotated(parties)
    rotated(parties)
    refuses(parties, parties.rotation(Identity.generate()), WrongIdentity, "replaced 2 times")


# What a reader is shown


def lead(*keys: Identity, institution: str = INSTITUTION, operator: str = "9a" * 32) -> list[SignedDocument]:
    return [rotation(institution, operator, "1a" * 32, old, new) for old, new in pairwise(keys)]


def shown(pinned: Identity, documents: list[SignedDocument], operator: str = "9a" * 32) -> tuple[str, ...]:
    return keys_shown(pinned.public_key, [one.to_json() for one in documents], INSTITUTION, operator)


KEYS = [Identity.generate() for _ in range(4)]


def test_rotations_lead_over_any_key_that_is_pinned() -> None:
    names = tuple(key.public_key for key in KEYS[:3])
    for key in KEYS[:3]:
        assert shown(key, lead(*KEYS[:3])) == names
    assert shown(KEYS[0], []) == (KEYS[0].public_key,)
    with pytest.raises(Refused, match="do not lead over the key"):
        shown(KEYS[3], lead(*KEYS[:3]))


@pytest.mark.parametrize(
    ("documents", "reason"),
    [
        (lead(KEYS[0], KEYS[1]) + lead(KEYS[2], KEYS[3]), "does not go on"),
        (lead(KEYS[0], KEYS[1], KEYS[0]), "does not go on"),
        (lead(KEYS[0], KEYS[1], institution="other"), "another account"),
        (lead(KEYS[0], KEYS[1], operator="4d" * 32), "another operator"),
        (lead(*[Identity.generate() for _ in range(identities.MAX_ROTATIONS + 2)]), "more than"),
    ],
)
def test_rotations_that_lead_nowhere(documents: list[SignedDocument], reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        shown(KEYS[0], documents)


def test_rotations_are_signed_by_both_keys() -> None:
    (good,) = lead(KEYS[0], KEYS[1])
    alone = IdentityRotation.parse(good.body).signed_by(KEYS[2])
    with pytest.raises(SignatureInvalid):
        shown(KEYS[0], [alone])
    # A thief who has the key that is pinned, and leads to one that the institution has elsewhere; and the other way.
    unproven = IdentityRotation.parse(good.body | {"possession": "5c" * 64}).signed_by(KEYS[0])
    with pytest.raises(SignatureInvalid):
        shown(KEYS[1], [unproven])


def test_states_name_the_keys_that_were_shown() -> None:
    parties = covered()
    first, before = parties.institution, parties.state.public
    rotated(parties)
    keys = (first.public_key, parties.institution.public_key)
    require_keys(before, keys, "identity")
    require_keys(parties.state.public, keys, "identity")
    for wrong in (keys[:1], keys[1:], (keys[0], "9a" * 32)):
        with pytest.raises(Refused, match="another identity"):
            require_keys(parties.state.public, wrong, "identity")

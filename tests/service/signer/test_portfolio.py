"""A book is attested for the account that its institution named, and for no other."""

import contextlib
import copy
from dataclasses import replace
from typing import Any

import pytest

from atomic_margin.contracts.collect import SignerSet, collect
from atomic_margin.contracts.signatures import sign_message
from atomic_margin.service.protocol.chain_documents import ChainAccount, RegistrationRequest
from atomic_margin.service.protocol.signing import Identity
from atomic_margin.service.protocol.trust import TrustFile
from atomic_margin.service.signer.errors import (
    AccountNotNamed,
    BundleRefused,
    ChainDiffers,
    ExpiryRefused,
    NotInTheSet,
    SignedOtherwise,
)
from atomic_margin.service.signer.matrices import Place, VerifiedRun
from atomic_margin.service.signer.portfolio import VerifiedBook, portfolio_message, verified_book
from atomic_margin.service.signer.vault import AccountOnChain, Moment
from atomic_margin.zk.groups import Group

from ...contracts.vault.world import HOLDER, OTHER, SIGNERS, STRANGER, THRESHOLD, World
from ..documents import FUND
from .conftest import NOW, addresses_of
from .played import Json, Played
from .test_signers import Make, serving
from .test_signers import make as make

SOON = NOW + 600


def account(played: Played, place: Place, identity: Identity | None = None, **changed: Any) -> Json:
    """The institution's word about its account, or somebody's."""
    body = {
        "institution": FUND,
        "operator": played.operator.public_key,
        "chain": str(place.addresses.chain),
        "vault": place.addresses.vault.lower(),
        "account": HOLDER.address.lower(),
        **changed,
    }
    return ChainAccount.parse(body).signed_by(identity or played.identity).to_json()


def request(played: Played, named: Json, **changed: Any) -> Json:
    body = played.unsettled["body"]
    return {
        "format": "atomic-margin/registration-request/1",
        **{name: body[name] for name in ("model", "universe", "schedule", "enrolment", "submission")},
        "account": named,
        "sequence": "1",
        "expiry": str(SOON),
        **changed,
    }


def book_of(played: Played, place: Place, group: Group, named: Json, **changed: Any) -> VerifiedBook:
    return verified_book(RegistrationRequest.parse(request(played, named, **changed)), played.trust_file, place, group)


def test_a_submission_is_attested_for_the_account_that_was_named(
    played: Played, verified: VerifiedRun, place: Place, group: Group
) -> None:
    book = book_of(played, place, group, account(played, place))
    # The same hash that a run's proofs are about.
    assert book == VerifiedBook(FUND, HOLDER.address.lower(), verified.breach_checked.commitments)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"chain": "5"}, "it is about chain 5, and 31337"),
        ({"vault": "0x" + "22" * 20}, "it is about vault 0x2222"),
        ({"operator": Identity.generate().public_key}, "it is about operator"),
        ({"institution": "nobody"}, "'nobody' is not in the signer's trust file"),
    ],
)
def test_a_word_about_something_else_is_none(
    played: Played, place: Place, group: Group, changed: dict[str, str], said: str
) -> None:
    with pytest.raises(AccountNotNamed, match=said):
        book_of(played, place, group, account(played, place, **changed))


def test_nobody_else_names_the_account_of_a_book(played: Played, place: Place, group: Group) -> None:
    for stranger in (Identity.generate(), played.operator):
        with pytest.raises(AccountNotNamed, match="signed by a key that is not trusted"):
            book_of(played, place, group, account(played, place, stranger))
    good = account(played, place)
    other = {**good, "body": {**good["body"], "account": STRANGER.address.lower()}}
    with pytest.raises(AccountNotNamed, match="signature does not match"):
        book_of(played, place, group, other)
    with pytest.raises(AccountNotNamed):
        book_of(played, place, group, played.unsettled["body"]["submission"])
    # Another institution of the same operator, which the trust file has too, names its own account for this book.
    rival = Identity.generate()
    trust = copy.deepcopy(played.trust)
    trust["institutions"]["rival"] = rival.public_key
    named = account(played, place, rival, institution="rival", account=STRANGER.address.lower())
    asked = RegistrationRequest.parse(request(played, named))
    with pytest.raises(AccountNotNamed, match=f"the account is of 'rival', and the submission of '{FUND}'"):
        verified_book(asked, TrustFile.parse(trust), place, group)


@pytest.mark.parametrize(
    ("path", "step"),
    [
        (("model", "minimum_transfer_amount"), "trust anchors"),
        (("schedule", "version"), "trust anchors"),
        (("submission", "body", "portfolio_proof"), "submission"),
        (("submission", "signature"), "submission"),
        (("enrolment", "signature"), "submission"),
    ],
)
def test_a_book_that_does_not_verify_is_not_attested(
    played: Played, place: Place, group: Group, path: tuple[str, ...], step: str
) -> None:
    changed = copy.deepcopy(request(played, account(played, place)))
    part: Any = changed
    for name in path[:-1]:
        part = part[name]
    text = str(part[path[-1]])
    part[path[-1]] = text[:-1] + ("1" if text[-1] != "1" else "2")
    with pytest.raises(BundleRefused) as refused:
        verified_book(RegistrationRequest.parse(changed), played.trust_file, place, group)
    assert refused.value.step == step


@pytest.mark.parametrize("part", ["portfolio_proof", "encryption_proof", "commitments", "ciphertext"])
def test_the_institution_itself_cannot_have_another_book_attested(
    played: Played, place: Place, group: Group, part: str
) -> None:
    """Signed by the institution, so that only the proofs say what it is."""
    body = copy.deepcopy(played.unsettled["body"]["submission"]["body"])
    if part == "commitments":
        body[part] = [body[part][1], body[part][0], *body[part][2:]]
    else:
        body[part] = body[part][:-1] + ("1" if body[part][-1] != "1" else "2")
    forged = played.identity.sign("submission", body).to_json()
    with pytest.raises(BundleRefused):
        book_of(played, place, group, account(played, place), submission=forged)


def test_keys_that_are_not_pinned_are_refused(played: Played, place: Place, group: Group) -> None:
    trust = TrustFile.parse({**played.trust, "keys": {FUND: ["1a" * 32]}})
    with pytest.raises(BundleRefused, match="pins no such keys"):
        verified_book(RegistrationRequest.parse(request(played, account(played, place))), trust, place, group)


BOOK = VerifiedBook(FUND, HOLDER.address.lower(), b"\7" * 32)
ON_CHAIN = AccountOnChain(Moment(NOW, 3, True), posted=0, sequence=4, state="Settled", holder=None)


def test_the_message_is_the_accounts_next(place: Place) -> None:
    message = portfolio_message(BOOK, ON_CHAIN, place, 5, SOON)
    assert message == {
        "chain": 31337,
        "vault": place.addresses.vault,
        "account": HOLDER.address,
        "commitments": b"\7" * 32,
        "sequence": 5,
        "signerSet": 3,
        "expiry": SOON,
    }
    # Registered again, by the same account.
    assert portfolio_message(BOOK, replace(ON_CHAIN, holder=HOLDER.address), place, 5, SOON) == message
    assert portfolio_message(BOOK, replace(ON_CHAIN, state="Inactive"), place, 5, SOON) == message


@pytest.mark.parametrize(
    ("changed", "sequence", "error", "said"),
    [
        ({"holder": OTHER.address}, 5, ChainDiffers, "for ever: submit the book anew"),
        ({"state": "Valuation"}, 5, ChainDiffers, "state Valuation"),
        ({"state": "Terminated"}, 5, ChainDiffers, "state Terminated"),
        ({}, 4, ChainDiffers, "has number 5, not 4"),
        ({}, 6, ChainDiffers, "has number 5, not 6"),
        ({"at": Moment(NOW, 3, False)}, 5, NotInTheSet, "set 3"),
        ({"at": Moment(SOON, 3, True)}, 5, ExpiryRefused, "the chain's time"),
    ],
)
def test_an_account_that_has_it_otherwise_is_not_signed_for(
    place: Place, changed: dict[str, Any], sequence: int, error: type, said: str
) -> None:
    with pytest.raises(error, match=said):
        portfolio_message(BOOK, replace(ON_CHAIN, **changed), place, sequence, SOON)


def test_k_of_n_register_a_book(played: Played, vault: World, make: Make) -> None:
    place = Place(addresses_of(vault), 6)
    named = account(played, place)
    soon = vault.chain.now() + 600
    asked = request(played, named, sequence="2", expiry=str(soon))
    signer_set = SignerSet.read(vault.chain.w3, vault.oracle.address)
    with contextlib.ExitStack() as stack:
        urls = [stack.enter_context(serving(make(one))) for one in SIGNERS[:THRESHOLD]]
        message, signatures = collect(urls, asked, THRESHOLD, signer_set)
    own = sign_message(
        HOLDER, "PortfolioAttestation", message, chain=place.addresses.chain, contract=place.addresses.oracle
    )
    vault.send(vault.vault.functions.registerPortfolio(message, own, signatures), STRANGER)
    assert vault.account(HOLDER)["sequence"] == 2
    # The number is used; the next one may be had for as long as is asked for.
    signer = make(SIGNERS[3])
    with pytest.raises(ChainDiffers, match="has number 3"):
        signer.sign_portfolio(RegistrationRequest.parse(asked))
    later = request(played, named, sequence="3", expiry=str(soon))
    assert signer.sign_portfolio(RegistrationRequest.parse(later)).message["sequence"] == "3"
    assert signer.sign_portfolio(RegistrationRequest.parse({**later, "expiry": str(soon + 1)})).signature
    # Another book under the same number is another thing.
    rival = {**message, "sequence": 3, "commitments": b"\6" * 32}
    with pytest.raises(SignedOtherwise, match="another commitments"):
        signer._sign("PortfolioAttestation", rival, vault.chain.now())
    # These commitments are the holder's: nobody else's account takes them, named or not.
    elsewhere = request(played, account(played, place, account=STRANGER.address.lower()), expiry=str(soon))
    with pytest.raises(ChainDiffers, match="for ever"):
        signer.sign_portfolio(RegistrationRequest.parse(elsewhere))

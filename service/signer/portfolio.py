"""What may be attested of a book: from its submission, which is verified, and the account that the vault has. No I/O.

(1) Terms are those of the trust file, or the trusted operator's revisions lead to their universe.
(2) The institution of the trust file enrolled the keys, and its submission's portfolio and encryption proofs hold.
(3) The same institution named the account in this vault as its own: commitments are public, and whoever registers them
    first has them for ever.
(4) The document is the account's next one, and nobody else has these commitments there.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

from atomic_margin.circuits.errors import CircuitError
from atomic_margin.circuits.profile import PROFILES
from atomic_margin.contracts.addresses import checked_address
from atomic_margin.documents.errors import DocumentsError
from atomic_margin.margin.errors import MarginError
from atomic_margin.service.errors import AttestationInvalid, Refused, ServiceError
from atomic_margin.service.protocol.account.identities import keys_shown, signer_among
from atomic_margin.service.protocol.bodies import parse_signed
from atomic_margin.service.protocol.chain_documents import ChainAccount, RegistrationRequest
from atomic_margin.service.protocol.documents import Enrolment
from atomic_margin.service.protocol.keys import key_pair
from atomic_margin.service.protocol.revisions import check_lineage
from atomic_margin.service.protocol.submissions import Submission
from atomic_margin.service.protocol.terms import Terms
from atomic_margin.service.protocol.trust import TrustFile
from atomic_margin.service.protocol.verification import verify_submission
from atomic_margin.service.signer.errors import AccountNotNamed, BundleRefused, ChainDiffers
from atomic_margin.service.signer.matrices import Place, require_counted, require_expiry
from atomic_margin.service.signer.vault import AccountOnChain
from atomic_margin.zk.errors import BackendUnavailable, GeneratorError, ProofError
from atomic_margin.zk.groups import Group


@dataclass(frozen=True)
class VerifiedBook:
    """What a request shows that verifies.

    Attributes:
        institution: whose book.
        account: its address in the vault.
        commitments: hash(V), as the vault has it.
    """

    institution: str
    account: str
    commitments: bytes


def named_account(request: RegistrationRequest, trust: TrustFile, place: Place) -> ChainAccount:
    """Return the account that the institution named, before anything that takes long.

    Raises:
        AccountNotNamed: the document does not hold, or is about another vault, chain or operator.
    """
    addresses = place.addresses
    try:
        signed, account = parse_signed(request.account, ChainAccount)
        pinned = trust.institutions.get(account.institution)
        if pinned is None:
            raise Refused(f"institution {account.institution!r} is not in the signer's trust file", "institution")
        identities = keys_shown(pinned, request.rotations or (), account.institution, trust.operator)
        signed.verify(frozenset({identities[-1]}))
        for name, said, wanted in (
            ("operator", account.operator, trust.operator),
            ("chain", str(account.chain), str(addresses.chain)),
            ("vault", account.vault, addresses.vault.lower()),
        ):
            if said != wanted:
                raise Refused(f"it is about {name} {said}, and {wanted} is signed for here", name)
    except (ServiceError, DocumentsError) as error:
        raise AccountNotNamed(f"{error}; sign a chain-account document for this vault", "account") from error
    return account


def verified_book(request: RegistrationRequest, trust: TrustFile, place: Place, group: Group) -> VerifiedBook:
    """Verify a submission, and that the account is of the institution whose it is.

    Args:
        request: as it was sent.
        trust: the signer's own anchors.
        place: what is signed for.
        group: backend of the proofs.

    Raises:
        AccountNotNamed: see `named_account`; or it is another institution's.
        BundleRefused: the submission does not verify.
    """
    account = named_account(request, trust, place)
    try:
        submission = _verified(request, trust, group)
    except (GeneratorError, BackendUnavailable):
        # The signer's own installation is at fault.
        raise
    except AttestationInvalid as error:
        raise BundleRefused(error.step, error.detail) from error
    except (ServiceError, DocumentsError, MarginError, CircuitError, ProofError) as error:
        raise BundleRefused("submission", str(error)) from error
    if submission.institution != account.institution:
        raise AccountNotNamed(
            f"the account is of {account.institution!r}, and the submission of {submission.institution!r}", "account"
        )
    points = b"".join(map(bytes.fromhex, submission.commitments))
    return VerifiedBook(account.institution, account.account, hashlib.sha256(points).digest())


def portfolio_message(
    book: VerifiedBook, chain: AccountOnChain, place: Place, sequence: int, expiry: int
) -> dict[str, Any]:
    """Return the `PortfolioAttestation` of a verified book.

    Args:
        book: as its request shows it.
        chain: the vault's account.
        place: what is signed for.
        sequence: that was asked for.
        expiry: likewise.

    Raises:
        ChainDiffers: the account goes on with another number, has a run open or is liquidated, or another has the book.
        ExpiryRefused, NotInTheSet: by the chain's clock and set.
    """
    require_counted(chain.at)
    require_expiry(expiry, chain.at)
    if chain.state in ("Valuation", "Terminated"):
        raise ChainDiffers(f"the account is in state {chain.state}: a book is registered between runs", "account")
    if chain.holder is not None and chain.holder.lower() != book.account:
        raise ChainDiffers(f"these commitments are {chain.holder}'s for ever: submit the book anew", "commitments")
    require_next(chain, sequence)
    addresses = place.addresses
    return {
        "chain": addresses.chain,
        "vault": addresses.vault,
        "account": checked_address(book.account, "account"),
        "commitments": book.commitments,
        "sequence": sequence,
        "signerSet": chain.at.signer_set,
        "expiry": expiry,
    }


def require_next(chain: AccountOnChain, sequence: int) -> None:
    """Make sure that a document is the account's next one.

    Raises:
        ChainDiffers: it is not.
    """
    if sequence != chain.sequence + 1:
        raise ChainDiffers(f"the account's next document has number {chain.sequence + 1}, not {sequence}", "sequence")


def _verified(request: RegistrationRequest, trust: TrustFile, group: Group) -> Submission:
    """Return the submission of a request, checked as the steps 2, 5 and 6 of a bundle are."""
    signed_enrolment, enrolment = parse_signed(request.enrolment, Enrolment)
    signed, submission = parse_signed(request.submission, Submission)
    profiles = [profile for profile in PROFILES.values() if profile.hash() == trust.profile]
    if not profiles:
        raise AttestationInvalid("trust anchors", "the trusted profile is unknown to this version of atomic-margin")
    terms = Terms.parse(request.model, request.universe, request.schedule, profiles[0])
    for name in ("model", "schedule", "profile", "generators"):
        if terms.hashes[name] != getattr(trust, name):
            raise AttestationInvalid("trust anchors", f"{name}: not the {name} of the trust file")
    check_lineage(trust.universe, terms.universe.hash(), request.revisions or (), trust.operator)
    institution = submission.institution
    pinned = trust.institutions.get(institution)
    if pinned is None:
        raise AttestationInvalid("enrolment", f"institution {institution!r} is not in the trust file")
    identities = keys_shown(pinned, request.rotations or (), institution, trust.operator)
    signed_enrolment.verify(frozenset(identities))
    for name, found, wanted in (
        ("institution", enrolment.institution, institution),
        ("operator", enrolment.operator, trust.operator),
        ("profile", enrolment.profile, trust.profile),
        ("evaluation_keys", enrolment.evaluation_keys, submission.evaluation_keys),
        ("submission.operator", submission.operator, trust.operator),
        ("submission.universe", submission.universe, terms.universe.hash()),
    ):
        if found != wanted:
            raise AttestationInvalid("enrolment", f"{name}: {found}, and {wanted} is wanted")
    keys = key_pair(terms.profile, enrolment.input_key, enrolment.flag_key)
    unpinned = trust.unpinned(institution, keys.hash)
    if unpinned is not None:
        raise AttestationInvalid("enrolment", unpinned)
    verify_submission(signed, submission, terms, signer_among(signed, identities), keys, group)
    return submission

"""Why a signer does not sign, in one tree, with HTTP statuses.

RequestError
└── SigningRefused               422  what is wrong is in the request; nothing was signed
    ├── BundleRefused            422  the bundle or the submission does not verify; `.step` names what failed
    ├── NothingToSettle          422  the answer is no breach
    ├── NotForTheChain           422  statements that the contract does not verify
    ├── CollateralDiffers        422  other collateral than the vault's token, or none that suffices
    ├── ExpiryRefused            422  over, or too far away
    ├── AccountNotNamed          422  the institution did not name this account of this vault as its own
    ├── ChainDiffers             409  the vault has another picture of the run, or another number of the account
    │   └── RunNotOpen           409  the run is not open there
    ├── SignedOtherwise          409  another message about the same thing counts still
    ├── NotInTheSet              409  the oracle does not count this signer
    ├── TooManyInForce           503  the journal has no room for what it must remember
    ├── SignerBusy               503  others are verified first
    └── ChainUnreachable         503  the signer's own node does not answer, or not as a chain does
"""

from typing import ClassVar

from atomic_margin.service.errors import RequestError


class SigningRefused(RequestError):
    """Nothing was signed."""

    status, slug, title = 422, "signing-refused", "This is not signed"


class BundleRefused(SigningRefused):
    """A bundle or a submission does not verify.

    Attributes:
        step: what failed, as `atomic-margin verify` prints it.
    """

    slug, title = "bundle-refused", "The documents do not verify"

    def __init__(self, step: str, detail: str) -> None:
        super().__init__(f"{step}: {detail}", "bundle")
        self.step = step


class NothingToSettle(SigningRefused):
    """The answer is no breach: nothing is to be settled by it."""

    slug, title = "nothing-to-settle", "Nothing is to be settled"


class NotForTheChain(SigningRefused):
    """The contract does not verify such statements."""

    slug, title = "not-for-the-chain", "The contract does not verify this"


class CollateralDiffers(SigningRefused):
    """Other collateral counts than the vault's token, or no amount of that is worth the top-up."""

    slug, title = "collateral-differs", "The collateral is not the vault's token alone"


class ExpiryRefused(SigningRefused):
    """An expiry that is over, or further away than a signer looks."""

    slug, title = "expiry", "The expiry is not one that is signed"


class AccountNotNamed(SigningRefused):
    """The institution did not name this account of this vault as its own."""

    slug, title = "account-not-named", "The account is not the institution's by its own word"


class ChainDiffers(SigningRefused):
    """What the vault says is not what the documents say."""

    status: ClassVar[int] = 409
    slug, title = "chain-differs", "The vault says something else"


class RunNotOpen(ChainDiffers):
    """The run is not open on the chain."""

    slug, title = "run-not-open", "The run is not open on the chain"


class SignedOtherwise(SigningRefused):
    """Another message about the same thing was signed, and counts still."""

    status: ClassVar[int] = 409
    slug, title = "signed-otherwise", "Another message was signed for it"


class NotInTheSet(SigningRefused):
    """The oracle's set in force does not have this signer."""

    status: ClassVar[int] = 409
    slug, title = "not-in-the-set", "The oracle does not count this signer"


class TooManyInForce(SigningRefused):
    """The journal has as many messages that count still as it keeps."""

    status: ClassVar[int] = 503
    slug, title = "too-many-in-force", "Too many messages count still"


class SignerBusy(SigningRefused):
    """Other requests are verified first."""

    status: ClassVar[int] = 503
    slug, title = "signer-busy", "The signer is busy"


class ChainUnreachable(SigningRefused):
    """The signer's node does not answer, or not as a chain does."""

    status: ClassVar[int] = 503
    slug, title = "chain-unreachable", "The chain cannot be read"

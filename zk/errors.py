"""Every error of `atomic_margin.zk`, in one tree. Anyone may import it.

ProofError
├── EncodingError              bytes that are not the one canonical encoding of anything
│   ├── PointEncodingError         a compressed G1 point
│   ├── ScalarEncodingError        a scalar modulo r
│   ├── ProofEncodingError         a proof: version, length or one of its components
│   └── SharingEncodingError       a deal, or shares of it: version, length or one of their components
├── StatementError             public inputs no proof can be about: sizes, widths, limits
├── WitnessError               the prover's secret values do not satisfy the statement
├── VerificationError          a well-formed proof that does not prove the statement
│   ├── BitProofInvalid            the bit argument on its own
│   ├── PortfolioProofInvalid      entry ranges and gross limit
│   ├── SufficiencyProofInvalid    row surpluses
│   ├── EncryptionProofInvalid     ciphertexts of the committed entries
│   ├── DecryptionProofInvalid     what ciphertexts decrypt to
│   ├── BreachProofInvalid         one row is negative
│   ├── LackProofInvalid           what one row lacks, rounded up
│   ├── OtherDeal                  shares of another deal, statement or custodian
│   ├── SharesInvalid              shares that do not fit their deal; names custodian and entry
│   ├── TooFewShares               of fewer custodians than the threshold, or of one twice
│   └── BatchInvalid               at least one of many proofs; names which
├── TranscriptError            misuse of the Fiat-Shamir transcript, or a zero challenge
├── GeneratorError             generators that do not match the hashes pinned in the code
└── BackendUnavailable         the group backend asked for is not installed

Catch `ProofError` to treat every kind of bad proof alike:

>>> issubclass(PortfolioProofInvalid, ProofError) and issubclass(ProofEncodingError, ProofError)
True
"""

from collections import abc


class ProofError(Exception):
    """Root of the errors of `atomic_margin.zk`. The message says what is wrong and, where possible, what to do."""


class EncodingError(ProofError):
    """Bytes that are not the canonical encoding of what they claim to be."""


class PointEncodingError(EncodingError):
    """Bytes that are not a canonical, subgroup-checked G1 point, or the identity where it is refused."""


class ScalarEncodingError(EncodingError):
    """Bytes that are not 32 bytes, big-endian, below the group order."""


class ProofEncodingError(EncodingError):
    """A proof of an unknown version, of the wrong length, or with a component that does not decode."""


class SharingEncodingError(EncodingError):
    """A deal or shares of an unknown version, of the wrong length, or with a component that does not decode."""


class StatementError(ProofError):
    """A statement outside the limits within which the argument is sound. Raised before anything is computed."""


class WitnessError(ProofError):
    """The prover's values do not satisfy the statement. The message names the entry or row, never a value."""


class VerificationError(ProofError):
    """A well-formed proof that does not prove this statement. Without a message it says what to do next."""

    advice = "the proof does not prove this statement"

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or self.advice)


class BitProofInvalid(VerificationError):
    """A bit argument whose final multi-scalar multiplication is not the identity."""


class PortfolioProofInvalid(VerificationError):
    """The proof does not show that the entries are in range and within the gross limit."""

    advice = (
        "the portfolio proof does not prove this statement: compare commitments, widths, gross weights, gross limit "
        "and every context label with the prover's; if all agree, refuse the submission"
    )


class SufficiencyProofInvalid(VerificationError):
    """The proof does not show that every row of the matrix is in range."""

    advice = (
        "the sufficiency proof does not prove this statement: compare commitments, matrix, offsets, slack, top-up and "
        "every context label with the prover's; if all agree, treat the run as unproven"
    )


class EncryptionProofInvalid(VerificationError):
    """The proof does not show that the ciphertexts encrypt the committed entries under the committed key."""

    advice = (
        "the encryption proof does not prove this statement: compare commitments, key commitments, masks, bodies, "
        "widths, scale, noise bound and every context label with the prover's; if all agree, refuse the submission"
    )


class DecryptionProofInvalid(VerificationError):
    """The proof does not show that the ciphertexts decrypt to the claimed values under the committed key."""

    advice = (
        "the decryption proof does not prove this statement: compare key commitments, ciphertext words, values, scale, "
        "noise bound and every context label with the prover's; if all agree, the value is not what they decrypt to"
    )


class BreachProofInvalid(VerificationError):
    """The proof does not show that some row of the matrix is negative."""

    advice = (
        "the breach proof does not prove this statement: compare commitments, matrix, offsets and every context label "
        "with the prover's; if all agree, no breach is shown and nothing may be settled"
    )


class LackProofInvalid(VerificationError):
    """The proof does not show that the top-up is what the row lacks, rounded up to the step."""

    advice = (
        "the proof of what a row lacks does not prove this statement: compare commitments, row, offset, top-up, step "
        "and every context label with the prover's; if all agree, the top-up is not shown to be owed"
    )


class OtherDeal(VerificationError):
    """Well-formed shares that are of another deal than the one they are held against, or of another custodian."""


class SharesInvalid(VerificationError):
    """Shares that are not on the polynomials their deal commits to. The message names the custodian, never a share.

    Attributes:
        custodian: the point of whom they are for.
        entry: the first entry with a wrong share; None for the share of a row.
        dealer: the point of the custodian they come from, where one passes its shares on.
    """

    def __init__(self, custodian: int, entry: int | None, dealer: int | None = None) -> None:
        self.custodian, self.entry, self.dealer = custodian, entry, dealer
        what = "of the row" if entry is None else f"of entry {entry}"
        source = "" if dealer is None else f", dealt by the custodian at point {dealer},"
        super().__init__(
            f"the share {what} of the custodian at point {custodian}{source} does not fit the deal: whoever dealt it, "
            "complain and refuse the deal; whoever asked for it, leave this one out and go on with others"
        )


class TooFewShares(VerificationError):
    """Shares of fewer custodians than it takes."""


class BatchInvalid(VerificationError):
    """At least one proof of a batch does not hold.

    Attributes:
        culprits: the error of each bad proof by its position; all others were verified.
    """

    def __init__(self, culprits: abc.Mapping[int, ProofError]) -> None:
        self.culprits = dict(culprits)
        named = "; ".join(f"proof {index}: {type(error).__name__}" for index, error in sorted(self.culprits.items()))
        super().__init__(f"{len(self.culprits)} of the batch do not hold ({named}); the others do")


class TranscriptError(ProofError):
    """The transcript was used in a way that would make a proof unsound."""


class GeneratorError(ProofError):
    """Derived generators differ from the hashes pinned in the code: the installation cannot be trusted."""


class BackendUnavailable(ProofError):
    """The group backend asked for is not installed, or there is none of that name."""

"""Every error of `atomic_margin.zk`, in one tree. Anyone may import it.

ProofError
├── EncodingError              bytes that are not the one canonical encoding of anything
│   ├── PointEncodingError         a compressed G1 point
│   ├── ScalarEncodingError        a scalar modulo r
│   └── ProofEncodingError         a proof: version, length or one of its components
├── StatementError             public inputs no proof can be about: sizes, widths, limits
├── WitnessError               the prover's secret values do not satisfy the statement
├── VerificationError          a well-formed proof that does not prove the statement
│   ├── BitProofInvalid            the bit argument on its own
│   ├── PortfolioProofInvalid      entry ranges and gross limit
│   └── SufficiencyProofInvalid    row surpluses
├── TranscriptError            misuse of the Fiat-Shamir transcript, or a zero challenge
├── GeneratorError             generators that do not match the hashes pinned in the code
└── BackendUnavailable         the group backend asked for is not installed

Catch `ProofError` to treat every kind of bad proof alike:

>>> issubclass(PortfolioProofInvalid, ProofError) and issubclass(ProofEncodingError, ProofError)
True
"""


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


class StatementError(ProofError):
    """A statement outside the limits within which the argument is sound. Raised before anything is computed."""


class WitnessError(ProofError):
    """The prover's values do not satisfy the statement. The message names the entry or row, never a value."""


class VerificationError(ProofError):
    """A well-formed proof that does not prove this statement."""


class BitProofInvalid(VerificationError):
    """A bit argument whose final multi-scalar multiplication is not the identity."""


class PortfolioProofInvalid(VerificationError):
    """The proof does not show that the entries are in range and within the gross limit."""


class SufficiencyProofInvalid(VerificationError):
    """The proof does not show that every row of the matrix is in range."""


class TranscriptError(ProofError):
    """The transcript was used in a way that would make a proof unsound."""


class GeneratorError(ProofError):
    """Derived generators differ from the hashes pinned in the code: the installation cannot be trusted."""


class BackendUnavailable(ProofError):
    """The group backend asked for is not installed, or there is none of that name."""

"""The end of every verification: multiply out, or say which proof does not hold. For the verifier modules."""

from atomic_margin.zk.bits.final import FinalCheck, verify_checks
from atomic_margin.zk.errors import BitProofInvalid, VerificationError
from atomic_margin.zk.groups import Group


def conclude(check: FinalCheck, group: Group, error: type[VerificationError]) -> None:
    """Check that ``check`` sums to the identity.

    Raises:
        VerificationError: it does not; of the class ``error``, with its advice.
    """
    try:
        verify_checks([check], group)
    except BitProofInvalid:
        raise error from None

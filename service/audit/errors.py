"""Why an audit could not be done, in one tree. None of them says that the operator computed wrongly.

AuditError
├── StoreMissing            no operator's database at that place, or one that cannot be read
├── RunUnknown              no run of that name
├── RunNotEvaluated         there is nothing to repeat yet
├── AnchorMissing           nothing says whose signature counts
├── TermsMissing            model, universe and schedule of the run are not at hand
├── BytesMissing            the ciphertext, the keys or an output are not in the store
├── RecordInconsistent      the record does not hold: signature, chain, or what it names
├── NothingToArchive        the account has no entry in that period, or the log does not have them yet
└── MatricesMismatch        tick and terms give other matrices than the record names
"""

from atomic_margin.service.errors import ServiceError


class AuditError(ServiceError):
    """Root of the errors of `atomic_margin.service.audit`."""


class StoreMissing(AuditError):
    """No operator's database is there, or one that cannot be read."""


class RunUnknown(AuditError):
    """The store has no run of that name."""


class RunNotEvaluated(AuditError):
    """The run has no record yet, or one of a run that was never evaluated."""


class AnchorMissing(AuditError):
    """Neither the operator's key file nor a trust file says whose signature counts."""


class TermsMissing(AuditError):
    """The model, universe and schedule of the run are not at hand."""


class BytesMissing(AuditError):
    """Ciphertext, evaluation keys or outputs are gone, or are not what their hash says."""


class RecordInconsistent(AuditError):
    """The record is not signed, not in its place in the chain, or names other documents than are stored."""


class NothingToArchive(AuditError):
    """The account has no entry in the period, or no checkpoint of the log has all of them yet."""


class MatricesMismatch(AuditError):
    """Tick, collateral and terms give other matrices than the record names."""

"""Every error of `atomic_margin.contracts`, in one tree. Anyone may import it.

ContractsError
├── CalldataError        a statement that the contracts do not verify
├── PartsError           proofs that no plan of parts fits, or a part that a chain refused
├── ArtifactError        a compiled contract that is not there, or not what was compiled
└── ChainUnavailable     no local chain can be started

>>> issubclass(CalldataError, ContractsError)
True
"""


class ContractsError(Exception):
    """Root of the errors of `atomic_margin.contracts`. The message says what is wrong and what to do."""


class CalldataError(ContractsError):
    """A statement with slack, with weighted top-ups, or of more bits than a proof in one piece has."""


class PartsError(ContractsError):
    """Proofs of which not even one slice fits a transaction, or a part that the chain refused to record."""


class ArtifactError(ContractsError):
    """A compiled contract that is not there, or does not belong to the sources beside it."""


class ChainUnavailable(ContractsError):
    """What a local chain needs is not installed, or does not start."""

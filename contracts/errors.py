"""Every error of `atomic_margin.contracts`, in one tree. Anyone may import it.

ContractsError
├── CalldataError        a statement that the contracts do not verify
├── ArtifactError        a compiled contract that is not there, or not what was compiled
├── ChainUnavailable     no local chain can be started
└── KeyReferenceError    a key of a transfer over two chains that is of another one, or cannot be opened

>>> issubclass(CalldataError, ContractsError)
True
"""


class ContractsError(Exception):
    """Root of the errors of `atomic_margin.contracts`. The message says what is wrong and what to do."""


class CalldataError(ContractsError):
    """A statement with slack, with weighted top-ups, or of more bits than a proof in one piece has."""


class ArtifactError(ContractsError):
    """A compiled contract that is not there, or does not belong to the sources beside it."""


class ChainUnavailable(ContractsError):
    """What a local chain needs is not installed, or does not start."""


class KeyReferenceError(ContractsError):
    """A reference to a key that is not of this transfer, or parts that are not of this key."""

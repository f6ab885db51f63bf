"""Every error of `atomic_margin.contracts`, in one tree. Anyone may import it.

ContractsError
├── CalldataError        a statement that the contracts do not verify
├── PartsError           proofs that no plan of parts fits, or a part that a chain refused
├── ArtifactError        a compiled contract that is not there, or not what was compiled
├── ChainUnavailable     no local chain can be started
├── AddressesInvalid     a file of addresses that cannot be read, or a field of it
├── MessageInvalid       a message or a signature of another form than the oracle takes
├── TooFewSignatures     fewer of the oracle's signers signed one message than it wants
├── KeyReferenceError    a key of a transfer over two chains that is of another one, or cannot be opened
└── KeystoreError        a keystore file that cannot be read or made
    ├── KeystoreNotPrivate   somebody else may read or change it
    └── WrongPassword        a password that opens nothing

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


class AddressesInvalid(ContractsError):
    """A file of addresses that cannot be read, or a field of it that is none."""


class KeystoreError(ContractsError):
    """A keystore file that cannot be read, made or opened."""


class KeystoreNotPrivate(KeystoreError):
    """A keystore, or the file with its password, that others may read or change."""


class WrongPassword(KeystoreError):
    """A password that opens nothing, or none."""


class MessageInvalid(ContractsError):
    """A message or a signature of another form than the oracle takes."""


class TooFewSignatures(ContractsError):
    """Fewer signers of the set signed one and the same message than the oracle wants.

    Attributes:
        answers: what each of those that were asked answered, by its address.
    """

    def __init__(self, reason: str, answers: dict[str, str]) -> None:
        super().__init__("; ".join([reason, *(f"{url}: {said}" for url, said in answers.items())]))
        self.answers = answers


class KeyReferenceError(ContractsError):
    """A reference to a key that is not of this transfer, or parts that are not of this key."""

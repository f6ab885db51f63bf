"""Why there is no measurement, in one tree.

FheError
├── BenchFailed         a measuring process ended without a result
├── Disagreement        a ciphertext decrypted to something else than integers give
├── NoCircuit           a file defines no circuit, or a circuit is in no file of its own
├── ExtraMissing        the optional extra `bench` is not installed
└── NoMeasurements      a file that was to hold measurements does not
"""

from atomic_margin.fhe.errors import FheError


class BenchFailed(FheError):
    """A measuring process ended without a result; the message has its last words."""


class Disagreement(FheError):
    """A ciphertext decrypted to something else than plain integers give: figures would be of a broken circuit."""


class NoCircuit(FheError):
    """A file that was to define a circuit defines none, or a circuit cannot be found in a file of its own."""


class ExtraMissing(FheError):
    """Something of the optional extra `bench` is not installed."""


class NoMeasurements(FheError):
    """A file that was to hold measurements does not."""

"""Every error this package raises, in one tree.

CircuitError
├── ProfileError          a profile whose numbers do not fit together, or a compiled circuit that misses its profile
├── ClearInputError       A or c outside the shape or width that the circuit was compiled for
├── LookupTooWide         a table lookup that no keys can be made for
├── CacheUnsafe           others may write to the directory of compiled modules
└── LibraryUnavailable    concrete-python cannot be imported
"""


class CircuitError(Exception):
    """Root of the errors of `atomic_margin.circuits`."""


class ProfileError(CircuitError):
    """A profile is inconsistent, or what the compiler made of it misses its security level or failure probability."""


class ClearInputError(CircuitError):
    """A clear matrix or collateral vector would wrap silently in the circuit; it is refused before evaluation."""


class LookupTooWide(CircuitError):
    """A circuit has a table lookup that reads so many bits that its evaluation keys would be too large to make."""


class CacheUnsafe(CircuitError):
    """Compiled code would be loaded from a directory that others may write to."""


class LibraryUnavailable(CircuitError):
    """concrete-python is missing: install the extra `fhe` (`make install` does)."""

"""Every error this package raises, in one tree.

MarginError
└── CanonicalFormError    a value that has no canonical JSON form
"""


class MarginError(Exception):
    """Root of the errors of `atomic_margin.margin`. The message says which field is wrong and what would be right."""


class CanonicalFormError(MarginError):
    """A value that is to be hashed or signed has no canonical JSON form."""

"""Which failures of an agent no waiting mends: it ends, and says what a person has to do. Institution only."""

from http import HTTPStatus

from atomic_margin.service.errors import ConfigurationError, KeyReplaced, RemoteError
from atomic_margin.service.institution.chain import OperatorContradicts
from atomic_margin.service.protocol.account.errors import EntryForked, EntryIllegal, EntryUnsent

_REPLACED = f"urn:atomic-margin:problem:{KeyReplaced.slug}"
ROBBED = (
    "if `atomic-margin institution rotate-identity` was begun on this directory, start the agent again: it goes on "
    "with the new key; if another directory of yours has the new key, copy its identity.key here; if neither, somebody "
    'else has the key: have the operator hold the account at once, and see "If somebody else has the key" in '
    "docs/institution.md"
)
"""What is left to an agent whose key was replaced."""


def advice(error: Exception, enrolled: bool) -> str | None:
    """Return what to say as the agent ends, in one line; None for what a later round may find mended.

    Args:
        error: what a round, or the opening of the directory, ended with.
        enrolled: whether the agent was enrolled before.
    """
    if isinstance(error, ConfigurationError):
        return f"{error}; then start the agent again"
    if isinstance(error, RemoteError):
        # It signs with one key: another one will not be found by asking again.
        if error.problem.get("type") == _REPLACED:
            return f"{error}; {ROBBED}"
        refused = error.status == HTTPStatus.FORBIDDEN and not enrolled
        return f"{error}; have the operator admit the key that `institution init` prints" if refused else None
    # What the directory does not know may be taken over, by asking this very process.
    if isinstance(error, EntryUnsent):
        return None
    if isinstance(error, (EntryForked, EntryIllegal, OperatorContradicts)):
        return (
            f"{type(error).__name__}: {error}; what the operator signed is in the folder contradictions of --dir: take "
            "it to the operator, and start the agent again once its history is mended"
        )
    return None

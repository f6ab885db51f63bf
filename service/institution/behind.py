"""Notice that the operator lacks entries which the agent has: it was restored from an older backup."""

from collections.abc import Callable

from atomic_margin.service.errors import EntriesMissing, KeyUnknown, OperatorBehind, RemoteError
from atomic_margin.service.protocol.messages import Entries

_MISSING = f"urn:atomic-margin:problem:{EntriesMissing.slug}"
_UNKNOWN = f"urn:atomic-margin:problem:{KeyUnknown.slug}"


def page_after(fetch: Callable[[int], Entries], number: int) -> Entries:
    """Return the operator's entries after one that is known here.

    Raises:
        OperatorBehind: it does not have that one any more.
        RemoteError: it does not answer.
    """
    try:
        return fetch(number)
    except RemoteError as error:
        problem = error.problem.get("type")
        # Whoever signed entries about this key knew it: when it was admitted, or replaced another one.
        if problem != _MISSING and (problem != _UNKNOWN or number == 0):
            raise
        what = (
            "the newest of them" if problem == _MISSING else "the one that put this directory's identity key in force"
        )
        raise OperatorBehind(
            f"the operator signed {number} entries of this account and does not have {what} any more: it "
            "was restored from an older backup. Nothing is signed until it has them again. Tell its people; if they "
            "have no newer backup, give them what `atomic-margin institution export` writes"
        ) from error

"""What the agent's log says of an entry: what happened, by number and name, and no figure. Institution only."""

from atomic_margin.service.protocol.account.events import EventKind
from atomic_margin.service.protocol.signing import SignedDocument

_NUMBERED = {
    "enrolment": ("FHE keys", "key_sequence"),
    "submission": ("submission", "sequence"),
    "collateral-instruction": ("instruction", "sequence"),
}


def told(kind: EventKind, document: SignedDocument) -> str:
    """Return one line about an entry.

    Args:
        kind: what happened.
        document: what the entry is about.
    """
    run_id = document.body.get("run_id")
    if run_id is not None:
        return f"{kind}, run {run_id}"
    what, field = _NUMBERED.get(document.type, ("", ""))
    return f"{kind}, {what} {document.body[field]}" if what else str(kind)

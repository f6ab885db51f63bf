"""What to do about an own document in an entry that the directory does not know: it came from an older backup.

Institution only.
"""

from pathlib import Path

from atomic_margin.service.protocol.signing import SignedDocument


def unsent(number: int, document: SignedDocument, directory: Path) -> str:
    """Return what is wrong, what is missing by it, and which commands mend it.

    Args:
        number: of the entry.
        document: this institution's, by its signature.
        directory: that does not have it.
    """
    missing, after = _of(document, directory)
    return (
        f"entry {number} has {missing} with this institution's signature that is not in its database: either the "
        "directory was restored from an older backup, or the identity key is used elsewhere. If nobody else has the "
        f"key, bring the newest backup, or take over what was sent with `atomic-margin institution adopt --dir "
        f"{directory}`{after}"
    )


def closed_book(run_id: str, directory: Path) -> str:
    """Return what is wrong when a run is about a book that the directory cannot open, and which commands mend it."""
    return (
        f"run {run_id!r} is about a submission that this directory cannot open; restore its newest backup, or submit "
        f"again: `atomic-margin institution submit PORTFOLIO --dir {directory}`, and if the run stays owed, "
        f"`atomic-margin institution give-up --reason WHY --dir {directory}`"
    )


def _of(document: SignedDocument, directory: Path) -> tuple[str, str]:
    if document.type == "answer":
        outcome, run_id = document.body["outcome"], document.body["run_id"]
        settles = "; the settlement that followed it is taken over from the entries" if outcome == "breach" else ""
        return f"a {outcome} answer to run {run_id}", settles
    if document.type == "submission":
        again = f"; then submit the book again: `atomic-margin institution submit PORTFOLIO --dir {directory}`"
        return f"submission {document.body['sequence']}", again
    return f"a {document.type}", ""

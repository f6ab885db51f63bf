"""What an institution asks its operator's people, once more: the answer to a question that was asked before.

For the calls that keep a question until somebody agrees: giving up, amendments, losses. The same document again is the
same question, whatever became of it, and whatever the account has gone on to.
"""

from typing import NamedTuple, TypeAlias

from sqlalchemy.orm import Session

from atomic_margin.service.errors import IllegalTransition
from atomic_margin.service.operator.store import entries
from atomic_margin.service.operator.store.tables import Account, AmendmentRow, GivingUpRow, LossAgreementRow
from atomic_margin.service.protocol.signing import SignedDocument

ENTERED = "the operator has agreed to it: it is entered"


QuestionRow: TypeAlias = GivingUpRow | AmendmentRow | LossAgreementRow


class Asked(NamedTuple):
    """A question, and what stands against it."""

    document: dict[str, object]
    asked_at: str
    problem: str | None


def asked_again(
    session: Session,
    institution: str,
    signed: SignedDocument,
    row: GivingUpRow | AmendmentRow | LossAgreementRow | None,
) -> Asked | None:
    """Return what became of a question if it was asked before: it is the one that waits, or was agreed to."""
    sha256 = signed.body_hash()
    entered = entries.entry_of(session, institution, sha256)
    if entered is not None:
        return Asked(signed.to_json(), str(entered.entry["body"]["entered_at"]), ENTERED)
    if row is None or row.sha256 != sha256:
        return None
    return Asked(row.document, row.asked_at, problem_of(session, institution, row.document))


def problem_of(session: Session, institution: str, document: dict[str, object]) -> str | None:
    """Return why no entry can be made of a question, as the account is now; None if one can."""
    try:
        entries.check(session, session.get_one(Account, institution), SignedDocument.parse(document))
    except IllegalTransition as error:
        return str(error)
    return None

"""An archive is of the account that its institution knows: books name entries of it, and not of a second one."""

from types import SimpleNamespace
from typing import Any

import pytest

from atomic_margin.service.errors import ArchiveInvalid, Refused
from atomic_margin.service.protocol.account.events import EventKind
from atomic_margin.service.protocol.submissions import Submission
from atomic_margin.service.verifier.archived_documents import ArchivedDocuments

from .bodies import BODIES, H


def submitted(first: int, entry: str) -> None:
    """Take a submission, which names the entry H, after one entry."""
    ground: Any = SimpleNamespace(trust=SimpleNamespace(keys={}))
    happened: Any = SimpleNamespace(
        document=SimpleNamespace(body=BODIES[Submission]),
        after=SimpleNamespace(public=SimpleNamespace(identity="")),
    )
    documents = ArchivedDocuments(ground)
    documents.note(first, entry, EventKind.ADMITTED)
    documents.submitted(happened)


def test_a_book_that_was_made_for_another_account_is_refused() -> None:
    with pytest.raises(Refused, match="made for another one") as caught:
        submitted(1, "00" * 32)
    assert caught.value.field == "entry"


@pytest.mark.parametrize(("first", "entry"), [(1, H), (7, "00" * 32)], ids=["its own", "from before the archive"])
def test_other_books_are_looked_at_further(first: int, entry: str) -> None:
    with pytest.raises(ArchiveInvalid, match="keys whose enrolment"):
        submitted(first, entry)

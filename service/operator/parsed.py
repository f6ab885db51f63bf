"""Documents that stay as they are, read and parsed once: submissions by their hash, key commitments by their keys.

Every run, answer and proof asks for the same few. What is kept is bounded by what the profile makes of one.
"""

from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from atomic_margin.circuits.profile import Profile
from atomic_margin.service.operator.store.tables import EnrolledKeys, SubmissionRow
from atomic_margin.service.protocol.documents import Enrolment
from atomic_margin.service.protocol.kept import Kept
from atomic_margin.service.protocol.keys import KeyPair, key_pair
from atomic_margin.service.protocol.submissions import Submission

KEPT_ENTRIES = 1 << 16
"""Entries of all submissions that are kept, and no fewer than `LEAST` submissions: about 60 MB."""
LEAST = 16
KEPT_KEYS = 1024


class StoredSubmission(NamedTuple):
    """A submission that is stored.

    Attributes:
        id: of its row.
        sha256: hash of the signed document.
        submission: its body.
    """

    id: int
    sha256: str
    submission: Submission


class ParsedDocuments:
    """Keeps parsed documents of one operator; safe to call from several threads."""

    def __init__(self, profile: Profile) -> None:
        """Start with none."""
        self._profile = profile
        self._submissions: Kept[str, StoredSubmission] = Kept(max(LEAST, KEPT_ENTRIES // profile.entries))
        self._keys: Kept[str, KeyPair] = Kept(KEPT_KEYS)

    def submission(self, session: Session, sha256: str) -> StoredSubmission:
        """Return the submission with that hash; one that is in force is always there."""

        def read() -> StoredSubmission:
            row = session.execute(select(SubmissionRow).where(SubmissionRow.sha256 == sha256)).scalar_one()
            return StoredSubmission(row.id, row.sha256, Submission.parse(row.document["body"]))

        return self._submissions.of(sha256, read)

    def key_pair(self, row: EnrolledKeys) -> KeyPair:
        """Return the key commitments that came with enrolled keys."""

        def read() -> KeyPair:
            enrolment = Enrolment.parse(row.document["body"])
            return key_pair(self._profile, enrolment.input_key, enrolment.flag_key)

        return self._keys.of(row.evaluation_keys, read)

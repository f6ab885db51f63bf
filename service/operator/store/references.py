"""Which blobs the rows of the database name: what is kept at a start, and what goes into a backup."""

from sqlalchemy import inspect, select
from sqlalchemy.orm import Session

from atomic_margin.service.operator.store.custody_tables import DealingRow, DealtRow
from atomic_margin.service.operator.store.tables import EnrolledKeys, SubmissionRow


def named_blobs(session: Session) -> set[str]:
    """Return the hash of every blob that a row names."""
    keys = session.execute(select(EnrolledKeys.evaluation_keys, EnrolledKeys.known_answer_input))
    named = {sha256 for row in keys for sha256 in row}
    documents = session.scalars(select(SubmissionRow.document).execution_options(yield_per=64))
    # A backup is made of a database of an older version, too.
    if inspect(session.connection()).has_table(DealingRow.__tablename__):
        named |= set(session.scalars(select(DealingRow.coefficients))) | set(session.scalars(select(DealtRow.box)))
    return named | {document["body"]["ciphertext"] for document in documents}

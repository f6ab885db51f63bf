"""Verify what custodians opened, of a document that is to be entered or of one that is stored."""

from atomic_margin.margin.errors import MarginError
from atomic_margin.margin.rows.active_pieces import shape_of
from atomic_margin.service.errors import NotOpened, Refused
from atomic_margin.service.operator.custody.policies import policy_named
from atomic_margin.service.operator.measures import timed
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.runs.records import compiled_tick
from atomic_margin.service.operator.store import entries
from atomic_margin.service.operator.store.tables import Run
from atomic_margin.service.protocol.account.opening_documents import Opened
from atomic_margin.service.protocol.documents import RunRecord
from atomic_margin.service.protocol.opening_claims import OpeningGround
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.verification import VerifiedBreach, VerifiedCoverage, verify_opened


@timed("verify")
def verify(operator: Operator, run: Run, signed: SignedDocument, opened: Opened) -> VerifiedCoverage | VerifiedBreach:
    """Return what an opened document proves of a run.

    Raises:
        SignatureInvalid, Refused: it does not hold.
    """
    ground = ground_of(operator, run)
    with operator.store.reading() as session:
        asked = entries.entry_of(session, run.institution, opened.request)
        if asked is None or asked.document is None:
            raise Refused("custodians found something that nobody asked for", "request")
        policy = policy_named(session, run.institution, str(asked.document["body"]["policy"]))
    return verify_opened(signed, opened, ground=ground, policy=policy, group=operator.group, queue=operator.proofs)


def ground_of(operator: Operator, run: Run) -> OpeningGround:
    """Return what a finding about a run is held against."""
    signed_run = SignedDocument.parse(run.record)
    record = RunRecord.parse(signed_run.body)
    with operator.store.reading() as session:
        submission = operator.parsed.submission(session, record.submission).submission
    tick = compiled_tick(operator, record)
    matrices = tick.matrices(record.posted, record, record.agreed)
    return OpeningGround(record, signed_run.body_hash(), submission, matrices, operator.terms, tick.market)


def require_openable(operator: Operator, institution: str) -> None:
    """Make sure that custodians can open the book of an account's owed run, as far as its rows tell that here.

    How much they can compute is theirs to say, and that a run is owed is asked elsewhere.

    Raises:
        NotFound: there is no such account.
        NotOpened: the model has slack that no opening is computed with, or no exact rows at the run's tick.
    """
    run = entries.state_of(operator.account(institution)).public.run
    if not operator.terms.has_exact or run is None or run.record is None:
        return
    with operator.store.reading() as session:
        row = session.get_one(Run, run.run_id)
    try:
        for exact in ground_of(operator, row).exact.values():
            shape_of(exact)
    except (MarginError, Refused) as error:
        raise NotOpened(f"the book of run {run.run_id} cannot be opened: {error}") from error

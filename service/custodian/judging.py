"""Whether a custodian takes part in an opening: it does, or a named refusal says why not. No I/O.

What is asked follows from documents that the custodian checked itself (`custodian.reading`), from its own shares, its
own policies and its own clock. The request only names what it is about.
"""

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from atomic_margin.documents.errors import DocumentsError
from atomic_margin.margin.errors import MarginError
from atomic_margin.margin.kinds import MarginKind
from atomic_margin.margin.market.market import Market
from atomic_margin.margin.rows.matrix import MarginMatrix
from atomic_margin.margin.rows.rounding import RunMatrices
from atomic_margin.service.custodian.errors import (
    BookDiffers,
    HistoryRefused,
    NotRequested,
    OpeningOver,
    PolicyNotAgreed,
    RecordDiffers,
    RequestInvalid,
    RunOld,
    SharesDamaged,
    TooEarly,
)
from atomic_margin.service.custodian.reading import AccountRead
from atomic_margin.service.custodian.receiving import Taken
from atomic_margin.service.custodian.slack import Shapes, shapes_of
from atomic_margin.service.errors import RequestError
from atomic_margin.service.protocol.account.opening_documents import OpeningRequest
from atomic_margin.service.protocol.account.state import ANSWERABLE_STAGES, OpenRun
from atomic_margin.service.protocol.account.values import commitments_hash
from atomic_margin.service.protocol.bodies import Body, parse_signed
from atomic_margin.service.protocol.custody import CustodyPolicy
from atomic_margin.service.protocol.documents import RunRecord
from atomic_margin.service.protocol.opening_claims import OpeningGround
from atomic_margin.service.protocol.opening_times import behind_at_most
from atomic_margin.service.protocol.submissions import Submission
from atomic_margin.service.protocol.terms import Terms
from atomic_margin.service.protocol.ticks import PriceTick
from atomic_margin.service.protocol.verification import verify_committed
from atomic_margin.service.verifier.errors import MonitorError
from atomic_margin.zk.errors import BackendUnavailable, GeneratorError, ProofError
from atomic_margin.zk.groups import Group
from atomic_margin.zk.sharing.rows import Row

B = TypeVar("B", bound=Body)


@dataclass(frozen=True)
class Judged:
    """An opening that the custodian takes part in.

    Attributes:
        request: hash of the request.
        body: the request.
        policy: that the book was dealt under.
        ground: run, book, terms and matrices, for what is proven.
        taken: the custodian's shares, and the deal.
        shapes: of the slack; None for a model without.
    """

    request: str
    body: OpeningRequest
    policy: CustodyPolicy
    ground: OpeningGround
    taken: Taken
    shapes: Shapes | None = None

    def row(self, kind: MarginKind, index: int) -> Row:
        """Return one row of the matrix of a kind of margin, over the deal.

        Raises:
            IndexError: there is no such row.
        """
        return row_of(self.taken, self.matrix(kind), index)

    def matrix(self, kind: MarginKind) -> MarginMatrix:
        """Return A and c of a kind of margin: of the proof matrix, or of the exact rows of a model with slack."""
        return self.ground.matrix(kind)


def row_of(taken: Taken, matrix: MarginMatrix, index: int) -> Row:
    """Return a row of a matrix over a deal.

    Raises:
        IndexError: there is no such row.
    """
    weights = tuple(int(weight) for weight in matrix.weights[index])
    return Row(taken.deal, weights, int(matrix.collateral[index]))


def read_request(document: object, operator: str, institution: str) -> tuple[str, OpeningRequest]:
    """Return the hash of a request to open, and what it says.

    Raises:
        RequestInvalid: it is not the trusted operator's, or of another account.
    """
    try:
        signed, body = parse_signed(document, OpeningRequest)
        signed.verify(frozenset({operator}))
    except (RequestError, DocumentsError) as error:
        raise RequestInvalid(f"the request to open does not hold: {error}") from error
    if (body.operator, body.institution) != (operator, institution):
        raise RequestInvalid("the request is of another account than it is handed on for")
    return signed.body_hash(), body


def judge(
    request: str,
    body: OpeningRequest,
    read: AccountRead,
    *,
    policy_of: Callable[[str], CustodyPolicy],
    held: Callable[[str], Taken | None],
    terms_of: Callable[[str], Terms],
    seen_at: Callable[[int], int | None],
    now: int,
    group: Group,
) -> Judged:
    """Return what is computed with others, if this custodian takes part.

    Args:
        request: hash of the request.
        body: what it says.
        read: the account, by a history that holds and is whole, up to a checkpoint that is cosigned lately.
        policy_of: returns a policy that was agreed to here, by its hash.
        held: returns this custodian's shares of a deal; None if it has none.
        terms_of: returns the pinned terms with one universe.
        seen_at: returns from when enough witnesses had cosigned a leaf of the log, as this custodian saw it.
        now: by its clock, seconds of the epoch.
        group: backend of the proofs.

    Raises:
        RequestInvalid: of a policy or a deal that is not held here.
        NotRequested: the log has no such request of this account yet.
        OpeningOver: the account has another opening open, or none.
        TooEarly: the time after which a book may be opened is not over.
        RunOld: a later tick with prices had long been in the log when it was asked for.
        BookDiffers: the shares are of another book than the run's, or it has no proof that holds.
        RecordDiffers: tick, terms or matrices are others than the record names.
        SlackNotOpened: the model has slack, and its rows at this tick cannot be computed with, or proven of.
        HistoryRefused: what the account's state names is not in its history.
    """
    state = read.state
    # (1) The account's opening is this one, and its run is owed.
    entered = read.document(request)
    if entered is None:
        raise NotRequested("the history of the account does not have the request")
    if state.custody is None or state.custody.opening is None or state.custody.opening.request != request:
        raise OpeningOver("the account has this opening no more: it was answered, found or given up")
    run = state.run
    if run is None or run.stage not in ANSWERABLE_STAGES or run.record is None or state.owed is None:
        raise OpeningOver("no run of a book that is owed takes an answer")
    # (2) The shares here are of the deal that the state names with the book.
    try:
        policy = policy_of(body.policy)
    except PolicyNotAgreed as error:
        raise RequestInvalid(str(error)) from error
    try:
        taken = held(body.deal)
    except (SharesDamaged, PolicyNotAgreed) as error:
        raise RequestInvalid(f"the shares of deal {body.deal} cannot be read here: {error}") from error
    if taken is None:
        raise RequestInvalid(f"no shares of deal {body.deal} are held here")
    # (3) It is late enough, since witnesses had seen that the answer is overdue.
    _require_late(read, run, policy, seen_at, now)
    # (4) Its prices were the newest when it was asked for, or nearly.
    _require_new(read, entered[0], run, seen_at)
    # (5) Book, tick, terms and matrices are those that the record names.
    record, submission, terms = _ground(read, run, terms_of)
    _require_book(read, run, submission, taken, terms, group)
    matrices, market = _matrices(read, record, submission, terms)
    ground = OpeningGround(record, run.record, submission, matrices, terms, market)
    return Judged(request, body, policy, ground, taken, shapes_of(ground))


def _require_late(
    read: AccountRead, run: OpenRun, policy: CustodyPolicy, seen_at: Callable[[int], int | None], now: int
) -> None:
    number = read.history.owed_since
    if number is None:
        raise HistoryRefused(f"the history does not have the entry by which the book of run {run.run_id} is owed")
    leaf = read.log.entries[read.account][number].leaf
    since = seen_at(leaf)
    if since is None or now < since + policy.opening_after_seconds:
        waited = "never seen" if since is None else f"seen {now - since} s ago"
        raise TooEarly(
            f"that the answer is overdue was {waited} in a cosigned checkpoint; a book is opened "
            f"{policy.opening_after_seconds} s after that"
        )


def _require_new(read: AccountRead, number: int, run: OpenRun, seen_at: Callable[[int], int | None]) -> None:
    """Make sure that nobody waited for later prices before it asked, to choose between two runs.

    Counted by when this custodian saw tick and request in cosigned checkpoints; one that was away sees both at once.
    """
    markets = read.log.markets
    at = bisect_right(markets, run.price_sequence)
    request = read.log.entries[read.account][number].leaf
    later = read.log.ticks[markets[at]].leaf if at < len(markets) else None
    if later is None:
        return
    # A tick that came after the request was seen no earlier than that.
    since, asked = seen_at(later), seen_at(request)
    if since is None or asked is None:
        raise NotRequested("the log was not seen here since the request")
    most = behind_at_most(_document(read, run.record, RunRecord).answer_seconds)
    if asked - since > most:
        raise RunOld(
            f"tick {markets[at]} was in a cosigned checkpoint {asked - since} s before the request to open run "
            f"{run.run_id}, at most {most} s are allowed: ask for the run at the newest tick"
        )


def _ground(read: AccountRead, run: OpenRun, terms_of: Callable[[str], Terms]) -> tuple[RunRecord, Submission, Terms]:
    record = _document(read, run.record, RunRecord)
    submission = _document(read, run.submission, Submission)
    try:
        terms = terms_of(record.universe)
    except MonitorError as error:
        raise RecordDiffers(f"the terms of the run are not served: {error}") from error
    for name, said in terms.hashes.items():
        if name in RunRecord.model_fields and getattr(record, name) != said:
            raise RecordDiffers(f"the record names another {name} than the trust file pins")
    return record, submission, terms


def _require_book(
    read: AccountRead, run: OpenRun, submission: Submission, taken: Taken, terms: Terms, group: Group
) -> None:
    """Make sure that the shares are of the run's book, and that its entries are in range: rows are known modulo r."""
    if tuple(bytes.fromhex(point) for point in submission.commitments) != taken.deal.statement.commitments:
        raise BookDiffers("the shares here are of other commitments than the run's submission")
    if taken.deal.statement.context["book"] != commitments_hash(submission):
        raise BookDiffers("the shares here are of other columns, or another gross limit, than the run's submission")
    found = read.document(run.submission)
    if found is None:
        raise HistoryRefused("the history does not have the submission that the run is on")
    signed = found[1]
    try:
        terms.check_gross_limit(submission)
        # The machine took it from who it was to be signed by then.
        verify_committed(signed, submission, terms, signed.signer, group)
    except (GeneratorError, BackendUnavailable):
        # This installation is at fault.
        raise
    except (RequestError, DocumentsError, MarginError, ProofError) as error:
        raise BookDiffers(f"the run's submission does not hold: {error}") from error


def _matrices(read: AccountRead, record: RunRecord, submission: Submission, terms: Terms) -> tuple[RunMatrices, Market]:
    differing = record.differing_from(submission)
    if differing:
        raise RecordDiffers(f"the record repeats the submission's {', '.join(differing)} with another value")
    seen = read.log.ticks.get(record.price_sequence)
    try:
        tick = read.log.served.document(f"v1/ticks/{record.price_sequence}")
        if seen is None or tick.body_hash() != seen.tick or seen.tick != record.tick:
            raise RecordDiffers(f"tick {record.price_sequence} is another one in the log than the record names")
        market = PriceTick.parse(tick.body).market
        if market is None:
            raise RecordDiffers(f"tick {record.price_sequence} has no prices")
        return terms.matrices_of(record, market), market
    except MonitorError as error:
        raise RecordDiffers(f"the tick of the run is not served: {error}") from error
    except (DocumentsError, MarginError, RequestError) as error:
        raise RecordDiffers(f"{type(error).__name__}: {error}") from error


def _document(read: AccountRead, hash_: str | None, kind: type[B]) -> B:
    found = read.document(hash_)
    if found is None or found[1].type != kind.TYPE:
        raise HistoryRefused(f"the history does not have the {kind.TYPE} that the account's state names")
    return kind.parse(found[1].body)

"""What a custodian does about openings: judges, computes with others, sends rows, proves or verifies, and signs.

Every step is stored before anything of it is sent. An opening goes through

    agreed      it takes part, and waits for a session
    computing   a session was stored, and its engine was started
    found       what it said is stored, for ever
    signed      a verdict is stored
    refused     it takes no part, and the reason is stored
    over        the operator does not show it any more

A process that ends while it computes has given the session up, and the next one computes anew. Of one run nothing is
ever said but what was found first, unless a proof makes that void (`custodian.voiding`). If another computation says
something else, those of the session who have what was found first open its rows to the lowest of them, if they are
enough: it is proven, or void, and then what was computed takes its place. Elsewhere nothing is sent.
"""

import logging
from collections.abc import Callable
from functools import partial

from atomic_margin.documents.canonical import canonical_hash
from atomic_margin.documents.errors import DocumentsError
from atomic_margin.service.custodian import closing, voiding
from atomic_margin.service.custodian.client import CallsOperator
from atomic_margin.service.custodian.computing import Engine, Listens, check_session, task_of
from atomic_margin.service.custodian.engine.errors import EngineError
from atomic_margin.service.custodian.errors import (
    CheckpointRefused,
    FindingRefused,
    FindingVoid,
    FoundOtherwise,
    NotRequested,
    OpeningRefused,
    RequestInvalid,
    RowShareWrong,
    RowsUnsigned,
    SessionFailed,
    SessionOver,
    TooEarly,
    TooManySessions,
    TooManyVoids,
    VoidRefused,
)
from atomic_margin.service.custodian.judging import Judged, judge, read_request
from atomic_margin.service.custodian.own import Own
from atomic_margin.service.custodian.reading import Reading
from atomic_margin.service.custodian.receiving import Taken
from atomic_margin.service.custodian.stored import Found, Kept, OpeningRow
from atomic_margin.service.custodian.telling import Telling
from atomic_margin.service.errors import MalformedResponse, RemoteError
from atomic_margin.service.protocol.account.opening_documents import Finding, OpeningRequest
from atomic_margin.service.protocol.custodian_messages import OpeningSession, OpeningStanding
from atomic_margin.service.protocol.opening_voids import OpeningVoid
from atomic_margin.service.verifier.served_terms import ServedTerms

PATIENCE_SECONDS = 120
"""For so long a request waits for what comes by itself, a checkpoint or an hour, before it is refused."""
MAX_REASON_CHARACTERS = 500
MAX_SESSIONS = 6
"""Of one opening: each is one try for a custodian that deviates, and may tell it something."""
WAITS = (CheckpointRefused, NotRequested, TooEarly)
"""What may be otherwise in a minute."""

_log = logging.getLogger(__name__)


class Openings:
    """The openings of one custodian at one operator. One thread has it."""

    def __init__(
        self,
        own: Own,
        client: CallsOperator,
        reading: Reading,
        held: Callable[[str], Taken | None],
        engine: Engine,
        address: str,
        listens: Listens,
    ) -> None:
        """Go on from what is stored.

        Args:
            own: the custodian.
            client: calls the operator.
            reading: reads its log.
            held: returns shares of a deal.
            engine: computes with others.
            address: host and port by which others reach that.
            listens: where it listens.
        """
        self._own, self._client, self._reading, self._held = own, client, reading, held
        self._engine, self._listens = engine, listens
        self._first: dict[str, int] = {}
        self._judged: dict[str, Judged] = {}
        # What a session computed beside what was found before, until that is void: session, what, and who.
        self._computed: dict[str, tuple[int, Found, tuple[int, ...]]] = {}
        self._telling = Telling(client, address)

    def round(self) -> None:
        """Do what is next in every opening.

        Raises:
            RemoteError: the operator does not answer.
        """
        # All custodians take them in one order, so that those of one session meet.
        shown = sorted(self._client.openings().openings, key=lambda one: str(one.request.get("signature")))
        seen = set()
        for standing in shown:
            try:
                request, body = read_request(standing.request, self._own.trust.operator, standing.institution)
            except RequestInvalid as error:
                self._telling.say(("invalid", str(standing.request)[:2000]), str(error))
                continue
            seen.add(request)
            try:
                self._step(request, body, standing)
            except RemoteError as error:
                if not isinstance(error, MalformedResponse) and not 400 <= error.status < 500:
                    raise
                # The opening went on meanwhile, and the next round sees how; and no other one has to wait.
                self._telling.say((request, str(error)[:200]), f"an opening waits: {error}")
        for row in self._own.store.openings("state != 'refused' AND state != 'over'"):
            if row.request not in seen:
                self._own.store.keep_opening(row._replace(state="over", changed_at=self._own.now()))
                self._judged.pop(row.request, None)
                self._computed.pop(row.request, None)
                _log.info("opening over", extra={"request": row.request, "institution": row.institution})

    def _step(self, request: str, body: OpeningRequest, standing: OpeningStanding) -> None:
        row = self._own.store.opening(request)
        if row is not None and row.state == "refused":
            self._telling.refused(row)
            return
        try:
            if row is None or request not in self._judged:
                self._judged[request] = self._judge(request, body)
                row = row or self._agreed(request, body)
            self._telling.takes_part(request)
            session, judged = standing.session, self._judged[request]
            if session is not None:
                self._hear_voids(request, judged, session, standing)
            if session is None or all(one.point != judged.taken.shares.custodian for one in session.present):
                return
            try:
                self._in_session(row, body, session, standing)
            except (SessionFailed, EngineError) as error:
                self._give_up(request, session.number, error)
        except OpeningRefused as error:
            self._refuse(request, body, error)

    def _judge(self, request: str, body: OpeningRequest) -> Judged:
        own, looked = self._own, self._reading.look()
        read = self._reading.account(body.institution, looked)
        judged = judge(
            request,
            body,
            read,
            policy_of=own.folder.policy,
            held=self._held,
            terms_of=ServedTerms(read.log.served, own.trust).terms,
            seen_at=own.store.leaf_seen_at,
            now=own.now(),
            group=own.group,
        )
        self._first.pop(request, None)
        return judged

    def _agreed(self, request: str, body: OpeningRequest) -> OpeningRow:
        row = OpeningRow(
            request, body.institution, body.run, body.deal, "agreed", "", 0, 0, None, None, self._own.now()
        )
        self._own.store.keep_opening(row)
        _log.info("opening agreed", extra={"request": request, "institution": body.institution, "run": body.run_id})
        return row

    def _refuse(self, request: str, body: OpeningRequest, error: OpeningRefused) -> None:
        """Refuse, or wait for a while where waiting may help."""
        now = self._own.now()
        if isinstance(error, WAITS) and now < self._first.setdefault(request, now) + PATIENCE_SECONDS:
            self._telling.say((request, type(error)), f"opening waits: {error}")
            return
        said = f"{type(error).__name__}: {error}"[:MAX_REASON_CHARACTERS]
        row = self._own.store.opening(request) or OpeningRow(
            request, body.institution, body.run, body.deal, "refused", "", 0, 0, None, None, now
        )
        row = row._replace(state="refused", reason=said, changed_at=now)
        self._own.store.keep_opening(row)
        _log.warning("opening refused: %s", said, extra={"request": request, "institution": body.institution})
        self._telling.refused(row)

    def _in_session(
        self, row: OpeningRow, body: OpeningRequest, session: OpeningSession, standing: OpeningStanding
    ) -> None:
        if session.number > MAX_SESSIONS:
            raise TooManySessions(f"{MAX_SESSIONS} computations of this opening came to nothing: ask for another one")
        if session.number > row.session:
            row = self._compute(row, body, session)
        if session.number != row.session:
            return
        if row.reason:
            self._telling.gave_up(row.request, row.session)
            return
        if row.state == "computing":
            raise SessionOver("the process ended while it computed")
        if row.state == "signed":
            self._telling.brings(row)
            return
        self._close(row, self._judged[row.request], session, standing)

    def _compute(self, row: OpeningRow, body: OpeningRequest, session: OpeningSession) -> OpeningRow:
        """Compute with the others of a session. It is stored before, and what is found is before anything is sent."""
        # An answer that came meanwhile wins.
        judged = self._judged[row.request] = self._judge(row.request, body)
        own, point = self._own, judged.taken.shares.custodian
        check_session(judged, session, point)
        row = row._replace(
            state="computing", reason="", session=session.number, session_at=own.now(), finding=None, verdict=None
        )
        own.store.keep_opening(row._replace(changed_at=own.now()))
        points = ",".join(str(one.point) for one in session.present)
        named = {"request": row.request, "session": session.number, "points": points}
        _log.info("opening session begins", extra=named)
        verdict = self._engine(task_of(judged, session, point, self._listens), own.folder.identity)
        found = Found(
            verdict.breach,
            verdict.maintenance_row,
            verdict.initial_row,
            verdict.maintenance_chosen,
            verdict.initial_chosen,
        )
        present = tuple(one.point for one in session.present)
        self._computed.pop(row.request, None)
        if own.store.keep_found(body.run, row.request, found, own.now(), session.number, present) != found:
            self._require_holders(judged, session)
            self._computed[row.request] = session.number, found, present
        row = row._replace(state="found", changed_at=own.now())
        own.store.keep_opening(row)
        _log.info("opening computed", extra={**named, "breach": found.breach})
        return row

    def _close(self, row: OpeningRow, judged: Judged, session: OpeningSession, standing: OpeningStanding) -> None:
        """Bring a finding as the closer, or verify and sign what the closer brought."""
        own, point = self._own, judged.taken.shares.custodian
        self._bring_voids(row, point)
        kept = own.store.kept(row.run)
        if kept is None and own.store.voided(row.run):
            raise FindingVoid("what was computed is void: a row that it named is not negative, by a proof")
        if kept is None:
            raise SessionOver("nothing is stored of what was computed")
        found, finding, opens = kept.found, None, _holders(kept, session)[0]
        # The session computed something else than was found before.
        beside = row.request in self._computed
        if point == opens:
            finding = self._find(row, judged, kept, session)
        elif found.breach and (standing.finding is None or beside):
            voided, seal = len(own.store.voided(row.run)), partial(self._sealed, judged, found, session.number, opens)
            self._telling.rows(row.request, session.number, voided, opens, seal)
        if isinstance(finding, OpeningVoid):
            self._void(row.request, judged, finding)
            self._close(row, judged, session, standing)
            return
        if finding is not None and point != session.closer:
            raise FoundOtherwise("what was found before holds, and another closer has something else")
        if finding is None and standing.finding is not None and point != session.closer:
            finding = _read(standing.finding)
        if finding is None or (beside and finding.initial_row != found.initial_row):
            # It is about what the session computed, and waits until what was found before is void.
            self._require_time(row)
            return
        # The closer too: a proof that does not hold is found here.
        closing.check_finding(judged, found, finding, own.group)
        verdict = closing.verdict_about(judged, finding, own.folder.identity)
        said = finding.canonical()
        row = row._replace(
            state="signed",
            finding=dict(said) if isinstance(said, dict) else None,
            verdict=verdict.to_json(),
            changed_at=own.now(),
        )
        own.store.keep_opening(row)
        _log.info(
            "opening signed", extra={"request": row.request, "session": session.number, "outcome": finding.outcome}
        )
        self._telling.brings(row)

    def _find(
        self, row: OpeningRow, judged: Judged, kept: Kept, session: OpeningSession
    ) -> Finding | OpeningVoid | None:
        """Return what whoever opens the rows finds, or what makes it void; None while shares of rows are missing."""
        found = kept.found
        if not found.breach:
            return closing.covered(judged)
        own, point, holders = self._own, judged.taken.shares.custodian, _holders(kept, session)
        rows = closing.rows_of(judged, found)
        sent, wrong, unsigned = {point: closing.own_shares(judged, rows)}, set[int](), set[int]()
        boxes = self._client.rows(row.request).boxes
        for other in holders:
            box = boxes.get(str(other))
            if other == point or box is None or len(sent) == judged.policy.threshold:
                continue
            try:
                data = bytes.fromhex(box)
                key = own.folder.encryption
                sent[other] = closing.open_rows(judged, found, rows, data, session.number, other, point, key, own.group)
            except (RowShareWrong, RowsUnsigned, ValueError) as error:
                # Named, and the others' may do. Whose is not signed, nobody knows who made it.
                (wrong if isinstance(error, RowShareWrong) else unsigned).add(other)
                self._telling.say((row.request, session.number, other), f"wrong share of a row: {error}")
                if isinstance(error, RowShareWrong):
                    self._telling.accuses(row.request, session.number, error)
        if len(sent) < judged.policy.threshold:
            left = len(holders) - len(wrong) - len(unsigned)
            if left < judged.policy.threshold:
                named = ", ".join(map(str, sorted(wrong)))
                if wrong:
                    raise RowShareWrong(min(wrong), f"wrong shares of rows came from points {named}")
                named = ", ".join(map(str, sorted(unsigned)))
                raise RowsUnsigned(f"shares of rows in the names of points {named} came without their signatures")
            return None
        opened = closing.open_both(judged, found, sent, own.group)
        if opened.not_negative is not None:
            return voiding.prove_void(judged, found, opened, session, own.group)
        return closing.prove(judged, found, opened, own.group)

    def _require_holders(self, judged: Judged, session: OpeningSession) -> None:
        """Make sure that enough of a session have what was found before, where it computed something else."""
        kept = self._own.store.kept(judged.body.run)
        said = "the computation says something else than it said of this run before"
        if kept is None or not kept.found.breach:
            raise FoundOtherwise(f"{said}; nothing is sent")
        holders = [one.point for one in session.present if one.point in kept.points]
        if len(holders) < judged.policy.threshold:
            raise FoundOtherwise(f"{said}, and too few of this session have that; nothing is sent")
        _log.warning("%s; its rows are opened first", said, extra={"session": session.number})

    def _hear_voids(self, request: str, judged: Judged, session: OpeningSession, standing: OpeningStanding) -> None:
        """Give up what was found here where a proof makes it void, in whichever session."""
        for said in standing.voids[: MAX_SESSIONS * judged.policy.present]:
            kept = self._own.store.kept(judged.body.run)
            what = request, "void", canonical_hash("said", {"void": str(said)}), kept
            if self._telling.was(what) or any(one.void == said for one in self._own.store.voided(judged.body.run)):
                continue
            try:
                self._void(request, judged, voiding.check_void(judged, kept, said, session, self._own.group))
            except (VoidRefused, TooManyVoids) as error:
                self._telling.say(what, f"{type(error).__name__}: {error}")

    def _void(self, request: str, judged: Judged, void: OpeningVoid) -> None:
        """Store that what was found is void, and in its place what the session computed beside it."""
        own, said, run = self._own, void.canonical(), judged.body.run
        if not isinstance(said, dict):
            raise TypeError("a claim is a JSON object")
        own.store.void_found(run, dict(said), own.now(), voiding.MAX_VOIDS)
        named = {"request": request, "session": void.session, "kind": void.kind, "row": void.row}
        _log.warning("opening finding void", extra=named)
        row, computed = own.store.opening(request), self._computed.pop(request, None)
        if row is not None and computed is not None and computed[0] == row.session:
            session, found, points = computed
            own.store.keep_found(run, request, found, own.now(), session, points)

    def _bring_voids(self, row: OpeningRow, point: int) -> None:
        """Bring what this custodian made void in the session; it is stored before."""
        for kept in self._own.store.voided(row.run):
            void = OpeningVoid.parse(kept.void)
            if (void.request, void.session, void.closer) == (row.request, row.session, point):
                self._telling.void(row.request, row.session, kept.void or {})

    def _sealed(self, judged: Judged, found: Found, session: int, to: int) -> bytes:
        sent = closing.own_shares(judged, closing.rows_of(judged, found))
        return closing.seal_rows(judged, found, sent, session, to, self._own.folder.identity)

    def _require_time(self, row: OpeningRow) -> None:
        waited = self._own.now() - row.session_at
        if waited > self._listens.seconds + self._listens.closing_seconds:
            raise SessionOver(f"nothing came of session {row.session} in {waited} s")

    def _give_up(self, request: str, number: int, error: Exception) -> None:
        row = self._own.store.opening(request)
        if row is None:
            raise error
        said = f"{type(error).__name__}: {error}"[:MAX_REASON_CHARACTERS]
        changed = row._replace(reason=said, session=number, changed_at=self._own.now())
        self._own.store.keep_opening(changed)
        points = ",".join(str(point) for point in getattr(error, "points", ()) or ())
        extra = {"request": request, "session": number, "points": points}
        _log.warning("opening session given up: %s", said, extra=extra)
        self._telling.gave_up(request, number)


def _holders(kept: Kept, session: OpeningSession) -> list[int]:
    """Return who has what is found, of those in a session; all of them, where that is not known."""
    return [one.point for one in session.present if one.point in kept.points or not kept.points]


def _read(value: object) -> Finding:
    try:
        return Finding.parse(value)
    except DocumentsError as error:
        raise FindingRefused(f"what the closer brought is no finding: {error}") from error

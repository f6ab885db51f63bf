"""Publish checkpoints of the log and have witnesses cosign them.

A checkpoint is signed when the log has grown, or when the newest one is older than the interval, so that silence is
told from rest. Witnesses are asked by the protocol of C2SP tlog-witness, and then it is served; one that does not
answer costs a checkpoint its cosignature and nothing else, and is asked again in the next round.

A start asks every witness what it cosigned last, before anything is entered (`require_newest`), and no checkpoint is
signed before more than half of them have said so. The log must go on from there. A database that was restored from an
old backup does not: it would be a second history, so nothing is signed (`LogBehind`).
"""

import logging
import time
from datetime import datetime, timedelta

import httpx

from atomic_margin.documents.fields import instant_text
from atomic_margin.service.errors import Conflict
from atomic_margin.service.log.checkpoints import Checkpoint, TreeHead, sign_head
from atomic_margin.service.log.errors import LogError
from atomic_margin.service.log.notes import MAX_NOTE_BYTES, NoteKey
from atomic_margin.service.log.requests import AddCheckpoint
from atomic_margin.service.log.tree import consistency_proof, root
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.store import checkpoints, log
from atomic_margin.service.operator.store.database import now
from atomic_margin.service.operator.store.tables import CheckpointRow

KEPT = 1000
"""Checkpoints that stay stored. Older ones follow from the leaves; their cosignatures are with whoever needed them."""

KEPT_SECONDS = 86400
"""How long cosigned checkpoints stay stored beyond the time to answer a run, whose clock they are."""

RETRY_SECONDS = 5.0
"""Before a witness that did not cosign is asked again, and before a log that is behind is looked at again."""

_log = logging.getLogger(__name__)


class LogBehind(Conflict):
    """A witness cosigned what is not stored here: this database is older than what was published, or another."""


class Publisher:
    """Publishes for one operator; one thread at a time."""

    def __init__(self, operator: Operator, timeout: float = 10) -> None:
        """Publish by the operator's settings; a witness has ``timeout`` seconds to answer."""
        self._operator = operator
        self._witnesses = operator.settings.witnesses
        self._interval = timedelta(seconds=operator.settings.checkpoint_seconds)
        self._client = httpx.Client(timeout=timeout)
        # What each witness cosigned last; absent until it said so.
        self._sizes: dict[str, int] = {}
        # When each witness may be asked again, and when all of this, by the monotonic clock.
        self._asked_again: dict[str, float] = {}
        self._resumed = 0.0
        self.behind = False
        """Whether a witness knew a longer or another log when it was last asked."""

    def require_newest(self) -> None:
        """Ask every witness what it cosigned last; one that does not answer is asked again before a checkpoint.

        Raises:
            LogBehind: a witness knows another or a longer log of this operator; nothing may be signed.
        """
        self._may_sign()

    def publish(self) -> bool:
        """Sign a checkpoint if one is due and ask witnesses for what it still lacks; return whether anything was done.

        Raises:
            LogBehind: a witness knows another or a longer log of this operator; nothing is signed.
        """
        if time.monotonic() < self._resumed:
            return False
        try:
            published = self._publish()
            self.behind = False
        except LogBehind:
            self.behind = True
            self._resumed = time.monotonic() + RETRY_SECONDS
            raise
        return published

    def _publish(self) -> bool:
        if not self._may_sign():
            return False
        checkpoint, fresh = self._checkpoint()
        if checkpoint is None:
            return False
        lines = "".join(
            self._cosigned(url, key, checkpoint)
            for url, key in self._witnesses
            if checkpoint.note.signature_of(key) is None and self._may_ask(key)
        )
        if not fresh and not lines:
            return False
        self._keep(checkpoint, lines, fresh)
        return True

    def _keep(self, checkpoint: Checkpoint, lines: str, fresh: bool) -> None:
        """Store what is served, and once more what enough witnesses cosigned."""
        with self._operator.store.unit_of_work() as session:
            row = session.get(CheckpointRow, checkpoint.head.size)
            if row is None:
                row = CheckpointRow(size=checkpoint.head.size, note=str(checkpoint), published_at="")
                session.add(row)
            if lines:
                # A witness that does not answer now may have answered when this size was published before.
                row.note = str(Checkpoint.parse(row.note).note.renewed(lines))
            if fresh:
                row.published_at = instant_text(now())
            log.prune_checkpoints(session, KEPT)
            policy = self._operator.settings.policy_of_log
            if lines or not policy.needed:
                checkpoints.keep(session, Checkpoint.parse(row.note), self._operator.log_key, policy)
                checkpoints.prune(session, KEPT, self._operator.settings.answer_seconds + KEPT_SECONDS)

    def close(self) -> None:
        """Release connections."""
        self._client.close()

    def _may_sign(self) -> bool:
        """Ask every witness that has not said so yet what it cosigned last."""
        for url, key in self._witnesses:
            if key.name not in self._sizes and self._may_ask(key):
                size = self._last_cosigned(url, key)
                if size is not None:
                    self._sizes[key.name] = size
                    self._asked_again.pop(key.name)
        return not self._witnesses or 2 * len(self._sizes) > len(self._witnesses)

    def _may_ask(self, key: NoteKey) -> bool:
        """Return whether a witness is due; if it then gives nothing, it is not for a while."""
        if time.monotonic() < self._asked_again.get(key.name, 0.0):
            return False
        self._asked_again[key.name] = time.monotonic() + RETRY_SECONDS
        return True

    def _last_cosigned(self, url: str, key: NoteKey) -> int | None:
        origin = self._operator.log_key.name
        response = self._send("GET", f"{url.rstrip('/')}/checkpoint", key, params={"origin": origin})
        if response is None:
            return None
        if response.status_code == 404:
            return 0
        try:
            known = Checkpoint.parse(response.text)
            known.note.verify(self._operator.log_key)
        except LogError as error:
            _log.warning("witness %s shows no checkpoint of this log: %s", key.name, error)
            return None
        with self._operator.store.reading() as session:
            size = log.size(session)
            same = known.head.size <= size and root(log.reader(session), known.head.size) == known.head.root
        if not same:
            raise LogBehind(
                f"witness {key.name} cosigned {known.head.size} leaves of this log, which are not those stored here "
                f"({size}): the database is older than what was published, or another one. Restore the newest backup"
            )
        return known.head.size

    def _checkpoint(self) -> tuple[Checkpoint | None, bool]:
        """Return the newest checkpoint, and whether it was signed just now; None while the log is empty."""
        moment = now()
        with self._operator.store.reading() as session:
            size, row = log.size(session), log.newest_checkpoint(session)
            if size == 0:
                return None, False
            if row is not None and row.size == size and not self._stale(row, moment):
                return Checkpoint.parse(row.note), False
            head = TreeHead(self._operator.log_key.name, size, root(log.reader(session), size))
        return sign_head(head, self._operator.identity), True

    def _stale(self, row: CheckpointRow, moment: datetime) -> bool:
        return moment - datetime.fromisoformat(row.published_at.replace("Z", "+00:00")) >= self._interval

    def _cosigned(self, url: str, key: NoteKey, checkpoint: Checkpoint) -> str:
        """Return the signature line of a witness; nothing if it gave none."""
        for _ in range(2):
            response = self._ask(url, key, checkpoint)
            if response is None:
                return ""
            if response.status_code == 409 and response.headers.get("content-type", "").startswith("text/x.tlog.size"):
                # Somebody else handed a checkpoint of ours on, or an answer got lost.
                self._sizes.pop(key.name, None)
                size = self._last_cosigned(url, key)
                if size is None:
                    return ""
                self._sizes[key.name] = size
                continue
            if response.status_code != 200:
                _log.warning("witness %s does not cosign: %d %s", key.name, response.status_code, response.text[:200])
                return ""
            return self._own_line(key, checkpoint, response.text)
        return ""

    def _own_line(self, key: NoteKey, checkpoint: Checkpoint, answer: str) -> str:
        """Return the line of the witness itself; other lines may be in its answer."""
        lines = "".join(f"{line}\n" for line in answer.split("\n")[:-1] if line.startswith(f"— {key.name} "))
        try:
            checkpoint.note.with_lines(lines).verify(key)
        except LogError as error:
            _log.warning("witness %s answers with no cosignature: %s", key.name, error)
            return ""
        self._sizes[key.name] = checkpoint.head.size
        self._asked_again.pop(key.name, None)
        return lines

    def _ask(self, url: str, key: NoteKey, checkpoint: Checkpoint) -> httpx.Response | None:
        old, size = self._sizes.get(key.name, 0), checkpoint.head.size
        if old > size:
            return None
        with self._operator.store.reading() as session:
            proof = consistency_proof(log.reader(session), old, size)
        body = AddCheckpoint(old, tuple(proof), checkpoint)
        return self._send("POST", f"{url.rstrip('/')}/add-checkpoint", key, content=body.to_bytes())

    def _send(
        self, method: str, url: str, key: NoteKey, content: bytes | None = None, params: dict[str, str] | None = None
    ) -> httpx.Response | None:
        try:
            response = self._client.request(method, url, content=content, params=params)
        except httpx.HTTPError as error:
            _log.warning("witness %s does not answer: %s", key.name, error)
            return None
        if len(response.content) > MAX_NOTE_BYTES:
            _log.warning("witness %s answers with %d bytes", key.name, len(response.content))
            return None
        return response

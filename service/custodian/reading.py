"""What a custodian reads for itself before it opens anything: all of the log, and an account's history held against it.

The operator hands both out and is believed in neither. The log is followed as a monitor follows it, up to a checkpoint
that the trust file's witnesses cosigned lately, and remembered in `log.json`. A history is replayed by the account
machine against what the log has, and has to be as long as that: one entry less may be the answer.
"""

from dataclasses import dataclass

from atomic_margin.documents.errors import DocumentsError
from atomic_margin.service.custodian.client import CallsOperator
from atomic_margin.service.custodian.errors import (
    CheckpointRefused,
    HistoryOlder,
    HistoryRefused,
    LogDiffers,
    NotRequested,
)
from atomic_margin.service.custodian.own import Own
from atomic_margin.service.errors import RequestError
from atomic_margin.service.files import read_json, replace_json, write_json
from atomic_margin.service.log.errors import LogError
from atomic_margin.service.log.evidence import policy_of
from atomic_margin.service.log.notes import NoteKey
from atomic_margin.service.protocol.account.state import PublicState
from atomic_margin.service.protocol.released import ReleasedHistory
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.verifier.errors import Contradiction, MonitorError, ReleaseInvalid, Unpinned
from atomic_margin.service.verifier.monitor import Looked, Monitor, read_seen, seen_to_json
from atomic_margin.service.verifier.released import LogRead, account_of, check_released, read_log
from atomic_margin.service.verifier.released_documents import check_documents
from atomic_margin.service.verifier.served import Served

MEMORY = "log.json"
KEPT_CONTRADICTIONS = 100


@dataclass(frozen=True)
class AccountRead:
    """An account as it is, by a history that holds and is whole.

    Attributes:
        account: its pseudonym.
        head: hash of its last entry.
        history: with documents and states.
        log: that it was held against.
    """

    account: str
    head: str
    history: ReleasedHistory
    log: LogRead

    @property
    def state(self) -> PublicState:
        """The public part of the account after its last entry."""
        return self.history.entries[-1].public

    def document(self, hash_: str | None) -> tuple[int, SignedDocument] | None:
        """Return a document by the hash of its body, with the number of its entry; None if the history has none."""
        for number, item in enumerate(self.history.entries, 1):
            if item.document is not None:
                signed = SignedDocument.parse(item.document)
                if signed.body_hash() == hash_:
                    return number, signed
        return None


class Reading:
    """Reads the log of one operator. One thread has it."""

    def __init__(self, own: Own, client: CallsOperator) -> None:
        """Go on from what is remembered.

        Raises:
            LogUnreadable: `log.json` is of another version, or damaged.
        """
        self._own, self._client = own, client
        self._place = own.folder.directory / MEMORY
        self._seen = read_seen(self._place)
        log, trust = own.log, own.trust
        self._monitor = Monitor(
            NoteKey.parse(log.key), trust.operator, trust.prices, policy_of(log), self._client.public
        )

    def look(self) -> Looked:
        """Read what is new in the log, check it, and remember when it was cosigned.

        Raises:
            CheckpointRefused: there is no checkpoint that enough witnesses cosigned lately, or it cannot be read.
            LogDiffers: the log contradicts itself; what shows it is kept.
            RemoteError: the operator does not answer.
        """
        try:
            looked = self._monitor.look(self._seen, self._own.now())
        except Contradiction as error:
            raise self._contradicted(error) from error
        except (LogError, MonitorError) as error:
            raise CheckpointRefused(f"{type(error).__name__}: {error}") from error
        if looked.entries or not self._place.exists():
            replace_json(self._place, seen_to_json(looked.seen))
        self._seen = looked.seen
        if looked.believed.seen_at is not None:
            self._own.store.looked(looked.believed.head.size, looked.believed.seen_at)
        return looked

    def account(self, institution: str, looked: Looked) -> AccountRead:
        """Read the history of an account, hold it against the log, and remember how far it is.

        Args:
            institution: whose.
            looked: what was read of the log.

        Raises:
            HistoryRefused: it does not hold, is of another account, or under what the trust file does not pin.
            NotRequested: it has entries that the cosigned log does not have yet.
            HistoryOlder: it has fewer entries than the log has, or than were seen before.
            LogDiffers: the operator signed what it may not have signed; what shows it is kept.
            CheckpointRefused: prices, terms or log are not served.
            RemoteError: the operator does not answer.
        """
        trust, checkpoint = self._own.trust, looked.seen.checkpoint
        if checkpoint is None:
            raise TypeError("a log that was read has a checkpoint")
        try:
            history = ReleasedHistory.parse(self._client.history(institution))
            account = account_of(history, trust.operator)
            served = Served(self._client.public)
            log = read_log(served, checkpoint, frozenset({account}), frozenset(looked.seen.void))
            logged = len(log.entries[account])
            if len(history.entries) > logged:
                raise NotRequested(
                    f"the history has {len(history.entries)} entries, and the cosigned log {logged} of the account yet"
                )
            checked = check_released(history, trust.operator, log)
            if checked.institution != institution:
                raise HistoryRefused(f"the history is {checked.institution}'s, not {institution}'s")
            if checked.entries != checked.logged:
                raise HistoryOlder(
                    f"the history has {checked.entries} entries, and the log {checked.logged} of the account: what is "
                    "kept back may be the answer"
                )
            check_documents(history, trust, log)
        except Contradiction as error:
            raise self._contradicted(error) from error
        except (ReleaseInvalid, Unpinned, DocumentsError, RequestError) as error:
            raise HistoryRefused(f"{type(error).__name__}: {error}") from error
        except (LogError, MonitorError) as error:
            raise CheckpointRefused(f"{type(error).__name__}: {error}") from error
        head = SignedDocument.parse(history.entries[-1].entry).body_hash()
        self._own.store.saw_account(account, institution, checked.entries, head, self._own.now())
        return AccountRead(account, head, history, log)

    def _contradicted(self, error: Contradiction) -> LogDiffers:
        """Keep what shows it, once, and the first ones."""
        folder, bundle = self._own.folder.directory, error.bundle()
        before = sorted(folder.glob("contradiction-*.json"))
        known = next((path.name for path in before if read_json(path) == bundle), None)
        kept = known or f"contradiction-{len(before) + 1}.json"
        if known is None and len(before) < KEPT_CONTRADICTIONS:
            write_json(folder / kept, bundle)
        return LogDiffers(f"{error}; {kept} has the documents that show it")

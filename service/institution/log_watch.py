"""The agent's own reading of the operator's log: that its account stands there once, as it was followed.

That an entry is in a log does not show that no other one of its number is. So the agent reads all leaves, as a monitor
does, and compares each of its account with the leaf of the entry that it followed. What others check of the leaf, where
it stands among ticks and receipts, is thereby so of the entry. Nothing is answered before the checkpoint that shows it
has the cosignatures, lately enough, that the trust file asks for.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

from atomic_margin.service.errors import AgentRefused, ConfigurationError
from atomic_margin.service.files import replace_json
from atomic_margin.service.http.outside_json import parse_json
from atomic_margin.service.institution.contradictions import Contradictions
from atomic_margin.service.institution.settings import AgentSettings
from atomic_margin.service.log.checkpoints import Believed, Checkpoint
from atomic_margin.service.log.evidence import make_evidence, policy_of
from atomic_margin.service.log.notes import NoteKey
from atomic_margin.service.protocol.leaves import EntryLeaf
from atomic_margin.service.protocol.trust import TrustFile
from atomic_margin.service.verifier.chains import CycleSeen
from atomic_margin.service.verifier.errors import Contradiction, LogUnreadable
from atomic_margin.service.verifier.monitor import Differs, Monitor, Seen, read_seen, seen_to_json
from atomic_margin.service.verifier.served import Fetch, Served

MEMORY = "log.json"


class NotLogged(AgentRefused):
    """The account's entries are not in a checkpoint that enough witnesses cosigned yet; a later round may find them."""


class LogContradicts(AgentRefused):
    """The log has something else than the operator told this agent, or contradicts itself; what shows it is kept."""


def open_watch(settings: AgentSettings, fetch: Fetch) -> "LogWatch | None":
    """Return what reads the log for an agent; None if its trust file names none."""
    if settings.trust.log is None:
        return None
    return LogWatch(settings.directory, settings.trust, fetch, settings.clock)


class LogWatch:
    """Reads the log of one operator for one account. Not for several threads at once."""

    def __init__(self, directory: Path, trust: TrustFile, fetch: Fetch, clock: Callable[[], datetime]) -> None:
        """Go on from what is stored.

        Args:
            directory: of the institution; what was seen is kept in it as `log.json`, contradictions in their folder.
            trust: names log, witnesses, threshold and age.
            fetch: reads what the operator serves.
            clock: the agent's own, in UTC.

        Raises:
            ConfigurationError: the trust file names no log.
            LogUnreadable: `log.json` is of another version, or damaged.
        """
        if trust.log is None:
            raise ConfigurationError("the trust file names no log; make it with `atomic-margin trust --log`")
        self._monitor = Monitor(NoteKey.parse(trust.log.key), trust.operator, trust.prices, policy_of(trust.log), fetch)
        self._place, self._clock, self._contradictions = directory / MEMORY, clock, Contradictions(directory)
        self._seen = read_seen(self._place)

    def require(self, account: str, number: int, leaf_of: Callable[[int], bytes | None]) -> Believed:
        """Read what is new, and make sure that the log has the account as it was followed; return the checkpoint.

        Args:
            account: pseudonym (`Salts.account`).
            number: of the entry that the log must have; the last one that something rests on.
            leaf_of: leaf of an entry that was followed, by its number; None for one that was not.

        Raises:
            NotLogged: the log does not have that entry yet, or has later ones that were not followed.
            LogContradicts: it has another leaf of an entry; or it contradicts itself. What shows it is kept.
            TooFewWitnesses: the newest checkpoint has too few cosignatures, or old ones.
            RemoteError, MonitorError, LogError: it cannot be read, or is not signed.
        """

        def differs(leaf: EntryLeaf, entry: bytes) -> str | None:
            if leaf.account != account:
                return None
            own = leaf_of(leaf.number)
            if own is None:
                # What is not followed is read again, and compared then.
                raise NotLogged(f"the log has entry {leaf.number} of this account, which was not followed yet")
            if own == entry:
                return None
            others.update(entry=own.decode())
            return f"entry {leaf.number} of this account is another one in the log than the operator told this agent"

        others: dict[str, str] = {}
        believed = self._look(differs, others)
        if not self._remembers(account, leaf_of):
            # What was read was compared with other entries than are here, as after a restored backup.
            self._seen = Seen()
            believed = self._look(differs, others)
        seen = self._seen.accounts.get(account)
        if seen is None or seen.number < number:
            shown = 0 if seen is None else seen.number
            raise NotLogged(
                f"the log has {shown} entries of this account, and entry {number} is asked about; it comes with a "
                "later checkpoint"
            )
        return believed

    @property
    def cycles(self) -> tuple[CycleSeen, ...]:
        """Cycles of netting that the log has, as far as it was read."""
        return self._seen.cycles

    def kept(self, name: str) -> bool:
        """Return whether a contradiction is kept under a name already."""
        return (self._contradictions.folder / f"{name}.json").exists()

    def contradict(self, name: str, reason: str, leaves: Sequence[int], evidence: dict[str, Any]) -> NoReturn:
        """Keep what the operator signed, with leaves of the log as they are shown to anybody.

        Raises:
            LogContradicts: always; but
            LogUnreadable: a leaf is not handed out with its path, so that nothing is shown.
        """
        checkpoint = self._checkpoint()
        shown = [Served(self._monitor.fetch).shown(checkpoint, leaf) for leaf in leaves]
        if any("missing" in one for one in shown):
            raise LogUnreadable(f"{reason}; but the leaves that show it are not handed out now")
        documents = [{"kind": "checkpoint", "text": str(checkpoint)}, *shown]
        self._contradictions.keep(name, reason, {"documents": documents, **evidence})
        raise LogContradicts(reason)

    def place(self, entry: bytes) -> int | None:
        """Return where a leaf is, reading all of the log once more; None if it is not there."""
        return self._places([entry])[0]

    def _places(self, entries: Sequence[bytes]) -> list[int | None]:
        size, wanted = self._checkpoint().head.size, set(entries)
        leaves = enumerate(Served(self._monitor.fetch).entries(0, size))
        found = {leaf: index for index, leaf in leaves if leaf in wanted}
        return [found.get(entry) for entry in entries]

    def evidence(self, entries: Sequence[bytes]) -> dict[str, Any]:
        """Return what shows to anybody that leaves are in the log.

        Raises:
            NotLogged: one is not.
        """
        checkpoint = self._checkpoint()
        places = self._places(entries)
        found = [place for place in places if place is not None]
        if len(found) != len(places):
            raise NotLogged("the checkpoint that was read last does not have it; ask again after the next one")
        size = checkpoint.head.size
        return make_evidence(str(checkpoint), size, found, Served(self._monitor.fetch).reader(size)).to_json()

    def _checkpoint(self) -> Checkpoint:
        if self._seen.checkpoint is None:
            raise NotLogged("the log was not read yet")
        return self._seen.checkpoint

    def _remembers(self, account: str, leaf_of: Callable[[int], bytes | None]) -> bool:
        seen = self._seen.accounts.get(account)
        own = None if seen is None else leaf_of(seen.number)
        return seen is None or (own is not None and EntryLeaf.parse(parse_json(own)).entry == seen.head)

    def _look(self, differs: Differs, others: Mapping[str, str]) -> Believed:
        try:
            looked = self._monitor.look(self._seen, int(self._clock().timestamp()), differs)
        except Contradiction as found:
            self._contradictions.keep(
                "log-account" if others else "log-log", str(found), {"documents": found.documents, **others}
            )
            raise LogContradicts(str(found)) from found
        if looked.entries or self._seen.checkpoint is None:
            replace_json(self._place, seen_to_json(looked.seen))
        self._seen = looked.seen
        return looked.believed

"""The agent's own reading of the operator's log: that its account stands there once, as it was followed.

That an entry is in a log does not show that no other one of its number is. So the agent reads all leaves, as a monitor
does, and compares the last one of its account with its own copy: entries name the one before, so when that one is the
same, all before it are, and the ticks between them are those that everybody sees. Nothing is answered before the
checkpoint that shows it has the cosignatures, lately enough, that the trust file asks for.
"""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from atomic_margin.service.errors import AgentRefused, ConfigurationError
from atomic_margin.service.files import read_json, replace_json
from atomic_margin.service.institution.disputes import Disputes
from atomic_margin.service.institution.settings import AgentSettings
from atomic_margin.service.log.checkpoints import Believed
from atomic_margin.service.log.evidence import policy_of
from atomic_margin.service.log.notes import NoteKey
from atomic_margin.service.protocol.trust import TrustFile
from atomic_margin.service.verifier.errors import Contradiction
from atomic_margin.service.verifier.monitor import Monitor, Seen, seen_from_json, seen_to_json
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
            directory: of the institution; what was seen is kept in it as `log.json`, contradictions in `disputes`.
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
        self._place, self._clock, self._disputes = directory / MEMORY, clock, Disputes(directory)
        self._seen = seen_from_json(read_json(self._place)) if self._place.exists() else Seen()

    def require(self, account: str, number: int, hash_of: Callable[[int], str | None]) -> Believed:
        """Read what is new, and make sure that the log has the account as it was followed; return the checkpoint.

        Args:
            account: pseudonym (`Salts.account`).
            number: of the entry that the log must have; the last one that something rests on.
            hash_of: hash of the body of an entry that was followed, by its number; None for one that was not.

        Raises:
            NotLogged: the log does not have that entry yet, or has later ones that were not followed.
            LogContradicts: it has another entry of a number; or it contradicts itself. Both are kept.
            TooFewWitnesses: the newest checkpoint has too few cosignatures, or old ones.
            RemoteError, MonitorError, LogError: it cannot be read, or is not signed.
        """
        believed = self._look()
        seen = self._seen.accounts.get(account)
        if seen is None or seen.number < number:
            shown = 0 if seen is None else seen.number
            raise NotLogged(
                f"the log has {shown} entries of this account, and entry {number} is asked about; it comes with a "
                "later checkpoint"
            )
        own = hash_of(seen.number)
        if own is None:
            raise NotLogged(f"the log has entry {seen.number} of this account, which was not followed yet")
        if own != seen.head:
            reason = f"entry {seen.number} of this account is another one in the log than the operator told this agent"
            self._keep(seen.head, reason, [self._shown(seen.leaf)], entry=own)
            raise LogContradicts(reason)
        return believed

    def _look(self) -> Believed:
        try:
            looked = self._monitor.look(self._seen, int(self._clock().timestamp()))
        except Contradiction as found:
            self._keep("log", str(found), found.documents)
            raise LogContradicts(str(found)) from found
        if looked.entries or self._seen.checkpoint is None:
            replace_json(self._place, seen_to_json(looked.seen))
        self._seen = looked.seen
        return looked.believed

    def _shown(self, leaf: int) -> dict[str, object]:
        checkpoint = self._seen.checkpoint
        if checkpoint is None:
            raise TypeError("an account was seen without a checkpoint")
        return {"checkpoint": str(checkpoint), **Served(self._monitor.fetch).shown(checkpoint, leaf)}

    def _keep(self, name: str, reason: str, documents: list[dict[str, object]], **others: object) -> None:
        self._disputes.keep(f"log-{name[:24]}", reason, {"documents": documents, **others})

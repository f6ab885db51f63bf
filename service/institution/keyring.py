"""The institution's FHE keys, old and in use, by the hash of their evaluation keys. Institution only.

Old keys are kept: a run under them may still want its answer. Keys with an alarm decrypt nothing that leaves.
"""

import logging
import os
import secrets
from pathlib import Path

from atomic_margin.circuits.profile import Profile
from atomic_margin.fhe.institution import InstitutionKeys
from atomic_margin.service.errors import AgentRefused
from atomic_margin.service.institution.key_sets import KeySets, key_path
from atomic_margin.service.institution.settings import AgentSettings
from atomic_margin.service.institution.store import InstitutionStore, OwnKeys

_log = logging.getLogger(__name__)


class KeyRing:
    """Keys of one institution for one profile; secret keys are read from their files once."""

    def __init__(self, settings: AgentSettings, profile: Profile, store: InstitutionStore) -> None:
        """Use the keys in the institution's directory."""
        self._directory = settings.directory
        self._profile = profile
        self._store = store
        self._read: dict[str, InstitutionKeys] = {}
        self.sets = KeySets(settings.directory, profile, store)

    def in_use(self) -> OwnKeys | None:
        """Return the keys that submissions are made under, None before the first enrolment."""
        return self._store.keys(self._store.note("evaluation_keys"))

    def of(self, evaluation_keys: str) -> OwnKeys:
        """Return the keys with that hash.

        Raises:
            AgentRefused: they are not this institution's.
        """
        own = self._store.keys(evaluation_keys)
        if own is None:
            raise AgentRefused(f"this agent has no FHE keys {evaluation_keys[:16]}…; enrol, or restore its directory")
        return own

    def secret(self, own: OwnKeys) -> InstitutionKeys:
        """Return the secret keys.

        Raises:
            KeyStoreError: their file is missing or damaged.
        """
        if own.evaluation_keys not in self._read:
            path = key_path(self._directory, own.sequence)
            self._read[own.evaluation_keys] = InstitutionKeys.load(self._profile, path)
        return self._read[own.evaluation_keys]

    def raise_alarm(self, own: OwnKeys, reason: str) -> None:
        """Let no flag leave under these keys any more; the first reason is kept."""
        with self._store.unit_of_work() as session:
            own.alarm = own.alarm or reason
            session.merge(own)
        _log.error("alarm: %s", reason)


def load_secret(path: Path) -> bytes:
    """Return the 32 bytes that blindings are derived from; made at first, mode 0600."""
    if path.exists():
        return path.read_bytes()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    secret = secrets.token_bytes(32)
    with os.fdopen(descriptor, "wb") as file:
        file.write(secret)
    return secret

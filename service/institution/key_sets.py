"""Files of FHE keys: made only where there is room, used again if the operator never took them, deleted when useless.

A set takes tens of megabytes and seconds of a core. One that was made and not confirmed stands in the note
``unused_keys`` and is what the next attempt brings; it is deleted once another one is confirmed, or once the operator
or the known answers refuse it. Of confirmed sets the newest stay, and those that a book or a run of the account is
under. Institution only.
"""

import logging
import shutil
from pathlib import Path

from atomic_margin.circuits.layout import layout_of
from atomic_margin.circuits.profile import Profile
from atomic_margin.fhe.errors import KeyStoreError
from atomic_margin.fhe.institution import InstitutionKeys
from atomic_margin.service.errors import DiskTooFull
from atomic_margin.service.institution.store import InstitutionStore, OwnKeys
from atomic_margin.service.protocol.account.state import Account

KEPT_SETS = 8
"""Confirmed sets whose files stay, beside those that are in use."""
SPARE_BYTES = 64 << 20
"""What has to be free beyond a set: the database of the institution grows too."""

_UNUSED = "unused_keys"
_log = logging.getLogger(__name__)


def key_path(directory: Path, sequence: int) -> Path:
    """Return where the secret keys with that sequence number are."""
    return directory / f"fhe-{sequence}.keys"


class KeySets:
    """The files of one directory."""

    def __init__(self, directory: Path, profile: Profile, store: InstitutionStore) -> None:
        """Use the files there."""
        self._directory, self._profile, self._store = directory, profile, store

    def unused(self) -> int | None:
        """Return the number of the set that was made and never confirmed, if there is one."""
        noted = self._store.note(_UNUSED)
        return int(noted) if noted else None

    def take(self, sequence: int) -> InstitutionKeys:
        """Return keys to enrol under a number: those that were not used so far, or new ones, and keep them.

        Raises:
            DiskTooFull: there is no room for new ones.
        """
        before = self.unused()
        keys = None if before is None else self._reused(before, sequence)
        if keys is None:
            self.require_room()
            # Noted first: what a crash leaves of it is overwritten, or deleted with it.
            self._store.set_note(_UNUSED, str(sequence))
            keys = InstitutionKeys.generate(self._profile)
            keys.save(key_path(self._directory, sequence))
        return keys

    def confirmed(self, sequence: int) -> None:
        """Note that a set is in use; an older one that never was is deleted."""
        before = self.unused()
        if before is not None and before != sequence:
            key_path(self._directory, before).unlink(missing_ok=True)
        self._store.set_note(_UNUSED, "")

    def refused(self) -> None:
        """Delete the set that was made last: it is never brought again."""
        before = self.unused()
        if before is not None:
            key_path(self._directory, before).unlink(missing_ok=True)
            self._store.set_note(_UNUSED, "")

    def require_room(self) -> None:
        """Make sure that another set fits on the disk.

        Raises:
            DiskTooFull: it does not.
        """
        layout = layout_of(self._profile)
        # Evaluation keys are nearly all of a file; it stands there once more while it is written.
        needed = 2 * layout.evaluation_key_bytes + SPARE_BYTES
        free = shutil.disk_usage(self._directory).free
        if free < needed:
            raise DiskTooFull(
                f"{self._directory} has {free >> 20} MB free, and new FHE keys take {needed >> 20} MB; "
                "make room there; the agent tries again by itself"
            )

    def prune(self, account: Account | None) -> int:
        """Delete the files of old sets that nothing of the account is under; return how many."""
        if account is None:
            return 0
        public = account.public
        in_use = {public.keys, self._store.note("evaluation_keys"), self._store.note("passed")}
        in_use |= {one.evaluation_keys for one in (public.book, public.waiting, public.run) if one is not None}
        with self._store.unit_of_work() as session:
            rows = session.query(OwnKeys).order_by(OwnKeys.sequence.desc()).all()
        old = [row for row in rows[KEPT_SETS:] if row.evaluation_keys not in in_use]
        paths = [key_path(self._directory, row.sequence) for row in old]
        deleted = [path for path in paths if path.exists()]
        for path in deleted:
            path.unlink()
        if deleted:
            _log.info("%d files of FHE keys that nothing is under any more were deleted", len(deleted))
        return len(deleted)

    def _reused(self, before: int, sequence: int) -> InstitutionKeys | None:
        """Return the keys of an earlier attempt, from now on under another number; None if they cannot be read."""
        old, new = key_path(self._directory, before), key_path(self._directory, sequence)
        if before != sequence and old.exists():
            # The operator may have seen the number before. Renamed first: a set without a note is never used.
            old.replace(new)
        self._store.set_note(_UNUSED, str(sequence))
        try:
            return InstitutionKeys.load(self._profile, new)
        except KeyStoreError as error:
            # Of another profile, or half written.
            _log.warning("FHE keys that were not used are made anew: %s", error)
            new.unlink(missing_ok=True)
            return None

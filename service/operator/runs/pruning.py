"""Prune while the operator serves: output words every minute, since they grow fastest, all else every hour.

Uploads that nothing was added to go, too: those that come later would make them go, if any did.
"""

import logging
import time

from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.retention import Pruned, Retention

WORDS_SECONDS = 60.0
"""Between two looks for words that may go."""
ALL_SECONDS = 3600.0
"""Between two looks for everything that may."""

_log = logging.getLogger(__name__)


class PruningRounds:
    """The rounds of one operator; one thread at a time."""

    def __init__(self, operator: Operator) -> None:
        """Prepare; the first look comes after the first pause, when a start is over."""
        self._uploads = operator.uploads
        self._retention = Retention(operator.store, operator.blobs, operator.settings.retention)
        self._words_at = time.monotonic() + WORDS_SECONDS
        self._all_at = self._words_at

    def look(self) -> bool:
        """Prune if it is time; return False, since there is nothing to go on with at once."""
        moment = time.monotonic()
        if moment < self._words_at:
            return False
        self._words_at = moment + WORDS_SECONDS
        if moment < self._all_at:
            self._tell(self._retention.prune_words())
        else:
            self._all_at = moment + ALL_SECONDS
            self._tell(self._retention.prune())
            self._uploads.prune()
        return False

    def _tell(self, pruned: Pruned) -> None:
        if any(pruned):
            removed = {name: number for name, number in pruned._asdict().items() if number}
            _log.info("pruned", extra=removed)

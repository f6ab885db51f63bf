"""When shares are erased: once no book of the account is under their deal, by a history that holds and is whole.

An operator that shows an older history would have shares erased that a book needs; so the same is read and checked as
before an opening. Shares stay for some days more than the deal took receipts, and for as long as the operator has the
deal: a receipt has no end, so an institution could submit a book of before under it, of which nobody has shares.
"""

import logging
from collections.abc import Iterable

from atomic_margin.service.custodian.client import CallsOperator
from atomic_margin.service.custodian.errors import OpeningRefused
from atomic_margin.service.custodian.own import Own
from atomic_margin.service.custodian.reading import Reading
from atomic_margin.service.custodian.stored import DealRow
from atomic_margin.service.protocol.account.state import PublicState

EVERY_SECONDS = 3600
DAY_SECONDS = 86_400

_log = logging.getLogger(__name__)


class Erasing:
    """Erases what no book needs. One thread has it."""

    def __init__(self, own: Own, client: CallsOperator, reading: Reading, keep_days: int) -> None:
        """``keep_days`` is how long shares stay after their deal took receipts, if no book is under it."""
        self._own, self._client, self._reading, self._keep = own, client, reading, keep_days * DAY_SECONDS
        self._next = 0

    def round(self) -> None:
        """Look, once an hour.

        Raises:
            RemoteError: the operator does not answer.
        """
        if self._own.now() >= self._next:
            self.erase()
            self._next = self._own.now() + EVERY_SECONDS

    def erase(self) -> list[str]:
        """Erase shares that no book needs; return their deals.

        Raises:
            RemoteError: the operator does not answer.
        """
        own, erased = self._own, list[str]()
        due = own.store.deals("state = 'held' AND expires_at < ?", own.now() - self._keep)
        for institution in sorted({row.institution for row in due}):
            of_it = [row for row in due if row.institution == institution]
            try:
                state = self._reading.account(institution, self._reading.look()).state
            except OpeningRefused as error:
                # What cannot be read keeps its shares.
                _log.warning("nothing is erased of %s: %s", institution, error)
                continue
            erased += [row.deal for row in unused(of_it, state) if not self._client.has(row.deal)]
        if erased:
            own.store.erase(erased)
            _log.info("shares erased", extra={"deals": len(erased)})
        return erased


def unused(rows: Iterable[DealRow], state: PublicState) -> list[DealRow]:
    """Return the deals that no book of an account is under."""
    shared = [book.shared for book in (state.book, state.waiting) if book is not None]
    in_use = {one.deal for one in shared if one is not None}
    return [row for row in rows if row.deal not in in_use]

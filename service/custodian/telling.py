"""What a custodian tells its operator about openings: each thing once, as long as its process runs."""

import logging
from collections.abc import Callable

from atomic_margin.service.custodian.client import CallsOperator
from atomic_margin.service.custodian.errors import RowShareWrong
from atomic_margin.service.custodian.stored import JsonObject, OpeningRow
from atomic_margin.service.errors import RemoteError
from atomic_margin.service.protocol.custodian_messages import (
    Accusation,
    FindingBrought,
    Refuses,
    RowBox,
    TakesPart,
    VoidBrought,
)

MAX_ACCUSATION_CHARACTERS = 300

_log = logging.getLogger(__name__)


class Telling:
    """What this process told. The next one tells it again, which changes nothing at the operator."""

    def __init__(self, client: CallsOperator, address: str) -> None:
        """Begin with nothing.

        Args:
            client: calls the operator.
            address: host and port by which other custodians reach this one.
        """
        self._client, self._address = client, address
        self._told: set[tuple[object, ...]] = set()

    def was(self, what: tuple[object, ...]) -> bool:
        """Return whether something was told or said."""
        return what in self._told

    def say(self, what: tuple[object, ...], said: str) -> None:
        """Log what would be the same in every round."""
        self._once(what, lambda: _log.warning("%s", said))

    def takes_part(self, request: str) -> None:
        """Tell that it computes, and where."""
        self._once((request, "part"), lambda: self._client.take_part(request, TakesPart(address=self._address)))

    def refused(self, row: OpeningRow) -> None:
        """Tell that it does not, and why."""
        refusal = Refuses(reason=row.reason)
        self._once((row.request, "refused"), lambda: self._client.refuse(row.request, refusal))

    def gave_up(self, request: str, session: int) -> None:
        """Tell that a session came to nothing."""
        part = TakesPart(session=session, address=self._address)
        self._once((request, session, "gave up"), lambda: self._client.take_part(request, part))

    def accuses(self, request: str, session: int, error: RowShareWrong) -> None:
        """Tell whose share of a row was wrong."""
        said = Accusation(session=session, point=error.point, reason=str(error)[:MAX_ACCUSATION_CHARACTERS])
        part = TakesPart(address=self._address, accuses=(said,))
        try:
            self._once((request, session, error.point, "accused"), lambda: self._client.take_part(request, part))
        except RemoteError as refused:
            if not 400 <= refused.status < 500:
                raise
            # The finding does not wait for it.
            self.say((request, session, error.point, "not taken"), f"an accusation is not taken: {refused}")

    def rows(self, request: str, session: int, voided: int, closer: int, sealed: Callable[[], bytes]) -> None:
        """Send shares of rows, once more for what takes the place of a finding that is void.

        Args:
            request: hash of the request.
            session: its number.
            voided: how many findings of the run are void.
            closer: point of whoever opens the rows.
            sealed: makes the box.
        """

        def send() -> None:
            try:
                self._client.send_rows(request, RowBox(session=session, box=sealed().hex(), closer=closer))
            except RemoteError as error:
                # Sent before, in another box.
                if error.status != 409:
                    raise

        self._once((request, session, "rows", voided), send)

    def void(self, request: str, session: int, void: JsonObject) -> None:
        """Bring what makes a finding void."""
        self._once((request, session, "void"), lambda: self._client.bring_void(request, VoidBrought(void=void)))

    def brings(self, row: OpeningRow) -> None:
        """Bring finding and verdict."""
        if row.finding is None or row.verdict is None:
            raise TypeError("a signed opening has finding and verdict")
        brought = FindingBrought(finding=row.finding, verdict=row.verdict)
        self._once((row.request, row.session, "brought"), lambda: self._client.bring(row.request, brought))

    def _once(self, what: tuple[object, ...], do: Callable[[], None]) -> None:
        """Do what a process has to do once; what fails is done again."""
        if what not in self._told:
            do()
            self._told.add(what)

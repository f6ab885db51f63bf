"""What a custodian does about deals: takes shares, stores them, and then says so; complains; sends again; erases."""

import logging
from collections import Counter
from collections.abc import Callable, Sequence

from atomic_margin.documents.errors import DocumentsError
from atomic_margin.documents.strict import instant
from atomic_margin.service.custodian.client import CallsOperator
from atomic_margin.service.custodian.errors import (
    DealingInvalid,
    DealRefused,
    InstitutionUnknown,
    SharesUnusable,
    TooManyDeals,
)
from atomic_margin.service.custodian.own import Own
from atomic_margin.service.custodian.receiving import Offered, Taken, read_deal, read_offer, read_resealed, take_shares
from atomic_margin.service.custodian.sealing import Place, seal, unseal
from atomic_margin.service.custodian.stored import DealRow
from atomic_margin.service.errors import RemoteError, RequestError
from atomic_margin.service.protocol.account.identities import keys_shown
from atomic_margin.service.protocol.account.rotation_documents import IdentityRotation
from atomic_margin.service.protocol.custodian_messages import DealingStanding
from atomic_margin.service.protocol.dealings import Dealing, ShareComplaint, ShareReceipt, sharing_statement
from atomic_margin.service.protocol.resharing_messages import DealShown
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.zk.sharing.messages import Deal, Shares

MINUTE_SECONDS = 60
PER_MINUTE = 30
"""New deals of one institution whose shares are looked at in a minute; more of them wait."""
COMPLAINED_SECONDS = 86_400
"""For so long after its time a deal that was complained about is kept."""

_log = logging.getLogger(__name__)


class Deals:
    """The deals of one custodian at one operator. One thread has it."""

    def __init__(self, own: Own, client: CallsOperator) -> None:
        """Go on from what is stored."""
        self._own, self._client = own, client
        self._minute, self._looked = 0, Counter[str]()
        self._said: dict[str, str] = {}

    def round(self) -> int:
        """Send what was not sent, and take what is new or was answered; return how many deals were looked at."""
        for row in self._own.store.deals("sent = 0"):
            if _is_dealt(row):
                self._send(row)
        taken = 0
        for standing in self._client.dealings().dealings:
            taken += self._each(standing, self._take)
        return taken

    def forget(self) -> None:
        """Drop deals that were complained about, never answered, and are over: there are no shares of them."""
        over = self._own.now() - COMPLAINED_SECONDS
        self._own.store.erase(
            [row.deal for row in self._own.store.deals("state = 'complained' AND expires_at < ?", over)]
        )

    def held(self, named: str) -> Taken | None:
        """Return the shares of a deal, and the deal; None if they are not held.

        Raises:
            SharesDamaged: what is stored does not open.
        """
        row = self._own.store.deal(named)
        if row is None or row.shares is None or row.state != "held":
            return None
        place = Place(self._own.trust.operator, row.institution, row.deal, row.point)
        deal = self._deal(row)
        return Taken(Shares.from_bytes(unseal(self._own.folder.storage, row.shares, place), deal.statement), deal)

    def _deal(self, row: DealRow) -> Deal:
        if not _is_dealt(row):
            return DealShown.parse(row.dealing).deal(row.deal)
        statement = sharing_statement(Dealing.parse(row.dealing["body"]), self._own.folder.policy(row.policy))
        return Deal.from_bytes(row.coefficients, statement)

    def _each(self, standing: DealingStanding, do: Callable[[DealingStanding, Sequence[str]], None]) -> bool:
        """Do something about one deal; what is refused of it keeps no other one waiting."""
        try:
            do(standing, self._identities(standing))
        except DealRefused as error:
            self._warn(standing.deal, error)
            return False
        self._said.pop(standing.deal, None)
        return True

    def _warn(self, deal: str, error: Exception) -> None:
        """Say what is wrong with a deal, once until it changes."""
        said = f"{type(error).__name__}: {error}"
        if self._said.get(deal) != said:
            _log.warning("deal waits or is refused: %s", said, extra={"deal": deal})
        self._said[deal] = said

    def _take(self, standing: DealingStanding, identities: Sequence[str]) -> None:
        known = self._own.store.deal(standing.deal)
        if known is not None:
            if known.state == "complained" and standing.answers:
                self._answered(standing, identities, known)
            else:
                # What was said did not arrive, or the operator forgot it.
                self._resend(standing, known)
            return
        offered = self._offered(standing, identities)
        self._count(standing)
        folder, group = self._own.folder, self._own.group
        try:
            box = self._client.box(standing.deal)
            taken = take_shares(
                offered, box, lambda short: self._client.coefficients(standing.deal, short), folder.encryption, group
            )
        except SharesUnusable as error:
            self._complain(standing, offered, error)
            return
        self._receipt(standing, offered, taken)

    def _answered(self, standing: DealingStanding, identities: Sequence[str], row: DealRow) -> None:
        """Take the shares that answer a complaint, if they were sealed once more."""
        offered, complaint = self._offered(standing, identities), SignedDocument.parse(row.said).body_hash()
        answers = [one for one in standing.answers if _complaint_of(one) == complaint]
        if not answers:
            return
        deal = read_deal(offered, self._client.coefficients(standing.deal, False), self._own.group)
        try:
            key = self._own.folder.encryption
            taken = read_resealed(answers[0], complaint, offered, identities, deal, key, self._own.group)
        except SharesUnusable as error:
            # The complaint stands, and there is no receipt.
            raise DealingInvalid(f"what the institution answers does not fit either: {error}") from error
        self._receipt(standing, offered, taken)

    def _receipt(self, standing: DealingStanding, offered: Offered, taken: Taken) -> None:
        dealing, point, folder = offered.dealing, offered.own.point, self._own.folder
        said = {"policy": dealing.policy, "book": dealing.book, "received_at": self._own.now_text()}
        receipt = ShareReceipt.parse(self._about(offered) | said).signed_by(folder.identity)
        place = Place(dealing.operator, dealing.institution, dealing.deal, point)
        sealed = seal(folder.storage, taken.shares.to_bytes(), place)
        row = self._row(standing, offered, taken.deal.to_bytes(), sealed, receipt)
        # Stored before it is said.
        self._own.store.keep_deal(row)
        _log.info("shares stored", extra={"institution": dealing.institution, "deal": dealing.deal, "point": point})
        self._send(row)

    def _complain(self, standing: DealingStanding, offered: Offered, error: SharesUnusable) -> None:
        said: dict[str, object] = {"reason": error.reason, "complained_at": self._own.now_text()}
        said |= {} if error.entry is None else {"entry_index": str(error.entry)}
        complaint = ShareComplaint.parse(self._about(offered) | said).signed_by(self._own.folder.identity)
        row = self._row(standing, offered, b"", None, complaint)
        self._own.store.keep_deal(row)
        _log.warning(
            "shares complained about: %s",
            error,
            extra={"institution": row.institution, "deal": row.deal, "reason": error.reason},
        )
        self._send(row)

    def _send(self, row: DealRow) -> None:
        document = SignedDocument.parse(row.said)
        send = self._client.receipt if document.type == ShareReceipt.TYPE else self._client.complain
        try:
            send(row.deal, document)
        except RemoteError as error:
            if not 400 <= error.status < 500 or error.status in (401, 408, 425, 429):
                raise
            # It is said again while the deal takes receipts, and keeps no other one waiting.
            self._warn(row.deal, error)
            if self._own.now() < row.expires_at:
                return
        self._own.store.deal_sent(row.deal)

    def _resend(self, standing: DealingStanding, known: DealRow) -> None:
        if known.institution != standing.institution:
            raise DealingInvalid(f"deal {standing.deal} is {known.institution}'s, and is shown as another one's")
        if known.state != "erased":
            self._send(known)

    def _about(self, offered: Offered) -> dict[str, object]:
        dealing = offered.dealing
        return {
            "institution": dealing.institution,
            "operator": dealing.operator,
            "dealing": offered.document,
            "deal": dealing.deal,
            "point": str(offered.own.point),
            "custodian": self._own.folder.identity.public_key,
        }

    def _row(
        self,
        standing: DealingStanding,
        offered: Offered,
        coefficients: bytes,
        sealed: bytes | None,
        said: SignedDocument,
    ) -> DealRow:
        dealing = offered.dealing
        return DealRow(
            deal=dealing.deal,
            institution=dealing.institution,
            point=offered.own.point,
            policy=dealing.policy,
            book=dealing.book,
            dealing=dict(offered.signed),
            coefficients=coefficients,
            shares=sealed,
            state="complained" if sealed is None else "held",
            said=said.to_json(),
            sent=False,
            expires_at=_seconds(standing.expires_at),
            stored_at=self._own.now(),
        )

    def _offered(self, standing: DealingStanding, identities: Sequence[str]) -> Offered:
        folder = self._own.folder
        return read_offer(standing, self._own.trust.operator, identities, folder.policy, folder.own_line)

    def _identities(self, standing: DealingStanding) -> tuple[str, ...]:
        """Return the institution's key in force: the pinned one, or the one that its rotations lead to.

        Raises:
            InstitutionUnknown: the trust file does not name it.
            DealingInvalid: what rotations are shown does not lead over the pinned key.
        """
        trust, name = self._own.trust, standing.institution
        pinned = trust.institutions.get(name)
        if pinned is None:
            raise InstitutionUnknown(f"the trust file does not name {name!r}: add its key, if you hold its shares")
        if standing.dealing.get("signer") == pinned:
            return (pinned,)
        shown = self._client.history(name).get("entries")
        documents = [one.get("document") for one in shown if isinstance(one, dict)] if isinstance(shown, list) else []
        rotations = [one for one in documents if isinstance(one, dict) and one.get("type") == IdentityRotation.TYPE]
        try:
            return keys_shown(pinned, rotations, name, trust.operator)[-1:]
        except (RequestError, DocumentsError) as error:
            raise DealingInvalid(f"the key of {name} that signed is not the pinned one: {error}") from error

    def _count(self, standing: DealingStanding) -> None:
        minute = self._own.now() // MINUTE_SECONDS
        if minute != self._minute:
            self._minute = minute
            self._looked.clear()
        if self._looked[standing.institution] >= PER_MINUTE:
            raise TooManyDeals(f"{PER_MINUTE} deals of {standing.institution} were looked at in this minute")
        self._looked[standing.institution] += 1


def _is_dealt(row: DealRow) -> bool:
    """Return whether an institution dealt it; else custodians passed it on (`resharing`)."""
    return row.dealing.get("type") == Dealing.TYPE


def _complaint_of(value: dict[str, object]) -> object:
    body = value.get("body")
    return body.get("complaint") if isinstance(body, dict) else None


def _seconds(text: str) -> int:
    try:
        return int(instant(text).timestamp())
    except ValueError as error:
        raise DealingInvalid(f"the deal is said to expire at {text[:40]!r}, which is no time") from error

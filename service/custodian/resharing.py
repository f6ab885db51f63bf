"""Re-sharings as a custodian takes part in them: it passes its shares on, and takes those of others over.

Each as a round finds it: nothing of what is passed on is kept here, and new shares are stored before they are
receipted. Those of the deal before are erased like any that no book is under (`erasing`): once a history that holds, up
to a cosigned checkpoint, has the book under the new deal. That others erase theirs, nobody can see.
"""

import logging

from atomic_margin.documents.strict import instant
from atomic_margin.service.custodian.client import CallsOperator
from atomic_margin.service.custodian.deals import Deals
from atomic_margin.service.custodian.errors import DealRefused, OpeningRefused, ResharingRefused
from atomic_margin.service.custodian.own import Own
from atomic_margin.service.custodian.passing import (
    DealerAtFault,
    passed_on,
    policy_in,
    read_request,
    require_allowed,
    taken_over,
)
from atomic_margin.service.custodian.reading import Reading
from atomic_margin.service.custodian.receiving import Taken
from atomic_margin.service.custodian.sealing import Place, seal
from atomic_margin.service.custodian.stored import DealRow
from atomic_margin.service.errors import RemoteError
from atomic_margin.service.protocol.account.resharing_documents import ResharingRequest
from atomic_margin.service.protocol.custody import CustodianKeys
from atomic_margin.service.protocol.dealings import ShareComplaint, ShareReceipt
from atomic_margin.service.protocol.resharing_messages import ResharingStanding, shown

_log = logging.getLogger(__name__)


class Resharings:
    """The re-sharings of one custodian at one operator. One thread has it."""

    def __init__(self, own: Own, client: CallsOperator, reading: Reading, deals: Deals) -> None:
        """Go on from what is stored."""
        self._own, self._client, self._reading, self._deals = own, client, reading, deals
        self._said: dict[str, str] = {}

    def round(self) -> None:
        """Pass on what is asked for, and take over what was passed on.

        Raises:
            RemoteError: the operator does not answer.
        """
        for standing in self._client.resharings().resharings:
            try:
                name, request = read_request(standing.request, self._own.trust.operator)
                self._pass_on(standing, name, request)
                self._take_over(standing, name, request)
            except (ResharingRefused, DealRefused, OpeningRefused, RemoteError) as error:
                if isinstance(error, RemoteError) and not 400 <= error.status < 500:
                    raise
                # One that the operator refuses, since it is over by now, keeps no other one waiting.
                said = f"{type(error).__name__}: {error}"
                key = str(standing.request.get("signature"))
                if self._said.get(key) != said:
                    _log.warning("nothing is done about a re-sharing of %s: %s", standing.institution, said)
                self._said[key] = said

    def _pass_on(self, standing: ResharingStanding, name: str, request: ResharingRequest) -> None:
        own = self._own
        held = self._deals.held(request.before.deal)
        if standing.state != "open" or held is None or held.shares.custodian not in request.dealers:
            return
        if any(one["body"].get("custodian") == own.folder.identity.public_key for one in standing.passed_on):
            return
        read = self._reading.account(request.institution, self._reading.look())
        require_allowed(request, read.state)
        policy = policy_in((item.document for item in read.history.entries), request.policy)
        upload = passed_on(request, name, held, policy, own.folder.identity, own.group)
        self._client.pass_on(name, upload)
        _log.info("shares passed on", extra={"institution": request.institution, "request": name})

    def _take_over(self, standing: ResharingStanding, name: str, request: ResharingRequest) -> None:
        folder, identity = self._own.folder, self._own.folder.identity.public_key
        if len(standing.passed_on) != len(request.dealers):
            return
        known = [row for row in self._own.store.deals("state = 'held'") if row.said["body"]["dealing"] == name]
        if known:
            self._client.new_receipt(name, known[0].said)
            self._own.store.deal_sent(known[0].deal)
            return
        passed = any(one["body"].get("custodian") == identity for one in standing.passed_on)
        if passed and request.policy not in folder.policies():
            # Who passes on alone need not have agreed to it.
            return
        policy = folder.policy(request.policy)
        own = folder.own_line(policy)
        deals = self._client.resharing_deals(name)
        found = taken_over(request, deals, policy, own, folder.encryption, self._own.group)
        if isinstance(found, DealerAtFault):
            self._complain(name, request, own, found)
        else:
            self._receipt(standing, name, request, own, found)

    def _receipt(
        self, standing: ResharingStanding, name: str, request: ResharingRequest, own: CustodianKeys, taken: Taken
    ) -> None:
        folder, deal = self._own.folder, taken.deal.hash.hex()
        said = {
            **self._about(request, name, deal, own),
            "policy": request.policy,
            "book": request.book,
            "received_at": self._own.now_text(),
        }
        receipt = ShareReceipt.parse(said).signed_by(folder.identity).to_json()
        place = Place(request.operator, request.institution, deal, own.point)
        row = DealRow(
            deal=deal,
            institution=request.institution,
            point=own.point,
            policy=request.policy,
            book=request.book,
            dealing=shown_of(taken),
            coefficients=taken.deal.to_bytes(),
            shares=seal(folder.storage, taken.shares.to_bytes(), place),
            state="held",
            said=receipt,
            sent=False,
            expires_at=int(instant(standing.expires_at).timestamp()),
            stored_at=self._own.now(),
        )
        # Stored before it is said.
        self._own.store.keep_deal(row)
        _log.info("new shares stored", extra={"institution": request.institution, "deal": deal, "point": own.point})
        self._client.new_receipt(name, receipt)
        self._own.store.deal_sent(deal)

    def _complain(self, name: str, request: ResharingRequest, own: CustodianKeys, fault: DealerAtFault) -> None:
        said: dict[str, object] = {
            **self._about(request, fault.dealing, fault.deal, own),
            "reason": fault.reason,
            "complained_at": self._own.now_text(),
        }
        said |= {} if fault.entry is None else {"entry_index": str(fault.entry)}
        _log.warning(
            "the dealer at point %s passed on what does not fit", fault.dealer,
            extra={"institution": request.institution, "request": name, "reason": fault.reason},
        )  # fmt: skip
        self._client.new_complaint(name, ShareComplaint.parse(said).signed_by(self._own.folder.identity).to_json())

    def _about(self, request: ResharingRequest, dealing: str, deal: str, own: CustodianKeys) -> dict[str, object]:
        return {
            "institution": request.institution,
            "operator": request.operator,
            "dealing": dealing,
            "deal": deal,
            "point": str(own.point),
            "custodian": self._own.folder.identity.public_key,
        }


def shown_of(taken: Taken) -> dict[str, object]:
    """Return what is stored beside shares that were taken over: the statement of their deal."""
    value = shown(taken.deal).canonical()
    if not isinstance(value, dict):
        raise TypeError("a message is a JSON object")
    return dict(value)

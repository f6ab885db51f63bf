"""Custodians in the process of a test: they open boxes, check shares, sign, and open rows by the real functions.

The computation between them is not here: what rows are least is told by the test. `service.custodian` has the rest.
"""

from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from atomic_margin.documents.fields import now_text
from atomic_margin.service.custodian.boxes import open_box
from atomic_margin.service.errors import ShareBoxError
from atomic_margin.service.protocol.account.opening_documents import Finding, OpeningVerdict, finding_hash
from atomic_margin.service.protocol.bodies import parse_signed
from atomic_margin.service.protocol.custody import CustodyPolicy
from atomic_margin.service.protocol.dealings import (
    Dealing,
    PublishedShares,
    ShareComplaint,
    ShareReceipt,
    sharing_statement,
)
from atomic_margin.service.protocol.share_boxes import BoxAddress
from atomic_margin.service.protocol.signing import Identity, SignedDocument
from atomic_margin.zk.errors import ProofError, SharesInvalid
from atomic_margin.zk.sharing.check import check_shares
from atomic_margin.zk.sharing.messages import Deal, Shares

from ..documents import Json
from ..world import World

POINTS = (1, 2, 5, 9)


class Holder:
    """One custodian: keys, and the shares that it has checked, by their deals."""

    def __init__(self, point: int) -> None:
        self.point, self.identity, self.key = point, Identity.generate(), X25519PrivateKey.generate()
        self.world: World
        self.policy: CustodyPolicy
        self.shares: dict[str, tuple[Deal, Shares]] = {}
        self.away = False
        self.lies = False  # complains of shares that fit

    def keys(self) -> Json:
        return {
            "point": str(self.point),
            "name": f"custodian-{self.point}",
            "identity": self.identity.public_key,
            "encryption_key": self.key.public_key().public_bytes_raw().hex(),
        }

    def call(self, method: str, path: str, **body: Any) -> Any:
        auth = self.world.signed_by(self.identity)
        return self.world.client.request(method, f"/v1/custodian{path}", auth=auth, **body)

    def got(self, path: str) -> Any:
        response = self.call("GET", path)
        assert response.status_code == 200, response.text
        return response.json()

    def posted(self, path: str, body: Json) -> Any:
        response = self.call("POST", path, json=body)
        assert response.status_code == 201, response.text
        return response.json()

    def look(self) -> None:
        """Say something of every deal that nothing was said of yet."""
        for standing in [] if self.away else self.got("/dealings")["dealings"]:
            self.say(standing)

    def say(self, standing: Json) -> Any:
        deal, dealing = self.deal_of(standing)
        path, address = f"/dealings/{standing['deal']}", self._address(dealing, deal)
        answers = [parse_signed(value, PublishedShares)[1] for value in standing["answers"]]
        published = [one.shares for one in answers if one.point == self.point]
        try:
            if published:
                shares = Shares.from_bytes(bytes.fromhex(published[0]), deal.statement)
            else:
                shares = open_box(self.call("GET", f"{path}/box").content, address, self.key, deal.statement)
                if self.lies:
                    raise SharesInvalid(self.point, 3)
            check_shares(deal, shares, self.point)
        except SharesInvalid as error:
            return self.posted(f"{path}/complaint", self.complaint(standing, "wrong", error.entry).to_json())
        except (ShareBoxError, ProofError):
            return self.posted(f"{path}/complaint", self.complaint(standing, "sealed").to_json())
        self.shares[standing["deal"]] = deal, shares
        return self.posted(f"{path}/receipt", self.receipt(standing).to_json())

    def deal_of(self, standing: Json) -> tuple[Deal, Dealing]:
        _, dealing = parse_signed(standing["dealing"], Dealing)
        statement = sharing_statement(dealing, self.policy)
        data = self.call("GET", f"/dealings/{standing['deal']}/coefficients").content
        deal = Deal.from_bytes(data, statement)
        assert deal.hash.hex() == dealing.deal == standing["deal"]
        return deal, dealing

    def receipt(self, standing: Json, **changes: str) -> SignedDocument:
        said = self._about(standing)
        dealing = standing["dealing"]["body"]
        said |= {"policy": dealing["policy"], "book": dealing["book"], "received_at": now_text()}
        return ShareReceipt.parse(said | changes).signed_by(self.identity)

    def complaint(self, standing: Json, reason: str, entry: int | None = None, **changes: str) -> SignedDocument:
        said = self._about(standing) | {"reason": reason, "complained_at": now_text()}
        said |= {} if entry is None else {"entry_index": str(entry)}
        return ShareComplaint.parse(said | changes).signed_by(self.identity)

    def verdict(self, about: Finding, **changes: str) -> SignedDocument:
        said = {
            "institution": about.institution,
            "operator": about.operator,
            "request": about.request,
            "finding": finding_hash(about),
            "point": str(self.point),
            "custodian": self.identity.public_key,
        }
        return OpeningVerdict.parse(said | changes).signed_by(self.identity)

    def bring(self, about: Finding, **changes: str) -> Any:
        """Bring a finding with one's verdict; return the response."""
        body = {"finding": about.canonical(), "verdict": self.verdict(about, **changes).to_json()}
        return self.call("POST", f"/openings/{about.request}/finding", json=body)

    def takes_part(self, request: str, session: int | None = None) -> Any:
        body = {"address": f"127.0.0.1:{9000 + self.point}"} | ({} if session is None else {"session": str(session)})
        return self.posted(f"/openings/{request}/part", body)

    def _about(self, standing: Json) -> Json:
        dealing = SignedDocument.parse(standing["dealing"])
        return {
            "institution": standing["institution"],
            "operator": dealing.body["operator"],
            "dealing": dealing.body_hash(),
            "deal": standing["deal"],
            "point": str(self.point),
            "custodian": self.identity.public_key,
        }

    def _address(self, dealing: Dealing, deal: Deal) -> BoxAddress:
        holder = next(one for one in self.policy.holders if one.point == self.point)
        return BoxAddress(dealing.operator, dealing.institution, deal.hash, holder)


class Holders:
    """The custodians of a policy; two of them have a book together, three open one, and one may be away."""

    def __init__(self, **changes: str) -> None:
        self.all = tuple(Holder(point) for point in POINTS)
        said = {
            "format": "atomic-margin/custody/1",
            "name": "custody of the tests",
            "threshold": "2",
            "absent": "1",
            "custodians": [one.keys() for one in self.all],
            "deal_seconds": "600",
            "opening_after_seconds": "0",
            "openings": "3",
        }
        self.policy = CustodyPolicy.parse(said | changes)
        for one in self.all:
            one.policy = self.policy

    def at(self, world: World) -> "Holders":
        for one in self.all:
            one.world = world
        return self

    def __getitem__(self, point: int) -> Holder:
        return next(one for one in self.all if one.point == point)

    def look(self) -> None:
        for one in self.all:
            one.look()


def refused(holder: Holder, standing: Json, kind: str, **changes: str) -> str:
    """Have a custodian send a document that is refused; return why."""
    if kind == "receipt":
        document = holder.receipt(standing, **changes)
    else:
        document = holder.complaint(standing, "missing", **changes)
    response = holder.call("POST", f"/dealings/{standing['deal']}/{kind}", json=document.to_json())
    assert response.status_code in (403, 409, 422), response.text
    return str(response.json()["detail"])

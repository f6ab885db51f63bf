"""What tests of netting share: an operator with accounts of parties, and obligations."""

import json
from pathlib import Path
from typing import Any

from atomic_margin.documents.fields import now_text
from atomic_margin.service.operator import replay
from atomic_margin.service.operator.accounts import netting
from atomic_margin.service.operator.settlement import ledger
from atomic_margin.service.operator.store.entries import entries_after
from atomic_margin.service.operator.store.tables import LogLeaf
from atomic_margin.service.protocol.account.netting_documents import Netting, Obligation
from atomic_margin.service.protocol.signing import Identity, SignedDocument

from .world import World


def day() -> str:
    return now_text()[:10]


class Netted:
    """An operator, and accounts that parties have with it; each begins with 1,000 free units of USDC."""

    def __init__(self, directory: Path, parties: dict[str, str], scope: Any = "party") -> None:
        self.world, self.parties, self.scope = World(directory, Identity.generate(), {}), parties, scope
        self.promises: dict[str, int] = dict.fromkeys(parties, 0)
        for name, party in parties.items():
            self.world.admit(name)
            self.world.deposit(name, "USDC", 1000, f"first-{name}")
            netting.name_party(self.world.operator, name, party, scope)

    def obligation(self, name: str, direction: str, quantity: int, **changes: Any) -> SignedDocument:
        body = {
            "institution": name,
            "operator": self.world.key,
            "sequence": str(self.promises[name] + 1),
            "entry": self.world.head(name),
            "party": self.parties[name],
            "scope": self.scope,
            "direction": direction,
            "asset": "USDC",
            "quantity": str(quantity),
            "settles": day(),
        }
        return Obligation.parse(body | changes).signed_by(self.world.funds[name].identity)

    def promise(self, name: str, direction: str, quantity: int, **changes: Any) -> SignedDocument:
        entry = netting.promise(
            self.world.operator, name, self.obligation(name, direction, quantity, **changes).to_json()
        )
        self.promises[name] += 1
        return entry

    def key(self, party: str, asset: str = "USDC") -> tuple[str, str, str, str]:
        return (self.scope, party, asset, day())

    def net(self, *arrived: tuple[str, str, str, str], **more: Any) -> list[dict[str, str]]:
        found: list[dict[str, str]] = netting.net_cycle(self.world.operator, day(), arrived, **more)["groups"]
        return found

    def free(self, name: str) -> int:
        return self.world.account(name).private.free.get("USDC", 0)

    def outside(self) -> int:
        with self.world.operator.store.unit_of_work() as session:
            assert not any(ledger.totals(session).values())
            assert ledger.balances(session, ledger.NETTING) == {}
            return -ledger.balances(session, ledger.EXTERNAL).get("USDC", 0)

    def cycles(self) -> list[str]:
        """Numbers of the cycles whose leaf the log has."""
        with self.world.operator.store.unit_of_work() as session:
            leaves = [json.loads(row.entry) for row in session.query(LogLeaf).order_by(LogLeaf.number)]
        return [leaf["number"] for leaf in leaves if leaf["kind"] == "cycle"]

    def document(self, name: str) -> Netting:
        """The account's part of the newest cycle."""
        with self.world.operator.store.unit_of_work() as session:
            stored = [one.document for one in entries_after(session, name, 0, 1000)]
        return Netting.parse([one for one in stored if one.type == "netting"][-1].body)

    def replayed(self) -> None:
        with self.world.operator.store.unit_of_work() as session:
            replay.check(session, self.world.key)

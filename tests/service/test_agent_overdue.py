"""A time to answer that an operator declares over: by the witnesses' clocks, and against their receipts."""

import json
from datetime import datetime, timezone
from pathlib import Path

import pytest

from atomic_margin.documents.fields import instant_text
from atomic_margin.service.institution.history import History
from atomic_margin.service.institution.settings import AgentSettings
from atomic_margin.service.institution.universes import Universes
from atomic_margin.service.protocol.account.errors import EntryIllegal
from atomic_margin.service.protocol.delivery import DeliveryReceipt
from atomic_margin.service.protocol.leaves import entry_leaf
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.states import AccountState
from atomic_margin.service.protocol.trust import TrustFile

from .account.documents import INSTITUTION
from .bodies import TRUST
from .log.logs import MemoryLog
from .log.parties import ORIGIN, Kept
from .told import TERMS, SeenTicks, Told

BEGAN, SECONDS = 1_000_000, 900


class Watched(Told):
    """An agent whose trust file names the operator's log and two of three witnesses."""

    def __init__(self, folder: Path) -> None:
        self.kept: Kept | None = None
        super().__init__(folder)

    def started(self) -> History:
        self.kept = Kept(keeper=self.operator, log=MemoryLog([]))
        trust = TrustFile.parse({**TRUST, "operator": self.operator.public_key, "log": self.kept.trust().canonical()})
        self.settings = AgentSettings(self.folder, INSTITUTION, "", trust, 100, None)
        self.ticks = SeenTicks(self.folder)
        universes = Universes(self.settings.directory, TERMS, lambda hash_: None)
        identity = self.institution.public_key
        return History(self.settings, TERMS, identity, self.store, self.ticks, self.fetch, universes)  # type: ignore[arg-type]

    def declared(self, ended: int) -> SignedDocument:
        """The operator's word that the time is over, with checkpoints that the witnesses saw at two times."""
        assert self.kept is not None
        leaves = [entry_leaf(entry).to_bytes() for entry, _ in self.entries]
        self.kept.log = MemoryLog(leaves)
        (index,) = (
            number for number, (_, document) in enumerate(self.entries) if document.body_hash() == self.run.record
        )
        begins = self.kept.evidence(self.kept.note(len(leaves), BEGAN, BEGAN, None), index)
        return self.overdue(begins=begins.to_json(), ends=self.kept.note(len(leaves), ended, ended, None))

    def receipt(self, moment: int, number: int = 0) -> None:
        """A witness had the answer at a moment; the agent keeps its receipt."""
        assert self.kept is not None
        witness, (answer,) = self.kept.witnesses[number], self.answers
        receipt = DeliveryReceipt.parse(
            {
                "log": ORIGIN,
                "document": answer.body_hash(),
                "witness": witness.public_key,
                "received_at": instant_text(datetime.fromtimestamp(moment, timezone.utc)),
            }
        )
        (self.folder / "receipts").mkdir(exist_ok=True)
        path = self.folder / "receipts" / f"{answer.body_hash()}-{witness.public_key[:16]}.json"
        path.write_text(json.dumps(receipt.signed_by(witness).to_json()))

    @property
    def answers(self) -> list[SignedDocument]:
        return self.given

    def waiting(self) -> None:
        """A run with its answer on the way, which the operator does not enter."""
        self.recorded(deadline=instant_text(datetime(2026, 11, 27, 12, 15, tzinfo=timezone.utc)))
        self.given = [self.answer("covered")]


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    watched = Watched(tmp_path)
    watched.waiting()
    return watched


def test_a_time_that_the_witnesses_say_is_over_is_over(watched: Watched) -> None:
    watched.enter(watched.declared(BEGAN + SECONDS))
    watched.history.sync()
    assert watched.history.state is not None
    assert watched.history.state.public.status is AccountState.FROZEN
    assert watched.evidence == []


def test_a_time_that_they_do_not_say_is_over_is_not(watched: Watched) -> None:
    # What is over by the operator's own clock alone is no evidence; the agent's replica stays where it was.
    watched.enter(watched.declared(BEGAN + SECONDS - 1))
    for _ in range(2):
        with pytest.raises(EntryIllegal, match="the witnesses do not say so"):
            watched.history.sync()
    assert watched.history.state is not None
    assert watched.history.state.public.status is AccountState.ACTIVE
    assert len(watched.evidence) == 1


@pytest.mark.parametrize(("moment", "contradicted"), [(BEGAN + SECONDS, True), (BEGAN + SECONDS + 1, False)])
def test_a_receipt_from_before_the_end_convicts_and_the_account_goes_on(
    watched: Watched, moment: int, contradicted: bool
) -> None:
    watched.receipt(moment)
    watched.enter(watched.declared(BEGAN + SECONDS + 60))
    watched.history.sync()
    kept = watched.evidence
    assert len(kept) == contradicted
    if contradicted:
        assert kept[0]["answer"] == watched.given[0].to_json()
        assert "a witness had the answer" in kept[0]["reason"]
    # It is followed all the same: the late answer frees the account.
    watched.enter(watched.given[0])
    watched.history.sync()
    assert watched.history.state is not None
    assert watched.history.state.public.status is AccountState.ACTIVE

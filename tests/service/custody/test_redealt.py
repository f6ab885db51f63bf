"""An institution deals the book of its open run to other custodians: what they found could not be shown to anybody."""

from collections.abc import Callable
from typing import Any

import pytest

from atomic_margin.service.errors import DealOpen, RemoteError
from atomic_margin.service.institution import dealing
from atomic_margin.service.operator.accounts import agreements
from atomic_margin.service.operator.runs import evaluation
from atomic_margin.service.protocol.states import RunState
from atomic_margin.service.protocol.trust import TrustFile
from atomic_margin.service.verifier.attestation import verify_attestation
from atomic_margin.zk.groups import Group

from ..documents import FUND
from .conftest import Custody, Later
from .holders import Holders
from .opening import Owed
from .test_amending import ask, pin

pytestmark = pytest.mark.long

At = Callable[..., Custody]


class _Owed(Owed):
    """The same, with something done while the run waits for its answer."""

    def __init__(self, custody: Custody, later: Later, number: int, meanwhile: Callable[[], None]) -> None:
        self.custody, self.world, self.holders = custody, custody.world, custody.holders
        self.run_id = self.world.play(number)
        meanwhile()
        later(1000)
        assert evaluation.sweep_deadlines(self.world.operator) == [self.run_id]
        self.request = ""


@pytest.mark.parametrize("dealt_when", ["run is open", "before the tick"])
def test_a_book_that_is_dealt_to_successors_is_opened_and_shown_or_refused(
    custody_at: At, later: Later, monkeypatch: pytest.MonkeyPatch, group: Group, dealt_when: str
) -> None:
    at = custody_at("dealt", proofs=True)
    old, new = at.holders, Holders(name="custody of 2027").at(at.world)
    pin(at, old.policy, new.policy)
    # An ordinary amendment, which both sides sign; the book stays with the custodians before.
    agreements.agree(at.world.operator, FUND, ask(at, new.policy))
    at.resident.agent.answer_due()
    at.waited = new.look
    honest = dealing.sharing_of

    def dealt_anew(party: Any, state: Any, sequence: int, book: Any, account: Any) -> Any:
        # The cheat: the same commitments are dealt anew, under the policy in force.
        hidden = state.changed({"public": state.public.changed({"book": None, "waiting": None})})
        try:
            return honest(party, hidden, sequence, book, account)
        except DealOpen:
            new.look()
            return honest(party, hidden, sequence, book, account)

    def deal_anew() -> None:
        monkeypatch.setattr(dealing, "sharing_of", dealt_anew)
        # An agent that answers nothing meanwhile.
        at.resident.agent.rotate_keys()
        book = at.resident.state.public.book
        assert book is not None
        assert book.shared is not None
        assert book.shared.policy == new.policy.hash()

    at.holders = new
    if dealt_when == "run is open":
        with pytest.raises(RemoteError, match="is open on this book: deal it anew after that"):
            _Owed(at, later, 2, deal_anew)
        return
    deal_anew()
    owed = _Owed(at, later, 2, lambda: None)
    owed.holders = new
    owed.asked()
    owed.in_session(1, 2, 5)
    finding = owed.breach()
    for point in (1, 2):
        response = new[point].bring(finding)
        assert response.status_code == 201, response.text
    assert at.world.run(owed.run_id).state is RunState.SETTLED
    # Collateral has moved. Now a third party reads the bundle.
    pins = {"custody": {FUND: [old.policy.canonical(), new.policy.canonical()]}}
    # The institution's keys are all pinned.
    pins |= {"keys": {FUND: [owed.ground.record.key_commitments]}}  # type: ignore[dict-item]
    trust = TrustFile.parse({**at.world.trust_file().canonical(), **pins})
    report = verify_attestation(at.world.bundle(owed.run_id), trust, group)
    assert report.result is not None

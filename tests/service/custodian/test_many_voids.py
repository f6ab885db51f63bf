"""A game: one custodian and the operator, who chooses who computes and who hears of which void, and count findings."""

from collections.abc import Callable
from typing import Any

import pytest

from atomic_margin.service.custodian import closing, voiding
from atomic_margin.service.custodian.client import OperatorClient
from atomic_margin.service.custodian.closing import Opened
from atomic_margin.service.custodian.engine.errors import EngineStalled
from atomic_margin.service.custodian.engine.task import EngineTask, Verdict
from atomic_margin.service.custodian.stored import Found
from atomic_margin.service.operator.custody import openings
from atomic_margin.service.operator.store.custody_tables import OpeningRow
from atomic_margin.service.protocol.account.opening_documents import OpeningRequest
from atomic_margin.service.protocol.custodian_messages import OpeningSession, Present, RowBox, RowBoxes
from atomic_margin.service.protocol.signing import Identity

from ..documents import FUND
from .engines import rows
from .played import LISTENS, POINTS, Party, Scene
from .test_openings import asked

pytestmark = pytest.mark.long

Open = Callable[[str], Scene]
LIAR = 1
IN_ONE_OPENING, IN_A_RUN = 6, 9
"""Findings that are read of a run, in 2 of 4, as ADR 0093 and SECURITY.md say: twelve rows, and eighteen."""


class Cheats:
    """The operator and custodian 1, who deviates; custodians 2, 5 and 9 are honest."""

    def __init__(self, scene: Scene) -> None:
        self.scene, self.invented = scene, Found(False)
        self.opened: dict[Found, Opened] = {}
        self.parties = {point: scene.party(point, self._engine) for point in POINTS}
        self.session: OpeningSession | None = None
        self.request, self.number, self.told_alone = "", 0, 0
        self.told = dict[int, tuple[dict[str, Any], ...]]()
        for party in self.parties.values():
            self._patch(party)

    def _engine(self, task: EngineTask, identity: Identity) -> Verdict:
        # Custodian 1 is in all sessions: a breach is found by rows of its choice (ADR 0089). It sends its verdict to
        # one of the others alone, so that the other one has nothing of this session.
        assert any(one.point == LIAR for one in task.present)
        if task.point != self.told_alone:
            raise EngineStalled("the custodian at point 1 did not send its verdict", (LIAR,))
        return Verdict(*self.invented)

    def _patch(self, party: Party) -> None:
        client, shown = party.client, party.client.openings

        def crafted() -> Any:
            answer = shown()
            if self.session is None or all(one.point != party.point for one in self.session.present):
                return answer.model_copy(update={"openings": ()})
            [one] = answer.openings
            changed = {"session": self.session, "voids": self.told.get(party.point, ())}
            return answer.model_copy(update={"openings": (one.model_copy(update=changed),)})

        client.openings = crafted  # type: ignore[method-assign]
        client.take_part = lambda *_: None  # type: ignore[method-assign]
        client.send_rows = lambda request, box: self._open(party.point, request, box)  # type: ignore[method-assign]
        client.rows = lambda _: RowBoxes()  # type: ignore[method-assign]

    @property
    def run(self) -> str:
        return str(self.scene.world.run(f"{FUND}.1").record_hash)

    def begin(self, request: str) -> None:
        self.request, self.number, self.told = request, 0, {}

    def _open(self, sender: int, request: str, box: RowBox) -> None:
        """Custodian 1 opens two rows with its own shares and those that one honest custodian sent."""
        liar, found = self.parties[LIAR], self.parties[sender].store.found(self.run)
        assert found is not None
        assert box.closer == LIAR
        judged, group, key = liar.openings._judged[request], liar.own.group, liar.folder.encryption
        both, data, number = closing.rows_of(judged, found), bytes.fromhex(box.box), int(box.session)
        sent = closing.open_rows(judged, found, both, data, number, sender, LIAR, key, group)
        self.opened[found] = closing.open_both(
            judged, found, {LIAR: closing.own_shares(judged, both), sender: sent}, group
        )

    def void(self, point: int) -> None:
        """Prove that what a custodian has is void, and tell it alone, with the next session."""
        liar, found, session = self.parties[LIAR], self.parties[point].store.found(self.run), self.session
        assert found is not None
        assert session is not None
        next_one = session.model_copy(update={"number": self.number + 1})
        judged = liar.openings._judged[self.request]
        said: Any = voiding.prove_void(judged, found, self.opened[found], next_one, liar.own.group).canonical()
        self.told[point] = (*self.told.get(point, ()), dict(said))

    def play(self, points: tuple[int, ...], invented: tuple[int, int], told_alone: int) -> None:
        """One session of custodian 1 with two others, of whom one hears the verdict."""
        self.told_alone = told_alone
        self.number += 1
        address = f"127.0.0.1:{LISTENS.port}"
        present = tuple(Present(point=point, address=address) for point in (LIAR, *points))
        self.session = OpeningSession(number=self.number, present=present, closer=LIAR)
        self.invented = Found(True, *invented)
        for _ in range(2):
            for point in points:
                self.parties[point].openings.round()

    def meet(self) -> None:
        """Custodian 1 judges the request, for its own use."""
        party = self.parties[LIAR]
        [one] = OperatorClient.openings(party.client).openings
        body = OpeningRequest.parse(one.request["body"])
        party.openings._judged[self.request] = party.openings._judge(self.request, body)

    def lapse(self) -> str:
        """End the opening, and ask for another one of the same run; the policy allows two."""
        operator = self.scene.world.operator
        with operator.store.unit_of_work() as session:
            openings.lapse(
                operator, session, session.query(OpeningRow).filter_by(request=self.request).one(), "took too long"
            )
        return asked(self.scene)


def pairs(scene: Scene, count: int) -> list[tuple[int, int]]:
    """Different pairs of rows that are not negative."""
    found = []
    for kind in ("maintenance", "initial"):
        values = rows(scene, kind, 1)
        found.append([place for place, value in enumerate(values) if value >= 0])
    made = [(first, second) for first in found[0] for second in found[1]]
    assert len(made) >= count
    return made[:count]


def test_one_custodian_and_the_operator_see_as_many_rows_of_a_run_as_is_said(scene_at: Open) -> None:
    scene = scene_at("owed-calm")
    cheats, invented = Cheats(scene), iter(pairs(scene, 10))
    cheats.begin(asked(scene))
    cheats.meet()
    for point, other in ((2, 9), (9, 5)):
        for turn in range(3):
            if turn:
                cheats.void(point)
            cheats.play(tuple(sorted((point, other))), next(invented), point)
    in_one_opening = len(cheats.opened)
    cheats.begin(cheats.lapse())
    cheats.meet()
    for turn in range(3):
        if turn:
            cheats.void(5)
        cheats.play((5, 9), next(invented), 5)
    # No more than that: whoever gave up as many findings of a run keeps what it has.
    cheats.void(5)
    cheats.play((5, 9), next(invented), 5)
    for found, opened in cheats.opened.items():
        assert opened.maintenance.value == rows(scene, "maintenance", 1)[found.maintenance_row or 0]
        assert opened.initial.value == rows(scene, "initial", 1)[found.initial_row or 0]
    assert (in_one_opening, len(cheats.opened)) == (IN_ONE_OPENING, IN_A_RUN)

"""An owed run and its opening: rows are opened from the custodians' real shares, and proven by a closer's functions."""

from typing import Any

from atomic_margin.service.operator.runs import evaluation, opened
from atomic_margin.service.protocol.account.opening_documents import Finding
from atomic_margin.service.protocol.opening_claims import OpeningGround, breach_statement, lack_statement, top_up_step
from atomic_margin.zk.groups import load_group
from atomic_margin.zk.prove.lack import prove_lack
from atomic_margin.zk.prove.opened_breach import prove_opened_breach
from atomic_margin.zk.sharing.open_row import RowOpening, open_row, share_row
from atomic_margin.zk.sharing.rows import Row

from ..documents import FUND, Json
from .conftest import Custody, Later


class Owed:
    """A run whose time is over, on a book that custodians have shares of."""

    def __init__(self, custody: Custody, later: Later, number: int, **changes: object) -> None:
        self.custody, self.world, self.holders = custody, custody.world, custody.holders
        self.run_id = self.world.play(number, **changes)
        later(1000)
        assert evaluation.sweep_deadlines(self.world.operator) == [self.run_id]
        self.request = ""

    def ask(self) -> Any:
        return self.world.client.post("/v1/openings", json={"institution": FUND}, headers=self.world.admin)

    def asked(self) -> "Owed":
        response = self.ask()
        assert response.status_code == 201, response.text
        with self.world.operator.store.reading():
            custody = self.custody.resident.state.public.custody
        assert custody is not None
        assert custody.opening is not None
        self.request = custody.opening.request
        return self

    def standing(self, point: int = 1) -> Json:
        found: Json = self.holders[point].got(f"/openings/{self.request}")
        return found

    def in_session(self, *points: int) -> Json:
        for point in points:
            self.holders[point].takes_part(self.request)
        return self.standing()

    @property
    def ground(self) -> OpeningGround:
        return opened.ground_of(self.world.operator, self.world.run(self.run_id))

    def row(self, kind: str, index: int) -> RowOpening:
        public = self.custody.resident.state.public
        assert public.book is not None
        assert public.book.shared is not None
        matrix = self.ground.matrices.of(kind, "proof")  # type: ignore[arg-type]
        pairs = [self.holders[point].shares[public.book.shared.deal] for point in (1, 2)]
        weights = tuple(int(weight) for weight in matrix.weights[index])
        row = Row(pairs[0][0], weights, int(matrix.collateral[index]))
        return open_row(row, [share_row(row, shares) for _, shares in pairs], load_group())

    def least(self, kind: str) -> int:
        """What the computation between custodians tells; here all rows are opened for it."""
        count = len(self.ground.matrices.of(kind, "proof").weights)  # type: ignore[arg-type]
        values = [self.row(kind, index).value for index in range(count)]
        return values.index(min(values))

    def claim(self, outcome: str, **more: str) -> Json:
        record = self.ground.record
        said = {
            "institution": record.institution,
            "operator": record.operator,
            "request": self.request,
            "run_id": record.run_id,
            "run": self.ground.run_hash,
            "submission": record.submission,
            "price_sequence": str(record.price_sequence),
            "outcome": outcome,
            "top_up": "0",
            "top_up_usd": "0",
        }
        return said | more

    def covered(self) -> Finding:
        return Finding.parse(self.claim("covered"))

    def breach(self) -> Finding:
        ground, row, initial = self.ground, self.least("maintenance"), self.least("initial")
        lacking, step = self.row("initial", initial), top_up_step(ground)
        top_up = -(lacking.value // step) * step
        usd = format(ground.matrices.initial_proof.usd(top_up), "f")
        body = self.claim("breach", initial_row=str(initial), top_up=str(top_up), top_up_usd=usd)
        draft = Finding.parse(body | {"breach_proof": "00", "lack_proof": "00"})
        breach = prove_opened_breach(breach_statement(draft, ground), row, self.row("maintenance", row))
        lack = prove_lack(lack_statement(draft, ground), lacking)
        return Finding.parse(body | {"breach_proof": breach.hex(), "lack_proof": lack.hex()})

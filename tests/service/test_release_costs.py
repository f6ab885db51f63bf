"""What the proof of a release costs beside a sufficiency proof of the same book, in one run: `-m slow -s`."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from atomic_margin.circuits.profile import STANDARD, TINY, Profile
from atomic_margin.margin.market.market import Market
from atomic_margin.margin.market.portfolio import Portfolio
from atomic_margin.service.institution.sufficient import Position
from atomic_margin.service.protocol.release_rows import ReleaseRows
from atomic_margin.service.protocol.statements import gains
from atomic_margin.service.protocol.terms import AccountColumns, Terms
from atomic_margin.zk.groups import load_group
from atomic_margin.zk.prove.commit import commit_values
from atomic_margin.zk.prove.sufficiency import prove_sufficiency
from atomic_margin.zk.prove.witness import SufficiencyWitness
from atomic_margin.zk.verify.sufficiency import verify_sufficiency

from .documents import GROSS_LIMIT, example, full_example

TIMES = 5
WIDE = Profile("wide", entries=256, rows=33, bits=20)
CASES = {
    "scan, 16 entries": ("model-scan", example, TINY, GROSS_LIMIT),
    "scan, example": ("model-scan", full_example, STANDARD, 64_000_000),
    "expected shortfall, example": ("expected-shortfall/model", full_example, WIDE, 64_000_000),
}


def least(act: Callable[[], Any]) -> float:
    """Return processor milliseconds, the least of several."""
    found = []
    for _ in range(TIMES):
        begun = time.process_time()
        act()
        found.append(time.process_time() - begun)
    return 1000 * min(found)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_a_release_costs_what_a_sufficiency_proof_costs(case: str) -> None:
    name, read, profile, limit = CASES[case]
    terms = Terms.parse(read(name), read("universe"), read("collateral-schedule"), profile)
    market, account = Market.parse(read("market-1")), AccountColumns(terms.universe.hash(), limit)
    z = terms.encode(Portfolio.parse(read("portfolio")), account)
    values, group = tuple(int(value) for value in z), load_group()
    posted = {"USDC": 60_000_000 * 10**6}
    shown = next(Position(terms, market, posted, account, terms.compile(market, posted, account), z).rows("initial"))
    points, blindings = commit_values(values, bytes(32), {"a": "b"})
    rows = ReleaseRows.of(shown.rows, gains(account, terms, market))
    bits = profile.bits + 12
    slack = tuple(int(value) for value in shown.slack)
    costs = {}
    for what, statement, chosen in (
        ("sufficiency", shown.rows.statement(points, bits, {"a": "b"}), slack),
        ("release", rows.statement(points, bits, {"a": "b"}), (*slack, rows.gained(z))),
    ):
        witness = SufficiencyWitness(values, blindings, chosen)
        proof = prove_sufficiency(statement, witness, group)
        parameters = statement.bit_statement().parameters
        costs[what] = (
            least(lambda: prove_sufficiency(statement, witness, group)),  # noqa: B023  # called at once
            least(lambda: verify_sufficiency(statement, proof, group)),  # noqa: B023
            len(proof),
            parameters.bits,
        )
        print(
            f"{case}, {shown.form}: {what}: {statement.rows} rows, {parameters.bits} bits in {parameters.chunks} "
            "chunks: proven in {:.0f} ms, verified in {:.0f} ms, {} bytes".format(*costs[what])
        )
    # Times depend on what else runs; what is proven does not.
    assert costs["release"][3] == costs["sufficiency"][3] + 2 * bits
    assert costs["release"][2] < 1.1 * costs["sufficiency"][2]

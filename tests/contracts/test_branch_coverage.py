"""What `scripts/coverage_contracts.py` counts is what is taken, and code with probes does what it did without."""

from pathlib import Path
from typing import Any

import pytest
from eth.vm.forks.prague.computation import PragueComputation
from eth_tester.exceptions import TransactionFailed
from web3.exceptions import Web3Exception

from atomic_margin.contracts import local_chain
from atomic_margin.contracts.artifact import Artifact
from atomic_margin.contracts.deploy import deploy

from .. import outside

ROOT = Path(__file__).resolve().parents[2]
SHAPES = """// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

contract Shapes {
    uint256 private constant NINE = true ? 9 : 8;
    uint256 public kept;

    modifier small(uint256 limit) {
        if (limit > NINE) revert();
        _;
    }

    modifier open {
        require(kept == 0, "kept");
        _;
    }

    function ifs(uint256 a, bool b) public pure returns (uint256) {
        if (a > 1 && !(b || a == 3)) return 1;
        else if (a == 0) return 2;
        return a > 5 ? 3 : 4;
    }

    function loops(uint256 n) external pure returns (uint256 sum) {
        for (uint256 i = 0; i < n; ++i) sum += i;
        while (sum > 10 && n > 0) {
            sum -= 10;
            if (n == 8) break;
        }
        do sum += 1; while (sum < 3);
    }

    function assembled(uint256 n) external pure returns (uint256 r) {
        assembly ("memory-safe") {
            if gt(n, 1) { r := 1 }
            switch n case 0 { r := 5 } case 1 { r := 6 }
            for { let i := 0 } lt(i, n) { i := add(i, 1) } { r := add(r, i) }
        }
    }

    function tries(uint256 a) external view returns (bool) {
        try this.needs(a) returns (uint256) { return true; } catch { return false; }
    }

    function needs(uint256 a) external pure returns (uint256) {
        require(a > 0);
        return ifs(a, true);
    }

    function one(uint256 n) external small(n) open { kept = n; }
    function two() external open {}
}
"""

CALLS: tuple[tuple[str, tuple[Any, ...], set[str]], ...] = (
    ("ifs", (0, False), {"a > 1: false", "a == 0: true"}),
    ("ifs", (2, False), {"a > 1: true", "b: false", "a == 3: false"}),
    ("ifs", (3, False), {"a > 1: true", "b: false", "a == 3: true", "a == 0: false", "a > 5: false"}),
    ("ifs", (6, True), {"a > 1: true", "b: true", "a == 0: false", "a > 5: true"}),
    (
        "loops",
        (0,),
        {"i < n: skipped", "sum > 10 && n > 0: skipped", "sum > 10: false", "sum < 3: true", "sum < 3: false"},
    ),
    (
        "loops",
        (6,),
        {
            "i < n: entered",
            "sum > 10 && n > 0: entered",
            "sum > 10: true",
            "sum > 10: false",
            "n > 0: true",
            "n == 8: false",
            "sum < 3: false",
        },
    ),
    (
        "loops",
        (8,),
        {
            "i < n: entered",
            "sum > 10 && n > 0: entered",
            "sum > 10: true",
            "n > 0: true",
            "n == 8: true",
            "sum < 3: false",
        },
    ),
    ("assembled", (0,), {"gt(n, 1): false", "n: case 0", "lt(i, n): skipped"}),
    ("assembled", (1,), {"gt(n, 1): false", "n: case 1", "lt(i, n): entered"}),
    ("assembled", (3,), {"gt(n, 1): true", "n: default", "lt(i, n): entered"}),
    # What a call did that is undone counts: its branches were taken.
    ("tries", (0,), {"a > 0: false", "this.needs(a): caught"}),
    (
        "tries",
        (4,),
        {"a > 0: true", "a > 1: true", "b: true", "a == 0: false", "a > 5: false", "this.needs(a): returned"},
    ),
    ("one", (10,), {"small: limit > NINE: true"}),
    ("one", (5,), {"small: limit > NINE: false", "open: kept == 0: true"}),
    # The same modifier, counted for the function that has it.
    ("two", (), {"open: kept == 0: true"}),
)


@pytest.mark.long
def test_what_is_counted_is_what_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    if not (ROOT / "node_modules" / "solc").exists():
        outside.absent("the Solidity compiler, by `make contracts`")
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    coverage, probes = __import__("coverage_contracts"), __import__("branch_probes")
    made = coverage.probed({"Shapes.sol": SHAPES})
    taken: set[int] = set()
    monkeypatch.setattr(PragueComputation, "opcodes", probes.watched_opcodes(taken))
    web3 = local_chain.tester()

    def deployed(sources: dict[str, str]) -> Any:
        contract = coverage.compiled(sources, ["Shapes"])["Shapes"]
        code = bytes.fromhex(contract["evm"]["bytecode"]["object"])
        return deploy(web3, web3.eth.accounts[0], Artifact("Shapes", contract["abi"], code, "", {}))

    def said(contract: Any, name: str, arguments: tuple[Any, ...]) -> Any:
        try:
            return contract.functions[name](*arguments).call()
        except (TransactionFailed, Web3Exception) as error:
            return str(error)

    plain, probed = deployed({"Shapes.sol": SHAPES}), deployed(made.sources)
    for name, arguments, wanted in CALLS:
        taken.clear()
        wanted_answer = said(plain, name, arguments)
        assert not taken
        assert said(probed, name, arguments) == wanted_answer
        found = {f"{made.outcomes[number].text}: {made.outcomes[number].outcome}" for number in taken}
        assert found == wanted, (name, arguments)
    assert [one.line for one in made.outcomes if one.text == "n == 8"] == [28, 28]
    assert {one.function for one in made.outcomes} == {
        f"Shapes.{name}" for name in ("ifs", "loops", "assembled", "tries", "needs", "one", "two")
    }


def test_a_list_that_is_wrong_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    coverage, branches, untaken = (__import__(name) for name in ("coverage_contracts", "branches", "untaken"))
    outcomes = [branches.Outcome("A.sol", 3, "A.f", "if", "x", way) for way in ("true", "false")]
    listed = untaken.Untaken("A.f", "x", "false", "because")
    report = coverage.Report(outcomes, {0}, [listed])
    assert (report.missed, report.stale, report.by_source) == ([], [], {"A.sol": (1, 2)})
    assert coverage.Report(outcomes, {0}, []).missed == [outcomes[1]]
    assert coverage.Report(outcomes, {0, 1}, [listed]).stale == ["A.f: `x` false: is taken"]
    gone = listed._replace(text="y")
    report = coverage.Report(outcomes, {0}, [gone])
    assert report.stale == ["A.f: `y` false: is not there"]
    assert report.missed == [outcomes[1]]

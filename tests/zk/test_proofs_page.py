"""docs/proofs.md: its example runs and prints what is shown, and its numbers are those of the code."""

import doctest
from pathlib import Path

from atomic_margin.zk.bits.parameters import CHUNKS, MAX_BITS, ONE_CHUNK_BITS
from atomic_margin.zk.choice import choice_bytes
from atomic_margin.zk.prove.openings import TABLE_FROM
from atomic_margin.zk.sharing import statement as sharing
from atomic_margin.zk.statements import breach, checks, encryption, key, lwe

PAGE = Path(__file__).resolve().parents[2] / "docs" / "proofs.md"


def test_the_example_runs_and_prints_what_is_shown() -> None:
    result = doctest.testfile(str(PAGE), module_relative=False)
    assert result.attempted > 40
    assert result.failed == 0


def test_the_parameters_are_those_of_the_code() -> None:
    rows = dict(line.split(" | ")[:2] for line in PAGE.read_text().splitlines() if line.startswith("| "))
    assert rows["| noise bound of inputs, E"] == str(encryption.NOISE_BITS)
    assert rows["| key chunk"] == f"{key.CHUNK_BITS} bits"
    assert rows["| carry"] == f"{lwe.carry_bits(2048)} bits at n = 2048"
    assert rows["| committed bits"] == f"at most {MAX_BITS:,}"
    assert rows["| chunks"] == f"1 up to {ONE_CHUNK_BITS:,} bits, {CHUNKS} above"
    assert rows["| entries"] == f"at most {checks.MAX_ENTRIES:,}"
    assert rows["| commitments of a sufficiency statement"] == f"at most {checks.MAX_COMMITMENTS:,}"
    assert rows["| matrix"] == f"at most {checks.MAX_CELLS:,} entries"
    assert rows["| tables for commitments"].startswith(f"{TABLE_FROM} commitments and more")
    assert rows["| rows"] == f"at most {checks.MAX_ROWS:,}, and {breach.MAX_CHOICES} to choose from in a breach"
    assert rows["| custodians"] == (
        f"{sharing.MIN_THRESHOLD} to {sharing.MAX_CUSTODIANS}, at points from 1 to {sharing.MAX_POINT:,}"
    )
    assert rows["| threshold of custodians"] == f"at least {sharing.MIN_THRESHOLD}"
    assert choice_bytes(3) - choice_bytes(2) == 112

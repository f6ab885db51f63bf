"""The benchmark measures every statement and writes what it says it writes."""

import json
from pathlib import Path

import pytest

from atomic_margin.bench.zk.answer import measure_answer
from atomic_margin.bench.zk.benchmark import SIZES, SMALL, Size, line, main, run_benchmark, write_json
from atomic_margin.bench.zk.examples import CASES
from atomic_margin.bench.zk.sharing import measure as measure_sharing
from atomic_margin.margin.kinds import Form
from atomic_margin.zk.errors import BackendUnavailable
from atomic_margin.zk.groups import load_group

TINY = [Size(name, entries=2, rows=2, bits=8, dimension=4) for name in sorted(CASES) if name != "decryption"]
TINY += [Size("decryption", entries=2, rows=0, bits=1, dimension=4), Size("sufficiency", 2, 2, 8, copies=3)]


def test_every_statement_is_measured(tmp_path: Path) -> None:
    seen: list[str] = []
    results = run_benchmark("arkworks", TINY, runs=1, progress=lambda result: seen.append(result.statement))
    assert seen == [*sorted(set(CASES) - {"decryption"}), "decryption", "batch of 3 sufficiency"]
    write_json(results, tmp_path / "zk.json")
    records = json.loads((tmp_path / "zk.json").read_text())
    assert [list(record) for record in records] == [
        ["statement", "entries", "rows", "bits", "backend", "prove_s", "verify_s", "bytes"]
    ] * len(TINY)
    assert all(record["prove_s"] > 0 and record["verify_s"] > 0 and record["bytes"] > 0 for record in records)
    assert {record["backend"] for record in records} == {"arkworks"}


def test_the_sizes_of_the_service_cover_every_statement_and_keep_their_promised_bytes() -> None:
    assert {size.statement for size in SIZES} == set(CASES)
    assert {size.statement for size in SMALL} <= set(CASES)


def test_promises_stand_beside_the_figures() -> None:
    (result,) = run_benchmark("arkworks", TINY[:1], runs=1)
    promised = line(result, Size("breach", 2, 2, 8, prove_s=0.5, proof_bytes=9))
    assert "(0.5)" in promised
    assert promised.endswith("(9)")
    assert "(" not in line(result)


def test_an_unknown_backend_is_named() -> None:
    with pytest.raises(BackendUnavailable, match="no group backend is called 'other'"):
        main(["other"])


@pytest.mark.parametrize("form", ["conservative", "exact"])
def test_the_answer_of_a_market_maker_is_proven_in_either_form(form: Form) -> None:
    found = measure_answer(0, 16, form, load_group("auto"))
    assert found.form == form
    assert found.bits >= 32 * found.rows
    assert (found.slack > 0) is (form == "exact")
    assert min(found.prove_s, found.verify_s) > 0


def test_what_custodians_cost_is_measured() -> None:
    one = measure_sharing(2, 4, 3, 2, load_group("arkworks"), runs=1)
    assert (one.threshold, one.custodians, one.entries, one.rows) == (2, 4, 3, 2)
    assert one.wire_bytes == 1 + 35 + 3 * 64 + 48
    assert all(seconds > 0 for seconds in (one.deal_s, one.check_s, one.complete_s, one.open_s, one.prove_s))

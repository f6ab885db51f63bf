"""What an answer with slack costs: the exact rows of a market maker's `pmrm2` book, proven and verified.

    python -m atomic_margin.bench.zk.answer --options 64 --books 3

Seconds are of the processor, all threads together, so that other load says little; and in brackets on the clock.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass

from atomic_margin.margin.kinds import Form
from atomic_margin.margin.models.pmrm2 import compile_case
from atomic_margin.margin.models.pmrm2.books import pmrm2_hedged_case
from atomic_margin.margin.models.portfolio_margin import exact_matrices, run_matrices
from atomic_margin.margin.rows.least_slack import least_slack
from atomic_margin.margin.rows.slack_matrix import exact_surplus
from atomic_margin.zk.generators import load_generators
from atomic_margin.zk.groups import Group, load_group
from atomic_margin.zk.prove.commit import commit_values
from atomic_margin.zk.prove.sufficiency import prove_sufficiency
from atomic_margin.zk.prove.witness import SufficiencyWitness
from atomic_margin.zk.statements.sufficiency import SufficiencyStatement
from atomic_margin.zk.verify.sufficiency import verify_sufficiency

BITS = 32
_CONTEXT = {"institution": "example", "run": "1"}


@dataclass(frozen=True)
class Answer:
    """One answer, measured.

    Attributes:
        form: of the rows.
        entries: N.
        rows: R, those that bound slack included.
        slack: number of slack values, switches included.
        bits: committed in the proof.
        prove_s: processor seconds.
        verify_s: processor seconds.
        prove_clock_s: wall time.
        verify_clock_s: wall time.
    """

    form: Form
    entries: int
    rows: int
    slack: int
    bits: int
    prove_s: float
    verify_s: float
    prove_clock_s: float
    verify_clock_s: float


def measure_answer(number: int, options: int, form: Form, group: Group) -> Answer:
    """Prove generated book ``number`` covered by the top-up it needs, and verify it."""
    compiled = compile_case(pmrm2_hedged_case(number, 0, options), form)
    values = tuple(compiled.z.tolist())
    commitments, blindings = commit_values(values, bytes(32), _CONTEXT, group)
    if form == "exact":
        exact = exact_matrices(compiled, BITS - 12).initial
        slack = least_slack(exact, compiled.z)
        surplus = exact_surplus(exact, compiled.z, slack)[exact.margin_rows]
        matrix, coefficients, widths = exact.matrix, exact.slack, exact.slack_widths
        counts, used = tuple(int(not bound) for bound in exact.validity), tuple(slack.tolist())
    else:
        matrix = run_matrices(compiled, BITS - 12).initial_proof
        surplus, coefficients, widths, counts, used = matrix.surplus(compiled.z), None, (), None, ()
    offsets, top_up = tuple(matrix.collateral.tolist()), max(0, -int(surplus.min()))
    statement = SufficiencyStatement(
        commitments, matrix.weights, offsets, top_up, BITS, _CONTEXT, coefficients, widths, counts
    )
    witness = SufficiencyWitness(values, blindings, used)
    parameters = statement.bit_statement().parameters
    load_generators(group, parameters.padded)
    start = _clocks()
    proof = prove_sufficiency(statement, witness, group)
    proven = _clocks()
    verify_sufficiency(statement, proof, group)
    verified = _clocks()
    return Answer(
        form=form,
        entries=len(values),
        rows=statement.rows,
        slack=len(widths),
        bits=parameters.bits,
        prove_s=proven[0] - start[0],
        verify_s=verified[0] - proven[0],
        prove_clock_s=proven[1] - start[1],
        verify_clock_s=verified[1] - proven[1],
    )


def _clocks() -> tuple[float, float]:
    return time.process_time(), time.perf_counter()


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure some books in both forms and print a line for each."""
    parser = argparse.ArgumentParser(prog="python -m atomic_margin.bench.zk.answer", description="Time answers.")
    parser.add_argument("--options", type=int, default=64, help="different options a book holds")
    parser.add_argument("--books", type=int, default=3, help="how many books")
    given = parser.parse_args(arguments)
    group = load_group("auto")
    forms: tuple[Form, ...] = ("conservative", "exact")
    for number in range(given.books):
        for form in forms:
            found = measure_answer(number, given.options, form, group)
            print(
                f"{form:12} {found.entries} entries, {found.rows} rows, {found.slack} slack values, {found.bits} bits: "
                f"prove {found.prove_s:.2f} s ({found.prove_clock_s:.2f}), "
                f"verify {found.verify_s:.2f} s ({found.verify_clock_s:.2f})",
                flush=True,
            )


if __name__ == "__main__":
    main()

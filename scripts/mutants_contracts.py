"""The mutants of what makes calldata and loads compiled contracts. Those of the contracts: test_weakened.py."""

from mutant import Mutant, call, condition

_CALLDATA, _ARTIFACTS = "tests/contracts/test_calldata.py::test_", "tests/contracts/test_artifacts.py::test_"
_REFUSED = (f"{_CALLDATA}statements_the_contract_does_not_verify",)

CONTRACT_MUTANTS = (
    Mutant("calldata: slack", "contracts.calldata:_check", condition("slack_widths"), "False", _REFUSED),
    Mutant("calldata: weighted top-ups", "contracts.calldata:_check", condition("top_up_counts"), "False", _REFUSED),
    Mutant("calldata: bits", "contracts.calldata:_check", condition("most_bits"), "False", _REFUSED),
    Mutant(
        "calldata: commitments that do not decode",
        "contracts.calldata:statement_calldata",
        call("decode_commitments"),
        "None",
        (f"{_CALLDATA}what_does_not_decode_is_refused",),
    ),
    Mutant(
        "calldata: points that do not decode",
        "contracts.calldata:_points",
        call("decode_point"),
        "None",
        (f"{_CALLDATA}what_does_not_decode_is_refused",),
    ),
    Mutant(
        "parts: what a transaction may take",
        "contracts.parts:plan",
        condition("most", "budget"),
        "True",
        ("tests/contracts/test_parts_plan.py::test_a_plan_has_the_fewest_parts_that_fit",),
    ),
    Mutant(
        "parts: one that was refused",
        "contracts.recording:Recorder._send",
        condition("receipt"),
        "False",
        ("tests/contracts/vault/test_parts.py::test_a_part_that_is_refused_is_said",),
    ),
    Mutant(
        "artifact: sources that were changed",
        "contracts.artifact:load_artifact",
        condition("found", "pinned"),
        "False",
        (f"{_ARTIFACTS}a_source_that_was_changed_since_is_noticed",),
    ),
)

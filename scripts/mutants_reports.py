"""The mutants of what reports check before they say anything."""

from mutant import RETURNED, Mutant, Node, condition, value

_FOLDER = "tests/service"
_CHANGED = "a_history_that_was_changed_is_none"
_COUNTED = "what_is_counted_is_what_margin_counts_where_nothing_moves"
_NAMED = "prices_are_the_ones_that_the_history_names"


def _report(name: str, place: str, node: Node, test: str, new: str = "False", file: str = "reports") -> Mutant:
    return Mutant(
        f"reports: {name}", f"service.reports.{place}", node, new, (f"{_FOLDER}/test_{file}.py::test_{test}",)
    )


REPORT_MUTANTS = (
    _report("gaps", "facts:read_released", condition("previous"), _CHANGED),
    _report("what hashes hide", "facts:_released", condition("salted_hash"), _CHANGED),
    _report("ticks of the history", "prices:Prices.market", condition("sha256"), _NAMED),
    _report("two ticks of a number", "prices:Prices.of", condition("setdefault"), _NAMED),
    _report("what documents say that they move", "reconciled:check_step", condition("wanted"),
            "a_document_that_says_another_quantity_than_moved_is_named"),
    _report("sums of movements", "reconciled:check_balances", condition("kept"),
            "balances_that_do_not_add_up_are_named"),
    _report("covered runs", "call:call_notice", condition("COVERED"),
            "a_covered_run_is_no_call_and_a_run_nobody_knows_is_none"),
    _report("accounts twice", "weekly:_check_accounts", condition("institution"),
            "a_week_adds_up_over_accounts_and_classes"),
    _report("cents are rounded down", "prices:cents", RETURNED, "a_call_says_what_the_record_and_the_proof_say",
            'format((whole + 1) / 100, ".2f")'),
    _report("amounts of messages", "iso20022:request", condition("amount_usd"),
            "an_open_call_has_no_amount_that_a_message_could_state", file="cli_report"),
    _report("amounts of objects", "cdm:issuance", condition("amount_usd"),
            "an_open_call_has_no_amount_that_a_message_could_state",
            file="cli_report"),
    _report("the schedule of the runs", "prices:Prices.require_schedule", condition("schedule"),
            "the_schedule_is_the_one_that_runs_name"),
    _report("what ends is worth no more than it pays", "prices:Prices.worth", value("price", "min"), _COUNTED, "price",
            file="report_values"),
    _report("what has matured counts with other cash", "prices:Prices.counted", value("due"), _COUNTED, "held",
            file="report_values"),
    _report("the last tick of a day", "prices:newest_until", condition("as_of"),
            "the_newest_tick_of_a_day_is_found_among_void_ones", file="report_values"),
    _report("conditions of the CDM", "cdm:_built", condition("holds"), "objects_of_the_cdm_are_those_of_its_model",
            file="cli_report"),
)  # fmt: skip

"""The mutants of what is checked of defaults, sales, the waterfall and the guarantee fund."""

from mutant import RETURNED, Mutant, Node, call, condition, value

_MACHINE = "tests/service/account/test_machine_defaults.py"
_FUND = "tests/service/account/test_machine_fund.py"
_OF_THE_FUND = frozenset(
    {
        "a_draw_is_a_line_of_the_whole_waterfall", "a_member_bears_its_line_once",
        "contributions_are_under_one_set_of_rules_and_follow_one_another",
    }
)  # fmt: skip
_LATE = "tests/service/test_default_arrivals.py"
_ARRIVED = "whatever_arrives_bears_the_loss_before_others_do"
_SALE = "a_sale_is_the_next_stage_of_this_default"
_CLOSE = "a_close_out_says_what_follows"
_DRAW = "a_draw_is_a_line_of_the_whole_waterfall"


def _machine(name: str, function: str, node: Node, *tests: str, new: str = "False") -> Mutant:
    place = f"service.protocol.account.defaults:{function}"
    files = tuple(f"{_FUND if test in _OF_THE_FUND else _MACHINE}::test_{test}" for test in tests)
    return Mutant(f"default: {name}", place, node, new, files)


def _arriving(name: str, function: str, node: Node, *tests: str, new: str = "False") -> Mutant:
    place, module = f"service.protocol.account.defaults:{function}", "tests/service/account/test_default_arrivals.py"
    return Mutant(f"default: {name}", place, node, new, tuple(f"{module}::test_{test}" for test in tests))


def _shown(name: str, place: str, node: Node, test: str, new: str = "False") -> Mutant:
    return Mutant(
        f"default: {name}", f"service.{place}", node, new, (f"tests/service/test_verify_default.py::test_{test}",)
    )


def _agent(name: str, function: str, node: Node, test: str, new: str = "False") -> Mutant:
    place = f"service.institution.defaults:{function}"
    return Mutant(f"agent: {name}", place, node, new, (f"tests/service/test_agent_defaults.py::test_{test}",))


def _rule(name: str, place: str, node: Node, new: str, test: str) -> Mutant:
    return Mutant(f"waterfall: {name}", f"service.protocol.{place}", node, new, (f"tests/service/test_{test}",))


def _replayed(name: str, node: Node, test: str) -> Mutant:
    tests = (f"tests/service/test_replay_fund.py::test_{test}",)
    return Mutant(f"replay: {name}", "service.operator.replay_fund:compare_fund", node, "False", tests)


DEFAULT_MUTANTS = (
    _replayed("shares of the fund", condition("said", "found"), "nobody_is_drawn_on_for_a_default_that_was_none"),
    _replayed("close-outs of the fund", condition("odd"), "a_close_out_ends_the_default_of_an_account"),
    _replayed("draws of members", condition("named", "closings"), "members_are_shown_the_close_out_that_there_was"),
    _machine("stages are counted", "collateral_sold", call("require_next"), _SALE, new="None"),
    _machine("sales at the newest tick", "collateral_sold", condition("market_hash"), _SALE),
    _machine("assets that are sold", "collateral_sold", condition("discounts"), _SALE),
    _machine("what is held", "collateral_sold", condition("held"), _SALE),
    _machine("a stage's share", "collateral_sold", condition("stage_share"), _SALE),
    _machine("the limit of a sale", "collateral_sold", condition("limit"), _SALE),
    _machine("no more than is wanted", "_check_wanted", condition("sells_too_much"),
             "sales_go_on_until_the_proven_amount"),
    _machine("the loss takes the place of the top-up", "_check_wanted", condition("loss"),
             "once_a_loss_is_agreed_collateral_is_sold_up_to_that", new="True"),
    _machine("disputes hold sales", "collateral_sold", call("require_not_held"),
             "what_a_dispute_holds_is_neither_sold_nor_closed_out", new="None"),
    _machine("the loss that is replaced", "loss_agreed", condition("replaces"),
             "a_loss_takes_the_place_of_the_one_that_it_names"),
    _machine("sales since the loss was signed", "loss_agreed", condition("stages"),
             "a_loss_is_agreed_for_the_default_as_it_is"),
    _machine("rules of a sale", "collateral_sold", call("_require_rules"), "all_of_a_default_is_under_the_same_rules",
             new="None"),
    _machine("rules of the loss", "loss_agreed", call("_require_rules"), "all_of_a_default_is_under_the_same_rules",
             new="None"),
    _machine("rules of a close-out", "default_closed", call("_require_rules"),
             "all_of_a_default_is_under_the_same_rules", new="None"),
    _machine("rules of what came before", "_require_rules", condition("default"),
             "all_of_a_default_is_under_the_same_rules"),
    _machine("rules of the institution's contribution", "_require_rules", condition("share"),
             "a_default_is_under_the_rules_of_the_institutions_contribution"),
    _machine("a contribution that is used up", "_require_rules", condition("share"),
             "a_default_is_under_the_rules_of_the_institutions_contribution",
             new="share is not None and share.rules != named"),
    _machine("numbers of close-outs", "default_closed", condition("number"),
             "a_close_out_follows_the_funds_documents_about_the_account"),
    _machine("the agreed loss", "default_closed", condition("agreement"), _CLOSE),
    _machine("margin of a close-out", "default_closed", condition("margin"), _CLOSE),
    _machine("contribution of the defaulter", "default_closed", condition("contribution", "quantity"), _CLOSE),
    _machine("the defaulter has nothing left", "_require_nothing_left", condition("others"),
             "nobody_else_bears_anything_while_the_defaulter_has_something_left"),
    _machine("a loss beyond the cash", "default_closed", condition("cash"),
             "nobody_else_bears_anything_while_the_defaulter_has_something_left"),
    _arriving("what arrived bears the loss", "_require_nothing_left", condition("private"), _ARRIVED),
    _arriving("deliveries that are promised", "_require_nothing_left", condition("promised"),
              "nobody_bears_anything_while_a_delivery_is_promised"),
    _arriving("sales beside what arrived", "collateral_sold", condition("free"),
              "nothing_is_sold_before_what_arrived_is_segregated"),
    _arriving("all that is free", "collateral_segregated", condition("taken"), "all_that_is_free_is_segregated",
              "nothing_is_segregated_twice_or_where_nothing_is_free"),
    _arriving("an empty segregation", "collateral_segregated", condition("taken"),
              "nothing_is_segregated_twice_or_where_nothing_is_free", new="body.taken != state.private.free"),
    _arriving("segregations are counted", "collateral_segregated", call("require_next"),
              "nothing_is_segregated_twice_or_where_nothing_is_free", new="None"),
    _arriving("what arrived counts for a stage", "collateral_segregated", call("_sum", "segregated"),
              "what_arrives_is_sold_before_others_bear_anything", new="default.segregated"),
    Mutant("operator: what arrived before a close-out", "service.operator.accounts.defaults:close_out",
           call("segregate"), "None", (f"{_LATE}::test_a_deposit_bears_the_loss_before_others_do",)),
    Mutant("operator: what arrived before a sale", "service.operator.accounts.defaults:realise",
           call("segregate"), "None", (f"{_LATE}::test_what_arrives_is_sold_with_the_rest",)),
    Mutant("released: free collateral before the end of a default", "service.verifier.released:_check_step",
           condition("BESIDE_FREE"), "entry.kind is EventKind.LIQUIDATED and before.private is None",
           (f"{_LATE}::test_a_released_history_shows_that_nothing_was_left_aside",)),
    Mutant("released: free collateral of a close-out", "service.protocol.released:release", condition("BESIDE_FREE"),
           "kind is EventKind.LIQUIDATED and before.state is not None",
           (f"{_LATE}::test_an_operator_that_leaves_it_aside_signs_against_itself",)),
    _machine("another liquidation", "_default", condition("settlement"), _SALE, _CLOSE),
    _machine("lines", "_check_lines", condition("lines"), _CLOSE, _DRAW),
    _machine("what is uncovered", "_check_lines", condition("uncovered"), _CLOSE, _DRAW),
    _machine("what goes back", "_check_lines", condition("rightly_returned"), _CLOSE),
    _machine("the defaulter among the others", "_check_lines", condition("contributions"), _CLOSE),
    _machine("numbers of contributions", "fund_contributed", condition("number"),
             "contributions_are_under_one_set_of_rules_and_follow_one_another"),
    _machine("rules of contributions", "fund_contributed", condition("rules", "share"),
             "contributions_are_under_one_set_of_rules_and_follow_one_another"),
    _machine("whose default", "fund_drawn", condition("operator"), _DRAW),
    _machine("rules of a draw", "fund_drawn", condition("rules"), _DRAW),
    _machine("numbers of draws", "fund_drawn", condition("number"), _DRAW, "a_member_bears_its_line_once"),
    _machine("contribution of a member", "fund_drawn", condition("contributions"), _DRAW),
    _machine("the member's own line", "fund_drawn", condition("drawn_from"), _DRAW),
    _rule("limit of the tick", "sales:check_sale", value("limit"), "sale.limit",
          "verify_default.py::test_a_limit_that_is_not_of_the_tick"),
    _rule("proceeds", "sales:check_sale", condition("proceeds"), "False",
          "defaults.py::test_a_sale_under_its_limit_is_refused"),
    _rule("value of the proceeds", "sales:check_sale", condition("proceeds_usd"), "False",
          "verify_default.py::test_what_a_sale_brought_in_is_not_said_to_be_less"),
    _rule("the limit is rounded up", "waterfall:least_proceeds", call("ceil"),
          "math.floor(asked / unit_price(schedule, market, rules.cash))",
          "defaults.py::test_a_sale_under_its_limit_is_refused"),
    _rule("no discount of what has matured", "waterfall:least_proceeds", condition("has_matured"), "False",
          "waterfall.py::test_what_has_matured_is_sold_for_all_the_cash_that_is_due"),
    _rule("an asset that is never sold", "waterfall:check_rules", condition("missing"), "False",
          "waterfall.py::test_rules_can_sell_all_of_a_schedule"),
    _rule("cash that is no asset", "waterfall:check_rules", condition("cash"), "False",
          "waterfall.py::test_rules_can_sell_all_of_a_schedule"),
    _rule("stages for all of it", "waterfall:check_rules", condition("stages"), "False",
          "waterfall.py::test_rules_can_sell_all_of_a_schedule"),
    Mutant("operator: rules that sell everything", "service.operator.operator:Operator.__init__", call("check_rules"),
           "None", ("tests/service/test_defaults.py::test_rules_that_leave_an_asset_out_are_not_served",)),
    _rule("the last unit", "waterfall:sells_too_much", RETURNED, "before + sold >= wanted",
          "waterfall.py::test_a_sale_ends_with_the_unit_that_reaches_what_is_wanted"),
    _rule("largest remainders first", "waterfall:shares", value("first"),
          "sorted(parts)[:left]", "waterfall.py::test_the_largest_remainder_goes_first_and_then_the_first_name"),
    Mutant("waterfall: one order", "service.protocol.waterfall:WaterfallRules._check", condition("order"), "False",
           (f"{_FUND}::test_rules_have_the_one_order_and_sell_no_cash",)),
    Mutant("waterfall: cash is not sold", "service.protocol.waterfall:WaterfallRules._check", condition("discounts"),
           "False", (f"{_FUND}::test_rules_have_the_one_order_and_sell_no_cash",)),
    _shown("pinned rules", "verifier.default:_anchors", condition("named"),
           "rules_and_keys_are_those_that_are_pinned"),
    _shown("pinned schedule", "verifier.default:_anchors", condition("schedule"),
           "rules_and_keys_are_those_that_are_pinned"),
    _shown("the answer of the liquidation", "verifier.default:_liquidated", condition("outcome"),
           "another_liquidation_answer_or_top_up"),
    _shown("the top-up of the answer", "verifier.default:_liquidated", call("check_settled"),
           "another_liquidation_answer_or_top_up", "None"),
    _shown("sources of prices", "verifier.default:_prices", call("verify_tick"), "prices_that_no_source_signed",
           "tick.market"),
    _shown("sales", "verifier.default:verify_default", call("check_sale"), "a_limit_that_is_not_of_the_tick", "None"),
    _shown("the loss is signed", "verifier.default:verify_default", call("signed.verify", "key"),
           "a_loss_that_the_institution_did_not_sign", "None"),
    _shown("the close-out ends the fund's chain", "verifier.default:verify_default", condition("head"),
           "documents_of_the_fund_follow_one_another"),
    _shown("the fund is a chain", "protocol.fund:_with", condition("previous"),
           "documents_of_the_fund_follow_one_another"),
    _shown("everybody in the fund", "protocol.fund:_with", condition("counted", "rules"),
           "a_member_that_is_left_out"),
    _shown("signatures of the fund", "protocol.fund:fund_after", call("signed.verify"),
           "documents_of_the_fund_follow_one_another", "None"),
    _agent("pinned waterfall rules", "require_pinned", condition("hash"),
           "another_waterfall_than_the_pinned_one_is_refused"),
    _agent("sales", "check", call("check_sale"), "a_sale_under_the_limit_of_its_tick_is_kept_as_evidence", "None"),
    _shown("rules of an archive's sales", "verifier.archived_documents:ArchivedDocuments.sold",
           call("ruled"), "an_archive_shows_sales_and_is_refused_without_the_rules", "None"),
)  # fmt: skip

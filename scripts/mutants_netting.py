"""The mutants of netting: what may be promised, how a cycle clears it, and what each side checks of it."""

from mutant import RETURNED, Mutant, Node, call, condition, value

_TESTS = "tests/service/test_netting.py"
_PLACE = "service.protocol.account.netting"
_OTHERWISE = "an_operator_cannot_net_otherwise"


def _netting(name: str, function: str, node: Node, test: str, new: str = "False") -> Mutant:
    return Mutant(f"netting: {name}", f"{_PLACE}:{function}", node, new, (f"{_TESTS}::test_{test}",))


_LOG, _AGENT, _FILE, _SHOWN = "monitor_cycles", "netting_agent", "netting_file", "netting_shown"
_SIGNED = "what_an_operator_signs_otherwise_does_not_verify"
_FILES = "files_that_do_not_verify"
_ELSEWHERE = "documents_that_are_genuine_elsewhere_do_not_verify"
_FITS = "what_is_shown_has_to_fit_itself"
_SAME = "two_accounts_that_were_shown_two_groups_of_one_tree"
_ANOTHER = "one_account_is_shown_another_cycle_than_the_log_has"
_OVER = "an_account_that_a_cycle_passes_over"
_STAND = "cycles_that_may_not_stand_in_one_log"
_FOLLOWED = "cycles_are_followed_from_look_to_look"


def _checked(name: str, place: str, node: Node, file: str, test: str, new: str = "False") -> Mutant:
    return Mutant(
        f"netting-check: {name}", f"service.{place}", node, new, (f"tests/service/test_{file}.py::test_{test}",)
    )


NETTING_MUTANTS = (
    _netting("another name while pending", "party_named", condition("pending"), "nobody_is_netted_by_one_sides_word"),
    _netting("party and scope", "_require_own", condition("scope"), "nobody_is_netted_by_one_sides_word"),
    _netting("the day has come", "netted", condition("netted_at"), _OTHERWISE),
    _netting("all lines, each once", "netted", condition("due", "lines"), _OTHERWISE),
    _netting("returns are never undone", "netted", condition("arrived", "direction"), _OTHERWISE),
    _netting("one moment", "_require_head", condition("entry"), "a_cycle_is_about_one_moment"),
    _netting("groups of the lines", "_check_groups", condition("keys"), _OTHERWISE),
    _netting("lines of another party", "_check_whole", condition("any"), _OTHERWISE),
    _netting("a line twice", "_check_whole", condition("sequence"), _OTHERWISE),
    _netting("own lines in the group", "_check_whole", condition("own"), _OTHERWISE),
    _netting("sums", "_check_whole", condition("sums"), _OTHERWISE),
    Mutant("netting: the last day", "service.operator.accounts.netting:promise", condition("latest"), "False",
           (f"{_TESTS}::test_an_obligation_settles_within_a_month",)),
    Mutant("netting: room for a party", "service.operator.accounts.netting:_require_room",
           condition("pending", "MAX_GROUP"), "False",
           (f"{_TESTS}::test_a_party_has_no_more_pending_than_one_group_shows",)),
    # The leaf of a cycle, and who reads the log.
    _checked("a leaf is of one tree", "protocol.leaves:cycle_leaf", value("tree"), _LOG, _FOLLOWED,
             'salted_hash("00" * 32, {"size": str(size)})'),
    _checked("a leaf is of one size", "protocol.leaves:cycle_leaf", value("tree"), _LOG, _FOLLOWED,
             "salted_hash(root, {})"),
    _checked("leaf of what was shown", "verifier.chains:CycleSeen.is_of", RETURNED, _AGENT, _ANOTHER, "True"),
    _checked("each number once", "verifier.chains:netted", condition("number", "leaf"), _LOG, _STAND),
    _checked("days go up", "verifier.chains:netted", condition("settles"), _LOG, _STAND),
    _checked("monitor: the cycle before", "verifier.monitor:_Reading.take", value("last"), _LOG, _STAND, "None"),
    _checked("monitor: cycles are held against it", "verifier.monitor:_Reading.take", call("_in_place", "netted"), _LOG,
             _STAND, "netted(last, leaf, index)"),
    _checked("monitor: memory of cycles", "verifier.monitor:seen_to_json", value("cycles"), _LOG, _FOLLOWED, "[]"),
    _checked("operator: a leaf of every cycle", "operator.accounts.netting:net_cycle", call("log.append"), _AGENT,
             "an_agent_finds_its_cycle_in_the_log_and_hands_on_what_shows_it", "None"),
    _checked("operator: replay of the leaves", "operator.replay:_compare_leaves", condition("cycles", "wanted"), _AGENT,
             "a_log_with_both_cycles_contradicts_itself"),
    # Every agent.
    _checked("agent: in each round", "institution.agent:Agent.answer_due", call("cycles.check"), _AGENT, _ANOTHER,
             "None"),
    _checked("agent: in a cosigned log", "institution.cycles:check", call("watch.require"), _AGENT,
             "a_log_that_is_not_cosigned_is_looked_at_again", "None"),
    _checked("agent: another cycle", "institution.cycles:_was_shown", condition("found", "is_of"), _AGENT, _ANOTHER,
             "found is not None"),
    _checked("agent: no cycle", "institution.cycles:_was_shown", condition("found", "is_of"), _AGENT,
             "a_cycle_without_a_leaf", "found is None or found.is_of(own)"),
    _checked("agent: passed over", "institution.cycles:_was_not_passed_over", condition("place", "cycle"), _AGENT,
             _OVER),
    _checked("agent: promised before the cycle", "institution.cycles:_was_not_passed_over", condition("place", "cycle"),
             _AGENT, "what_was_promised_after_a_cycle_was_not_passed_over", "place is not None"),
    _checked("agent: by the cycle's day", "institution.cycles:_was_not_passed_over", value("passed"), _SHOWN,
             "what_settles_later_was_not_passed_over_and_is_not_in_the_file", "list(watch.cycles)"),
    _checked("file: obligations by the day", "institution.cycles:file_of", value("due"), _SHOWN,
             "a_file_has_the_obligations_of_its_own_cycle", "list(promised.values())"),
    _checked("file: obligations of no earlier cycle", "institution.cycles:file_of", call("promised.pop"), _SHOWN,
             "a_file_has_the_obligations_of_its_own_cycle", "None"),
    _checked("evidence with its leaves", "institution.log_watch:LogWatch.contradict", condition("missing"), _LOG,
             "what_speaks_against_a_cycle_is_kept_with_its_leaves_or_not_at_all"),
    _checked("evidence of every leaf", "institution.log_watch:LogWatch.evidence", condition("found", "places"), _AGENT,
             _ANOTHER),
    # `verify-netting`.
    _checked("entry of the operator", "verifier.netting:_entered", call("signed.verify"), _FILE, _FILES, "None"),
    _checked("document of the entry", "verifier.netting:_entered", condition("salted_hash"), _FILE, _FILES),
    _checked("document of the operator", "verifier.netting:verify_netting", call("document.verify"), _SHOWN, _ELSEWHERE,
             "None"),
    _checked("entry about a cycle", "verifier.netting:verify_netting", condition("NETTED"), _SHOWN, _ELSEWHERE),
    _checked("account and operator", "verifier.netting:verify_netting", condition("institution", "operator"), _FILE,
             _SIGNED),
    _checked("moment of the entry", "verifier.netting:verify_netting", condition("previous"), _FILE, _SIGNED),
    _checked("places in the tree", "verifier.netting:verify_netting", call("check_netting"), _FILE, _SIGNED, "None"),
    _checked("what is shown fits itself", "verifier.netting:verify_netting", call("check_shown"), _FILE, _SIGNED,
             "None"),
    _checked("leaves in the log", "verifier.netting:verify_netting", call("check_evidence"), _FILE, _SIGNED, "None"),
    _checked("a log wants evidence", "verifier.netting:verify_netting", condition("trust", "log"), _FILE, _FILES),
    _checked("obligation of the institution", "verifier.netting:_promised", call("document.verify"), _FILE, _FILES,
             "None"),
    _checked("obligation to this operator", "verifier.netting:_promised", condition("institution"), _SHOWN, _ELSEWHERE),
    _checked("obligation before the cycle", "verifier.netting:_promised", condition("account"), _FILE, _FILES),
    _checked("obligation by the day", "verifier.netting:_promised", condition("PROMISED"), _SHOWN, _ELSEWHERE),
    _checked("no line dropped", "verifier.netting:_check_lines", condition("dropped"), _FILE, _SIGNED),
    _checked("no obligation twice", "verifier.netting:_check_lines", condition("len"), _FILE, _SIGNED),
    _checked("no line unasked", "verifier.netting:_check_lines", condition("said", "None"), _FILE, _FILES),
    _checked("lines as they were signed", "verifier.netting:_check_lines", condition("getattr"), _FILE, _SIGNED),
    _checked("one cycle for all", "verifier.netting:check_same", condition("before", "named"), _FILE, _SAME),
    _checked("one group for all", "verifier.netting:check_same", condition("before", "group"), _FILE, _SAME),
    _checked("shown: no line twice", "protocol.account.netting:check_shown", condition("sequence"), _SHOWN, _FITS),
    _checked("shown: own lines", "protocol.account.netting:check_shown", condition("institution"), _SHOWN, _FITS),
    _checked("shown: returns stay", "protocol.account.netting:check_shown", condition("arrived"), _SHOWN, _FITS),
    _checked("shown: groups of the lines", "protocol.account.netting:check_shown", call("_check_groups"), _SHOWN, _FITS,
             "None"),
)  # fmt: skip

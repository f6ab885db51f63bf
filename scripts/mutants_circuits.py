"""The mutants of circuits: what they compute, the parameters they are compiled with, and the cache of both."""

from mutant import RETURNED, Mutant, Node, call, condition, value


def _circuit(name: str, place: str, node: Node, new: str, file: str, *tests: str) -> Mutant:
    named = tuple(f"tests/circuits/test_{file}.py::test_{test}" for test in tests)
    return Mutant(name, f"circuits.{place}", node, new, named)


_TINY_GRID = "input_sets_reach_both_ends_and_keep_to_the_grid[tiny]"

CIRCUIT_MUTANTS = (
    _circuit("zoom: reach of the grid", "zoom", value("REACH"), "1 << GRID_BITS",
             "zoom", "no_reading_of_any_row_deceives", "multipliers"),
    _circuit("zoom: every level", "zoom:multipliers", RETURNED, "np.array([*values[:-1], box], dtype=np.int64)",
             "zoom", "no_reading_of_any_row_deceives"),
    _circuit("zoom: zero counts as covered", "zoom:plus_minus", RETURNED, "np.where(np.asarray(x) > 0, 1, -1)",
             "zoom", "the_first_sign_wins"),
    _circuit("zoom: earlier readings outweigh later ones", "zoom", value("_WEIGHTS"), "(4, 1, 2)",
             "zoom", "the_first_sign_wins"),
    _circuit("zoom: inner joins keep zero", "zoom:first_sign", call("cfhe.univariate"),
             "cfhe.univariate(plus_minus)", "zoom", "the_first_sign_wins"),
    _circuit("zoom: boxes of the grid", "zoom:readings", call("cfhe.round_bit_pattern"),
             "cfhe.round_bit_pattern(multiples, bits - GRID_BITS - 1, overflow_protection=False, "
             "exactness=cfhe.Exactness.APPROXIMATE)", "widths", _TINY_GRID),
    _circuit("flags: the last row of a group", "any_row:group_sums", value("bounds"),
             "[i * (count - 1) // groups for i in range(groups + 1)]", "any_row", "breach_joins_any_number_of_rows"),
    _circuit("flags: no booleans", "any_row:_is_positive", RETURNED, "np.asarray(x) > 0",
             "traps", "no_circuit_adds_booleans"),
    _circuit("flags: the anchor is multiplied by 0", "row_signs:negative_rows", RETURNED,
             "flags if anchor is None else flags + freshened(cfhe.bits(y[:1])[0]) * (1 - anchor)",
             "any_row", "the_anchor_never_shows"),
    _circuit("exceedances: as many as allowed", "programs.exceedances:program.exceedances", value("left"),
             "allowed - 1 - np.sum(negative, keepdims=True)", "any_row", "exceedances_counts_any_number_of_rows"),
    _circuit("shortfall: the odd row's bracket", "programs.shortfall:brackets", value("right", "before"),
             "[right[slot % before] if slot < 2 * before else False for slot in range(size)]",
             "shortfall", "brackets_say_which_rows_end_on_the_right"),
    _circuit("shortfall: the sign bit turns the comparison", "programs.shortfall:program_of.shortfall",
             value("differences"), "[left[0] - right[0], *(left[i] - right[i] for i in range(1, bits))]",
             "shortfall", "the_least_row_is_found_in_every_position_and_in_ties"),
    _circuit("shortfall: one more than the complement", "programs.shortfall:program_of.shortfall", value("limbs[0]"),
             "limbs[0] + 0", "shortfall", "every_limb_is_carried_at_every_width"),
    _circuit("limbs: one more than the complement", "limbs:split", value("limbs[0]"), "0",
             "shortfall", "limbs_join_to_the_value_that_was_split"),
    _circuit("inputs: lowest weight", "inputs:extreme_inputs", value("low_A[:, 0]"), "weight_top - 1, 1 - weight_top",
             "widths", _TINY_GRID),
    _circuit("parameters: noise of the keys", "security:check_security", condition("deviation"), "False",
             "security", "a_little_less_noise_in_any_key_is_refused", "the_client_refuses_before_it_makes_keys"),
    _circuit("parameters: noise of the encryption of z", "security:_uses", condition("ciphertext"), "False",
             "security", "a_little_less_noise_in_the_encryption_of_z_is_refused"),
    _circuit("parameters: failure probability", "compiling:_check", condition("p_error", "log2_p_error"), "False",
             "cache", "a_stored_module_is_checked_like_a_compiled_one"),
    _circuit("parameters: pinned", "compiling:compile_profile", condition("derived"), "False",
             "profile", "other_parameters_than_the_pinned_ones_are_refused"),
    _circuit("parameters: nothing of research", "compiling:compile_profile", condition("research_only"), "False",
             "profile", "a_research_circuit_enters_no_profile_that_is_served"),
    _circuit("cache: writable by others", "cache:cache_directory", condition("st_mode"),
             "status.st_uid != os.getuid()", "cache", "a_directory_that_others_may_write_to_is_refused"),
    _circuit("cache: whole or nothing", "cache:store", value("complete"), "place",
             "cache", "an_error_while_storing_leaves_nothing", "a_process_that_dies_while_storing_leaves_no_entry"),
    _circuit("clear inputs: width", "clear_inputs:checked_clear_inputs", condition("outside"), "False",
             "profile", "a_weight_that_the_circuit_would_wrap_is_refused",
             "collateral_that_the_circuit_would_wrap_is_refused"),
)  # fmt: skip

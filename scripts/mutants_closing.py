"""The mutants of closing an opening: a breach and what a row lacks, proved of one row, and the boxes of shares."""

from mutant import RETURNED, Mutant, Node, call, condition, value

_BREACH, _LACK = "tests/zk/test_opened_breach.py::test_", "tests/zk/test_lack.py::test_"
_BOXES = "tests/service/test_share_boxes.py::test_"
_LIMITS = f"{_LACK}statements_outside_the_limits_cannot_be_made"
_FIELDS = f"{_LACK}every_field_of_the_statement"
_ADDRESS = f"{_BOXES}a_box_is_for_one_address"
_RFC = f"{_BOXES}a_box_is_what_rfc_9180_says"


def _zk(name: str, place: str, node: Node, test: str, new: str = "False") -> Mutant:
    return Mutant(f"closing: {name}", f"zk.{place}", node, new, (test,))


def _box(name: str, place: str, node: Node, test: str, new: str = "False") -> Mutant:
    return Mutant(f"share box: {name}", f"service.{place}", node, new, (test,))


CLOSING_MUTANTS = (
    _zk("a row that is there", "prove.opened_breach:prove_opened_breach", condition("rows"),
        f"{_BREACH}a_row_that_is_not_there_is_refused"),
    _zk("a negative row", "prove.opened_breach:prove_opened_breach", condition("value", "0"),
        f"{_BREACH}zero_is_not_negative", "opening.value > 0"),
    _zk("bits of the shortfall", "prove.opened_breach:prove_opened_breach", condition("bits"),
        f"{_BREACH}too_large_a_shortfall_is_refused"),
    _zk("the opening of this row", "prove.opened_breach:prove_opened_breach", call("opening.check"),
        f"{_BREACH}an_opening_of_something_else_is_refused", "None"),
    _zk("an opening is checked", "sharing.open_row:RowOpening.check", condition("commitment"),
        f"{_LACK}an_opening_of_something_else_is_refused"),
    _zk("offsets are in the commitments to rows", "commitments:row_commitment", RETURNED,
        f"{_BREACH}a_breach_is_proved_of_shares_of_one_row", "row"),
    _zk("rows not chosen answer their challenge", "prove.breach:argue_choice",
        value("opening", "row"), f"{_BREACH}the_proof_hides_the_row", "(-e * value, z - e * blinding, *row.points)"),
    _zk("openings of the row that lacks", "prove.lack:prove_lack", call("opening.check"),
        f"{_LACK}an_opening_of_something_else_is_refused", "None"),
    _zk("a top-up off its step", "statements.lack:LackStatement.__post_init__", condition("step"), _LIMITS),
    _zk("bounds of the step", "statements.lack:LackStatement.__post_init__", call("integer", "step"), _LIMITS, "None"),
    _zk("bounds of the top-up", "statements.lack:LackStatement.__post_init__", call("integer", "top_up"), _LIMITS,
        "None"),
    _zk("a label that is taken", "statements.lack:LackStatement.__post_init__", condition("LABEL"), _LIMITS),
    _zk("a context with its label", "statements.lack:LackStatement.__post_init__", call("checks.context", "LABEL"),
        _LIMITS, "None"),
    _zk("one row", "statements.lack:LackStatement.__post_init__", condition("ndarray"), _LIMITS),
    _zk("least bits", "statements.lack:LackStatement.bits", RETURNED,
        f"{_LACK}the_top_up_of_the_margin_call_is_proved_and_no_other", "max(1, self.step.bit_length() + 1)"),
    _zk("below the step", "statements.lack:LackStatement.sufficiency", call("SufficiencyStatement"),
        f"{_LACK}each_of_the_two_rows_is_needed",
        "SufficiencyStatement((row,), np.array([[1], [0]]), (self.top_up, 0), 0, self.bits, {**self.context})"),
    _zk("commitments of the lack are absorbed", "statements.lack:LackStatement.hash", value("commitments"), _FIELDS,
        "[]"),
    _zk("weights of the lack are absorbed", "statements.lack:LackStatement.hash", value("weights"), _FIELDS, "[]"),
    _zk("offset of the lack is absorbed", "statements.lack:LackStatement.hash", value("offset"), _FIELDS, '""'),
    _zk("step of the lack is absorbed", "statements.lack:LackStatement.hash", value("step"), _FIELDS, '""'),
    _zk("top-up of the lack is absorbed", "statements.lack:LackStatement.hash", value("top_up"), _FIELDS, '""'),
    _zk("version of the lack is absorbed", "statements.lack:LackStatement.hash", value("version"),
        f"{_LACK}the_version_is_in_the_hash", '"2"'),
    _zk("no commitment to a row", "verify.lack:gather_lack", value("own"),
        f"{_LACK}a_row_without_a_commitment_is_refused", "{encoded: row}"),
    _zk("a row is of no use to others", "verify.lack:gather_lack", call("gather_sufficiency"),
        f"{_LACK}it_waits_in_the_queue_with_others",
        "gather_sufficiency(statement.sufficiency(encoded), proof, group, known)"),
    _box("length", "protocol.share_boxes:require_box_form", condition("len"), f"{_BOXES}a_box_has_one_length"),
    _box("bytes", "protocol.share_boxes:require_box_form", condition("isinstance"), f"{_BOXES}a_box_has_one_length"),
    *(
        _box(f"{name} is bound", "protocol.share_boxes:BoxAddress.info", value(name), _ADDRESS, '""')
        for name in ("operator", "institution", "deal", "point", "identity")
    ),
    _box("format is bound", "protocol.share_boxes:BoxAddress.info", value("format"), _RFC, '""'),
    _box("digits of a key", "protocol.share_boxes:fault_of_encryption_key", condition("fullmatch"),
         f"{_BOXES}a_key_is_so_many_digits"),
    _box("one spelling of a key", "protocol.share_boxes:fault_of_encryption_key", condition("_PRIME"),
         f"{_BOXES}a_key_has_one_spelling"),
    _box("small order", "protocol.share_boxes:fault_of_encryption_key", call(".exchange"),
         f"{_BOXES}keys_of_small_order_are_refused", "None"),
    _box("keys are looked at", "protocol.share_boxes:read_encryption_key", condition("fault"),
         f"{_BOXES}keys_of_small_order_are_refused"),
    _box("nobody else's shares", "institution.share_boxes:seal_shares", condition("shares"),
         f"{_BOXES}nobody_seals_the_shares_of_another"),
    _box("form before opening", "custodian.boxes:open_box", call("require_box_form"), f"{_BOXES}a_box_has_one_length",
         "None"),
    _box("whose shares are in it", "custodian.boxes:open_box", condition("shares"),
         f"{_BOXES}what_is_no_share_of_this_custodian_is_found_in_the_box"),
)  # fmt: skip

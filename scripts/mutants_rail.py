"""The mutants of the rail on a chain: what is believed, what is sent, what is booked."""

from mutant import RETURNED, Mutant, Node, condition, value

_ROOM = "service.operator.settlement.chain"
_RAIL, _POOL = "tests/service/rail/test_rail.py", "tests/service/rail/test_mempool.py"


def _rail(name: str, place: str, node: Node, test: str, new: str = "False") -> Mutant:
    return Mutant(f"rail: {name}", place, node, new, (f"{_RAIL}::test_{test}",))


def _pool(name: str, place: str, node: Node, test: str, new: str = "False") -> Mutant:
    return Mutant(f"rail: {name}", f"{_ROOM}.{place}", node, new, (f"{_POOL}::test_{test}",))


_ADVANCE, _SENT = "rail:ChainRail._advance", "transactions:Transactions"

RAIL_MUTANTS = (
    _rail(
        "the hook waits",
        "service.operator.settlement.hook:settle",
        condition("rightful"),
        "a_call_is_settled_in_the_vault_first_and_in_the_ledger_once_it_is_final",
    ),
    _rail(
        "final blocks alone",
        f"{_ROOM}.rail:ChainRail._advance",
        value("final"),
        "the_ledger_does_not_move_before_the_block_is_final",
        "self.vault.newest_block()",
    ),
    _rail(
        "what is under way is not asked for",
        "service.operator.runs.answers:_due",
        RETURNED,
        "the_hook_settles_nothing_that_is_on_its_way",
        "queue.may_settle(operator, session) + ['']",
    ),
    _rail(
        "the ledger moves what the chain moved",
        f"{_ROOM}.rail:ChainRail._require_same",
        condition("kind", "ours"),
        "what_differs_is_said_and_not_booked",
    ),
    _rail(
        "halted",
        f"{_ROOM}.rail:ChainRail._advance",
        condition("stopped"),
        "nothing_is_sent_while_settlements_are_halted",
    ),
    _rail(
        "ended as covered",
        f"{_ROOM}.rail:ChainRail._advance",
        condition("Covered"),
        "the_operator_who_ends_a_breached_run_as_covered_is_named",
    ),
    _rail(
        "no account",
        f"{_ROOM}.rail:ChainRail._account_of",
        condition("account"),
        "an_institution_without_an_account_in_the_vault_waits",
    ),
    _rail(
        "deposits once",
        f"{_ROOM}.mirror:Mirror._book_deposits",
        value("first"),
        "deposits_are_booked_once_and_strangers_are_named",
        "final + 1",
    ),
    _rail(
        "what differs",
        f"{_ROOM}.mirror:Line.differs",
        RETURNED,
        "what_is_posted_is_posted_in_the_vault_first",
    ),
    _pool("sent once", f"{_SENT}.advance", value("live"), "nothing_is_sent_twice_while_it_waits", "[]"),
    _pool(
        "a dropped one is sent again",
        f"{_SENT}.advance",
        condition("_is_known"),
        "a_dropped_transaction_is_sent_again",
    ),
    _pool(
        "one that is stuck is replaced",
        f"{_SENT}.advance",
        condition("_stuck"),
        "one_that_offers_too_little_is_replaced_by_one_that_offers_more",
    ),
    _pool(
        "a replacement offers more",
        f"{_SENT}._fees",
        value("priority", "RAISE_PERCENT"),
        "one_that_offers_too_little_is_replaced_by_one_that_offers_more",
        "priority",
    ),
    _pool("fees over the limit", f"{_SENT}._fees", condition("_cap"), "fees_over_the_limit_are_waited_for"),
    _pool("no gas", f"{_SENT}._send", condition("balance"), "too_little_to_pay_for_gas_is_said_and_waited_for"),
    _pool(
        "a nonce that went to another",
        f"{_SENT}.advance",
        condition("get_transaction_count"),
        "another_transaction_with_the_same_nonce_displaces_it",
    ),
    _pool(
        "reverted",
        f"{_SENT}._mined",
        condition("status"),
        "one_that_is_mined_and_reverts_is_made_anew_if_the_vault_still_wants_it",
        "True",
    ),
    _pool(
        "a settlement that is reorganised away",
        _ADVANCE,
        condition("Unknown"),
        "an_opening_that_is_reorganised_away_is_opened_again",
    ),
)

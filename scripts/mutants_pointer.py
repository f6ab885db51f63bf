"""The mutants of what follows an ENS name. Those of its resolver: `mutate_contracts.py`."""

from mutant import Mutant, call, condition

_POINTER, _LOOKUPS = "tests/service/test_pointer.py::test_", "tests/service/test_pointer_lookups.py::test_"
_DOWNLOADS, _NAMES = "tests/service/test_pointer_downloads.py::test_", "tests/service/test_pointer_names.py::test_"
_OTHER_LOG = (f"{_POINTER}a_name_of_another_log_is_not_followed",)
_REDIRECTS = (f"{_DOWNLOADS}redirects_stay_where_they_are",)
_PRIVATE = (f"{_DOWNLOADS}private_addresses_are_not_asked",)
_CHECK, _DOWNLOAD, _ADDRESS = "service.pointer.check", "service.pointer.downloads", "service.pointer.addresses"

POINTER_MUTANTS = (
    Mutant(
        "pointer: operator of the trust file", f"{_CHECK}:check_trusted", condition("operator"), "False", _OTHER_LOG
    ),
    Mutant("pointer: log of the trust file", f"{_CHECK}:check_trusted", condition("key"), "False", _OTHER_LOG),
    Mutant(
        "pointer: hash of the bundle",
        f"{_CHECK}:check_hash",
        condition("found"),
        "False",
        (f"{_POINTER}a_bundle_that_was_changed_is_another",),
    ),
    Mutant(
        "pointer: entries before the checkpoint",
        f"{_CHECK}:check_history",
        condition("newest"),
        "False",
        (f"{_POINTER}a_checkpoint_before_the_bundle_s_entries_is_too_old",),
    ),
    Mutant(
        "pointer: one history",
        f"{_CHECK}:check_history",
        call("check_successor"),
        "None",
        (f"{_POINTER}a_checkpoint_of_another_history_is_a_fork",),
    ),
    Mutant(
        "pointer: leaves of the bundle",
        f"{_CHECK}:_checkpoint_of",
        call("check_leaves"),
        "None",
        (f"{_POINTER}evidence_of_other_leaves_is_none",),
    ),
    Mutant(
        "pointer: signature of the name's checkpoint",
        "service.pointer.records:parse_checkpoint",
        call("believe"),
        "None",
        (f"{_POINTER}records_that_are_malformed_or_missing",),
    ),
    Mutant(
        "pointer: contract that a lookup is for",
        "service.pointer.lookups:Resolver._call",
        condition("sender"),
        "False",
        (f"{_LOOKUPS}an_answer_to_another_contract_is_not_fetched",),
    ),
    Mutant("pointer: public addresses", f"{_ADDRESS}:_require_allowed", condition("is_global"), "False", _PRIVATE),
    Mutant(
        "pointer: translated addresses", f"{_ADDRESS}:_require_allowed", condition("_TRANSLATED"), "False", _PRIVATE
    ),
    Mutant(
        "pointer: http elsewhere",
        f"{_ADDRESS}:_require_allowed",
        condition("is_loopback"),
        "False",
        (f"{_DOWNLOADS}a_host_with_one_private_address_is_not_asked",),
    ),
    Mutant("pointer: redirects elsewhere", f"{_DOWNLOAD}:_led_to", condition("same"), "False", _REDIRECTS),
    Mutant("pointer: redirects of what is posted", f"{_DOWNLOAD}:_led_to", condition("body"), "False", _REDIRECTS),
    Mutant(
        "pointer: length of what arrives",
        f"{_DOWNLOAD}:_read",
        condition("data", "limit"),
        "False",
        (f"{_DOWNLOADS}sizes_have_a_limit",),
    ),
    Mutant(
        "pointer: time of what arrives",
        f"{_DOWNLOAD}:_read",
        condition("is_set"),
        "False",
        (f"{_DOWNLOADS}a_server_cannot_hold_a_verifier_up",),
    ),
    Mutant(
        "pointer: name of a gateway's answer",
        "service.pointer.gateway:Gateway._asked",
        condition("_node"),
        "False",
        (f"{_POINTER}the_gateway_answers_nothing_else",),
    ),
    Mutant(
        "pointer: names that are too long",
        "service.pointer.names:parse_name",
        condition("MAX_LABELS"),
        "False",
        (f"{_NAMES}names_that_are_none",),
    ),
)

"""The mutants of the operator's store: the order of units of work, what is read back, and whose a database is."""

from mutant import Mutant, Node, call, condition

_PLACE = "service.operator"


def _store(name: str, place: str, node: Node, test: str, new: str = "False") -> Mutant:
    return Mutant(f"store: {name}", f"{_PLACE}.{place}", node, new, (f"tests/service/test_{test}",))


STORE_MUTANTS = (
    _store("one writer at a time on PostgreSQL", "store.database:_begin_postgresql",
           call("connection.exec_driver_sql"),
           "database.py::test_units_of_work_of_two_processes_are_serial_on_postgresql", "None"),
    _store("a lost commit is not done again", "store.database:Store.run", condition("committing"),
           "database.py::test_a_commit_that_was_lost_is_not_done_again"),
    _store("blobs are verified when they are read", "store.blobs:checked", condition("sha256"),
           "blobs.py::test_bytes_that_changed_are_not_used"),
    _store("tables of a newer version are refused", "store.migrations.__init__:bring_up_to_date",
           condition("version", "known"),
           "migrations.py::test_a_database_of_a_newer_version_is_refused_and_left_as_it_is"),
    _store("a database is its signer's", "store.ownership:require_own", condition("own"),
           "backup.py::test_an_operator_without_its_key_does_not_go_on_under_another"),
    _store("members of a backup have the manifest's hashes", "backup:_checked", condition("digest"),
           "backup.py::test_nothing_is_made_of_a_backup_that_is_damaged"),
    _store("entries that are taken back are the operator's own", "taking_back:_take", call("item.entry.verify"),
           "taking_back.py::test_what_the_operator_did_not_sign_in_this_order_is_not_taken", "None"),
    _store("nothing is taken back into another history", "taking_back:_missing", condition("head"),
           "taking_back.py::test_an_account_that_went_on_is_not_taken_back"),
)  # fmt: skip

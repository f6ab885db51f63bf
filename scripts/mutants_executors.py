"""The mutants of claims, faults and executors: whose a run is, what counts against it, which keys a worker takes."""

from mutant import Mutant, Node, call, condition, value


def _claim(name: str, place: str, node: Node, new: str, test: str) -> Mutant:
    tests = (f"tests/service/test_claims.py::test_{test}",)
    return Mutant(f"claims: {name}", f"service.operator.{place}", node, new, tests)


_LOST = "what_a_lost_claim_found_is_not_recorded"
_DEATHS = "three_deaths_of_workers_in_a_row_fail_no_run"

EXECUTOR_MUTANTS = (
    _claim("the owner", "store.claims:require", condition("claimed_by"), "False",
           "a_record_names_the_claim_it_is_made_under"),
    _claim("a record asks", "runs.records:_record", call("require"), "None", _LOST),
    _claim("a lease ends", "store.claims:expired_runs", value("late"), "Run.lease_until.is_(None)",
           "a_full_disk_heals_without_a_restart"),
    _claim("what is in hand stays", "store.claims:expired_runs", call("claimed_by.not_in"), "True",
           "a_claim_in_hand_is_renewed_and_never_taken_back"),
    _claim("the machine's faults are no attempts", "runs.failures:count", condition("EVALUATION"), "True", _DEATHS),
    _claim("a worker's death is told apart", "runs.failures:failure_of", condition("WorkerLost"), "False", _DEATHS),
    _claim("what kills every worker ends", "runs.failures:count", condition("MAX_WORKER_DEATHS"), "False",
           "what_kills_every_worker_ends_as_failed"),
    Mutant("cluster: the hash of keys", "fhe.executors.station:Station.keep", condition("sha256"), "False",
           ("tests/fhe/test_cluster.py::test_keys_that_arrive_changed_are_not_kept",)),
)  # fmt: skip

"""The mutants of custodians' joint computation: who takes part, what is read of others, and what is opened."""

from mutant import RETURNED, Mutant, Node, call, condition, value

_FOLDER = "tests/service/custodian/engine/test_"
_TASK, _PEERS, _OPENINGS = f"{_FOLDER}task.py::test_", f"{_FOLDER}peers.py::test_", f"{_FOLDER}openings.py::test_"
_FRAMES, _CERTIFICATES = f"{_FOLDER}channel.py::test_", f"{_FOLDER}credentials.py::test_"
_GUARD, _SECRECY = f"{_FOLDER}guarded.py::test_", f"{_FOLDER}secrecy.py::test_"
_NO_FRAME = f"{_FRAMES}what_is_no_frame_of_shares_ends_it_and_names_who_sent_it"
_COVERED = f"{_SECRECY}a_covered_book_opens_masks_zeros_and_one_bit"
_HASHED = f"{_TASK}the_hash_covers_what_all_must_have_alike"
_HELD = f"{_FRAMES}what_nobody_asked_for_is_bounded"
_HOSTILE = f"{_PEERS}hostile_bytes_end_the_opening_and_nothing_else"


def _engine(name: str, place: str, node: Node, test: str, new: str = "False") -> Mutant:
    return Mutant(f"engine: {name}", f"service.custodian.engine.{place}", node, new, (test,))


ENGINE_MUTANTS = (
    _engine("request is hashed", "task:EngineTask.hash", value("request"), _HASHED, '""'),
    _engine("rows are hashed", "task:EngineTask.hash", value("rows"), _HASHED, '""'),
    _engine("bits are hashed", "task:EngineTask.hash", value("bits"), _HASHED, '""'),
    _engine("threshold is hashed", "task:EngineTask.hash", value("threshold"), f"{_TASK}the_hash_covers_the_threshold",
            '""'),
    _engine("identities are hashed", "task:EngineTask.hash", value("identity"), _HASHED, '""'),
    _engine("points are hashed", "task:EngineTask.hash", value("point"), _HASHED, '""'),
    _engine("numbers of rows are hashed", "task:EngineTask.hash", value("counts", "name", "number"), _HASHED, "{}"),
    _engine("enough are present", "task:EngineTask.__post_init__", value("wanted"),
            f"{_TASK}what_no_engine_takes_is_named", "1"),
    _engine("a key once", "task:_once", condition("found", "pairs"), f"{_TASK}json_is_strict_and_bounded"),
    _engine("signed by the identity", "credentials:require_peer", call(".verify"),
            f"{_CERTIFICATES}a_name_without_the_key_is_refused", "None"),
    _engine("for this task", "credentials:require_peer", condition("names", "task"),
            f"{_PEERS}another_task_is_named_on_both_sides"),
    _engine("greeting", "connecting:_greet", condition("GREETING"), _HOSTILE),
    _engine("size of a frame", "channel:Channel._read", condition("MAX_FRAME_BYTES"), _NO_FRAME),
    _engine("whole scalars", "channel:Channel._take", condition("len", "SCALAR_BYTES"), _NO_FRAME),
    _engine("scalars below the order", "channel:Channel._take", condition("ORDER"), _NO_FRAME),
    _engine("a label once", "channel:Channel._take", condition("label", "_held"), _NO_FRAME),
    _engine("bound of what nobody asked for", "channel:Channel._take", condition("MAX_HELD_BYTES"), _HELD),
    _engine("reasons of an end", "channel:Channel._take", condition("end", "NAMED"), _NO_FRAME),
    _engine("MPyC has no pickle", "guarded:load_mpyc", value("library.pickle"),
            f"{_GUARD}mpyc_neither_unpickles_nor_meets", "library.pickle"),
    _engine("the process is closed", "guarded:close_process", condition("event"),
            f"{_GUARD}a_closed_process_unpickles_and_starts_nothing"),
    _engine("no arguments", "guarded:load_mpyc", call("os.environ.update"),
            f"{_GUARD}mpyc_has_no_arrays_and_read_no_arguments", "None"),
    _engine("products are shared anew", "comparing:Arithmetic.are_zero", RETURNED, _COVERED,
            "[value == 0 for value in await self.open(shares)]"),
    _engine("masks", "comparing:Arithmetic.negative", value("opened"), _COVERED, "await self.open(hidden)"),
    _engine("the bit first", "opening:open_book", condition("_breached"), _COVERED),
    _engine("one deal", "opening:_require_polynomials", condition("holds"),
            f"{_OPENINGS}shares_of_another_row_are_noticed_whoever_has_them"),
    _engine("one verdict", "process:_compute", condition("verdict"), f"{_PEERS}another_verdict_is_named"),
    _engine("own identity", "run:run_engine", condition("identity"), f"{_OPENINGS}an_identity_is_that_of_the_point"),
)  # fmt: skip

"""The mutants of what is checked of an examiner's archive."""

from mutant import Mutant, Node, call, condition

_TESTS = "tests/service/test_archive.py"
_CHANGED = "what_the_operator_changes_afterwards_is_named"


def _archive(name: str, place: str, node: Node, test: str, new: str = "False") -> Mutant:
    return Mutant(f"archive: {name}", place, node, new, (f"{_TESTS}::test_{test}",))


_V, _D, _F = "service.verifier.archive", "service.verifier.archived_documents", "service.archives"

ARCHIVE_MUTANTS = (
    _archive("signature", f"{_V}:verify_archive", call("reader.signed.verify"), "a_stranger_signs_none", "None"),
    _archive("anchors of the terms", f"{_V}:_terms", condition("trust", "name", "hash_"), _CHANGED),
    _archive("newest market", f"{_V}:_Ticks.require", condition("_hashes"), _CHANGED),
    _archive("last entry", f"{_V}:_Replay.follow", condition("chain", "number", "last"), _CHANGED),
    _archive("places in the log", f"{_V}:_Replay._check_placed", call("check_inclusion"), _CHANGED, "None"),
    _archive("state before the first entry", f"{_V}:_Replay.open", condition("salted_hash"),
             "an_opening_with_other_balances_is_refused"),
    _archive("proofs that were put off", f"{_D}:ArchivedDocuments.conclude", call("verify_batch"),
             "a_proof_that_the_operator_never_verified_is_found", "None"),
    _archive("what a settlement moves", f"{_D}:ArchivedDocuments.settled", condition("rightful"),
             "a_settlement_of_other_assets_is_found"),
    _archive("files that are not named", f"{_F}:ArchiveReader.__init__", condition("found"),
             "what_its_manifest_does_not_say_is_not_read"),
    _archive("more bytes than are said", f"{_F}:ArchiveReader.chunks", condition("read", "1"),
             "a_file_that_unpacks_to_more_than_is_said_is_not_unpacked"),
)  # fmt: skip

"""The mutants of what is checked of an examiner's archive."""

from mutant import RETURNED, Mutant, Node, call, condition, value

_TESTS = "tests/service/test_archive.py"
_CHANGED = "what_the_operator_changes_afterwards_is_named"


def _archive(name: str, place: str, node: Node, test: str, new: str = "False") -> Mutant:
    return Mutant(f"archive: {name}", place, node, new, (f"{_TESTS}::test_{test}",))


_CHECKS = "tests/service/test_archive_checks.py::test_"


def _check(name: str, node: Node, test: str, function: str, new: str = "False") -> Mutant:
    place = f"{_D}:ArchivedDocuments.{function}"
    return Mutant(f"archive: {name}", place, node, new, (f"{_CHECKS}{test}",))


_REPORTS, _OTHER = "tests/service/test_archive_reports.py::test_", "no_other_report_passes"


def _report(name: str, place: str, node: Node, test: str, new: str = "False") -> Mutant:
    return Mutant(f"archive: {name}", place, node, new, (f"{_REPORTS}{test}",))


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
    _check("what a settlement is for", call("check_settled"), "a_settlement_is_of_what_the_answer_proved", "settled",
           "None"),
    _check("what is disputed", condition("subject"), "a_dispute_of_what_is_no_entry_is_refused", "disputed"),
    _check("a part of an archive", condition("_entries", "number"), "what_is_disputed_is_an_earlier_entry", "disputed"),
    Mutant("pinned: rules of close-outs and the fund", "service.verifier.pinned:check_waterfall", condition("hash"),
           "False", (f"{_CHECKS}close_outs_and_the_fund_are_under_the_pinned_rules",)),
    Mutant("pinned: the rules of a draw", "service.verifier.pinned:check_waterfall", condition("FundDraw"),
           "False", (f"{_CHECKS}close_outs_and_the_fund_are_under_the_pinned_rules",)),
    _check("a run that was to be proven is overdue", condition("declared_at"), "no_time_is_over_before_its_deadline",
           "overdue"),
    Mutant("pinned: an account under no agreement", "service.verifier.pinned:Agreements.conclude",
           condition("_without"), "False", (f"{_CHECKS}runs_without_an_agreement_where_some_are_pinned",)),
    Mutant("pinned: what counted no agreement", "service.verifier.pinned:Agreements.count", condition("agreements_of"),
           "False", (f"{_CHECKS}runs_without_an_agreement_where_some_are_pinned",)),
    _report("names of files", "service.protocol.archive:_file_name", condition("is_report_file"),
            "a_file_of_another_name_is_in_no_archive"),
    _report("another report", f"{_V}:_check_bytes", condition("chunk"), _OTHER),
    _report("a report that is cut off", f"{_V}:_check_bytes", condition("whole"), _OTHER),
    _report("an invented report", f"{_V}:_check_reports", condition("wanted"), _OTHER),
    _report("what explains the archive", f"{_V}:verify_archive", call("_check_bytes"), _OTHER, "None"),
    _report("who signed it", f"{_V}:verify_archive", value("signed_by"), "who_signed_it_is_said", '"operator"'),
    _report("balances that a part opens with", "service.reports.facts:AccountFacts.until", RETURNED,
            "a_part_has_the_balances_that_it_opens_with", "next(found, None)"),
    Mutant("archive: the record of an open run", "service.audit.archive:_Making.opening", condition("record"), "False",
           ("tests/service/test_archive_parts.py::test_it_begins_with_the_record_of_the_run_that_is_open",)),
    Mutant("archive: keys of the book before", "service.audit.archive:_Making.earlier", value("keys"),
           'self._session.get_one(EnrolledKeys, own["body"]["evaluation_keys"]).document',
           ("tests/service/test_archive_parts.py::test_it_begins_after_new_keys",)),
)  # fmt: skip

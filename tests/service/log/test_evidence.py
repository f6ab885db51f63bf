"""What shows that leaves are in a log, whose cosignatures that takes, and when a time to answer is over."""

import base64
import hashlib
from typing import Any

import pytest

from atomic_margin.documents.errors import (
    DocumentError,
    DuplicateId,
    MalformedDocument,
    NotADecimal,
    NotAPublicKey,
    OutOfRange,
)
from atomic_margin.service.log.clock import Elapsed, check_deadline, check_undelivered
from atomic_margin.service.log.errors import (
    DeadlineOpen,
    DeliveredInTime,
    MalformedNote,
    NoteNotSigned,
    ProofInvalid,
    TooFewWitnesses,
)
from atomic_margin.service.log.evidence import check_cosigned, check_evidence
from atomic_margin.service.log.notes import NoteKey
from atomic_margin.service.protocol.delivery import DeliveryReceipt
from atomic_margin.service.protocol.evidence import MAX_LEAVES, MAX_PATH, Evidence
from atomic_margin.service.protocol.signing import Identity
from atomic_margin.service.protocol.trust import LogTrust

from .logs import MemoryLog
from .parties import Kept


@pytest.fixture(scope="module")
def kept() -> Kept:
    return Kept()


def leaf(number: int) -> bytes:
    return b"leaf %d" % number


def test_leaves_are_in_a_checkpoint_that_enough_witnesses_cosigned(kept: Kept) -> None:
    evidence = Evidence.parse(kept.evidence(kept.note(40, 100, 90), 7, 39, 0).canonical())
    believed = check_evidence(evidence, [leaf(7), leaf(39), leaf(0)], kept.trust(), now=150)
    assert (believed.head.size, believed.witnesses) == (40, (("w1", 90), ("w0", 100)))
    # From 100 on two had seen it; two saw it at 90 or later.
    assert (believed.seen_at, believed.newest_at) == (100, 90)
    one = check_evidence(evidence, [leaf(7), leaf(39), leaf(0)], kept.trust(1), now=150)
    assert (one.seen_at, one.newest_at) == (90, 100)


def test_what_is_acted_on_is_fresh_and_what_is_archived_need_not_be(kept: Kept) -> None:
    note = kept.note(40, 100, 90, 170)
    with pytest.raises(TooFewWitnesses, match="61 s ago, at most 60 s"):
        check_cosigned(note, kept.trust(), now=161)
    assert check_cosigned(note, kept.trust(), now=160).newest_at == 100
    assert check_cosigned(note, kept.trust()).newest_at == 100


def test_what_does_not_show_it(kept: Kept) -> None:
    note, trust = kept.note(40, 100, 100), kept.trust()
    evidence = kept.evidence(note, 7, 8)
    other = MemoryLog([*kept.log.entries[:7], b"other", *kept.log.entries[8:]])
    with pytest.raises(ProofInvalid, match="entry 7 is not in the tree"):
        check_evidence(evidence, [leaf(8), leaf(7)], trust)
    with pytest.raises(ProofInvalid, match="1 leaves are looked for, the evidence is about 2"):
        check_evidence(evidence, [leaf(7)], trust)
    with pytest.raises(ProofInvalid, match="there is no entry 39 in a tree of 30"):
        check_evidence(
            Evidence.parse({**_json(kept.evidence(note, 39)), "checkpoint": kept.note(30, 1, 1)}), [leaf(39)], trust
        )
    with pytest.raises(ProofInvalid, match="leads to another root"):
        check_evidence(
            Evidence.parse({**_json(evidence), "checkpoint": kept.note(40, 1, 1, log=other)}), [leaf(7), leaf(8)], trust
        )
    with pytest.raises(TooFewWitnesses, match="1 of the 3 trusted"):
        check_evidence(kept.evidence(kept.note(40, 100), 7), [leaf(7)], trust)
    with pytest.raises(NoteNotSigned):
        check_evidence(evidence, [leaf(7), leaf(8)], Kept().trust())
    with pytest.raises(MalformedNote):
        check_evidence(Evidence.parse({**_json(evidence), "checkpoint": "no note"}), [leaf(7), leaf(8)], trust)


def _json(evidence: Evidence) -> dict[str, Any]:
    value = evidence.canonical()
    assert isinstance(value, dict)
    return dict(value)


@pytest.mark.parametrize(
    "changes",
    [
        {"format": "atomic-margin/evidence/2"},
        {"checkpoint": ""},
        {"checkpoint": "x" * 70000},
        {"leaves": []},
        {"leaves": [{"index": "0", "path": []}] * (MAX_LEAVES + 1)},
        {"leaves": [{"index": "0", "path": ["1a" * 32] * (MAX_PATH + 1)}]},
        {"leaves": [{"index": "-1", "path": []}]},
        {"leaves": [{"index": 0, "path": []}]},
        {"leaves": [{"index": "0", "path": ["1A" * 32]}]},
        {"leaves": [{"index": "0", "path": [], "leaf": "00"}]},
        {"root": "1a" * 32},
    ],
)
def test_evidence_has_one_form(kept: Kept, changes: dict[str, Any]) -> None:
    with pytest.raises(DocumentError):
        Evidence.parse({**_json(kept.evidence(kept.note(40), 7)), **changes})


def test_a_time_to_answer_is_over_by_the_clocks_of_witnesses(kept: Kept) -> None:
    trust = kept.trust()
    begins = kept.evidence(kept.note(30, 1000, 1010), 7)
    assert check_deadline(begins, kept.note(40, 1910, 1950), leaf(7), 900, trust) == Elapsed(1010, 1910)
    # The log need not have grown.
    check_deadline(begins, kept.note(30, 1910, 1910), leaf(7), 900, trust)
    # One fast clock of two does not end it, and one slow clock does not begin it.
    for early in ((1909, 5000), (5000, 1909), (1000, 1010)):
        with pytest.raises(DeadlineOpen, match="there are 900 s to answer"):
            check_deadline(begins, kept.note(40, *early), leaf(7), 900, trust)
    slow = kept.evidence(kept.note(30, 0, 1010), 7)
    with pytest.raises(DeadlineOpen):
        check_deadline(slow, kept.note(40, 1909, 1909), leaf(7), 900, trust)


def test_what_does_not_end_a_time_to_answer(kept: Kept) -> None:
    trust, begins, ends = kept.trust(), kept.evidence(kept.note(30, 0, 0), 7), kept.note(40, 5000, 5000)
    for nothing in ((None, ends), (begins, None), (None, None)):
        with pytest.raises(DeadlineOpen, match="no checkpoint shows"):
            check_deadline(*nothing, leaf(7), 900, trust)
    with pytest.raises(TooFewWitnesses):
        check_deadline(begins, kept.note(40, 5000), leaf(7), 900, trust)
    with pytest.raises(TooFewWitnesses):
        check_deadline(kept.evidence(kept.note(30, 0), 7), ends, leaf(7), 900, trust)
    with pytest.raises(ProofInvalid, match="not in the tree"):
        check_deadline(begins, ends, leaf(8), 900, trust)
    with pytest.raises(ProofInvalid, match="ends with a log of 20 entries and began with one of 30"):
        check_deadline(begins, kept.note(20, 5000, 5000), leaf(7), 900, trust)
    with pytest.raises(ProofInvalid, match="about 2"):
        check_deadline(kept.evidence(kept.note(30, 0, 0), 7, 8), ends, leaf(7), 900, trust)
    with pytest.raises(NoteNotSigned):
        check_deadline(begins, Kept().note(40, 5000, 5000), leaf(7), 900, trust)


def test_an_answer_that_a_witness_had_in_time_is_not_overdue() -> None:
    witness = Identity.generate()

    def receipt(second: int) -> DeliveryReceipt:
        time = f"2026-11-27T12:00:{second:02d}Z"
        return DeliveryReceipt(log="a", document="4d" * 32, witness=witness.public_key, received_at=time)

    elapsed = Elapsed(receipt(10).moment, receipt(59).moment)
    check_undelivered(elapsed, 30, [])
    check_undelivered(elapsed, 30, [receipt(41), receipt(50)])
    with pytest.raises(DeliveredInTime, match="30 s after the time began; there were 30 s"):
        check_undelivered(elapsed, 30, [receipt(41), receipt(40)])


def key(name: str, kind: int, public: bytes) -> str:
    data = bytes([kind]) + public
    return (
        f"{name}+{hashlib.sha256(name.encode() + bytes([10]) + data).hexdigest()[:8]}+{base64.b64encode(data).decode()}"
    )


def fresh() -> bytes:
    return bytes.fromhex(Identity.generate().public_key)


def test_a_trust_file_names_a_log_and_its_witnesses(kept: Kept) -> None:
    trust = kept.trust()
    assert trust.origin == "margin.example/log"
    assert trust.witness_keys == tuple(one.public_key for one in kept.witnesses)
    public, said = fresh(), _said(kept)
    for changes, error in (
        ({"threshold": "0"}, OutOfRange),
        ({"threshold": "4"}, MalformedDocument),
        ({"witnesses": []}, MalformedDocument),
        ({"max_age_seconds": "0"}, OutOfRange),
        ({"max_age_seconds": None}, NotADecimal),
        ({"key": said["witnesses"][0]}, MalformedDocument),
        ({"witnesses": [said["key"]], "threshold": "1"}, MalformedDocument),
        ({"witnesses": [key("a", 4, public), key("a", 4, fresh())]}, DuplicateId),
        ({"witnesses": [key("a", 4, public), key("b", 4, public)]}, DuplicateId),
        ({"witnesses": [key(f"w{number}", 4, fresh()) for number in range(33)]}, MalformedDocument),
        # Anybody can sign under a key of small order.
        ({"witnesses": [key("a", 4, bytes(32))], "threshold": "1"}, NotAPublicKey),
        ({"key": said["key"].replace("margin.example", "other.example")}, MalformedDocument),
        ({"key": said["key"][:-4] + "===="}, MalformedDocument),
        ({"key": "margin.example/log"}, MalformedDocument),
    ):
        with pytest.raises(error):
            LogTrust.parse({**said, **changes})


def _said(kept: Kept) -> dict[str, Any]:
    trust = kept.trust()
    return {
        "key": trust.key,
        "witnesses": list(trust.witnesses),
        "threshold": "2",
        "max_age_seconds": "60",
    }


def test_a_key_under_which_anybody_can_sign_is_no_key_of_a_note() -> None:
    good = key("a", 4, fresh())
    assert str(NoteKey.parse(good)) == good
    with pytest.raises(MalformedNote, match="small order"):
        NoteKey.parse(key("a", 4, bytes(32)))

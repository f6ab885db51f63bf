"""Notes, keys, checkpoints and cosignatures: the bytes of the specifications, and everything else refused."""

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from atomic_margin.service.log.checkpoints import (
    Checkpoint,
    TreeHead,
    WitnessPolicy,
    believe,
    check_successor,
    cosign,
    log_key,
    parse_keys,
    sign_head,
    witness_key,
)
from atomic_margin.service.log.errors import (
    LogError,
    LogForked,
    MalformedNote,
    NoteNotSigned,
    ProofInvalid,
    TooFewWitnesses,
)
from atomic_margin.service.log.notes import COSIGNATURE, ED25519, MAX_SIGNATURES, NoteKey, parse_note
from atomic_margin.service.log.tree import consistency_proof, root
from atomic_margin.service.protocol.signing import Identity

from .logs import MemoryLog

ORIGIN = "margin.example/log"
# Published with the specification of checkpoints: origin, size and root of a log, its signature and a cosignature.
EXAMPLE = """example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==
"""  # noqa: E501


@pytest.fixture(scope="module")
def log() -> MemoryLog:
    return MemoryLog([b"%d" % number for number in range(40)])


@pytest.fixture(scope="module")
def keeper() -> Identity:
    return Identity.generate()


@pytest.fixture(scope="module")
def watchers() -> dict[str, Identity]:
    return {f"w{number}.example": Identity.generate() for number in range(3)}


def at(log: MemoryLog, keeper: Identity, size: int) -> Checkpoint:
    return sign_head(TreeHead(ORIGIN, size, root(log.read, size)), keeper)


def cosigned(checkpoint: Checkpoint, watchers: dict[str, Identity], times: dict[str, int]) -> Checkpoint:
    lines = "".join(cosign(checkpoint, name, watchers[name], time) for name, time in times.items())
    return Checkpoint.parse(str(checkpoint.note.with_lines(lines)))


def test_the_published_example_is_read_and_written_again() -> None:
    checkpoint = Checkpoint.parse(EXAMPLE)
    assert str(checkpoint) == EXAMPLE
    assert (checkpoint.head.origin, checkpoint.head.size) == ("example.com/behind-the-sofa", 20852163)
    assert int.from_bytes(checkpoint.note.signatures[1][2][:8], "big") == 1679315147


def test_signatures_are_of_the_bytes_of_the_specification(log: MemoryLog, keeper: Identity) -> None:
    """Written out here once more, by hand."""
    checkpoint, witness = at(log, keeper, 40), Identity.generate()
    body = f"{ORIGIN}\n40\n{base64.b64encode(root(log.read, 40)).decode()}\n"
    text, _, lines = str(checkpoint).partition("\n\n")
    assert text + "\n" == body
    dash, name, encoded = lines.rstrip("\n").split(" ")
    assert (dash, name) == ("\u2014", ORIGIN)
    public = bytes.fromhex(keeper.public_key)
    data = base64.b64decode(encoded)
    assert data[:4] == hashlib.sha256(ORIGIN.encode() + b"\n\x01" + public).digest()[:4]
    Ed25519PublicKey.from_public_bytes(public).verify(data[4:], body.encode())
    line = cosign(checkpoint, "w.example", witness, 1679315147)
    data = base64.b64decode(line.rstrip("\n").split(" ")[2])
    public = bytes.fromhex(witness.public_key)
    assert data[:4] == hashlib.sha256(b"w.example\n\x04" + public).digest()[:4]
    assert data[4:12] == (1679315147).to_bytes(8, "big")
    message = f"cosignature/v1\ntime 1679315147\n{body}".encode()
    Ed25519PublicKey.from_public_bytes(public).verify(data[12:], message)


def test_a_checkpoint_is_believed_when_enough_witnesses_saw_it_lately(
    log: MemoryLog, keeper: Identity, watchers: dict[str, Identity]
) -> None:
    key = log_key(ORIGIN, keeper.public_key)
    keys = tuple(witness_key(name, identity.public_key) for name, identity in watchers.items())
    names = list(watchers)
    two = cosigned(at(log, keeper, 40), watchers, {names[0]: 100, names[2]: 90})
    for needed in (0, 1, 2):
        believed = believe(two, key, WitnessPolicy(keys, needed, 10), 100)
        assert believed.head.size == 40
        assert believed.witnesses == ((names[2], 90), (names[0], 100))
        assert believed.seen_at == [None, 90, 100][needed]
    with pytest.raises(TooFewWitnesses, match="2 of the 3"):
        believe(two, key, WitnessPolicy(keys, 3), 100)
    # One that saw it lately does not make two.
    believe(two, key, WitnessPolicy(keys, 1, 5), 104)
    with pytest.raises(TooFewWitnesses, match="14 s ago, at most 5 s"):
        believe(two, key, WitnessPolicy(keys, 2, 5), 104)
    # A witness that nobody trusts does not count.
    with pytest.raises(TooFewWitnesses, match="0 of the 1"):
        believe(two, key, WitnessPolicy(keys[1:2], 1), 100)


def test_signatures_of_others_and_of_other_texts_are_refused(
    log: MemoryLog, keeper: Identity, watchers: dict[str, Identity]
) -> None:
    checkpoint, other, stranger = at(log, keeper, 40), at(log, keeper, 39), Identity.generate()
    key, name = log_key(ORIGIN, keeper.public_key), next(iter(watchers))
    policy = WitnessPolicy((witness_key(name, watchers[name].public_key),), 1)
    with pytest.raises(NoteNotSigned, match="no signature of"):
        believe(checkpoint, log_key(ORIGIN, stranger.public_key), WitnessPolicy(), 0)
    with pytest.raises(NoteNotSigned, match=r"a checkpoint of other\.example is wanted"):
        believe(checkpoint, log_key("other.example", keeper.public_key), WitnessPolicy(), 0)
    moved = Checkpoint.parse(str(checkpoint).replace("\n40\n", "\n41\n"))
    with pytest.raises(NoteNotSigned, match="not of this text"):
        believe(moved, key, WitnessPolicy(), 0)
    # A cosignature of another checkpoint, or with another time.
    line = cosign(other, name, watchers[name], 7)
    with pytest.raises(NoteNotSigned, match="not of this text"):
        believe(Checkpoint.parse(str(checkpoint.note.with_lines(line))), key, policy, 7)
    data = bytearray(base64.b64decode(cosign(checkpoint, name, watchers[name], 7).split(" ")[2]))
    data[11] ^= 1
    late = f"\u2014 {name} {base64.b64encode(bytes(data)).decode()}\n"
    with pytest.raises(NoteNotSigned, match="not of this text"):
        believe(Checkpoint.parse(str(checkpoint.note.with_lines(late))), key, policy, 7)
    # Two of one witness: it would be the reader's choice which time counts.
    both = cosign(checkpoint, name, watchers[name], 7) + cosign(checkpoint, name, watchers[name], 9)
    with pytest.raises(NoteNotSigned, match="the form it is known"):
        believe(Checkpoint.parse(str(checkpoint.note.with_lines(both))), key, policy, 9)


def test_a_fork_is_told_from_a_wrong_proof(log: MemoryLog, keeper: Identity) -> None:
    forked = MemoryLog([*log.entries[:20], b"other", *log.entries[21:]])
    old, new = at(log, keeper, 30), at(log, keeper, 40)
    check_successor(old, new, consistency_proof(log.read, 30, 40))
    check_successor(at(log, keeper, 0), new, [])
    with pytest.raises(LogForked) as caught:
        check_successor(new, at(forked, keeper, 40), [])
    assert (caught.value.first, caught.value.second) == (str(new), str(at(forked, keeper, 40)))
    with pytest.raises(ProofInvalid):
        check_successor(old, at(forked, keeper, 40), consistency_proof(forked.read, 30, 40))
    with pytest.raises(ProofInvalid, match="one of 40 is known"):
        check_successor(new, old, [])


@pytest.mark.parametrize(
    "text",
    [
        "a\n1\n" + "A" * 44 + "\n",
        "a\n01\n" + "A" * 43 + "=\n",
        "a\n+1\n" + "A" * 43 + "=\n",
        "a\n\u0661\n" + "A" * 43 + "=\n",
        "a\n1\n" + "A" * 43 + "=\nmore\n",
        "\n1\n" + "A" * 43 + "=\n",
        "a\n1\n" + "A" * 42 + "B=\n",
        "a\n1\n" + "A" * 43 + "=",
        f"a\n{2**62 + 1}\n" + "A" * 43 + "=\n",
        "a\n-1\n" + "A" * 43 + "=\n",
    ],
)
def test_a_tree_head_has_one_spelling(text: str) -> None:
    TreeHead.parse("a\n1\n" + "A" * 43 + "=\n")
    with pytest.raises(MalformedNote):
        TreeHead.parse(text)


@pytest.mark.parametrize(
    "note",
    [
        "",
        "text\n",
        "text\n\n",
        "text\n\n\u2014 name AAAAAAA=",
        "text\n\n- name AAAAAAA=\n",
        "text\n\n\u2014 name AAAA\n",
        "text\n\n\u2014 name AAAAAAB=\n",
        "text\n\n\u2014  name AAAAAAA=\n",
        "te\txt\n\n\u2014 name AAAAAAA=\n",
        "text\r\n\n\u2014 name AAAAAAA=\n",
        "text\n\n" + "\u2014 name AAAAAAA=\n" * (MAX_SIGNATURES + 1),
        "x" * 70000 + "\n\n\u2014 name AAAAAAA=\n",
    ],
)
def test_what_is_no_note_is_refused(note: str) -> None:
    assert parse_note("text\n\n\u2014 name AAAAAAA=\n").text == "text\n"
    with pytest.raises(LogError):
        parse_note(note)


def test_keys_have_one_spelling() -> None:
    public = bytes.fromhex(Identity.generate().public_key)
    for kind in (ED25519, COSIGNATURE):
        key = NoteKey("a.example/x", kind, public)
        assert NoteKey.parse(str(key)) == key
    text = str(NoteKey("a.example", COSIGNATURE, public))
    name, identifier, encoded = text.split("+", 2)
    for wrong in (
        f"b.example+{identifier}+{encoded}",
        f"{name}+{identifier.upper()}X+{encoded}",
        f"{name}+{identifier}+{encoded[:-4]}",
        f"{name}+{identifier}",
        f"a b+{identifier}+{encoded}",
        "",
    ):
        with pytest.raises(MalformedNote):
            NoteKey.parse(wrong)
    with pytest.raises(MalformedNote, match="type of cosignatures"):
        parse_keys([str(NoteKey("a", ED25519, public))])
    with pytest.raises(MalformedNote, match="counts once"):
        parse_keys([str(NoteKey("a", COSIGNATURE, public)), str(NoteKey("b", COSIGNATURE, public))])


def test_a_note_is_never_a_document(keeper: Identity) -> None:
    with pytest.raises(ValueError, match="begins like a signed document"):
        keeper.sign_note(b"atomic-margin/v1/signature/tick\n{}")

"""Check one account's part of a cycle of netting by its documents: every line, gross and net, and its place in the log.

For the institution itself, and for an auditor whom it gives the file. From the line up: the obligation that the
institution signed and the operator entered, the line in the cycle's tree, the group with its sums, the root in the
document that the operator signed, its entry in the account, and the leaves of cycle and entry in the cosigned log.
That the log has no second cycle of the number is for whoever reads all of it: `atomic-margin monitor`, every agent.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Literal, NamedTuple

from atomic_margin.documents.errors import DocumentsError
from atomic_margin.documents.fields import Hash
from atomic_margin.documents.strict import Document, Identifier, ListOf, NonEmptyListOf, Part
from atomic_margin.service.errors import AttestationInvalid, Refused, ServiceError
from atomic_margin.service.log.checkpoints import Believed
from atomic_margin.service.log.evidence import check_evidence
from atomic_margin.service.log.netted import check_netting
from atomic_margin.service.protocol.account.entries import Entry, salted_hash
from atomic_margin.service.protocol.account.events import EventKind
from atomic_margin.service.protocol.account.identities import keys_shown
from atomic_margin.service.protocol.account.netting import check_shown, group_key, sums
from atomic_margin.service.protocol.account.netting_documents import Group, Line, Netting, Obligation
from atomic_margin.service.protocol.bodies import parse_signed
from atomic_margin.service.protocol.evidence import Evidence
from atomic_margin.service.protocol.leaves import entry_leaf, leaf_of_netting
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.trust import TrustFile

JsonObject = dict[str, Any]
FORMAT = "atomic-margin/netting/1"
STEPS = ("format", "trust anchors", "entry", "obligations", "lines", "groups", "log")
PROMISED = {EventKind.DELIVERY_PROMISED: "delivery", EventKind.RETURN_PROMISED: "return"}


class Entered(Part):
    """A document and the entry that names it.

    Attributes:
        entry: signed by the operator.
        document: what it is about, signed.
        salt: of its hash in the entry.
    """

    entry: JsonObject
    document: JsonObject
    salt: Hash


class NettingFile(Document):
    """An account's part of a cycle as its institution hands it on, format ``atomic-margin/netting/1``.

    Attributes:
        format: of the file.
        institution: whose account.
        netting: what the operator entered about the cycle.
        obligations: all that were promised by the cycle's day and in no earlier one, as they were entered.
        evidence: that the leaves of cycle and entry, in this order, are in the log; absent where none was asked for.
        rotations: of the institution's identity key, in order, as they were entered; absent where there are none.
    """

    TAG: ClassVar[str] = "netting-file"

    format: Literal["atomic-margin/netting/1"]
    institution: Identifier
    netting: Entered
    obligations: NonEmptyListOf[Entered]
    evidence: JsonObject | None = None
    rotations: ListOf[Entered] | None = None


class OwnGroup(NamedTuple):
    """A group and what the account has in it.

    Attributes:
        group: gross and net of all.
        deliveries: the account's own that arrived.
        returns: its own.
        undone: its own that did not arrive.
        whole: whether all lines of the group were shown, and sum to it.
    """

    group: Group
    deliveries: int
    returns: int
    undone: int
    whole: bool


class NettingReport(NamedTuple):
    """What holds.

    Attributes:
        netting: the account's part.
        groups: gross and net, and its share.
        number: of its entry.
        believed: checkpoint that has cycle and entry; None where the trust file names no log.
    """

    netting: Netting
    groups: tuple[OwnGroup, ...]
    number: int
    believed: Believed | None


def verify_netting(value: Any, trust: TrustFile, held: Callable[[str], None] = lambda _: None) -> NettingReport:
    """Verify an account's part of a cycle.

    Args:
        value: parsed JSON of the file.
        trust: anchors.
        held: called with each step that holds.

    Raises:
        AttestationInvalid: a step does not hold; it is named.
    """

    @contextmanager
    def step(name: str) -> Iterator[None]:
        try:
            yield
        except (ServiceError, DocumentsError) as error:
            raise AttestationInvalid(name, str(error)) from error
        held(name)

    with step("format"):
        file = NettingFile.parse(value)
    with step("trust anchors"):
        pinned = trust.institutions.get(file.institution)
        if pinned is None:
            raise Refused(f"the trust file has no key of {file.institution!r}; add it with `trust`", "institution")
        rotated = [one.document for one in file.rotations or ()]
        keys = keys_shown(pinned, rotated, file.institution, trust.operator)
    with step("entry"):
        signed, entry, document = _entered(file.netting, trust)
        document.verify(frozenset({trust.operator}))
        _, netting = parse_signed(document, Netting)
        if entry.kind is not EventKind.NETTED:
            raise Refused(f"entry {entry.number} is not about a cycle", "netting")
        if (netting.institution, netting.operator) != (file.institution, trust.operator):
            raise Refused("the cycle was entered for another account, or by another operator", "institution")
        if netting.entry != entry.previous:
            raise Refused("the document was made for another moment than that of its entry", "entry")
    with step("obligations"):
        replaced = _replaced(file, entry, trust)
        promised = [_promised(one, file, entry, netting, (keys, replaced), trust) for one in file.obligations]
    with step("lines"):
        _check_lines(netting, dict(promised))
        check_netting(netting)
    with step("groups"):
        check_shown(netting)
    with step("log"):
        believed = None
        if trust.log is not None:
            if file.evidence is None:
                raise Refused("nothing shows that it is in the log; let the agent save the file again", "evidence")
            leaves = [leaf_of_netting(netting).to_bytes(), entry_leaf(signed).to_bytes()]
            believed = check_evidence(Evidence.parse(file.evidence), leaves, trust.log)
    return NettingReport(netting, tuple(_groups(netting)), entry.number, believed)


def check_same(reports: Sequence[NettingReport]) -> None:
    """Make sure that several accounts were shown the same of the cycles that they share.

    Raises:
        AttestationInvalid: the operator signed two different ones; step `same cycle`.
    """
    cycles: dict[int, tuple[str, bytes]] = {}
    groups: dict[tuple[int, tuple[str, str, str, str]], tuple[str, bytes]] = {}
    for report in reports:
        netting = report.netting
        named = leaf_of_netting(netting).to_bytes()
        other, before = cycles.setdefault(netting.cycle, (netting.institution, named))
        if before != named:
            raise _different(f"cycle {netting.cycle}", other, netting.institution)
        for own in report.groups:
            group = own.group
            key = (netting.cycle, (group.scope, group.party, group.asset, group.settles))
            other, before = groups.setdefault(key, (netting.institution, group.to_bytes()))
            if before != group.to_bytes():
                raise _different(
                    f"the group {group.party}/{group.asset} of cycle {netting.cycle}", other, netting.institution
                )


def _different(what: str, one: str, two: str) -> AttestationInvalid:
    return AttestationInvalid(
        "same cycle",
        f"{what} is another one for {one!r} than for {two!r}, and the operator signed both: the two files are evidence "
        "against it; keep them, and show them to a monitor and to your supervisor",
    )


def _entered(one: Entered, trust: TrustFile) -> tuple[SignedDocument, Entry, SignedDocument]:
    signed, entry = parse_signed(one.entry, Entry)
    signed.verify(frozenset({trust.operator}))
    document = SignedDocument.parse(one.document)
    if salted_hash(one.salt, document.canonical()) != entry.document:
        raise Refused(f"entry {entry.number} is about another document than is shown with it", "document")
    return signed, entry, document


def _replaced(file: NettingFile, netted: Entry, trust: TrustFile) -> list[int]:
    """Return the numbers of the entries by which the institution's identity key was replaced, in order."""
    numbers: list[int] = []
    for one in file.rotations or ():
        _, entry, _ = _entered(one, trust)
        if entry.account != netted.account or entry.kind is not EventKind.IDENTITY_ROTATED:
            raise Refused(f"entry {entry.number} replaces no identity key of this account", "rotations")
        if numbers and entry.number <= numbers[-1]:
            raise Refused("rotations are not in the order of their entries", "rotations")
        numbers.append(entry.number)
    return numbers


def _promised(
    one: Entered,
    file: NettingFile,
    netted: Entry,
    netting: Netting,
    keys: tuple[tuple[str, ...], list[int]],
    trust: TrustFile,
) -> tuple[str, Obligation]:
    _, entry, document = _entered(one, trust)
    # Under the key in force at its entry: what a replaced one signed later is nobody's promise.
    shown, replaced = keys
    document.verify(frozenset({shown[bisect_left(replaced, entry.number)]}))
    _, body = parse_signed(document, Obligation)
    if (body.institution, body.operator) != (file.institution, trust.operator):
        raise Refused(f"obligation {body.sequence} is of another account", "obligations")
    if entry.account != netted.account or entry.number >= netted.number:
        raise Refused(f"obligation {body.sequence} was not entered in this account before the cycle", "obligations")
    if PROMISED.get(entry.kind) != body.direction or body.settles > netting.settles:
        raise Refused(f"obligation {body.sequence} is not one that this cycle nets", "obligations")
    return document.body_hash(), body


def _check_lines(netting: Netting, promised: dict[str, Obligation]) -> None:
    """Make sure that the lines are the obligations, each once and unchanged."""
    lines = {shown.line.obligation: shown.line for shown in netting.lines}
    dropped = [body for hash_, body in promised.items() if hash_ not in lines]
    if dropped:
        body = dropped[0]
        raise Refused(
            f"the operator dropped a line: obligation {body.sequence}, a {body.direction} of {body.quantity} "
            f"{body.asset} by {body.settles}, was entered before cycle {netting.cycle} and is not in it; unless the "
            "operator shows an earlier cycle that has it, dispute the entry",
            "lines",
        )
    if len(lines) != len(netting.lines):
        raise Refused("an obligation is netted twice; dispute the entry", "lines")
    for hash_, line in lines.items():
        said = promised.get(hash_)
        if said is None:
            raise Refused(f"a line is of an obligation {hash_[:16]}… that the file has not signed", "lines")
        for name in ("sequence", "party", "scope", "direction", "asset", "quantity", "settles"):
            if getattr(line, name) != getattr(said, name):
                raise Refused(f"the line of obligation {said.sequence} has another {name} than was signed", "lines")


def _groups(netting: Netting) -> Iterator[OwnGroup]:
    lines: list[Line] = [shown.line for shown in netting.lines]
    for shown in netting.groups:
        group = shown.group
        key = (group.scope, group.party, group.asset, group.settles)
        own = [line for line in lines if group_key(line, netting.operator) == key]
        yield OwnGroup(group, *sums(own), whole=group.scope == "party")

"""Write the field tables of docs/protocol.md from the models: `scripts/tables.py`; `--check` only compares.

A table stands under the heading with the model's name, between two comments. Fields, their order and their types come
from the code. What a field means is kept from the page, which tells more than a docstring; a new field begins with what
the model's docstring says of it. A field that nobody explains is an error. Exit status 1 if the page differs or a
meaning is missing.
"""

import ast
import inspect
import re
import sys
import textwrap
from typing import Any, Literal, get_args, get_origin

from generated import PAGE, Missing, write_page

from atomic_margin.documents.strict import Part
from atomic_margin.margin.collateral.agreement import Agreed, CollateralAgreement
from atomic_margin.margin.market import columns
from atomic_margin.service.protocol import dealings, disputes, documents, opening_voids, released, submissions
from atomic_margin.service.protocol.account import (
    default_documents,
    default_state,
    entries,
    events,
    netting_documents,
    opening_documents,
    resharing_documents,
    state,
)
from atomic_margin.service.protocol.account.amendments import AgreementAmendment, CustodyAmendment
from atomic_margin.service.protocol.account.halt_documents import Halt, Resume
from atomic_margin.service.protocol.account.release_documents import Release
from atomic_margin.service.protocol.account.rotation_documents import IdentityRotation
from atomic_margin.service.protocol.breakers import BreakerRules
from atomic_margin.service.protocol.chain_documents import ChainAccount, RegistrationRequest
from atomic_margin.service.protocol.custody import CustodianKeys, CustodyPolicy
from atomic_margin.service.protocol.delivery import DeliveryReceipt
from atomic_margin.service.protocol.evidence import Evidence, LeafPath
from atomic_margin.service.protocol.leaves import CycleLeaf, EntryLeaf, PriceLeaf, TickLeaf
from atomic_margin.service.protocol.price_rules import PriceRules
from atomic_margin.service.protocol.rule_changes import NewRules, RulesChange
from atomic_margin.service.protocol.ticks import Price, PriceSet, PriceTick, Staged
from atomic_margin.service.protocol.trust import LogTrust, TrustFile
from atomic_margin.service.protocol.waterfall import Layer, WaterfallRules
from atomic_margin.service.verifier import history
from atomic_margin.service.verifier.attestation import Attestation
from atomic_margin.service.verifier.gain import GainParts

MODELS: tuple[type[Part], ...] = (
    PriceRules,
    Price,
    PriceSet,
    PriceTick,
    Staged,
    NewRules,
    RulesChange,
    documents.Enrolment,
    documents.EnrolmentConfirmation,
    submissions.Submission,
    submissions.Gain,
    submissions.Settles,
    columns.ColumnChoice,
    columns.TierChoice,
    documents.RunRecord,
    documents.Answer,
    documents.Settlement,
    documents.ShortfallRecord,
    documents.CollateralInstruction,
    events.AdmissionRecord,
    submissions.Allowances,
    events.UniverseRevision,
    events.DepositRecord,
    events.RunOpened,
    events.RunVoid,
    events.Overdue,
    events.Coverage,
    events.GivingUp,
    netting_documents.PartyNaming,
    netting_documents.Obligation,
    netting_documents.Netting,
    Release,
    events.Readers,
    events.Reader,
    entries.Entry,
    state.PublicState,
    state.Listed,
    state.Book,
    state.OpenRun,
    state.Newest,
    state.PrivateState,
    TickLeaf,
    EntryLeaf,
    PriceLeaf,
    CycleLeaf,
    Attestation,
    history.History,
    history.SubmissionEntries,
    GainParts,
    history.OpenedEntry,
    history.OpeningEntries,
    history.LiquidationEntries,
    released.ReleasedHistory,
    released.ReleasedEntry,
    TrustFile,
    LogTrust,
    Evidence,
    LeafPath,
    DeliveryReceipt,
    disputes.Dispute,
    disputes.DisputeResolution,
    disputes.DisputeWithdrawal,
    disputes.DisputeLapse,
    disputes.PricedAt,
    state.Disputes,
    state.OpenDispute,
    WaterfallRules,
    default_documents.Sale,
    default_documents.LossAgreement,
    default_documents.CloseOut,
    Layer,
    default_documents.FundContribution,
    default_documents.FundDraw,
    default_state.Default,
    default_state.FundShare,
    AgreementAmendment,
    CollateralAgreement,
    Agreed,
    state.AgreementInForce,
    Halt,
    Resume,
    BreakerRules,
    state.Halts,
    default_documents.Segregation,
    IdentityRotation,
    CustodyPolicy,
    CustodianKeys,
    dealings.Dealing,
    dealings.ShareReceipt,
    dealings.ShareComplaint,
    dealings.ResealedShares,
    dealings.BookSharing,
    opening_documents.OpeningRequest,
    opening_documents.OpeningLapse,
    opening_documents.Finding,
    opening_voids.OpeningVoid,
    opening_documents.SlackCertificate,
    opening_documents.MultipliedRow,
    opening_documents.OpeningVerdict,
    opening_documents.Opened,
    CustodyAmendment,
    resharing_documents.ResharingRequest,
    resharing_documents.SharedUnder,
    resharing_documents.PassedOn,
    resharing_documents.Resharing,
    state.CustodyInForce,
    state.SharedBook,
    state.Opening,
    ChainAccount,
    RegistrationRequest,
)
END = "<!-- end of fields -->"


WORDS = {
    "Identifier": "name",
    "Hash": "hash",
    "Label": "text",
    "PublicKey": "public key",
    "Signature": "64 bytes in hex",
    "EncryptionKey": "X25519 public key",
    "Nonce": "32 bytes in hex",
    "PointHex": "point in hex",
    "ProofHex": "bytes in hex",
    "SharesHex": "bytes in hex",
    "Point": "integer, 1 to 65535",
    "BodiesHex": "bytes in hex",
    "WordsHex": "bytes in hex",
    "Counter": "integer",
    "Factor": "integer, 1 to 2^48 - 1",
    "Quantity": "integer",
    "AmountText": "decimal",
    "PriceText": "decimal",
    "Time": "time",
    "Day": "day, YYYY-MM-DD",
    "InstantText": "time",
    "MaxAge": "integer, 1 to 86400, or `unbounded`",
    "_Tiers": "list of pairs of lots a unit and bits",
    "NoteText": "signed note",
    "LogKeyText": "key of a log",
    "WitnessKeyText": "key of a witness",
    "JsonObject": "JSON object",
    "bool": "`true` or `false`",
    "Cents": "decimal, whole cents",
    "TimeOfDay": "time of day",
    "Kind": "an event",
    "QuotePath": "text",
    "Status": "state of an account",
    "Words": "text of at most 500 characters",
    "Discount": "decimal from 0 to below 1",
    "ChainAddress": "address, 0x and 40 lower-case hex digits",
    "Share": "decimal above 0, at most 1",
}
"""How the page calls the field types of `documents`; other names are those of models."""


def types(model: type[Part]) -> dict[str, str]:
    """Return the types of a model's fields, inherited ones included, in words."""
    found = {}
    for kind in reversed(model.__mro__):
        if kind.__module__.startswith("atomic_margin"):
            (definition,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
            for node in ast.walk(definition):
                if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) in model.model_fields:
                    found[ast.unparse(node.target)] = words(node.annotation, vars(sys.modules[kind.__module__]))
    return {name: found[name] for name in model.model_fields}


def words(annotation: ast.expr, names: dict[str, Any]) -> str:
    """Return an annotation in words; `names` are those of its module."""
    match annotation:
        case ast.Name(name):
            alias = names.get(name)
            if name in WORDS or isinstance(alias, type):
                return WORDS.get(name, name)
            if get_origin(alias) is Literal:
                return " or ".join(f"`{value}`" for value in get_args(alias))
        case ast.BinOp(left, ast.BitOr(), ast.Constant(None)):
            return f"{words(left, names)}, or absent"
        case ast.Subscript(ast.Name("ListOf" | "LongListOf"), of):
            return f"list of {words(of, names)}"
        case ast.Subscript(ast.Name("NonEmptyListOf"), of):
            return f"list of {words(of, names)}, not empty"
        case ast.Subscript(ast.Name("IdMap"), of):
            return f"{words(of, names)} by name"
        case ast.Subscript(ast.Name("Literal"), ast.Tuple(values)):
            return " or ".join(f"`{ast.literal_eval(value)}`" for value in values)
        case ast.Subscript(ast.Name("Literal"), value):
            return f"`{ast.literal_eval(value)}`"
        case ast.Subscript(ast.Name("Annotated"), ast.Tuple([_, ast.Call(ast.Name("integer_in"), [low, high])])):
            low, high = (eval(ast.unparse(end), names) for end in (low, high))  # noqa: S307 - our own source
            return f"integer, {low} to {high}"
    raise Missing(f"no words for the type {ast.unparse(annotation)}; add it to scripts/tables.py")


def explained(model: type[Part]) -> dict[str, str]:
    """Return what the attributes of a model's docstring say, and of those it inherits from, without the full stop."""
    said = {}
    for kind in reversed(model.__mro__):
        _, _, attributes = inspect.cleandoc(kind.__doc__ or "").partition("Attributes:\n")
        entries = re.findall(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", attributes, re.MULTILINE)
        said |= {name: " ".join(text.split()).removesuffix(".") for name, text in entries}
    return said


def kept(section: str) -> dict[str, str]:
    """Return the meanings that the page gives, by field."""
    rows = [row.strip("| ").split(" | ") for row in section.splitlines() if row.startswith("| `")]
    return {cells[0].strip("`"): cells[2] for cells in rows}


def table(model: type[Part], section: str) -> str:
    """Return the table of a model; `section` is what the page has now.

    Raises:
        Missing: nobody says what a field means.
    """
    said, known = explained(model), kept(section)
    lines = ["| field | type | meaning |", "|---|---|---|"]
    for name, kind in types(model).items():
        meaning = known.get(name) or said.get(name)
        if meaning is None:
            raise Missing(f"say what {model.__name__}.{name} means, in the docstring or in {PAGE.name}")
        lines.append(f"| `{name}` | {kind} | {meaning} |")
    return "\n".join(lines)


def written(page: str) -> str:
    """Return the page with every table made anew.

    Raises:
        Missing: a model has no section with the two comments, or a field no meaning.
    """
    for model in MODELS:
        start = f"<!-- fields of {model.__name__} -->"
        head, found, rest = page.partition(start)
        section, ended, tail = rest.partition(END)
        if not found or not ended or "\n#" in section or f"### {model.__name__}\n" not in head:
            raise Missing(f"{PAGE.name} has no section {model.__name__} with {start} and {END}")
        page = f"{head}{start}\n\n{table(model, section)}\n\n{END}{tail}"
    return page


if __name__ == "__main__":
    sys.exit(write_page(written, "field tables", "tables.py", __doc__))

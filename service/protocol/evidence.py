"""What shows that something is in an operator's log: a checkpoint, and for each leaf its path to the root. Pure.

The form alone: whether it holds is found out in `service.log.evidence`, by whoever has the leaves and a trust file. The
leaves themselves are not sent along, so that nobody takes one on trust: they follow from the documents they are about.
"""

from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import PlainValidator, field_validator

from atomic_margin.documents.errors import MalformedDocument
from atomic_margin.documents.fields import Counter, Hash
from atomic_margin.documents.strict import Document, ListOf, NonEmptyListOf, Part, problem

MAX_NOTE_CHARACTERS = 1 << 16
MAX_LEAVES = 8
MAX_PATH = 63


def _note(value: object) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_NOTE_CHARACTERS:
        raise problem(MalformedDocument, f"a signed note is text of at most {MAX_NOTE_CHARACTERS} characters")
    return value


NoteText: TypeAlias = Annotated[str, PlainValidator(_note)]
"""A checkpoint with its cosignatures, as it is published. What it says is read in `service.log.checkpoints`."""


class LeafPath(Part):
    """Where a leaf stands in a log, and how it leads to the root.

    Attributes:
        index: number of the leaf, from 0.
        path: hashes from the leaf upwards (RFC 6962, section 2.1.1).
    """

    index: Counter
    path: ListOf[Hash]

    @field_validator("path", mode="before")
    @classmethod
    def _short(cls, value: object) -> object:
        if isinstance(value, list) and len(value) > MAX_PATH:
            raise problem(MalformedDocument, f"a path is at most {MAX_PATH} hashes, got {len(value)}")
        return value


class Evidence(Document):
    """That leaves are in a log, format ``atomic-margin/evidence/1``. Not signed: its checkpoint is.

    Attributes:
        checkpoint: a signed note with the cosignatures that count.
        leaves: one for each leaf, in the order in which they are asked for.
    """

    TAG: ClassVar[str] = "evidence"

    format: Literal["atomic-margin/evidence/1"]
    checkpoint: NoteText
    leaves: NonEmptyListOf[LeafPath]

    @field_validator("leaves", mode="before")
    @classmethod
    def _few(cls, value: object) -> object:
        if isinstance(value, list) and len(value) > MAX_LEAVES:
            raise problem(MalformedDocument, f"at most {MAX_LEAVES} leaves here, got {len(value)}")
        return value

    def to_json(self) -> dict[str, Any]:
        """Return the evidence as a JSON object."""
        return {
            "format": self.format,
            "checkpoint": self.checkpoint,
            "leaves": [{"index": str(leaf.index), "path": list(leaf.path)} for leaf in self.leaves],
        }

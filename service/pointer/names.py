"""ENS names: their one normal form (ENSIP-15), their node (EIP-137), and how `resolve` takes them (ENSIP-10).

For `lookups`. Normal form and node come from the package `ens`, which web3 brings; it is imported when a name is looked
at. A name that looks like another one by letters of another alphabet, or by characters that are not seen, has no normal
form.
"""

from dataclasses import dataclass

from atomic_margin.service.pointer.errors import NameInvalid

MAX_NAME_BYTES = 253
MAX_LABELS = 16
MAX_LABEL_BYTES = 63
"""A DNS label has at most so many; longer ones cannot be asked for by ENSIP-10 everywhere."""


@dataclass(frozen=True)
class Name:
    """A name in its normal form.

    Attributes:
        text: what is looked up, and shown.
        node: its node.
        encoded: the DNS encoding.
        parents: nodes of the name itself and of every name above it, longest first.
    """

    text: str
    node: bytes
    encoded: bytes
    parents: tuple[bytes, ...]


def parse_name(text: str) -> Name:
    """Return the name that somebody wrote.

    Raises:
        NameInvalid: it has no normal form, or is too long.
    """
    from ens.exceptions import InvalidName  # type: ignore[import-untyped]
    from ens.utils import normal_name_to_hash, normalize_name  # type: ignore[import-untyped]

    _take_lists()
    shown = text[:80].encode("unicode_escape").decode()
    if not text.strip() or text != text.strip() or len(text.encode(errors="replace")) > MAX_NAME_BYTES:
        raise NameInvalid(f"'{shown}' is no name: 1 to {MAX_NAME_BYTES} bytes, without spaces around, as in fund.eth")
    try:
        normal = normalize_name(text)
    except (InvalidName, UnicodeError, ValueError) as error:
        reason = str(error)[:200].encode("unicode_escape").decode()
        raise NameInvalid(
            f"'{shown}' has no normal form by ENSIP-15 ({reason}): type the name anew, letter by letter, and do not "
            "copy it"
        ) from None
    labels = [label.encode() for label in normal.split(".")]
    if len(labels) > MAX_LABELS or not all(1 <= len(label) <= MAX_LABEL_BYTES for label in labels):
        raise NameInvalid(f"'{shown}': a name has up to {MAX_LABELS} parts of 1 to {MAX_LABEL_BYTES} bytes each")
    nodes = tuple(bytes(normal_name_to_hash(".".join(normal.split(".")[at:]))) for at in range(len(labels)))
    encoded = b"".join(bytes([len(label)]) + label for label in labels) + b"\x00"
    return Name(normal, nodes[0], encoded, nodes)


def _take_lists() -> None:
    """Let web3's `ens` compose letters: it gives them as a list, which `pyunormalize` takes no more from 18 on."""
    from ens import _normalization as library  # type: ignore[import-untyped]
    from pyunormalize import NFC  # type: ignore[import-untyped]

    library.NFC = lambda letters: NFC("".join(letters))

"""What an operator chooses about its rail on a chain: one file, and the keys that it names."""

import re
from pathlib import Path
from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import PlainValidator, model_validator

from atomic_margin.contracts.addresses import ChainAddresses, checked_address
from atomic_margin.contracts.errors import AddressesInvalid
from atomic_margin.documents.errors import MalformedDocument
from atomic_margin.documents.strict import Document, IdMap, NonEmptyListOf, Part, integer_in, problem
from atomic_margin.service.files import read_document

MAX_SIGNERS = 64
_URL = re.compile(r"https?://[A-Za-z0-9._:\[\]-]{1,255}(/[^\s?#]{0,512})?")


def _url(value: object) -> str:
    if not isinstance(value, str) or not _URL.fullmatch(value):
        raise problem(MalformedDocument, "write a URL, such as https://node.example/rpc, without user, query or space")
    return value


def _address(value: object) -> str:
    try:
        return checked_address(value, "address")
    except AddressesInvalid as error:
        raise problem(MalformedDocument, str(error)) from None


def _text(value: object) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= 1024 or "\0" in value:
        raise problem(MalformedDocument, "write the path of a file")
    return value


def _finality(value: object) -> "int | None":
    if value == "finalized":
        return None
    if not isinstance(value, str) or not re.fullmatch("[1-9][0-9]{0,3}", value):
        raise problem(MalformedDocument, 'write "finalized", or a number of blocks such as "12"')
    return int(value)


Url: TypeAlias = Annotated[str, PlainValidator(_url)]
Address: TypeAlias = Annotated[str, PlainValidator(_address)]
FilePath: TypeAlias = Annotated[str, PlainValidator(_text)]
Finality: TypeAlias = Annotated["int | None", PlainValidator(_finality)]


class Sender(Part):
    """Who signs the rail's transactions: a keystore file, or a signer of its own beside the operator.

    Attributes:
        keystore: file with the key, encrypted; its password is in `password_file`.
        password_file: readable by its owner alone.
        address: of the key that `signer` has.
        signer: URL of an external signer that answers `eth_signTransaction`.
    """

    keystore: FilePath | None = None
    password_file: FilePath | None = None
    address: Address | None = None
    signer: Url | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> "Sender":
        own = (self.keystore is not None, self.password_file is not None)
        other = (self.address is not None, self.signer is not None)
        if own not in ((True, True), (False, False)) or other not in ((True, True), (False, False)) or own == other:
            raise MalformedDocument(
                "sender", "name keystore and password_file, or address and signer of an external signer"
            )
        return self


class RailFile(Document):
    """How a rail on a chain is set up, format ``atomic-margin/rail/1``.

    Attributes:
        rpc: URL of a node that the operator trusts: what it says moved is booked.
        addresses: file with the contracts' addresses (docs/chain.md); paths are relative to this file.
        accounts: address of each institution's account in the vault.
        others: what becomes of settlements of institutions that have no account here: booked in the `ledger` alone, or
            they `wait`.
        signers: URLs of the oracle's signers.
        sender: who signs transactions, and pays for them.
        finality: what cannot be undone: `finalized` as the node says, or so many blocks on top.
        first_block: in which the vault was deployed: nothing of it is in an earlier one.
        max_fee_gwei: a transaction offers at most this for a unit of gas.
        stuck_seconds: a transaction that is not mined for so long is replaced by one that offers more.
        attestation_seconds: how long signers' attestations count.
        request_seconds: an answer of node or signer is waited for so long.
    """

    TAG: ClassVar[str] = "rail"

    format: Literal["atomic-margin/rail/1"]
    rpc: Url
    addresses: FilePath
    accounts: IdMap[Address]
    others: Literal["ledger", "wait"]
    signers: NonEmptyListOf[Url]
    sender: Sender
    finality: Finality
    first_block: Annotated[int, integer_in(0, 2**62)]
    max_fee_gwei: Annotated[int, integer_in(1, 1_000_000)]
    stuck_seconds: Annotated[int, integer_in(1, 86_400)]
    attestation_seconds: Annotated[int, integer_in(60, 86_400)]
    request_seconds: Annotated[int, integer_in(1, 600)]

    @model_validator(mode="after")
    def _check(self) -> "RailFile":
        if len(self.signers) > MAX_SIGNERS or len(set(self.signers)) != len(self.signers):
            raise MalformedDocument("signers", f"name each signer once, {MAX_SIGNERS} at most")
        if len(set(self.accounts.values())) != len(self.accounts):
            raise MalformedDocument("accounts", "two institutions have one address; each needs its own")
        return self


class RailSettings:
    """A rail file with what it names.

    Attributes:
        file: as it was read.
        addresses: of the contracts.
        folder: that its paths are relative to.
    """

    def __init__(self, file: RailFile, addresses: ChainAddresses, folder: Path) -> None:
        """Put them together."""
        self.file, self.addresses, self.folder = file, addresses, folder

    @classmethod
    def load(cls, path: Path) -> "RailSettings":
        """Return what a file says.

        Raises:
            ConfigurationError, AddressesInvalid: what is wrong, with file and field.
        """
        file = read_document(path, RailFile.parse)
        return cls(file, ChainAddresses.load(path.parent / file.addresses), path.parent)

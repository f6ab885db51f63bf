"""Transactions that set the records of a name, signed here by a key from a keystore. For the operator's commands.

The node only passes on what is signed. Needs web3 (the extra `chain`).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from atomic_margin.contracts.artifact import load_artifact
from atomic_margin.contracts.deploy import POOL
from atomic_margin.service.log.checkpoints import Checkpoint
from atomic_margin.service.pointer.addresses import parse_address
from atomic_margin.service.pointer.errors import ChainUnreachable, PublishRefused
from atomic_margin.service.pointer.lookups import Resolver, error_name
from atomic_margin.service.pointer.records import BUNDLE, CHECKPOINT, MAX_BYTES, TILES, parse_checkpoint, read_log

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

RECEIPT_SECONDS = 300
CALL_SECONDS = 30


@dataclass(frozen=True)
class Published:
    """A transaction that was mined.

    Attributes:
        transaction: its hash.
        block: number of its block.
        gas: that it used.
    """

    transaction: str
    block: int
    gas: int


def newer_checkpoint(resolver: Resolver, note: str) -> Checkpoint:
    """Return a checkpoint that may be published for a name: of its log, and not smaller than the one it has.

    Raises:
        RecordMissing: the name has no log yet.
        RecordMalformed: the log did not sign it.
        PublishRefused: it would go back, is of another history of the same size, or is too long.
        PointerError: the name's records cannot be read.
    """
    log = read_log(resolver)
    new = parse_checkpoint(note, log)
    if len(note.encode()) > MAX_BYTES[CHECKPOINT]:
        raise PublishRefused(f"the checkpoint has more than {MAX_BYTES[CHECKPOINT]} bytes: fewer witnesses' lines fit")
    text = resolver.text(CHECKPOINT)
    if text:
        old = parse_checkpoint(text, log)
        if (old.head.size, old.head.root) == (new.head.size, new.head.root):
            return new
        if new.head.size <= old.head.size:
            raise PublishRefused(
                f"{resolver.name.text} has a checkpoint of {old.head.size} leaves, this one of {new.head.size} does "
                "not go on from it: is the database an older one?"
            )
    return new


def require_addresses(bundle: str, tiles: str) -> None:
    """Make sure that both are addresses that the resolver takes; that of the tiles may be empty.

    Raises:
        PublishRefused: one is too long.
        AddressRefused: one is no address.
    """
    for key, value in ((BUNDLE, bundle), (TILES, tiles or bundle)):
        parse_address(value)
        if len(value.encode()) > MAX_BYTES[key]:
            raise PublishRefused(f"{key} has at most {MAX_BYTES[key]} bytes, this has {len(value.encode())}")


def send(rpc: str, account: "LocalAccount", resolver: str, function: str, *arguments: Any) -> Published:
    """Carry out a call of the resolver as a transaction, and wait until it is mined.

    Args:
        rpc: address of the node.
        account: who signs and pays.
        resolver: address of a `PointerResolver`.
        function: its name.
        arguments: of the call.

    Raises:
        ChainUnreachable: the node does not answer.
        PublishRefused: it would be reverted, was reverted, or is not mined in time.
    """
    import requests
    from web3 import Web3
    from web3.exceptions import ContractLogicError, TimeExhausted, Web3Exception, Web3RPCError

    web3 = Web3(Web3.HTTPProvider(rpc, request_kwargs={"timeout": CALL_SECONDS}))
    # The resolver is asked nothing here that would have a gateway asked.
    web3.provider.global_ccip_read_enabled = False
    contract = web3.eth.contract(address=Web3.to_checksum_address(resolver), abi=load_artifact("PointerResolver").abi)
    try:
        call = contract.functions[function](*arguments)
        nonce = web3.eth.get_transaction_count(account.address, POOL)
        transaction: Any = call.build_transaction(
            {"from": account.address, "nonce": nonce, "chainId": web3.eth.chain_id}
        )
        sent = web3.eth.send_raw_transaction(account.sign_transaction(transaction).raw_transaction)
        receipt = web3.eth.wait_for_transaction_receipt(sent, timeout=RECEIPT_SECONDS)
    except ContractLogicError as error:
        data = error.data if isinstance(error.data, str) else ""
        said = error_name(bytes.fromhex(data[2:10])) or str(error)[:200]
        raise PublishRefused(f"{function} would be reverted: {said}") from None
    except TimeExhausted:
        raise PublishRefused(
            f"{function} is not mined after {RECEIPT_SECONDS} s; look at the account's nonce"
        ) from None
    except Web3RPCError as error:
        raise PublishRefused(f"the node does not take {function}: {str(error)[:200]}") from None
    except (requests.RequestException, Web3Exception, OSError) as error:
        raise ChainUnreachable(f"the node does not answer: {type(error).__name__}") from None
    if receipt["status"] != 1:
        raise PublishRefused(f"transaction {sent.to_0x_hex()} was reverted")
    return Published(sent.to_0x_hex(), int(receipt["blockNumber"]), int(receipt["gasUsed"]))

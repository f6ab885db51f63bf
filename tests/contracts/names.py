"""A registry of names and our resolver on a local chain, and a node over HTTP in front of a chain in this process."""

import ast
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_tester.exceptions import TransactionFailed
from eth_utils import keccak
from web3 import Web3
from web3.contract import Contract
from web3.exceptions import ContractCustomError, OffchainLookup

from atomic_margin.contracts.artifact import load_artifact
from atomic_margin.contracts.deploy import deploy
from atomic_margin.service.pointer.names import parse_name

NAME = "fund.example"
SIGNER: LocalAccount = Account.from_key("0x" + "51" * 32)
"""The key of a gateway."""
ERRORS = {
    keccak(text=f"{entry['name']}({','.join(given['type'] for given in entry['inputs'])})")[:4]: str(entry["name"])
    for contract in ("PointerResolver", "test/Registry")
    for entry in load_artifact(contract).abi
    if entry["type"] == "error"
}


@dataclass(frozen=True)
class Names:
    """Registry and resolver, with one name whose owner is the chain's second account, and whose publisher the third."""

    w3: Web3
    registry: Contract
    resolver: Contract

    @property
    def owner(self) -> str:
        return self.w3.eth.accounts[1]

    @property
    def publisher(self) -> str:
        return self.w3.eth.accounts[2]

    @property
    def stranger(self) -> str:
        return self.w3.eth.accounts[3]

    @property
    def node(self) -> bytes:
        return parse_name(NAME).node

    def own(self, name: str, owner: str, resolver: str | None = None) -> bytes:
        """Give a name to somebody, and those above it to the root, with a resolver."""
        root, labels, node = self.w3.eth.accounts[0], name.split("."), bytes(32)
        for label in reversed(labels):
            self._send(self.registry.functions.setSubnodeOwner(node, keccak(text=label), root), root)
            node = keccak(node + keccak(text=label))
        self._send(self.registry.functions.setResolver(node, resolver or self.resolver.address), root)
        self._send(self.registry.functions.setOwner(node, owner), root)
        return node

    def do(self, function: str, *arguments: Any, by: str) -> Any:
        """Carry out a call of the resolver; return the receipt."""
        return self._send(self.resolver.functions[function](*arguments), by)

    def refused(self, function: str, *arguments: Any, by: str | None = None) -> str:
        """Return the name of the error that a call of the resolver is refused by."""
        try:
            self.resolver.functions[function](*arguments).call({"from": by or self.stranger})
        except (ContractCustomError, TransactionFailed, OffchainLookup) as error:
            return ERRORS[revert_data(error)[:4]]
        raise AssertionError(f"{function} was not refused")

    def _send(self, call: Any, by: str) -> Any:
        receipt = self.w3.eth.wait_for_transaction_receipt(call.transact({"from": by, "gas": 15_000_000}))
        assert receipt["status"] == 1
        return receipt


def new_names(w3: Web3) -> Names:
    """Deploy registry and resolver, and set up the name."""
    w3.provider.global_ccip_read_enabled = False
    root = w3.eth.accounts[0]
    registry = deploy(w3, root, load_artifact("test/Registry"))
    names = Names(w3, registry, deploy(w3, root, load_artifact("PointerResolver"), registry.address))
    names.own(NAME, names.owner)
    names.do("setPublisher", names.node, names.publisher, by=names.owner)
    return names


def revert_data(error: Any) -> bytes:
    """Return what a call reverted with."""
    data = getattr(error, "data", None)
    if isinstance(data, str):
        return bytes.fromhex(data.removeprefix("0x"))
    said = ast.literal_eval(str(error.args[0]).removeprefix("execution reverted: "))
    assert isinstance(said, bytes), error
    return said


@contextmanager
def node_over_http(w3: Web3) -> Iterator[str]:
    """Serve JSON-RPC for what reads a chain, with a chain in this process behind it; yields the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            body = json.dumps({"jsonrpc": "2.0", "id": asked["id"], **_answer(w3, asked)}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with serving(Handler) as url:
        yield url


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler], tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Serve on a free port of loopback; yields the address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    # A client that hangs up is what many tests are about.
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http{'' if tls is None else 's'}://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _answer(w3: Web3, asked: dict[str, Any]) -> dict[str, Any]:
    method, parameters = asked["method"], asked["params"]
    if method == "eth_chainId":
        return {"result": hex(w3.eth.chain_id)}
    if method == "eth_getBlockByNumber":
        block = w3.eth.get_block("latest")
        return {"result": {"number": hex(block["number"]), "timestamp": hex(block["timestamp"])}}
    assert method == "eth_call", method
    call, block_number = parameters
    to = Web3.to_checksum_address(call["to"])
    try:
        returned = w3.eth.call({"to": to, "data": call["data"]}, int(block_number, 16), ccip_read_enabled=False)
    except (ContractCustomError, TransactionFailed, OffchainLookup) as error:
        data = f"0x{revert_data(error).hex()}"
        return {"error": {"code": 3, "message": "execution reverted", "data": data}}
    return {"result": f"0x{returned.hex()}"}

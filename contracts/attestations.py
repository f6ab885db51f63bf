"""The EIP-712 documents that the oracle's signers, institutions and agents sign for the vaults. Pure: no key, no chain.

Whoever signs or sends them takes their types from here; `contracts/solidity/Attestations.sol` and `AttestedVault.sol`
hash the same. A `PointerAnswer` is signed by the gateway of a name, for `PointerResolver.sol`. Numbers are
integers, addresses and hashes as `0x` strings or bytes.

>>> document = typed_data("SignerRotation", {"chain": 1}, chain=1, contract="0x" + "11" * 20)
>>> document["primaryType"], document["domain"]["chainId"]
('SignerRotation', 1)
"""

from collections.abc import Mapping
from typing import Any, Literal

Kind = Literal[
    "MatrixAttestation",
    "PortfolioAttestation",
    "ReleaseAttestation",
    "SignerRotation",
    "AgentAttestation",
    "PointerAnswer",
]

DOMAIN_NAME = "atomic-margin"
"""Name of the domain; its version is 1, its contract the oracle, or the vault for an agent's attestation, or the
resolver for a gateway's answer."""

_DOMAIN = (("name", "string"), ("version", "string"), ("chainId", "uint256"), ("verifyingContract", "address"))

_PLACE = (("chain", "uint256"), ("vault", "address"), ("account", "address"))

FIELDS: Mapping[Kind, tuple[tuple[str, str], ...]] = {
    "MatrixAttestation": (
        *_PLACE,
        ("run", "bytes32"),
        ("tick", "uint64"),
        ("log", "bytes32"),
        ("commitments", "bytes32"),
        ("breachMatrix", "bytes32"),
        ("topUpMatrix", "bytes32"),
        ("breachContext", "bytes32"),
        ("topUpContext", "bytes32"),
        ("topUp", "uint256"),
        ("free", "uint256"),
        ("posted", "uint256"),
        ("rate", "uint128"),
        ("signerSet", "uint64"),
        ("expiry", "uint64"),
    ),
    "PortfolioAttestation": (
        *_PLACE,
        ("commitments", "bytes32"),
        ("sequence", "uint64"),
        ("signerSet", "uint64"),
        ("expiry", "uint64"),
    ),
    "ReleaseAttestation": (
        *_PLACE,
        ("amount", "uint256"),
        ("posted", "uint256"),
        ("tick", "uint64"),
        ("log", "bytes32"),
        ("sequence", "uint64"),
        ("signerSet", "uint64"),
        ("expiry", "uint64"),
    ),
    "SignerRotation": (
        ("chain", "uint256"),
        ("signers", "address[]"),
        ("threshold", "uint64"),
        ("signerSet", "uint64"),
        ("expiry", "uint64"),
    ),
    "AgentAttestation": (
        *_PLACE,
        ("run", "bytes32"),
        ("tick", "uint64"),
        ("log", "bytes32"),
        ("commitments", "bytes32"),
        ("free", "uint256"),
        ("posted", "uint256"),
        ("topUp", "uint256"),
        ("amount", "uint256"),
        ("expiry", "uint64"),
    ),
    "PointerAnswer": (
        ("node", "bytes32"),
        ("key", "string"),
        ("value", "bytes"),
        ("expiry", "uint64"),
    ),
}
"""Fields of each document with their types, in the order that is hashed."""


def typed_data(kind: Kind, message: Mapping[str, Any], *, chain: int, contract: str) -> dict[str, Any]:
    """Return a document in the form that wallets and `eth_account` sign.

    Args:
        kind: which document.
        message: its fields.
        chain: id of the chain that the domain names.
        contract: address that the domain names: the oracle's; the vault's for an agent's attestation, the
            resolver's for a gateway's answer.
    """
    return {
        "domain": {"name": DOMAIN_NAME, "version": "1", "chainId": chain, "verifyingContract": contract},
        "types": {
            "EIP712Domain": [{"name": name, "type": type_} for name, type_ in _DOMAIN],
            kind: [{"name": name, "type": type_} for name, type_ in FIELDS[kind]],
        },
        "primaryType": kind,
        "message": dict(message),
    }

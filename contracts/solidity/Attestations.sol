// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// A secp256k1 signature of an EIP-712 document, with the lower of both values of s.
struct Signature {
    bytes32 r;
    bytes32 s;
    uint8 v;
}

/// What k of n parties recomputed for one run: that its proofs are of the right matrices, book and context.
/// Every field is static, so its ABI encoding is its EIP-712 encoding.
struct MatrixAttestation {
    uint256 chain; // chain id that it counts on
    address vault; // contract that it counts for
    address account; // the institution's, in the vault
    bytes32 run; // hash of the run's record
    uint64 tick; // price sequence
    bytes32 log; // root of the cosigned checkpoint that holds the run's entry
    bytes32 commitments; // hash(V)
    bytes32 breachMatrix; // A and c of the maintenance rows
    bytes32 topUpMatrix; // A and c of the initial rows
    bytes32 breachContext; // context that the breach proof absorbed
    bytes32 topUpContext; // context that the sufficiency proof absorbed
    uint256 topUp; // X of the signed answer, in units of the matrices
    uint256 free; // free balance when the run was opened, in the token's smallest unit
    uint256 posted; // posted balance that both c count, in the token's smallest unit
    uint128 rate; // smallest units of the token for one unit of the matrices, times 10^18, rounded up
    uint64 signerSet; // version of the oracle's signers
    uint64 expiry; // last second, by the chain's clock
}

/// A book whose portfolio proof k of n parties verified. The institution signs the same document.
struct PortfolioAttestation {
    uint256 chain;
    address vault;
    address account;
    bytes32 commitments; // hash(V)
    uint64 sequence; // one more than that of the account's last attested document
    uint64 signerSet;
    uint64 expiry;
}

/// Posted collateral that comes back: k of n parties verified the return's entry and its proof.
struct ReleaseAttestation {
    uint256 chain;
    address vault;
    address account;
    uint256 amount; // what becomes free
    uint256 posted; // posted balance before, so that nothing is released twice or on another balance
    uint64 tick; // of the account's last run: whatever that run found, a later one makes this void
    bytes32 log; // root of the cosigned checkpoint that holds the entry
    uint64 sequence; // one more than that of the account's last attested document
    uint64 signerSet;
    uint64 expiry;
}

/// The next set of signers, signed by the set before.
struct SignerRotation {
    uint256 chain;
    address[] signers; // ascending
    uint64 threshold;
    uint64 signerSet; // version of the set that signs
    uint64 expiry;
}

/// A signature is in the second of its two forms, which anyone can make of the first.
error MalleableSignature(uint256 index);

/// EIP-712 hashes of the documents above, and recovery of who signed them.
library Attestations {
    bytes32 internal constant DOMAIN_TYPE =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    bytes32 internal constant MATRIX_TYPE = keccak256(
        "MatrixAttestation(uint256 chain,address vault,address account,bytes32 run,uint64 tick,bytes32 log,"
        "bytes32 commitments,bytes32 breachMatrix,bytes32 topUpMatrix,bytes32 breachContext,bytes32 topUpContext,"
        "uint256 topUp,uint256 free,uint256 posted,uint128 rate,uint64 signerSet,uint64 expiry)"
    );
    bytes32 internal constant PORTFOLIO_TYPE = keccak256(
        "PortfolioAttestation(uint256 chain,address vault,address account,bytes32 commitments,uint64 sequence,"
        "uint64 signerSet,uint64 expiry)"
    );
    bytes32 internal constant RELEASE_TYPE = keccak256(
        "ReleaseAttestation(uint256 chain,address vault,address account,uint256 amount,uint256 posted,uint64 tick,"
        "bytes32 log,uint64 sequence,uint64 signerSet,uint64 expiry)"
    );
    bytes32 internal constant ROTATION_TYPE =
        keccak256("SignerRotation(uint256 chain,address[] signers,uint64 threshold,uint64 signerSet,uint64 expiry)");
    // Half of the order of secp256k1: a larger s is the second form of a signature that has a smaller one.
    uint256 internal constant HALF_ORDER = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0;

    function hash(MatrixAttestation calldata document) internal pure returns (bytes32) {
        return keccak256(abi.encode(MATRIX_TYPE, document));
    }

    function hash(PortfolioAttestation calldata document) internal pure returns (bytes32) {
        return keccak256(abi.encode(PORTFOLIO_TYPE, document));
    }

    function hash(ReleaseAttestation calldata document) internal pure returns (bytes32) {
        return keccak256(abi.encode(RELEASE_TYPE, document));
    }

    function hash(SignerRotation calldata document) internal pure returns (bytes32) {
        bytes32 signers = keccak256(abi.encodePacked(document.signers));
        return keccak256(
            abi.encode(
                ROTATION_TYPE, document.chain, signers, document.threshold, document.signerSet, document.expiry
            )
        );
    }

    /// Returns the domain of a contract on the chain that runs, so that a fork with another id has another.
    function domain(string memory name, address verifyingContract) internal view returns (bytes32) {
        return keccak256(
            abi.encode(DOMAIN_TYPE, keccak256(bytes(name)), keccak256("1"), block.chainid, verifyingContract)
        );
    }

    /// Returns what is signed of a document: 0x1901, its domain, its hash.
    function digest(bytes32 separator, bytes32 document) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(hex"1901", separator, document));
    }

    /// Returns who signed a digest, the zero address for nobody. `index` is for the error alone.
    function signer(bytes32 signed, Signature calldata signature, uint256 index) internal pure returns (address) {
        if (uint256(signature.s) > HALF_ORDER) revert MalleableSignature(index);
        return ecrecover(signed, signature.v, signature.r, signature.s);
    }
}

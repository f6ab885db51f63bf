// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {
    Attestations,
    MatrixAttestation,
    PortfolioAttestation,
    ReleaseAttestation,
    Signature,
    SignerRotation
} from "./Attestations.sol";

/// Believes k of n signers that recomputed a run's matrices, verified a book, or verified a return.
///
/// The signers are price sources, witnesses or custodians. They need no trust in each other: A, c and prices are a
/// function of signed documents, the same to the bit for everybody. k is more than half of n, so no two sets of k can
/// sign two answers to one question without a signer in common.
///
/// Nobody owns this contract. A set is replaced by k of its own signatures, at once; documents name the version of the
/// set that signed them, so those of an earlier set count no more. A set of which fewer than k are left signs nothing
/// any more: vaults then settle no run and release nothing, runs lapse, and free collateral can be withdrawn.
contract MatrixOracle {
    using Attestations for *;

    uint256 public constant MAX_SIGNERS = 16;
    string public constant NAME = "atomic-margin";

    /// Version of the set in force, 1 for the first.
    uint64 public signerSet;
    /// k of the set in force.
    uint64 public threshold;
    /// Last version that an address was a signer of.
    mapping(address => uint64) public lastSetOf;
    address[] private _signers;

    event SignersRotated(uint64 indexed signerSet, address[] signers, uint64 threshold);

    error ForeignChain(uint256 attested, uint256 here);
    error Expired(uint64 expiry, uint256 now_);
    error WrongSignerSet(uint64 attested, uint64 inForce);
    error TooFewSignatures(uint256 given, uint256 threshold);
    error NotASigner(address recovered);
    error SignersNotAscending(address signer);
    error BadThreshold(uint256 threshold, uint256 signers);

    constructor(address[] memory signers_, uint64 threshold_) {
        _install(signers_, threshold_);
    }

    /// Reverts unless k of n signed a run's matrices.
    function checkMatrices(MatrixAttestation calldata document, Signature[] calldata signatures) external view {
        _check(document.hash(), document.chain, document.signerSet, document.expiry, signatures);
    }

    /// Reverts unless k of n signed that a book's portfolio proof holds.
    function checkPortfolio(PortfolioAttestation calldata document, Signature[] calldata signatures) external view {
        _check(document.hash(), document.chain, document.signerSet, document.expiry, signatures);
    }

    /// Reverts unless k of n signed a return of posted collateral.
    function checkRelease(ReleaseAttestation calldata document, Signature[] calldata signatures) external view {
        _check(document.hash(), document.chain, document.signerSet, document.expiry, signatures);
    }

    /// Replaces the set of signers by one that k of it signed. Anyone may bring it.
    function rotate(SignerRotation calldata document, Signature[] calldata signatures) external {
        _check(document.hash(), document.chain, document.signerSet, document.expiry, signatures);
        _install(document.signers, document.threshold);
    }

    /// Returns the signers in force, ascending.
    function signers() external view returns (address[] memory) {
        return _signers;
    }

    /// Whether somebody is a signer of the set in force.
    function isSigner(address who) external view returns (bool) {
        return lastSetOf[who] == signerSet;
    }

    /// Returns what a party signs of a document with this hash.
    function digestOf(bytes32 document) public view returns (bytes32) {
        return Attestations.digest(Attestations.domain(NAME, address(this)), document);
    }

    function _check(bytes32 document, uint256 chain, uint64 set, uint64 expiry, Signature[] calldata signatures)
        private
        view
    {
        if (chain != block.chainid) revert ForeignChain(chain, block.chainid);
        if (block.timestamp > expiry) revert Expired(expiry, block.timestamp);
        if (set != signerSet) revert WrongSignerSet(set, signerSet);
        if (signatures.length < threshold) revert TooFewSignatures(signatures.length, threshold);
        bytes32 signed = digestOf(document);
        address last = address(0);
        for (uint256 i = 0; i < signatures.length; ++i) {
            address signer = Attestations.signer(signed, signatures[i], i);
            // The zero address, which is what a broken signature recovers to, was never in a set.
            if (lastSetOf[signer] != set) revert NotASigner(signer);
            // Ascending means once each.
            if (signer <= last) revert SignersNotAscending(signer);
            last = signer;
        }
    }

    function _install(address[] memory signers_, uint64 threshold_) private {
        uint256 count = signers_.length;
        if (count > MAX_SIGNERS || threshold_ > count || 2 * uint256(threshold_) <= count) {
            revert BadThreshold(threshold_, count);
        }
        uint64 version = ++signerSet;
        address last = address(0);
        for (uint256 i = 0; i < count; ++i) {
            if (signers_[i] <= last) revert SignersNotAscending(signers_[i]);
            last = signers_[i];
            lastSetOf[last] = version;
        }
        threshold = threshold_;
        _signers = signers_;
        emit SignersRotated(version, signers_, threshold_);
    }
}

// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Checked, IMarginVerifier} from "../IMarginVerifier.sol";

/// A stand-in for `MarginVerifier` in tests of the vault's own rules: it verifies nothing. A statement is what it is
/// to return, ABI-encoded, and a proof holds if it says so.
contract DecidedVerifier is IMarginVerifier {
    error ProofDoesNotHold();

    function verifySufficiency(bytes calldata statement, bytes calldata proof) external pure returns (Checked memory) {
        return _decide(statement, proof, "sufficiency holds");
    }

    function verifyBreach(bytes calldata statement, bytes calldata proof) external pure returns (Checked memory) {
        return _decide(statement, proof, "breach holds");
    }

    function _decide(bytes calldata statement, bytes calldata proof, bytes memory says)
        private
        pure
        returns (Checked memory)
    {
        if (keccak256(proof) != keccak256(says)) revert ProofDoesNotHold();
        return abi.decode(statement, (Checked));
    }
}

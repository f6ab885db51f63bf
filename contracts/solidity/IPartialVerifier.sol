// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Checked} from "./IMarginVerifier.sol";
import {Point} from "./Points.sol";

/// The part of `IPartialVerifier` about sufficiency proofs, in one piece or in chunks.
interface IPartialSufficiency {
    /// The sum of one slice of a sufficiency proof's multiplication. The proof holds if the sums of all its slices sum
    /// to the identity; then it says what is returned beside the sum, the same for every slice.
    function sumSufficiency(bytes calldata statement, bytes calldata proof, uint256 slice, uint256 slices)
        external
        view
        returns (Checked memory, Point memory);
}

/// Multiplies proofs of atomic-margin by slices, each a function of the whole statement and the whole proof. Calldata
/// is as in MarginVerifier.sol. Nothing that is returned means anything by itself.
interface IPartialVerifier is IPartialSufficiency {
    /// The same of a breach proof.
    function sumBreach(bytes calldata statement, bytes calldata proof, uint256 slice, uint256 slices)
        external
        view
        returns (Checked memory, Point memory);
}

// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {BitArgument} from "./BitArgument.sol";
import {Generators} from "./Generators.sol";
import {Checked} from "./IMarginVerifier.sol";
import {IPartialSufficiency, IPartialVerifier} from "./IPartialVerifier.sol";
import {ProofEquations, Terms} from "./MarginVerifier.sol";
import {Point, Points} from "./Points.sol";
import {Statements} from "./Statement.sol";

/// What `MarginVerifier` verifies, by slices, and sufficiency proofs in chunks. It keeps nothing: each slice is worked
/// out from the whole statement and proof, all challenges included, and only the multiplication is cut.
contract PartialVerifier is IPartialVerifier, ProofEquations {
    /// Takes sufficiency proofs in chunks, which have more bits than those in one piece.
    IPartialSufficiency public immutable chunked;

    constructor(address[] memory blocks, IPartialSufficiency chunked_) Generators(blocks) {
        chunked = chunked_;
    }

    /// @inheritdoc IPartialSufficiency
    function sumSufficiency(bytes calldata statement, bytes calldata proof, uint256 slice, uint256 slices)
        external
        view
        returns (Checked memory checked, Point memory sum)
    {
        if (Statements.rowBits(statement) > BitArgument.MAX_BITS) {
            return chunked.sumSufficiency(statement, proof, slice, slices);
        }
        Terms memory terms;
        (terms, checked) = _sufficiency(statement, proof);
        sum = Points.sumOfSlice(terms.pairs, terms.count, slice, slices);
    }

    /// @inheritdoc IPartialVerifier
    function sumBreach(bytes calldata statement, bytes calldata proof, uint256 slice, uint256 slices)
        external
        view
        returns (Checked memory checked, Point memory sum)
    {
        Terms memory terms;
        (terms, checked) = _breach(statement, proof);
        sum = Points.sumOfSlice(terms.pairs, terms.count, slice, slices);
    }
}

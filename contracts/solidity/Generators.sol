// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {WrongGenerators} from "./Errors.sol";
import {Pairs} from "./Pairs.sol";

/// The generators, in the code of contracts that do nothing: one STOP, then at most 255 points of 96 bytes each. In
/// order they are G, H, and left_i, right_i for i = 0, 1, ...
///
/// A deployment with anything else in them fails.
abstract contract Generators {
    /// Points in all data contracts: two bases and 1,024 of each vector.
    uint256 private constant POINTS = 2050;
    uint256 private constant POINTS_EACH = 255;
    /// SHA-256 of all points, x and y of 48 bytes each, in order.
    bytes32 private constant POINTS_HASH = 0xd69447f6a24633a808b24eadf4a6b2831b0d04e56eba506adcbb34f1eeb417ed;
    /// What transcripts absorb: SHA-256 over the tag, the bases and the hashes of all blocks of zk/pinned.py.
    bytes internal constant GENERATORS_HASH =
        hex"f1421e33fe5d1b8efacdf74a7bd6dae450d987b145378a0179a5e1f2a9a4673d";

    /// The data contracts, in order.
    address[] public generatorBlocks;

    constructor(address[] memory blocks) {
        generatorBlocks = blocks;
        bytes memory all = new bytes(Pairs.POINT * POINTS);
        uint256 left = POINTS;
        for (uint256 index = 0; index < blocks.length && left > 0; ++index) {
            uint256 count = left < POINTS_EACH ? left : POINTS_EACH;
            address at = blocks[index];
            uint256 start = Pairs.POINT * (POINTS - left);
            assembly ("memory-safe") {
                extcodecopy(at, add(add(all, 32), start), 1, mul(count, 96))
            }
            left -= count;
        }
        bytes32 got = sha256(all);
        if (got != POINTS_HASH) revert WrongGenerators(got);
    }

    /// Copies G, H and the first `length` generators of both vectors into pairs.
    function _loadGenerators(uint256 pairs, uint256 length) internal view {
        uint256 left = 2 + 2 * length;
        for (uint256 index = 0; left > 0; ++index) {
            uint256 count = left < POINTS_EACH ? left : POINTS_EACH;
            address at = generatorBlocks[index];
            assembly ("memory-safe") {
                let scratch := mload(0x40)
                let size := mul(count, 96)
                extcodecopy(at, scratch, 1, size)
                for { let end := add(scratch, size) } lt(scratch, end) { scratch := add(scratch, 96) } {
                    mstore(pairs, shr(128, mload(scratch)))
                    mstore(add(pairs, 32), mload(add(scratch, 16)))
                    mstore(add(pairs, 64), shr(128, mload(add(scratch, 48))))
                    mstore(add(pairs, 96), mload(add(scratch, 64)))
                    pairs := add(pairs, 160)
                }
            }
            left -= count;
        }
    }
}

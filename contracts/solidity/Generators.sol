// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {WrongGenerators} from "./Errors.sol";

/// The generators, in the code of contracts that do nothing: one STOP, then at most 255 points of 96 bytes each. In
/// order they are G, H, and left_i, right_i for i = 0, 1, ...
///
/// The hash of each contract's code is pinned, and looked at whenever the code is read. Looking at it in the constructor
/// alone would be too early: what was created in the same transaction can be gone by its end, and be at the same address
/// with other points later.
abstract contract Generators {
    /// Data contracts with two bases and 1,024 generators of each vector.
    uint256 private constant BLOCKS = 9;
    uint256 private constant POINTS_EACH = 255;
    /// Keccak-256 of each one's code, in order.
    bytes private constant CODE_HASHES =
        hex"1dbf639d32c97af23e2fb70aaa0d1d9ef590fee692305833a027abe84d35d5f4"
        hex"1a783ce230d35ebc077ec42c426146d0cd5e4a41fa97b69132e70c503b8d211c"
        hex"58193aa32716fa093483e3573f38adb5f18dfc2f0b4ef53996120051c19c6d1f"
        hex"e2fa7cb81f0262ee7c2286ddff35ed12e73c180552e6177fe37c04e2cf9e2ff1"
        hex"306cbcde535df9dd16ef79e6d74a6f549ff686d620f1941c2c79e95e15fd7ef0"
        hex"69272c48f3c7d3276748ac51af2c8de921796b506b23c74bcb7cdb1e32125d33"
        hex"a756a00021251624673731c33e2404cda2a77fb772818daffde4f7704a51cf3b"
        hex"afb0b4e7480d27318f74889a3d054d8927d8ee3063991776098233c00a9b6554"
        hex"01076804488d727cd000b90cbb22d6295429c987435cd4e418276a5a02f1dbec";
    /// What transcripts absorb: SHA-256 over the tag, the bases and the hashes of all blocks of zk/pinned.py.
    bytes internal constant GENERATORS_HASH =
        hex"f1421e33fe5d1b8efacdf74a7bd6dae450d987b145378a0179a5e1f2a9a4673d";

    /// The data contracts, in order.
    address[] public generatorBlocks;

    constructor(address[] memory blocks) {
        if (blocks.length != BLOCKS) revert WrongGenerators(blocks.length, bytes32(0));
        generatorBlocks = blocks;
        for (uint256 index = 0; index < BLOCKS; ++index) _generatorBlock(index);
    }

    /// Copies G, H and the first `length` generators of both vectors into pairs.
    function _loadGenerators(uint256 pairs, uint256 length) internal view {
        uint256 left = 2 + 2 * length;
        for (uint256 index = 0; left > 0; ++index) {
            uint256 count = left < POINTS_EACH ? left : POINTS_EACH;
            address at = _generatorBlock(index);
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

    /// Returns a data contract, if its code is what it has to be.
    function _generatorBlock(uint256 index) private view returns (address at) {
        at = generatorBlocks[index];
        bytes memory hashes = CODE_HASHES;
        bytes32 wanted;
        assembly ("memory-safe") {
            wanted := mload(add(add(hashes, 32), shl(5, index)))
        }
        if (at.codehash != wanted) revert WrongGenerators(index, at.codehash);
    }
}

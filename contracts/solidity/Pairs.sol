// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {CoordinateNotCanonical, Part, PointIsIdentity, PointsRefused, PrecompileMissing} from "./Errors.sol";
import {ORDER} from "./Field.sol";

/// Points with their scalars, in memory as the precompile for multi-scalar multiplication takes them (EIP-2537): x and y
/// of 64 bytes each and a scalar of 32. A pair is named by its place in memory.
library Pairs {
    uint256 internal constant PAIR = 160;
    /// A point in calldata: x and y of 48 bytes each, big-endian.
    uint256 internal constant POINT = 96;
    /// A compressed point, as transcripts absorb it.
    uint256 internal constant COMPRESSED = 48;

    uint256 private constant SCALAR = 128;
    uint256 private constant G1MSM = 0x0c;
    /// The prime of the field of coordinates, 381 bits, in a half of 128 bits and one of 256; and its half, rounded down.
    uint256 private constant PRIME_HIGH = 0x1a0111ea397fe69a4b1ba7b6434bacd7;
    uint256 private constant PRIME_LOW = 0x64774b84f38512bf6730d2a0f6b0f6241eabfffeb153ffffb9feffffffffaaab;
    uint256 private constant HALF_HIGH = 0x0d0088f51cbff34d258dd3db21a5d66b;
    uint256 private constant HALF_LOW = 0xb23ba5c279c2895fb39869507b587b120f55ffff58a9ffffdcff7fffffffd555;
    /// Bits of a compressed point's first byte: it is compressed; its y is the larger one of two.
    uint256 private constant IS_COMPRESSED = 0x80 << 120;
    uint256 private constant Y_IS_LARGER = 0x20 << 120;

    /// Room for so many pairs. All of it is written later.
    function allocate(uint256 count) internal pure returns (uint256 pairs) {
        assembly ("memory-safe") {
            pairs := mload(0x40)
            mstore(0x40, add(pairs, mul(PAIR, count)))
        }
    }

    /// Room for so many bytes.
    function allocateBytes(uint256 size) internal pure returns (uint256 place) {
        assembly ("memory-safe") {
            place := mload(0x40)
            mstore(0x40, add(place, and(add(size, 31), not(31))))
        }
    }

    /// Copies a point of calldata into a pair, and its compressed form to a place in memory.
    ///
    /// That it is on the curve and in the subgroup is what the precompile checks, of every point.
    function take(uint256 source, uint256 pair, uint256 compressed, Part part, uint256 index) internal pure {
        uint256 xHigh;
        uint256 xLow;
        uint256 yHigh;
        uint256 yLow;
        assembly ("memory-safe") {
            xHigh := shr(128, calldataload(source))
            xLow := calldataload(add(source, 16))
            yHigh := shr(128, calldataload(add(source, 48)))
            yLow := calldataload(add(source, 64))
            mstore(pair, xHigh)
            mstore(add(pair, 32), xLow)
            mstore(add(pair, 64), yHigh)
            mstore(add(pair, 96), yLow)
        }
        if (!_below(xHigh, xLow, PRIME_HIGH, PRIME_LOW) || !_below(yHigh, yLow, PRIME_HIGH, PRIME_LOW)) {
            revert CoordinateNotCanonical(part, index);
        }
        // What the precompile takes for the identity.
        if ((xHigh | xLow | yHigh | yLow) == 0) revert PointIsIdentity(part, index);
        xHigh |= IS_COMPRESSED;
        if (_below(HALF_HIGH, HALF_LOW, yHigh, yLow)) xHigh |= Y_IS_LARGER;
        assembly ("memory-safe") {
            mstore(compressed, shl(128, xHigh))
            mstore(add(compressed, 16), xLow)
        }
    }

    function set(uint256 pair, uint256 scalar) internal pure {
        assembly ("memory-safe") {
            mstore(add(pair, SCALAR), scalar)
        }
    }

    function increase(uint256 pair, uint256 scalar) internal pure {
        assembly ("memory-safe") {
            let place := add(pair, SCALAR)
            mstore(place, addmod(mload(place), scalar, ORDER))
        }
    }

    /// Whether all pairs, multiplied out, sum to the identity.
    function sumToIdentity(uint256 pairs, uint256 count) internal view returns (bool zero) {
        bool done;
        uint256 returned;
        assembly ("memory-safe") {
            let out := mload(0x40)
            done := staticcall(gas(), G1MSM, pairs, mul(PAIR, count), out, 128)
            returned := returndatasize()
            zero := iszero(or(or(mload(out), mload(add(out, 32))), or(mload(add(out, 64)), mload(add(out, 96)))))
        }
        if (!done) revert PointsRefused();
        // Where there is no precompile, a call succeeds and returns nothing.
        if (returned != 128) revert PrecompileMissing();
    }

    function _below(uint256 high, uint256 low, uint256 boundHigh, uint256 boundLow) private pure returns (bool) {
        return high < boundHigh || (high == boundHigh && low < boundLow);
    }
}

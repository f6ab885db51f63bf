// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {PointsRefused, PrecompileMissing, SliceOutOfRange} from "./Errors.sol";
import {Pairs} from "./Pairs.sol";

/// A point as precompiles return it: x and y of 64 bytes each, all zero for the identity.
struct Point {
    uint256 xHigh;
    uint256 xLow;
    uint256 yHigh;
    uint256 yLow;
}

/// Sums of points, for multiplications that are done by slices (EIP-2537).
library Points {
    /// Most slices of one multiplication.
    uint256 internal constant MAX_SLICES = 64;
    uint256 private constant G1ADD = 0x0b;
    uint256 private constant G1MSM = 0x0c;

    /// Multiplies out one slice of so many pairs. The slices, each from count * slice / slices on, have every pair
    /// once: that follows from the numbers, nobody states where a slice begins.
    function sumOfSlice(uint256 pairs, uint256 count, uint256 slice, uint256 slices)
        internal
        view
        returns (Point memory)
    {
        if (slices > MAX_SLICES || slice >= slices) revert SliceOutOfRange(slice, slices);
        uint256 start = count * slice / slices;
        uint256 size = count * (slice + 1) / slices - start;
        // The precompile takes no empty sum.
        if (size == 0) return Point(0, 0, 0, 0);
        return _called(G1MSM, pairs + Pairs.PAIR * start, Pairs.PAIR * size);
    }

    /// first + second, both on the curve.
    function add(Point memory first, Point memory second) internal view returns (Point memory) {
        // Allocated, since the result is, before it is called.
        uint256 place = Pairs.allocateBytes(256);
        assembly ("memory-safe") {
            mcopy(place, first, 128)
            mcopy(add(place, 128), second, 128)
        }
        return _called(G1ADD, place, 256);
    }

    function isIdentity(Point memory point) internal pure returns (bool) {
        return (point.xHigh | point.xLow | point.yHigh | point.yLow) == 0;
    }

    function _called(uint256 precompile, uint256 input, uint256 size) private view returns (Point memory point) {
        bool done;
        uint256 returned;
        assembly ("memory-safe") {
            done := staticcall(gas(), precompile, input, size, point, 128)
            returned := returndatasize()
        }
        if (!done) revert PointsRefused();
        // Where there is no precompile, a call succeeds and returns nothing.
        if (returned != 128) revert PrecompileMissing();
    }
}

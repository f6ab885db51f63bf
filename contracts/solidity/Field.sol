// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Part, PrecompileMissing, ScalarNotCanonical} from "./Errors.sol";

// Order r of the subgroup G1 of BLS12-381.
uint256 constant ORDER = 0x73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000001;

/// Integers modulo r.
library Field {
    uint256 private constant MODEXP = 0x05;

    /// The scalar of 32 bytes at a place in calldata, which must be below r.
    function read(uint256 place, Part part, uint256 index) internal pure returns (uint256 value) {
        assembly ("memory-safe") {
            value := calldataload(place)
        }
        if (value >= ORDER) revert ScalarNotCanonical(part, index);
    }

    /// A number that may be negative, modulo r.
    function reduce(int256 value) internal pure returns (uint256) {
        return value < 0 ? negate(uint256(-value) % ORDER) : uint256(value) % ORDER;
    }

    /// -value, for a value below r.
    function negate(uint256 value) internal pure returns (uint256) {
        return value == 0 ? 0 : ORDER - value;
    }

    /// first - second, for values below r.
    function subtract(uint256 first, uint256 second) internal pure returns (uint256) {
        return addmod(first, ORDER - second, ORDER);
    }

    /// 1 / value, which is value^(r-2). The value is not 0.
    function invert(uint256 value) internal view returns (uint256 inverse) {
        bool done;
        assembly ("memory-safe") {
            let free := mload(0x40)
            mstore(free, 32)
            mstore(add(free, 32), 32)
            mstore(add(free, 64), 32)
            mstore(add(free, 96), value)
            mstore(add(free, 128), sub(ORDER, 2))
            mstore(add(free, 160), ORDER)
            done := staticcall(gas(), MODEXP, free, 192, 0, 32)
            done := and(done, eq(returndatasize(), 32))
            inverse := mload(0)
        }
        if (!done) revert PrecompileMissing();
    }
}

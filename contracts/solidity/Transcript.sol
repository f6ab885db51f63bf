// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {ChallengeIsZero} from "./Errors.sol";
import {ORDER} from "./Field.sol";

/// Everything said so far, in 32 bytes.
struct Transcript {
    bytes32 state;
}

/// Fiat-Shamir transcript over SHA-256, version 2, as docs/proofs.md has it byte by byte:
///
///     put(kind, label, data)    state = SHA-256(state || kind || u32(label) || label || u64(data) || data)
///     begin(protocol)           put(01, "atomic-margin/v2/zk/transcript", protocol)
///     absorb(label, data)       put(01, label, data)
///     challenge(label)          put(02, label, ""), then
///                               SHA-256(state || 03 00) || SHA-256(state || 03 01)  modulo r
///
/// What is hashed is put together behind the free memory, which it does not allocate.
library Transcripts {
    uint256 private constant ABSORB = 0x01;
    uint256 private constant CHALLENGE = 0x02;
    uint256 private constant FIRST_HALF = 0x0300;
    uint256 private constant SECOND_HALF = 0x0301;
    uint256 private constant SHA256 = 0x02;
    /// 2^256 modulo r.
    uint256 private constant WRAPPED = 2 ** 256 % 0x73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000001;

    function begin(string memory protocol) internal view returns (Transcript memory transcript) {
        absorb(transcript, "atomic-margin/v2/zk/transcript", bytes(protocol));
    }

    function absorb(Transcript memory transcript, string memory label, bytes memory data) internal view {
        uint256 place;
        assembly ("memory-safe") {
            place := add(data, 32)
        }
        absorbMemory(transcript, label, place, data.length);
    }

    /// Absorbs so many bytes from a place in memory.
    function absorbMemory(Transcript memory transcript, string memory label, uint256 place, uint256 length)
        internal
        view
    {
        uint256 data = _header(transcript, ABSORB, label, length);
        assembly ("memory-safe") {
            mcopy(data, place, length)
        }
        _hash(transcript, data + length);
    }

    function absorbCalldata(Transcript memory transcript, string memory label, bytes calldata message) internal view {
        uint256 data = _header(transcript, ABSORB, label, message.length);
        assembly ("memory-safe") {
            calldatacopy(data, message.offset, message.length)
        }
        _hash(transcript, data + message.length);
    }

    /// A challenge in [1, r).
    function challenge(Transcript memory transcript, string memory label) internal view returns (uint256 value) {
        _hash(transcript, _header(transcript, CHALLENGE, label, 0));
        value = addmod(mulmod(_half(transcript, FIRST_HALF), WRAPPED, ORDER), _half(transcript, SECOND_HALF), ORDER);
        if (value == 0) revert ChallengeIsZero();
    }

    /// Writes state, kind, label and both lengths; returns where the data begins.
    function _header(Transcript memory transcript, uint256 kind, string memory label, uint256 length)
        private
        pure
        returns (uint256 data)
    {
        assembly ("memory-safe") {
            let place := mload(0x40)
            let size := mload(label)
            mstore(place, mload(transcript))
            mstore8(add(place, 32), kind)
            mstore(add(place, 33), shl(224, size))
            mcopy(add(place, 37), add(label, 32), size)
            data := add(add(place, 37), size)
            mstore(data, shl(192, length))
            data := add(data, 8)
        }
    }

    /// Makes the hash of what lies between the free memory's beginning and `end` the state.
    function _hash(Transcript memory transcript, uint256 end) private view {
        assembly ("memory-safe") {
            let place := mload(0x40)
            if iszero(staticcall(gas(), SHA256, place, sub(end, place), transcript, 32)) { revert(0, 0) }
        }
    }

    function _half(Transcript memory transcript, uint256 which) private view returns (uint256 half) {
        assembly ("memory-safe") {
            let place := mload(0x40)
            mstore(place, mload(transcript))
            mstore(add(place, 32), shl(240, which))
            if iszero(staticcall(gas(), SHA256, place, 34, 0, 32)) { revert(0, 0) }
            half := mload(0)
        }
    }
}

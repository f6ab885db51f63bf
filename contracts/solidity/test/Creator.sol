// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// Creates contracts one after the other, in one transaction; the first has the address of nonce 1.
contract Creator {
    error NotCreated(uint256 index);

    function create(bytes[] calldata codes) external {
        for (uint256 i = 0; i < codes.length; ++i) {
            bytes memory code = codes[i];
            address made;
            assembly ("memory-safe") {
                made := create(0, add(code, 32), mload(code))
            }
            if (made == address(0)) revert NotCreated(i);
        }
    }
}

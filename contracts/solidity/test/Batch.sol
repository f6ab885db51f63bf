// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// Makes calls one after the other, in one transaction and so in one block; reverts as the first that reverts.
contract Batch {
    function run(address target, bytes[] calldata messages) external {
        for (uint256 i = 0; i < messages.length; ++i) {
            (bool done, bytes memory answer) = target.call(messages[i]);
            if (!done) {
                assembly ("memory-safe") {
                    revert(add(answer, 32), mload(answer))
                }
            }
        }
    }
}

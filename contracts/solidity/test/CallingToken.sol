// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Token} from "./Token.sol";

/// Calls back into whoever moves it, with what it was told, and remembers how that went.
contract CallingToken is Token {
    address public target;
    bytes public message;
    bool public reached;
    bytes public answer;

    function call(address target_, bytes calldata message_) external {
        target = target_;
        message = message_;
    }

    function _move(address from, address to, uint256 amount) internal override {
        super._move(from, to, amount);
        if (target == address(0)) return;
        address called = target;
        target = address(0);
        (reached, answer) = called.call(message);
    }
}

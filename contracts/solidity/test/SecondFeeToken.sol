// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Token} from "./Token.sol";

/// Keeps one unit of what a contract sends, and nothing of what people send.
contract SecondFeeToken is Token {
    function _move(address from, address to, uint256 amount) internal override {
        balanceOf[from] -= amount;
        balanceOf[to] += from.code.length == 0 ? amount : amount - 1;
    }
}

// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Token} from "./Token.sol";

/// Says no instead of reverting, for as long as it is told to.
contract FalseToken is Token {
    bool public refuses;

    function refuse(bool on) external {
        refuses = on;
    }

    function transfer(address to, uint256 amount) external override returns (bool) {
        if (refuses) return false;
        _move(msg.sender, to, amount);
        return true;
    }

    function transferFrom(address from, address to, uint256 amount) external override returns (bool) {
        if (refuses) return false;
        _move(from, to, amount);
        return true;
    }
}

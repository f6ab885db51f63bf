// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Token} from "./Token.sol";

/// Says yes, and moves nothing (1) or gives the sender what it should take (2), for as long as it is told to.
contract LyingToken is Token {
    uint256 public lie;

    function lieBy(uint256 lie_) external {
        lie = lie_;
    }

    function _move(address from, address to, uint256 amount) internal override {
        if (lie == 1) return;
        if (lie == 2) balanceOf[from] += amount;
        else super._move(from, to, amount);
    }
}

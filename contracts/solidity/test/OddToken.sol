// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Token} from "./Token.sol";

/// Moves what it is asked to, and answers with whatever bytes it was given.
contract OddToken is Token {
    bytes private _answer = hex"0000000000000000000000000000000000000000000000000000000000000001";

    function answerWith(bytes calldata answer) external {
        _answer = answer;
    }

    function transfer(address to, uint256 amount) external override returns (bool) {
        _move(msg.sender, to, amount);
        _say();
    }

    function transferFrom(address from, address to, uint256 amount) external override returns (bool) {
        _move(from, to, amount);
        _say();
    }

    function _say() private view {
        bytes memory answer = _answer;
        assembly ("memory-safe") {
            return(add(answer, 32), mload(answer))
        }
    }
}

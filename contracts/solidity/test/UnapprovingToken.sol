// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// Lets whom it is told to spend, and answers with whatever bytes it was given: at first that it does not. Once it is
/// stopped, it reverts and says nothing.
contract UnapprovingToken {
    bool public stopped;
    mapping(address => uint256) public balanceOf;
    mapping(address => mapping(address => uint256)) public allowance;
    bytes private _answer = hex"0000000000000000000000000000000000000000000000000000000000000000";

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function stop() external {
        stopped = true;
    }

    function answerWith(bytes calldata answer) external {
        _answer = answer;
    }

    function approve(address spender, uint256 amount) external returns (bool) {
        bool stops = stopped;
        allowance[msg.sender][spender] = amount;
        bytes memory answer = _answer;
        assembly ("memory-safe") {
            if stops { revert(0, 0) }
            return(add(answer, 32), mload(answer))
        }
    }

    function transferFrom(address from, address to, uint256 amount) external returns (bool) {
        allowance[from][msg.sender] -= amount;
        balanceOf[from] -= amount;
        balanceOf[to] += amount;
        return true;
    }
}

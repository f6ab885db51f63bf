// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// Lets whom it is told to spend, and says that it does not; or reverts and says nothing, once it is told to.
contract UnapprovingToken {
    bool public stopped;
    mapping(address => uint256) public balanceOf;
    mapping(address => mapping(address => uint256)) public allowance;

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function stop() external {
        stopped = true;
    }

    function approve(address spender, uint256 amount) external returns (bool) {
        if (stopped) {
            assembly ("memory-safe") {
                revert(0, 0)
            }
        }
        allowance[msg.sender][spender] = amount;
        return false;
    }

    function transferFrom(address from, address to, uint256 amount) external returns (bool) {
        allowance[from][msg.sender] -= amount;
        balanceOf[from] -= amount;
        balanceOf[to] += amount;
        return true;
    }
}

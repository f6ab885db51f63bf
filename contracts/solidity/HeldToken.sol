// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// What is used of a token, ERC-20; return values are looked at by hand, since some tokens have none.
interface IERC20 {
    function balanceOf(address holder) external view returns (uint256);
    function transfer(address to, uint256 amount) external returns (bool);
    function transferFrom(address from, address to, uint256 amount) external returns (bool);
}

/// One ERC-20 that a contract holds for others, whatever the token does.
///
/// What arrived counts, not what was announced; what leaves has to be what was asked, else one account would pay for
/// another. Tokens may return nothing, return false, take a fee on the way, or call back. A token that changes
/// balances by itself (rebasing) is not for this contract.
abstract contract HeldToken {
    IERC20 public immutable token;
    bool private transient _entered;

    error NotAContract(address token);
    error TransferFailed();
    error NothingArrived();
    error WrongAmountLeft(uint256 before, uint256 after_, uint256 asked);
    error Reentered();

    modifier nonReentrant() {
        if (_entered) revert Reentered();
        _entered = true;
        _;
        _entered = false;
    }

    constructor(address token_) {
        if (token_.code.length == 0) revert NotAContract(token_);
        token = IERC20(token_);
    }

    /// Takes up to `amount` from somebody who approved it; returns what arrived.
    function _take(address from, uint256 amount) internal returns (uint256 arrived) {
        uint256 before = token.balanceOf(address(this));
        _call(abi.encodeCall(IERC20.transferFrom, (from, address(this), amount)));
        uint256 after_ = token.balanceOf(address(this));
        if (after_ <= before) revert NothingArrived();
        arrived = after_ - before;
    }

    /// Sends exactly `amount`; what the receiver gets of it is between it and the token.
    function _send(address to, uint256 amount) internal {
        if (amount == 0) return;
        uint256 before = token.balanceOf(address(this));
        _call(abi.encodeCall(IERC20.transfer, (to, amount)));
        uint256 after_ = token.balanceOf(address(this));
        if (after_ > before || before - after_ != amount) revert WrongAmountLeft(before, after_, amount);
    }

    function _call(bytes memory data) private {
        (bool done, bytes memory answer) = address(token).call(data);
        // Nothing, or a word that is one.
        bool agreed = answer.length == 0 || (answer.length == 32 && uint256(bytes32(answer)) == 1);
        if (!done || !agreed) revert TransferFailed();
    }
}

// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {CollateralVault} from "./CollateralVault.sol";
import {DecryptionContract} from "./DecryptionContract.sol";
import {HeldToken} from "./HeldToken.sol";
import {NotAParty, NotTheSender, TooLate} from "./TwoChains.sol";

/// Delivery against payment over two chains, where the payment is collateral in a vault on this one.
///
/// The sender pays into the receiver's account of the vault, in one transaction that also asks for the key by which it
/// takes what the receiver locked on the other chain. So an institution meets a call during a run by what it has
/// elsewhere, or replaces collateral that a secured party holds there. A payment that reverts decides nothing: until
/// `decideBefore` the sender may try again, or either party end the transfer; afterwards anyone ends it. Until then the
/// sender has an option for which it paid nothing (docs/two-chains.md).
contract CollateralPayment is DecryptionContract, HeldToken {
    CollateralVault public immutable vault;

    error ApprovalFailed();
    error WrongAmountArrived(uint256 arrived, uint256 amount);

    constructor(CollateralVault vault_) HeldToken(address(vault_.token())) {
        vault = vault_;
    }

    function _decide(Transfer storage transfer) internal override nonReentrant returns (bool success) {
        if (msg.sender != transfer.from) revert NotTheSender(msg.sender, transfer.from);
        if (block.timestamp > transfer.decideBefore) revert TooLate(transfer.decideBefore, block.timestamp);
        uint256 amount = transfer.amount;
        uint256 arrived = _take(transfer.from, amount);
        if (arrived != amount) revert WrongAmountArrived(arrived, amount);
        _approve(amount);
        arrived = vault.deposit(transfer.to, amount);
        if (arrived != amount) revert WrongAmountArrived(arrived, amount);
        return true;
    }

    function _requireCancelable(Transfer storage transfer) internal view override {
        if (msg.sender == transfer.from || msg.sender == transfer.to) return;
        if (block.timestamp <= transfer.decideBefore) revert NotAParty(msg.sender);
    }

    function _approve(uint256 amount) private {
        (bool done, bytes memory answer) =
            address(token).call(abi.encodeWithSignature("approve(address,uint256)", address(vault), amount));
        // Nothing, or a word that is one: as of transfers.
        bool agreed = answer.length == 0 || (answer.length == 32 && uint256(bytes32(answer)) == 1);
        if (!done || !agreed) revert ApprovalFailed();
    }
}

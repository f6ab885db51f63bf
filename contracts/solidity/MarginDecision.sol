// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {CollateralVault} from "./CollateralVault.sol";
import {DecryptionContract} from "./DecryptionContract.sol";

/// Collateral on another chain stands behind one run of a vault on this one.
///
/// The sender is an account of the vault, the receiver the secured party. The run decides: if the vault liquidates the
/// account in it, on proofs that it verified, the receiver gets the key of success and takes the collateral; if the run
/// ends otherwise, the sender gets the key of failure and takes it back. Nothing moves on this chain, so `amount` is
/// what is locked on the other one. Nobody chooses: whoever calls, the vault's state is what it is.
contract MarginDecision is DecryptionContract {
    CollateralVault public immutable vault;

    error NotAVault(address vault);
    /// The run is open, or was never opened.
    error RunUndecided(bytes32 run, CollateralVault.RunState state);
    /// While the run may still be opened or is open, and when it seized, the receiver alone gives its claim up.
    error NotCancelable(bytes32 run, CollateralVault.RunState state);

    constructor(CollateralVault vault_) {
        if (address(vault_).code.length == 0) revert NotAVault(address(vault_));
        vault = vault_;
    }

    function _decide(Transfer storage transfer) internal view override returns (bool success) {
        CollateralVault.Run memory run = vault.runOf(transfer.run);
        if (run.state == CollateralVault.RunState.Unknown || run.state == CollateralVault.RunState.Valuation) {
            revert RunUndecided(transfer.run, run.state);
        }
        return _seized(run, transfer);
    }

    function _requireCancelable(Transfer storage transfer) internal view override {
        if (msg.sender == transfer.to) return;
        CollateralVault.Run memory run = vault.runOf(transfer.run);
        bool never = run.state == CollateralVault.RunState.Unknown;
        bool waiting = never && block.timestamp <= transfer.decideBefore;
        if (waiting || run.state == CollateralVault.RunState.Valuation || _seized(run, transfer)) {
            revert NotCancelable(transfer.run, run.state);
        }
    }

    /// A run of another account decides nothing against this one.
    function _seized(CollateralVault.Run memory run, Transfer storage transfer) private view returns (bool) {
        return run.state == CollateralVault.RunState.Terminated && run.account == transfer.from;
    }
}

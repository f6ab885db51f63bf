// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IDecryptionContract, IDecryptionContractInceptionCallback} from "./Erc7573.sol";
import {
    ForeignReference,
    IdUsed,
    KeyReference,
    NotTheReceiver,
    NotTheSender,
    OtherTransfer,
    Outcome,
    ReferencesDiffer,
    SameKey,
    TooLate,
    TransferTerms,
    TwoChains
} from "./TwoChains.sol";

/// The decryption contract of ERC-7573, on the chain that decides: asks for one of a transfer's two keys, once.
///
/// The receiver incepts, the sender confirms; what decides is in the contracts that inherit from this one. Once a key
/// was asked for, the other one never is. The holders of the keys' parts watch `TransferKeyRequested`, wait until it is
/// final, and answer by `releaseKey`; whoever collects enough parts brings them to the lock on the other chain. Nobody
/// owns this contract, and it holds no key.
abstract contract DecryptionContract is IDecryptionContract {
    enum TransferState {
        Unknown,
        Incepted,
        Confirmed,
        Deciding, // inside transferAndDecrypt alone
        Success, // the key of success was asked for
        Failure // the key of failure was asked for
    }

    struct Transfer {
        address from;
        uint64 decideBefore;
        TransferState state;
        address to;
        uint64 successThreshold;
        uint256 amount;
        address lock;
        uint64 failureThreshold;
        uint256 lockChain;
        bytes32 context; // of all that was incepted
        bytes32 run;
        bytes32 successHolders;
        bytes32 failureHolders;
    }

    mapping(uint256 => Transfer) private _transfers;

    error NotIncepted(uint256 id, TransferState state);
    error NotConfirmed(uint256 id, TransferState state);
    error AlreadyDecided(uint256 id, TransferState state);
    error NotRequested(uint256 id, TransferState state);
    error CallbackNotSupported();
    /// The key is not the one that was asked for.
    error OtherKey(uint256 id);
    error NoParts();

    /// Proposes a transfer on this chain, and both keys. By the receiver.
    function inceptTransfer(
        uint256 id,
        int256 amount,
        address from,
        address to,
        bytes calldata transaction,
        bytes calldata keyEncryptedSuccess,
        bytes calldata keyEncryptedFailure
    ) external {
        if (msg.sender != to) revert NotTheReceiver(msg.sender, to);
        Transfer storage transfer = _transfers[id];
        if (transfer.state != TransferState.Unknown) revert IdUsed(id);
        transfer.amount = TwoChains.amountOf(amount, from, to);
        TransferTerms memory terms = TwoChains.readTerms(transaction);
        KeyReference memory success = _reference(id, Outcome.Success, keyEncryptedSuccess);
        KeyReference memory failure = _reference(id, Outcome.Failure, keyEncryptedFailure);
        if (success.lockChain != failure.lockChain || success.lock != failure.lock) revert ReferencesDiffer();
        if (success.holders == failure.holders) revert SameKey();
        transfer.state = TransferState.Incepted;
        transfer.from = from;
        transfer.to = to;
        transfer.decideBefore = terms.decideBefore;
        transfer.run = terms.run;
        transfer.lockChain = success.lockChain;
        transfer.lock = success.lock;
        transfer.successHolders = success.holders;
        transfer.successThreshold = success.threshold;
        transfer.failureHolders = failure.holders;
        transfer.failureThreshold = failure.threshold;
        transfer.context = keccak256(abi.encode(amount, from, to, transaction, keyEncryptedSuccess, keyEncryptedFailure));
        emit TransferIncepted(id, amount, from, to, transaction, keyEncryptedSuccess, keyEncryptedFailure);
    }

    /// Agrees to a transfer. By the sender.
    function confirmTransfer(
        uint256 id,
        int256 amount,
        address from,
        address to,
        bytes calldata transaction,
        IDecryptionContractInceptionCallback callback,
        bytes calldata keyEncryptedSuccess,
        bytes calldata keyEncryptedFailure
    ) external {
        Transfer storage transfer = _transfers[id];
        if (transfer.state != TransferState.Incepted) revert NotIncepted(id, transfer.state);
        if (msg.sender != transfer.from) revert NotTheSender(msg.sender, transfer.from);
        if (address(callback) != address(0)) revert CallbackNotSupported();
        bytes32 context =
            keccak256(abi.encode(amount, from, to, transaction, keyEncryptedSuccess, keyEncryptedFailure));
        if (context != transfer.context) revert OtherTransfer(id);
        if (block.timestamp > transfer.decideBefore) revert TooLate(transfer.decideBefore, block.timestamp);
        transfer.state = TransferState.Confirmed;
        emit TransferConfirmed(
            id, amount, from, to, transaction, callback, keyEncryptedSuccess, keyEncryptedFailure
        );
    }

    /// Decides a confirmed transfer, and asks for the key of what was decided. Reverts while there is no decision.
    function transferAndDecrypt(uint256 id) external {
        Transfer storage transfer = _transfers[id];
        if (transfer.state != TransferState.Confirmed) revert NotConfirmed(id, transfer.state);
        // A token that calls back meets a transfer that is neither open nor decided.
        transfer.state = TransferState.Deciding;
        _request(id, transfer, _decide(transfer) ? Outcome.Success : Outcome.Failure);
    }

    /// Ends a transfer that is not decided, and asks for the key of failure.
    function cancelAndDecrypt(
        uint256 id,
        int256 amount,
        address from,
        address to,
        bytes calldata transaction,
        IDecryptionContractInceptionCallback callback,
        bytes calldata keyEncryptedSuccess,
        bytes calldata keyEncryptedFailure
    ) external {
        Transfer storage transfer = _transfers[id];
        if (transfer.state != TransferState.Incepted && transfer.state != TransferState.Confirmed) {
            revert AlreadyDecided(id, transfer.state);
        }
        if (address(callback) != address(0)) revert CallbackNotSupported();
        bytes32 context =
            keccak256(abi.encode(amount, from, to, transaction, keyEncryptedSuccess, keyEncryptedFailure));
        if (context != transfer.context) revert OtherTransfer(id);
        _requireCancelable(transfer);
        _request(id, transfer, Outcome.Failure);
    }

    /// Publishes parts of the key that was asked for. Anyone who has them may; they count by what they are.
    function releaseKey(uint256 id, bytes calldata key) external {
        Transfer storage transfer = _transfers[id];
        bool success = transfer.state == TransferState.Success;
        if (!success && transfer.state != TransferState.Failure) revert NotRequested(id, transfer.state);
        (bytes32 holders, uint256 parts) = TwoChains.opened(key);
        if (holders != (success ? transfer.successHolders : transfer.failureHolders)) revert OtherKey(id);
        if (parts == 0) revert NoParts();
        emit TransferKeyReleased(msg.sender, id, success, key);
    }

    /// Returns a transfer.
    function transferOf(uint256 id) external view returns (Transfer memory) {
        return _transfers[id];
    }

    /// Does what decides: returns whether the transfer on this chain took place. Reverts if it is too early to say.
    function _decide(Transfer storage transfer) internal virtual returns (bool success);

    /// Reverts unless the caller may end the transfer now.
    function _requireCancelable(Transfer storage transfer) internal view virtual;

    function _request(uint256 id, Transfer storage transfer, Outcome outcome) private {
        bool success = outcome == Outcome.Success;
        transfer.state = success ? TransferState.Success : TransferState.Failure;
        KeyReference memory wanted = KeyReference({
            kind: TwoChains.KIND,
            lockChain: transfer.lockChain,
            lock: transfer.lock,
            decisionChain: block.chainid,
            decision: address(this),
            id: id,
            outcome: outcome,
            threshold: success ? transfer.successThreshold : transfer.failureThreshold,
            holders: success ? transfer.successHolders : transfer.failureHolders
        });
        emit TransferKeyRequested(msg.sender, id, abi.encode(wanted));
    }

    /// Reads a reference that has to be for a decision of this contract, on this chain.
    function _reference(uint256 id, Outcome outcome, bytes calldata encoded)
        private
        view
        returns (KeyReference memory read)
    {
        read = TwoChains.readReference(encoded, id, outcome);
        if (read.decisionChain != block.chainid) revert ForeignReference("decisionChain");
        if (read.decision != address(this)) revert ForeignReference("decision");
    }
}

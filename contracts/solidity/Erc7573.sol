// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// Names, arguments and events of ERC-7573 (draft, as of September 2026): one interface on each of two chains.
///
/// `int` amounts, `id` and `transaction` are the standard's. `keyEncrypted…` is what names a key to everybody without
/// opening anything, `keyHashed…` what a lock compares: docs/two-chains.md says what ours are.
interface ILockingContract {
    event TransferIncepted(
        uint256 id,
        int256 amount,
        address from,
        address to,
        bytes transaction,
        bytes keyHashedSeller,
        bytes keyEncryptedSeller
    );
    event TransferConfirmed(
        uint256 id,
        int256 amount,
        address from,
        address to,
        bytes transaction,
        bytes keyHashedBuyer,
        bytes keyEncryptedBuyer
    );
    event TokenLocked(uint256 id);
    event TokenClaimed(uint256 id, bytes key);
    event TokenReclaimed(uint256 id, bytes key);

    function inceptTransfer(
        uint256 id,
        int256 amount,
        address from,
        address to,
        bytes calldata transaction,
        bytes calldata keyHashedSeller,
        bytes calldata keyEncryptedSeller
    ) external;

    function confirmTransfer(
        uint256 id,
        int256 amount,
        address from,
        address to,
        bytes calldata transaction,
        bytes calldata keyHashedBuyer,
        bytes calldata keyEncryptedBuyer
    ) external;

    function cancelTransfer(
        uint256 id,
        int256 amount,
        address from,
        address to,
        bytes calldata transaction,
        bytes calldata keyHashedSeller,
        bytes calldata keyEncryptedSeller
    ) external;

    function transferWithKey(uint256 id, bytes calldata key) external;
}

/// Of the standard's optional extension, in which keys are made later; ours are there from the start.
interface IDecryptionContractInceptionCallback {
    function onInceptionCompleted(uint256 id) external returns (bytes4 acknowledgement);
}

interface IDecryptionContract {
    event TransferIncepted(
        uint256 id,
        int256 amount,
        address from,
        address to,
        bytes transaction,
        bytes keyEncryptedSuccess,
        bytes keyEncryptedFailure
    );
    event TransferConfirmed(
        uint256 id,
        int256 amount,
        address from,
        address to,
        bytes transaction,
        IDecryptionContractInceptionCallback callback,
        bytes keyEncryptedSuccess,
        bytes keyEncryptedFailure
    );
    event TransferKeyRequested(address sender, uint256 id, bytes encryptedKey);
    event TransferKeyReleased(address sender, uint256 id, bool success, bytes key);

    function inceptTransfer(
        uint256 id,
        int256 amount,
        address from,
        address to,
        bytes calldata transaction,
        bytes calldata keyEncryptedSuccess,
        bytes calldata keyEncryptedFailure
    ) external;

    function confirmTransfer(
        uint256 id,
        int256 amount,
        address from,
        address to,
        bytes calldata transaction,
        IDecryptionContractInceptionCallback callback,
        bytes calldata keyEncryptedSuccess,
        bytes calldata keyEncryptedFailure
    ) external;

    function transferAndDecrypt(uint256 id) external;

    function cancelAndDecrypt(
        uint256 id,
        int256 amount,
        address from,
        address to,
        bytes calldata transaction,
        IDecryptionContractInceptionCallback callback,
        bytes calldata keyEncryptedSuccess,
        bytes calldata keyEncryptedFailure
    ) external;

    function releaseKey(uint256 id, bytes calldata key) external;
}

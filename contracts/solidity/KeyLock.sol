// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {ILockingContract} from "./Erc7573.sol";
import {HeldToken} from "./HeldToken.sol";
import {
    ForeignReference,
    IdUsed,
    KeyReference,
    NotAParty,
    NotTheReceiver,
    NotTheSender,
    OtherTransfer,
    Outcome,
    ReferencesDiffer,
    SameKey,
    TooFewParts,
    TooLate,
    TransferTerms,
    TwoChains,
    WrongKeyHash
} from "./TwoChains.sol";

/// The locking contract of ERC-7573, for one ERC-20: on the chain where the collateral is.
///
/// The receiver incepts and says by which key the sender gets its token back; the sender confirms, says by which key
/// the receiver gets it, and locks it. From then on one of both keys moves the token, whoever brings it, once. What the
/// standard leaves open is who gets it if no key ever comes: here the sender, who may ask for it at the time that both
/// agreed on, and then waits another `ANSWER_SECONDS`, in which the receiver can still bring its key. Nobody owns this
/// contract, and nothing in it can be changed.
contract KeyLock is ILockingContract, HeldToken {
    enum LockState {
        Unknown,
        Incepted,
        Canceled,
        Locked,
        Claimed,
        Reclaimed
    }

    struct Lock {
        address from;
        uint64 decideBefore;
        LockState state;
        address to;
        uint64 reclaimableFrom;
        uint256 amount;
        bytes32 context; // of amount, parties and terms
        bytes32 incepted; // reference that was incepted
        bytes32 decision; // contract that decides, with its chain
        bytes32 claimHolders;
        bytes32 reclaimHolders;
        uint64 claimThreshold;
        uint64 reclaimThreshold;
        uint64 takeableFrom; // when it comes back without a key, zero while nobody asked
    }

    /// So long after it was announced a token comes back without a key.
    uint64 public constant ANSWER_SECONDS = 1 days;

    mapping(uint256 => Lock) private _locks;

    event TransferCanceled(uint256 id);
    /// The sender wants its token back without a key: whoever has the other one brings it until then.
    event ReclaimAnnounced(uint256 id, uint64 takeableFrom);

    error NotIncepted(uint256 id, LockState state);
    error NotLocked(uint256 id, LockState state);
    error WrongAmountArrived(uint256 arrived, uint256 amount);
    /// The key is of neither outcome of this transfer.
    error WrongKey(uint256 id);
    error TooEarly(uint64 from, uint256 now_);
    error AlreadyAnnounced(uint64 takeableFrom);
    error NotAnnounced(uint256 id);

    constructor(address token_) HeldToken(token_) {}

    /// Proposes a transfer and the key by which it comes back. By the receiver.
    function inceptTransfer(
        uint256 id,
        int256 amount,
        address from,
        address to,
        bytes calldata transaction,
        bytes calldata keyHashedSeller,
        bytes calldata keyEncryptedSeller
    ) external nonReentrant {
        if (msg.sender != to) revert NotTheReceiver(msg.sender, to);
        Lock storage lock = _locks[id];
        if (lock.state != LockState.Unknown) revert IdUsed(id);
        lock.amount = TwoChains.amountOf(amount, from, to);
        TransferTerms memory terms = TwoChains.readTerms(transaction);
        KeyReference memory back = _reference(id, Outcome.Failure, keyHashedSeller, keyEncryptedSeller);
        lock.state = LockState.Incepted;
        lock.from = from;
        lock.to = to;
        lock.decideBefore = terms.decideBefore;
        lock.reclaimableFrom = terms.reclaimableFrom;
        lock.context = _context(amount, from, to, transaction);
        lock.incepted = keccak256(keyEncryptedSeller);
        lock.decision = _decision(back);
        lock.reclaimHolders = back.holders;
        lock.reclaimThreshold = back.threshold;
        emit TransferIncepted(id, amount, from, to, transaction, keyHashedSeller, keyEncryptedSeller);
    }

    /// Agrees to a transfer, says by which key it is claimed, and locks the token. By the sender, who approved it.
    ///
    /// Whoever confirms has read the reference that was incepted, and checked whose commitments it has.
    function confirmTransfer(
        uint256 id,
        int256 amount,
        address from,
        address to,
        bytes calldata transaction,
        bytes calldata keyHashedBuyer,
        bytes calldata keyEncryptedBuyer
    ) external nonReentrant {
        Lock storage lock = _incepted(id);
        if (msg.sender != lock.from) revert NotTheSender(msg.sender, lock.from);
        if (_context(amount, from, to, transaction) != lock.context) revert OtherTransfer(id);
        if (block.timestamp > lock.decideBefore) revert TooLate(lock.decideBefore, block.timestamp);
        KeyReference memory claim = _reference(id, Outcome.Success, keyHashedBuyer, keyEncryptedBuyer);
        if (_decision(claim) != lock.decision) revert ReferencesDiffer();
        if (claim.holders == lock.reclaimHolders) revert SameKey();
        lock.state = LockState.Locked;
        lock.claimHolders = claim.holders;
        lock.claimThreshold = claim.threshold;
        uint256 arrived = _take(from, lock.amount);
        if (arrived != lock.amount) revert WrongAmountArrived(arrived, lock.amount);
        emit TransferConfirmed(id, amount, from, to, transaction, keyHashedBuyer, keyEncryptedBuyer);
        emit TokenLocked(id);
    }

    /// Withdraws a transfer that is not confirmed. By either party; its number is used up.
    function cancelTransfer(
        uint256 id,
        int256 amount,
        address from,
        address to,
        bytes calldata transaction,
        bytes calldata keyHashedSeller,
        bytes calldata keyEncryptedSeller
    ) external nonReentrant {
        Lock storage lock = _incepted(id);
        if (msg.sender != lock.from && msg.sender != lock.to) revert NotAParty(msg.sender);
        if (_context(amount, from, to, transaction) != lock.context) revert OtherTransfer(id);
        _requireHash(keyHashedSeller, keyEncryptedSeller);
        if (keccak256(keyEncryptedSeller) != lock.incepted) revert OtherTransfer(id);
        lock.state = LockState.Canceled;
        emit TransferCanceled(id);
    }

    /// Moves a locked token by a key: to the receiver by that of success, back by that of failure. Anyone may bring it.
    function transferWithKey(uint256 id, bytes calldata key) external nonReentrant {
        Lock storage lock = _locked(id);
        (bytes32 holders, uint256 parts) = TwoChains.opened(key);
        bool claimed = holders == lock.claimHolders;
        if (!claimed && holders != lock.reclaimHolders) revert WrongKey(id);
        uint64 threshold = claimed ? lock.claimThreshold : lock.reclaimThreshold;
        if (parts < threshold) revert TooFewParts(parts, threshold);
        if (claimed) {
            lock.state = LockState.Claimed;
            emit TokenClaimed(id, key);
            _send(lock.to, lock.amount);
        } else {
            lock.state = LockState.Reclaimed;
            emit TokenReclaimed(id, key);
            _send(lock.from, lock.amount);
        }
    }

    /// Asks for a token back for which no key came. By the sender, from the agreed time on.
    function announceReclaim(uint256 id) external nonReentrant {
        Lock storage lock = _locked(id);
        if (msg.sender != lock.from) revert NotTheSender(msg.sender, lock.from);
        if (block.timestamp < lock.reclaimableFrom) revert TooEarly(lock.reclaimableFrom, block.timestamp);
        if (lock.takeableFrom != 0) revert AlreadyAnnounced(lock.takeableFrom);
        lock.takeableFrom = uint64(block.timestamp) + ANSWER_SECONDS;
        emit ReclaimAnnounced(id, lock.takeableFrom);
    }

    /// Gives a token back whose return was announced long enough ago. Anyone may.
    function reclaim(uint256 id) external nonReentrant {
        Lock storage lock = _locked(id);
        if (lock.takeableFrom == 0) revert NotAnnounced(id);
        if (block.timestamp < lock.takeableFrom) revert TooEarly(lock.takeableFrom, block.timestamp);
        lock.state = LockState.Reclaimed;
        emit TokenReclaimed(id, "");
        _send(lock.from, lock.amount);
    }

    /// Returns a transfer.
    function lockOf(uint256 id) external view returns (Lock memory) {
        return _locks[id];
    }

    /// Reads a reference that has to be of this lock, on this chain.
    function _reference(uint256 id, Outcome outcome, bytes calldata hashed, bytes calldata encoded)
        private
        view
        returns (KeyReference memory read)
    {
        _requireHash(hashed, encoded);
        read = TwoChains.readReference(encoded, id, outcome);
        if (read.lockChain != block.chainid) revert ForeignReference("lockChain");
        if (read.lock != address(this)) revert ForeignReference("lock");
    }

    function _requireHash(bytes calldata hashed, bytes calldata encoded) private pure {
        if (hashed.length != 32 || bytes32(hashed) != keccak256(encoded)) revert WrongKeyHash();
    }

    function _decision(KeyReference memory read) private pure returns (bytes32) {
        return keccak256(abi.encode(read.decisionChain, read.decision));
    }

    function _context(int256 amount, address from, address to, bytes calldata transaction)
        private
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(amount, from, to, transaction));
    }

    function _incepted(uint256 id) private view returns (Lock storage lock) {
        lock = _locks[id];
        if (lock.state != LockState.Incepted) revert NotIncepted(id, lock.state);
    }

    function _locked(uint256 id) private view returns (Lock storage lock) {
        lock = _locks[id];
        if (lock.state != LockState.Locked) revert NotLocked(id, lock.state);
    }
}

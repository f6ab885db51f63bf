// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// What both chains keep of one transfer besides parties and amounts: ERC-7573's `transaction`, ABI-encoded.
struct TransferTerms {
    uint64 decideBefore; // last second, by the deciding chain's clock, to pay, or for the run to be opened
    uint64 reclaimableFrom; // first second, by the locking chain's clock, to ask for the token back without a key
    bytes32 run; // that decides, or that the payment is for
}

/// Which of a transfer's two keys.
enum Outcome {
    None,
    Success, // the token goes to the receiver
    Failure // it goes back
}

/// Names one key: of which lock, for which decision, and whose parts open it. Everybody may read it; it opens nothing.
/// ERC-7573's `keyEncrypted…` is this, ABI-encoded: every field is static, so it has one encoding.
struct KeyReference {
    bytes32 kind;
    uint256 lockChain;
    address lock;
    uint256 decisionChain;
    address decision;
    uint256 id;
    Outcome outcome;
    uint64 threshold; // so many parts open it
    bytes32 holders; // keccak256 of the commitments to all parts, one after the other
}

/// One holder's part of a key: its place among the commitments, and what was committed to.
struct KeyPart {
    uint256 holder;
    bytes32 secret;
}

error BadParties(address from, address to);
error BadAmount(int256 amount);
error TermsLength(uint256 got);
error TooLate(uint64 decideBefore, uint256 now_);
/// There have to be `GRACE_SECONDS` between the last decision and the first reclaim, and no lock is for longer.
error BadReclaimTime(uint64 reclaimableFrom, uint256 earliest, uint256 latest);
error IdUsed(uint256 id);
/// Amount, parties, terms or references are not those that were incepted.
error OtherTransfer(uint256 id);
error NotTheReceiver(address caller, address to);
error NotTheSender(address caller, address from);
error NotAParty(address caller);

error NotAReference();
/// The reference is for another chain, contract, transfer or outcome.
error ForeignReference(string field);
error BadThreshold(uint64 threshold);
error WrongKeyHash();
/// Success and failure have the same holders' commitments: one key would open both.
error SameKey();
/// Both references of one transfer name another lock or another decision.
error ReferencesDiffer();

error KeyTooLong(uint256 got);
error TooManyHolders(uint256 holders);
error PartsNotAscending(uint256 holder);
error NoSuchHolder(uint256 holder);
/// This is not what the holder committed to.
error WrongSecret(uint256 holder);
error TooFewParts(uint256 given, uint256 threshold);

/// Terms, references and keys, read alike on both chains.
///
/// A key is n commitments and at least k secrets. Each of n holders makes a secret for each outcome and publishes its
/// hash; k of them together open, fewer do not, and nobody ever has a key before k of them have spoken.
library TwoChains {
    bytes32 internal constant KIND = keccak256("atomic-margin/key-reference/1");
    uint256 internal constant MAX_HOLDERS = 16;
    uint256 internal constant REFERENCE_BYTES = 9 * 32;
    uint256 internal constant TERMS_BYTES = 3 * 32;
    // Two offsets, two lengths, all commitments, all parts.
    uint256 internal constant MAX_KEY_BYTES = 4 * 32 + MAX_HOLDERS * (32 + 64);
    /// Time for a request to be final, for holders to answer, and for the key to be brought to the other chain.
    uint64 internal constant GRACE_SECONDS = 1 days;
    uint64 internal constant MAX_LOCK_SECONDS = 30 days;

    /// Reads terms that can still be decided on.
    function readTerms(bytes calldata transaction) internal view returns (TransferTerms memory read) {
        if (transaction.length != TERMS_BYTES) revert TermsLength(transaction.length);
        read = abi.decode(transaction, (TransferTerms));
        if (block.timestamp > read.decideBefore) revert TooLate(read.decideBefore, block.timestamp);
        uint256 earliest = uint256(read.decideBefore) + GRACE_SECONDS;
        uint256 latest = block.timestamp + MAX_LOCK_SECONDS;
        if (read.reclaimableFrom < earliest || read.reclaimableFrom > latest) {
            revert BadReclaimTime(read.reclaimableFrom, earliest, latest);
        }
    }

    /// Returns the amount of a transfer between two parties, of whom the receiver calls.
    function amountOf(int256 amount, address from, address to) internal pure returns (uint256) {
        if (amount <= 0) revert BadAmount(amount);
        if (from == address(0) || from == to) revert BadParties(from, to);
        return uint256(amount);
    }

    /// Reads a reference, which has to be of one transfer and of one outcome.
    function readReference(bytes calldata encoded, uint256 id, Outcome outcome)
        internal
        pure
        returns (KeyReference memory read)
    {
        if (encoded.length != REFERENCE_BYTES) revert NotAReference();
        read = abi.decode(encoded, (KeyReference));
        if (read.kind != KIND) revert NotAReference();
        if (read.id != id) revert ForeignReference("id");
        if (read.outcome != outcome) revert ForeignReference("outcome");
        if (read.threshold == 0 || read.threshold > MAX_HOLDERS) revert BadThreshold(read.threshold);
    }

    /// Returns whose key this is, and how many of its holders' secrets are in it; reverts if one is not what was
    /// committed to. It says nothing about whether they are enough.
    function opened(bytes calldata key) internal pure returns (bytes32 holders, uint256 parts) {
        if (key.length > MAX_KEY_BYTES) revert KeyTooLong(key.length);
        (bytes32[] memory commitments, KeyPart[] memory given) = abi.decode(key, (bytes32[], KeyPart[]));
        if (commitments.length > MAX_HOLDERS) revert TooManyHolders(commitments.length);
        uint256 next = 0;
        for (uint256 i = 0; i < given.length; ++i) {
            uint256 holder = given[i].holder;
            // Ascending means once each.
            if (holder < next) revert PartsNotAscending(holder);
            if (holder >= commitments.length) revert NoSuchHolder(holder);
            if (keccak256(abi.encode(given[i].secret)) != commitments[holder]) revert WrongSecret(holder);
            next = holder + 1;
        }
        return (keccak256(abi.encodePacked(commitments)), given.length);
    }
}

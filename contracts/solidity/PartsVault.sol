// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {MatrixAttestation, Signature} from "./Attestations.sol";
import {SliceOutOfRange} from "./Errors.sol";
import {Checked, IMarginVerifier} from "./IMarginVerifier.sol";
import {IPartialVerifier} from "./IPartialVerifier.sol";
import {Point, Points} from "./Points.sol";
import {Vault} from "./Vault.sol";

/// Both proofs of a breached account, each with its statement, in the layout of MarginVerifier.sol.
struct Answer {
    bytes breachStatement;
    bytes breachProof;
    bytes topUpStatement;
    bytes topUpProof;
}

/// A vault that also settles on proofs whose verification takes more than one transaction.
///
/// A transaction records the sum of one slice of a proof's multiplication, worked out here from the whole statement and
/// the whole proof. Anyone may record: what is recorded is true, and nothing moves. The last transaction has everything
/// again, works out all of both proofs and the last slice of each, adds what was recorded of the same run and the same
/// two statements and proofs, and settles as `settle` does if both sums are the identity. So a slice counts nothing
/// unless all the others are there, and nothing that was recorded for another run, account, answer, vault or chain is
/// ever looked at.
contract PartsVault is Vault {
    using Points for Point;

    /// Which of an answer's proofs.
    enum Claim {
        Breach,
        TopUp
    }

    /// A point in three words: the upper parts of x and y are in `high`, and its highest bit is set.
    struct Recorded {
        uint256 high;
        uint256 xLow;
        uint256 yLow;
    }

    IPartialVerifier public immutable partialVerifier;

    uint256 private constant IS_RECORDED = 1 << 255;
    mapping(bytes32 part => Recorded) private _recorded;

    event PartRecorded(bytes32 indexed run, bytes32 indexed answer, Claim claim, uint256 slice, uint256 slices);

    /// Nobody recorded this slice of this answer for this run.
    error PartMissing(Claim claim, uint256 slice, uint256 slices);
    /// All slices are there, and the proof does not hold.
    error ProofInvalid(Claim claim);

    constructor(Settings memory settings, IMarginVerifier verifier_, IPartialVerifier partialVerifier_)
        Vault(settings, verifier_)
    {
        if (address(partialVerifier_).code.length == 0) revert BadSetting("partialVerifier");
        partialVerifier = partialVerifier_;
    }

    /// Records a slice of a breach proof, all but the last one of `slices`, while its run is open. What is recorded
    /// already is left as it is. `topUp` is `digestOf` the other proof and its statement.
    function recordBreach(
        bytes32 run,
        bytes calldata statement,
        bytes calldata proof,
        bytes32 topUp,
        uint256 slice,
        uint256 slices
    ) external nonReentrant whenNotPaused {
        _openRun(run);
        bytes32 answer = answerOf(run, digestOf(statement, proof), topUp);
        bytes32 part = _toRecord(answer, Claim.Breach, slice, slices);
        if (part == bytes32(0)) return;
        (, Point memory sum) = partialVerifier.sumBreach(statement, proof, slice, slices);
        _record(part, sum);
        emit PartRecorded(run, answer, Claim.Breach, slice, slices);
    }

    /// The same of a sufficiency proof; `breach` is `digestOf` the other proof and its statement.
    function recordTopUp(
        bytes32 run,
        bytes32 breach,
        bytes calldata statement,
        bytes calldata proof,
        uint256 slice,
        uint256 slices
    ) external nonReentrant whenNotPaused {
        _openRun(run);
        bytes32 answer = answerOf(run, breach, digestOf(statement, proof));
        bytes32 part = _toRecord(answer, Claim.TopUp, slice, slices);
        if (part == bytes32(0)) return;
        (, Point memory sum) = partialVerifier.sumSufficiency(statement, proof, slice, slices);
        _record(part, sum);
        emit PartRecorded(run, answer, Claim.TopUp, slice, slices);
    }

    /// Settles an open run, once, if all slices but the last one of each proof are recorded. One slice is the whole
    /// proof. Returns what `settle` returns.
    function settleInParts(
        MatrixAttestation calldata attestation,
        Signature[] calldata signatures,
        Answer calldata answer,
        uint256 breachSlices,
        uint256 topUpSlices
    ) external nonReentrant whenNotPaused returns (uint256 amount, bool liquidated) {
        _requireAttested(attestation, signatures);
        if (breachSlices == 0) revert SliceOutOfRange(0, 0);
        if (topUpSlices == 0) revert SliceOutOfRange(0, 0);
        bytes32 name = answerOf(
            attestation.run,
            digestOf(answer.breachStatement, answer.breachProof),
            digestOf(answer.topUpStatement, answer.topUpProof)
        );
        (Checked memory breach, Point memory breachSum) =
            partialVerifier.sumBreach(answer.breachStatement, answer.breachProof, breachSlices - 1, breachSlices);
        _requireHolds(name, Claim.Breach, breachSlices, breachSum);
        (Checked memory topUp, Point memory topUpSum) =
            partialVerifier.sumSufficiency(answer.topUpStatement, answer.topUpProof, topUpSlices - 1, topUpSlices);
        _requireHolds(name, Claim.TopUp, topUpSlices, topUpSum);
        return _settleProven(attestation, breach, topUp);
    }

    /// Clears what was recorded for a run that is over, by whatever way. Anyone may.
    function forgetParts(bytes32 run, bytes32 breach, bytes32 topUp, Claim claim, uint256 slices) external {
        if (_runs[run].state == RunState.Valuation) revert RunIsOpen(run);
        if (slices > Points.MAX_SLICES) revert SliceOutOfRange(0, slices);
        bytes32 answer = answerOf(run, breach, topUp);
        for (uint256 slice = 0; slice < slices; ++slice) delete _recorded[_part(answer, claim, slice, slices)];
    }

    /// Returns which of so many slices are recorded: bit i for slice i.
    function recordedParts(bytes32 run, bytes32 breach, bytes32 topUp, Claim claim, uint256 slices)
        external
        view
        returns (uint256 bits)
    {
        if (slices > Points.MAX_SLICES) revert SliceOutOfRange(0, slices);
        bytes32 answer = answerOf(run, breach, topUp);
        for (uint256 slice = 0; slice < slices; ++slice) {
            if (_recorded[_part(answer, claim, slice, slices)].high != 0) bits |= 1 << slice;
        }
    }

    /// Returns what names a statement with its proof: Keccak-256 of the Keccak-256 of both.
    function digestOf(bytes calldata statement, bytes calldata proof) public pure returns (bytes32) {
        return keccak256(abi.encode(keccak256(statement), keccak256(proof)));
    }

    /// Returns what parts are recorded under, before claim and slice: chain, vault, run with the account, tick and book
    /// in its picture, and both proofs with their statements.
    function answerOf(bytes32 run, bytes32 breach, bytes32 topUp) public view returns (bytes32) {
        Run storage about = _runs[run];
        return keccak256(
            abi.encode(
                block.chainid, address(this), run, about.account, about.tick, about.commitments, breach, topUp
            )
        );
    }

    function _part(bytes32 answer, Claim claim, uint256 slice, uint256 slices) private pure returns (bytes32) {
        return keccak256(abi.encode(answer, claim, slice, slices));
    }

    /// Returns where a slice belongs, zero if it is there. The last slice is never recorded: settling works it out.
    function _toRecord(bytes32 answer, Claim claim, uint256 slice, uint256 slices) private view returns (bytes32 part) {
        if (slices == 0 || slices > Points.MAX_SLICES || slice >= slices - 1) revert SliceOutOfRange(slice, slices);
        part = _part(answer, claim, slice, slices);
        if (_recorded[part].high != 0) return bytes32(0);
    }

    function _record(bytes32 part, Point memory sum) private {
        // Coordinates have 381 bits, so that their upper parts fill one word but for its highest bits.
        _recorded[part] = Recorded(IS_RECORDED | sum.xHigh << 128 | sum.yHigh, sum.xLow, sum.yLow);
    }

    /// Adds what was recorded of a proof to its last slice, and clears it.
    function _requireHolds(bytes32 answer, Claim claim, uint256 slices, Point memory sum) private {
        for (uint256 slice = 0; slice + 1 < slices; ++slice) {
            bytes32 part = _part(answer, claim, slice, slices);
            Recorded memory kept = _recorded[part];
            if (kept.high == 0) revert PartMissing(claim, slice, slices);
            uint256 xHigh = (kept.high & ~IS_RECORDED) >> 128;
            sum = sum.add(Point(xHigh, kept.xLow, uint128(kept.high), kept.yLow));
            delete _recorded[part];
        }
        if (!sum.isIdentity()) revert ProofInvalid(claim);
    }
}

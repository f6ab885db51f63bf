// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {MatrixAttestation, Signature} from "./Attestations.sol";
import {CollateralVault} from "./CollateralVault.sol";
import {Checked, IMarginVerifier} from "./IMarginVerifier.sol";

/// Settles a run only on a breach proof and a proof that a top-up X suffices, both verified here.
///
/// Nobody is believed about the breach or about X: the chain verifies both proofs against the book that the account
/// registered. k of n signers are believed that A and c are those of the signed prices, terms and posted balance, and
/// that the proofs' context and X are those of the signed answer. What is settled is that X, proven, neither more nor
/// less: converted by the attested rate, rounded up to the token's smallest unit, moved from free to posted; where free
/// collateral does not reach it, all that the account has goes to the waterfall in the same transaction. A breach
/// without a proven X moves nothing.
contract Vault is CollateralVault {
    IMarginVerifier public immutable verifier;
    uint256 private constant RATE_UNIT = 1e18;

    error WrongRunAccount(address attested, address account);
    error WrongTick(uint64 attested, uint64 tick);
    error WrongCommitments(bytes32 given, bytes32 registered);
    error WrongMatrix(bytes32 proven, bytes32 attested);
    error WrongContext(bytes32 proven, bytes32 attested);
    error WrongTopUp(uint256 proven, uint256 attested);
    error NoTopUp();
    error NoRate();
    error TopUpTooLarge(uint256 topUp);

    constructor(Settings memory settings, IMarginVerifier verifier_) CollateralVault(settings) {
        if (address(verifier_).code.length == 0) revert BadSetting("verifier");
        verifier = verifier_;
    }

    /// Settles an open run, once. Anyone may bring it: everything that decides is signed, proven or stored here.
    ///
    /// Returns what X is in the token, and whether the account was liquidated.
    function settle(
        MatrixAttestation calldata attestation,
        Signature[] calldata signatures,
        bytes calldata breachStatement,
        bytes calldata breachProof,
        bytes calldata topUpStatement,
        bytes calldata topUpProof
    ) external nonReentrant whenNotPaused returns (uint256 amount, bool liquidated) {
        _requireAttested(attestation, signatures);
        Checked memory breach = verifier.verifyBreach(breachStatement, breachProof);
        Checked memory topUp = verifier.verifySufficiency(topUpStatement, topUpProof);
        return _settleProven(attestation, breach, topUp);
    }

    /// The run is open, and k of n signed what the vault took a picture of.
    function _requireAttested(MatrixAttestation calldata attestation, Signature[] calldata signatures) internal view {
        _requireAboutRun(attestation);
        oracle.checkMatrices(attestation, signatures);
    }

    /// Settles a run that is attested, on two proofs that hold, if they are about what is attested.
    function _settleProven(MatrixAttestation calldata attestation, Checked memory breach, Checked memory topUp)
        internal
        returns (uint256 amount, bool liquidated)
    {
        _requireAbout(breach, attestation.commitments, attestation.breachMatrix, attestation.breachContext);
        _requireAbout(topUp, attestation.commitments, attestation.topUpMatrix, attestation.topUpContext);
        if (topUp.topUp != attestation.topUp) revert WrongTopUp(topUp.topUp, attestation.topUp);
        amount = _inToken(topUp.topUp, attestation.rate);
        liquidated = _conclude(attestation.run, attestation.log, topUp.topUp, amount);
    }

    /// Everything that the signers attested of the run is what the vault took a picture of.
    function _requireAboutRun(MatrixAttestation calldata attestation) private view {
        if (attestation.vault != address(this)) revert ForeignVault(attestation.vault);
        Run storage run = _openRun(attestation.run);
        if (attestation.account != run.account) revert WrongRunAccount(attestation.account, run.account);
        if (attestation.tick != run.tick) revert WrongTick(attestation.tick, run.tick);
        if (attestation.commitments != run.commitments) {
            revert WrongCommitments(attestation.commitments, run.commitments);
        }
        if (attestation.free != run.free || attestation.posted != run.posted) {
            revert WrongBalances(attestation.free, attestation.posted, run.free, run.posted);
        }
    }

    function _requireAbout(Checked memory proven, bytes32 commitments, bytes32 matrix, bytes32 context) private pure {
        if (proven.commitments != commitments) revert WrongCommitments(proven.commitments, commitments);
        if (proven.matrix != matrix) revert WrongMatrix(proven.matrix, matrix);
        if (proven.context != context) revert WrongContext(proven.context, context);
    }

    /// Returns X in smallest units of the token, rounded up: the account holder never has less than it proved.
    function _inToken(uint256 topUp, uint128 rate) private pure returns (uint256) {
        if (topUp == 0) revert NoTopUp();
        if (rate == 0) revert NoRate();
        if (topUp > type(uint120).max) revert TopUpTooLarge(topUp);
        return (topUp * rate + RATE_UNIT - 1) / RATE_UNIT;
    }
}

// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// Names the component that an error is about; docs/proofs.md says what each of them is.
enum Part {
    Commitment,
    A,
    S,
    T1,
    T2,
    THat,
    TauX,
    Mu,
    L,
    R,
    Left,
    Right,
    W,
    Announcement,
    Share,
    Response,
    K
}

/// The statement has fewer bytes than its header calls for.
error StatementTooShort(uint256 least, uint256 got);
error RowsOutOfRange(uint256 rows);
error EntriesOutOfRange(uint256 entries);
error CellsOutOfRange(uint256 cells);
error BitsOutOfRange(uint256 bits);
/// More committed bits than a proof in one piece has; or, in chunks, than there are generators for.
error TooManyBits(uint256 bits);
/// Fewer committed bits than a proof in chunks has.
error TooFewBits(uint256 bits);
/// 2^48 or more; or not 0 in a breach, where nothing is topped up.
error TopUpOutOfRange(uint256 topUp);
/// The context takes more than 65,536 bytes.
error ContextTooLong(uint256 got);
/// An entry of A is 2^48 or more in absolute value.
error WeightOutOfRange();
/// An offset is 2^48 or more in absolute value.
error OffsetOutOfRange(uint256 row);

error ProofLength(uint256 wanted, uint256 got);
error ProofVersion(uint256 got);
/// A coordinate is not below the field's prime.
error CoordinateNotCanonical(Part part, uint256 index);
error PointIsIdentity(Part part, uint256 index);
/// A scalar is not below the group order.
error ScalarNotCanonical(Part part, uint256 index);
/// A point is not on the curve, or not in the subgroup: the precompile refused one of them. Or it had too little gas.
error PointsRefused();
/// This chain has no multi-scalar multiplication over BLS12-381 (EIP-2537).
error PrecompileMissing();
/// Has a probability of 2^-255: prove again.
error ChallengeIsZero();
error ShareIsZero(uint256 row);
/// Everything is well formed, and the equation of the sufficiency proof does not hold.
error SufficiencyProofInvalid();
/// Everything is well formed, and the equation of the breach proof does not hold.
error BreachProofInvalid();
/// A multiplication has at most 64 slices, numbered from 0; the last one is not recorded.
error SliceOutOfRange(uint256 slice, uint256 slices);
/// A data contract is not, or is not any more, what holds the generators: Keccak-256 of its code.
error WrongGenerators(uint256 index, bytes32 got);

// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// What a verified proof was about. The caller compares the hashes with what it holds or what was signed: a proof about
/// other commitments, other prices or another run is as genuine as the one that is wanted.
struct Checked {
    /// SHA-256 of the context, as the transcript absorbs it: canonical JSON of labelled strings.
    bytes32 context;
    /// SHA-256 of the compressed commitments to the entries, 48 bytes each, in order.
    bytes32 commitments;
    /// SHA-256 of rows and entries (two bytes each), A row by row, and c (eight bytes a number), all big-endian.
    bytes32 matrix;
    /// The top-up X, in the matrix's unit; 0 for a breach.
    uint256 topUp;
    /// Rows of A.
    uint16 rows;
    /// Width of a row's surplus, or of the shortfall of a breach.
    uint16 bits;
}

/// Verifies proofs of atomic-margin. Both functions return when the proof holds, and revert with a named error
/// (Errors.sol) otherwise. The layout of calldata is in MarginVerifier.sol.
interface IMarginVerifier {
    /// Every row of A z + c + X lies in [0, 2^bits), for the entries z inside the commitments.
    function verifySufficiency(bytes calldata statement, bytes calldata proof) external view returns (Checked memory);

    /// Some row of A z + c lies in [-2^bits, 0).
    function verifyBreach(bytes calldata statement, bytes calldata proof) external view returns (Checked memory);
}

// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Relations} from "./BitArgument.sol";
import {ChunkArgument, ChunkChallenges, ChunkShape} from "./ChunkArgument.sol";
import {Field, ORDER} from "./Field.sol";
import {Generators} from "./Generators.sol";
import {Checked} from "./IMarginVerifier.sol";
import {IPartialSufficiency} from "./IPartialVerifier.sol";
import {ProofEquations, Terms} from "./MarginVerifier.sol";
import {Pairs} from "./Pairs.sol";
import {Point, Points} from "./Points.sol";
import {Statement, Statements} from "./Statement.sol";
import {Transcript, Transcripts} from "./Transcript.sol";

/// Multiplies sufficiency proofs in chunks by slices: those of 1,025 to 20,480 bits, rows times bits. A contract of its
/// own, since the code of one contract does not hold all equations.
///
/// The statement is as in MarginVerifier.sol, the proof as in ChunkArgument.sol.
contract ChunkedSufficiency is IPartialSufficiency, ProofEquations {
    using Transcripts for Transcript;

    constructor(address[] memory blocks) Generators(blocks) {}

    /// @inheritdoc IPartialSufficiency
    function sumSufficiency(bytes calldata statement, bytes calldata proof, uint256 slice, uint256 slices)
        external
        view
        returns (Checked memory checked, Point memory sum)
    {
        Terms memory terms;
        (terms, checked) = _chunkedSufficiency(statement, proof);
        sum = Points.sumOfSlice(terms.pairs, terms.count, slice, slices);
    }

    /// What a proof's multiplication takes, and what the proof is about if that gives the identity.
    function _chunkedSufficiency(bytes calldata statement, bytes calldata proof)
        private
        view
        returns (Terms memory terms, Checked memory)
    {
        // (1) Sizes, before any point is touched.
        Statement memory header = Statements.read(statement, MAX_ROWS, MAX_ENTRIES);
        ChunkShape memory shape = ChunkArgument.shapeOf(header.rows * header.bits);
        ChunkArgument.check(proof, shape);

        // (2) The statement goes into the transcript, and its points into the sum.
        int256[] memory offsets = Statements.offsets(statement, header);
        Transcript memory transcript = Transcripts.begin("committed bits in chunks/sufficiency");
        transcript.absorb("binding/public", Statements.sufficiencyJson(statement, header, offsets));
        transcript.absorbCalldata("binding/weights", Statements.weights(statement, header));
        transcript.absorb("binding/slack", "");
        transcript.absorb("generators", GENERATORS_HASH);
        ChunkArgument.absorbSizes(transcript, shape, header.rows, header.entries);
        uint256 first = 2 + 2 * shape.length;
        terms.count = first + header.entries + ChunkArgument.points(shape);
        terms.pairs = Pairs.allocate(terms.count);
        uint256 values = terms.pairs + Pairs.PAIR * first;
        uint256 compressed = _takeCommitments(Statements.commitments(statement, header), header.entries, values);
        _absorbCommitments(transcript, compressed, header.entries);
        transcript.absorb("statement parts", abi.encodePacked(uint32(5 + header.entries)));

        // (3) The proof's messages, and all challenges.
        uint256 own = values + Pairs.PAIR * header.entries;
        ChunkChallenges memory challenges = ChunkArgument.converse(transcript, proof, shape, own);

        // (4) Row r, times rho^r:  sum over its bits 2^t b = sum over j of A_rj z_j + c_r + X.
        uint256[] memory rowWeights = _factors(header.rows);
        uint256 constantTerm = _foldOffsets(rowWeights, offsets, header.topUp, challenges.rho);
        _loadGenerators(terms.pairs, shape.length);
        uint256 factor = ChunkArgument.gather(
            proof, shape, challenges, Relations(header.rows, header.bits, constantTerm), terms.pairs, own
        );
        for (uint256 row = 0; row < header.rows; ++row) {
            rowWeights[row] = Field.negate(mulmod(rowWeights[row], factor, ORDER));
        }
        _columns(Statements.weights(statement, header), header.entries, rowWeights, values);
        return (terms, Statements.checked(statement, header, compressed));
    }
}

// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {BitArgument, Relations} from "./BitArgument.sol";
import {Part, ProofLength, ProofVersion, TooFewBits, TooManyBits} from "./Errors.sol";
import {Field, ORDER} from "./Field.sol";
import {Pairs} from "./Pairs.sol";
import {Transcript, Transcripts} from "./Transcript.sol";

/// What follows from the number of bits: how often vectors are folded, what is left of them, and the length of a chunk.
struct ChunkShape {
    uint256 bits;
    uint256 rounds;
    uint256 tail;
    uint256 length;
}

/// The verifier's challenges, in the order of docs/proofs.md; `e` has one for each round.
struct ChunkChallenges {
    uint256 rho;
    uint256 y;
    uint256 z;
    uint256 join;
    uint256 x;
    uint256 w;
    uint256[] e;
    uint256 weight;
}

/// Committed bits under linear relations, in twenty chunks that share their generators (docs/proofs.md, "Chunks").
///
/// A proof is: version, then A and B of each chunk, S, the coefficients K, T1, T2, t_hat, tau_x, mu, L and R for each
/// round, the left and the right tail. Points have 96 bytes, scalars 32.
library ChunkArgument {
    using Transcripts for Transcript;

    uint256 internal constant VERSION = 4;
    uint256 internal constant CHUNKS = 20;
    /// As many as there are generators for in the data contracts.
    uint256 internal constant MAX_BITS = 20480;
    uint256 private constant MAX_ROUNDS = 5;
    /// Vectors are folded down to so many numbers.
    uint256 private constant FOLDED = 16;
    /// Commitments to bits, and to coefficients of the joined product.
    uint256 private constant VECTORS = 2 * CHUNKS;
    uint256 private constant CROSSES = 2 * (CHUNKS - 1);

    uint256 private constant S = 1 + 96 * VECTORS;
    uint256 private constant K = S + 96;
    uint256 private constant T1 = K + 96 * CROSSES;
    uint256 private constant T2 = T1 + 96;
    uint256 private constant T_HAT = T2 + 96;
    uint256 private constant TAU_X = T_HAT + 32;
    uint256 private constant MU = TAU_X + 32;
    uint256 private constant FOLDS = MU + 32;
    uint256 private constant FOLD = 192;

    function shapeOf(uint256 bits) internal pure returns (ChunkShape memory) {
        if (bits <= BitArgument.MAX_BITS) revert TooFewBits(bits);
        if (bits > MAX_BITS) revert TooManyBits(bits);
        uint256 each = (bits + CHUNKS - 1) / CHUNKS;
        uint256 rounds = 0;
        while (rounds < MAX_ROUNDS && each > FOLDED << rounds) ++rounds;
        uint256 tail = (bits + (CHUNKS << rounds) - 1) / (CHUNKS << rounds);
        return ChunkShape({bits: bits, rounds: rounds, tail: tail, length: tail << rounds});
    }

    /// Points of a proof, in its order.
    function points(ChunkShape memory shape) internal pure returns (uint256) {
        return VECTORS + 1 + CROSSES + 2 + 2 * shape.rounds;
    }

    /// Checks length and version.
    function check(bytes calldata proof, ChunkShape memory shape) internal pure {
        uint256 wanted = FOLDS + FOLD * shape.rounds + 64 * shape.tail;
        if (proof.length != wanted) revert ProofLength(wanted, proof.length);
        if (uint8(proof[0]) != VERSION) revert ProofVersion(uint8(proof[0]));
    }

    /// Absorbs the sizes of the argument.
    function absorbSizes(
        Transcript memory transcript,
        ChunkShape memory shape,
        uint256 relations,
        uint256 commitments
    ) internal view {
        transcript.absorb(
            "sizes",
            abi.encodePacked(
                uint64(shape.bits),
                uint64(CHUNKS * shape.length),
                uint64(shape.rounds),
                uint64(relations),
                uint64(commitments),
                uint64(Pairs.COMPRESSED),
                uint64(32),
                uint64(CHUNKS),
                uint64(shape.length)
            )
        );
    }

    /// Copies the proof's points into the pairs from `own` on, absorbs its messages and draws all challenges.
    function converse(Transcript memory transcript, bytes calldata proof, ChunkShape memory shape, uint256 own)
        internal
        view
        returns (ChunkChallenges memory challenges)
    {
        uint256 scratch = Pairs.allocateBytes(Pairs.COMPRESSED);
        _takeVectors(transcript, proof, own);
        uint256 pair = own + Pairs.PAIR * VECTORS;
        BitArgument.takePoint(transcript, "S", proof[S:], pair, scratch, Part.S, 0);
        challenges.rho = transcript.challenge("rho");
        challenges.y = transcript.challenge("y");
        challenges.z = transcript.challenge("z");

        for (uint256 index = 0; index < CROSSES; ++index) {
            pair += Pairs.PAIR;
            BitArgument.takePoint(transcript, "K", proof[K + 96 * index:], pair, scratch, Part.K, index);
        }
        challenges.join = transcript.challenge("join");

        BitArgument.takePoint(transcript, "T1", proof[T1:], pair + Pairs.PAIR, scratch, Part.T1, 0);
        BitArgument.takePoint(transcript, "T2", proof[T2:], pair + 2 * Pairs.PAIR, scratch, Part.T2, 0);
        challenges.x = transcript.challenge("x");

        transcript.absorbCalldata("t_hat", proof[T_HAT:TAU_X]);
        transcript.absorbCalldata("tau_x", proof[TAU_X:MU]);
        transcript.absorbCalldata("mu", proof[MU:FOLDS]);
        challenges.w = transcript.challenge("w");

        challenges.e = new uint256[](shape.rounds);
        uint256 start = FOLDS;
        pair += 3 * Pairs.PAIR;
        for (uint256 round = 0; round < shape.rounds; ++round) {
            BitArgument.takePoint(transcript, "L", proof[start:], pair, scratch, Part.L, round);
            BitArgument.takePoint(
                transcript, "R", proof[start + Pairs.POINT:], pair + Pairs.PAIR, scratch, Part.R, round
            );
            challenges.e[round] = transcript.challenge("e");
            start += FOLD;
            pair += 2 * Pairs.PAIR;
        }
        transcript.absorbCalldata("tail", proof[start:]);
        challenges.weight = transcript.challenge("weight");
    }

    /// Sets the scalars of G, H, the generators and the proof's own points, so that the pairs sum to the identity if
    ///
    ///     t_hat G + tau_x H = (delta + z^2 constant) G + z^2 sum of c_j V_j + sum of join^k K_k + x T1 + x^2 T2
    ///                                                                                            (times the weight)
    ///     <left, right> = t_hat, and both tails open, with a_c = join^(c+1), b_c = join^-(c+1) and s_c = y^(c length),
    ///     sum of a_c A_c + b_c s_c B_c + x S - z sum of a_c G_i + sum of (z b_c s_c + z^2 b_c u_(c,i) / y^i) H_i
    ///         - mu H + sum of L_k / e_k + e_k R_k
    ///
    /// Returns weight z^2: each V_j counts -weight z^2 c_j, which is left to the caller.
    function gather(
        bytes calldata proof,
        ChunkShape memory shape,
        ChunkChallenges memory challenges,
        Relations memory relations,
        uint256 pairs,
        uint256 own
    ) internal view returns (uint256 factor) {
        uint256 place;
        assembly ("memory-safe") {
            place := proof.offset
        }
        uint256 z = challenges.z;
        uint256 z2 = mulmod(z, z, ORDER);
        uint256 weight = challenges.weight;
        factor = mulmod(weight, z2, ORDER);
        Walk memory walk = _join(shape, challenges, own);
        walk.z2 = z2;
        {
            uint256[] memory joined = _joined(shape, relations, challenges.rho, challenges.join);
            _vectors(place, shape, challenges, walk, joined, pairs, own);
        }
        uint256 tHat = Field.read(place + T_HAT, Part.THat, 0);
        {
            // delta = (z - z^2) sum of y^i - z^3 sum of u_i, over all chunks
            uint256 sumY = mulmod(walk.sumY, walk.sumStarts, ORDER);
            uint256 sumU =
                mulmod((1 << relations.width) - 1, BitArgument.sumOfPowers(challenges.rho, relations.count), ORDER);
            uint256 delta = Field.subtract(
                mulmod(Field.subtract(z, z2), sumY, ORDER), mulmod(mulmod(z2, z, ORDER), sumU, ORDER)
            );
            uint256 value = Field.subtract(tHat, delta);
            value = Field.subtract(value, mulmod(z2, relations.constantTerm, ORDER));
            value = mulmod(weight, value, ORDER);
            value = addmod(value, mulmod(challenges.w, Field.subtract(tHat, walk.inner), ORDER), ORDER);
            Pairs.set(pairs, value);
        }
        {
            uint256 tauX = Field.read(place + TAU_X, Part.TauX, 0);
            uint256 mu = Field.read(place + MU, Part.Mu, 0);
            Pairs.set(pairs + Pairs.PAIR, Field.subtract(mulmod(weight, tauX, ORDER), mu));
        }
        _ownScalars(challenges, weight, own);
    }

    /// Where the loops over all bits stand, and what they add up.
    struct Walk {
        uint256 z2;
        uint256 inner;
        uint256 sumY;
        uint256 sumStarts;
        uint256 leftZ;
        uint256 rightZ;
    }

    /// Absorbs all commitments to bits at once.
    function _takeVectors(Transcript memory transcript, bytes calldata proof, uint256 own) private view {
        uint256 place;
        assembly ("memory-safe") {
            place := add(proof.offset, 1)
        }
        uint256 compressed = Pairs.allocateBytes(Pairs.COMPRESSED * VECTORS);
        for (uint256 index = 0; index < VECTORS; ++index) {
            Pairs.take(
                place + Pairs.POINT * index,
                own + Pairs.PAIR * index,
                compressed + Pairs.COMPRESSED * index,
                Part.A,
                index
            );
        }
        transcript.absorbMemory("A", compressed, Pairs.COMPRESSED * VECTORS);
    }

    /// Sets the scalars of all A_c and B_c, and adds up what all chunks have of z.
    function _join(ChunkShape memory shape, ChunkChallenges memory challenges, uint256 own)
        private
        view
        returns (Walk memory walk)
    {
        uint256 inverse = Field.invert(challenges.join);
        uint256 step = _power(challenges.y, shape.length);
        uint256 left = 1;
        uint256 right = 1;
        uint256 start = 1;
        uint256 sumLeft = 0;
        uint256 sumRight = 0;
        for (uint256 chunk = 0; chunk < CHUNKS; ++chunk) {
            left = mulmod(left, challenges.join, ORDER);
            right = mulmod(right, inverse, ORDER);
            uint256 onRight = mulmod(right, start, ORDER);
            Pairs.set(own, left);
            Pairs.set(own + Pairs.PAIR, onRight);
            own += 2 * Pairs.PAIR;
            sumLeft = addmod(sumLeft, left, ORDER);
            sumRight = addmod(sumRight, onRight, ORDER);
            walk.sumStarts = addmod(walk.sumStarts, start, ORDER);
            start = mulmod(start, step, ORDER);
        }
        walk.leftZ = mulmod(challenges.z, sumLeft, ORDER);
        walk.rightZ = mulmod(challenges.z, sumRight, ORDER);
    }

    /// The weights of the bits in the relations, of all chunks joined: sum over c of join^-(c+1) u_(c length + i).
    function _joined(ChunkShape memory shape, Relations memory relations, uint256 rho, uint256 join)
        private
        view
        returns (uint256[] memory sums)
    {
        unchecked {
            sums = new uint256[](shape.length);
            uint256 inverse = Field.invert(join);
            uint256 right = 1;
            uint256 rowWeight = 1;
            uint256 u = 1;
            uint256 bitsLeft = relations.width;
            uint256 rowsLeft = relations.count;
            for (uint256 chunk = 0; chunk < CHUNKS; ++chunk) {
                right = mulmod(right, inverse, ORDER);
                for (uint256 index = 0; index < shape.length; ++index) {
                    assembly ("memory-safe") {
                        let place := add(add(sums, 32), shl(5, index))
                        mstore(place, addmod(mload(place), mulmod(u, right, ORDER), ORDER))
                    }
                    // Weights of a relation's bits are its power of rho times 1, 2, 4, ...
                    u = addmod(u, u, ORDER);
                    if (--bitsLeft == 0) {
                        // What is left pads the last chunks, and is in no relation.
                        if (--rowsLeft == 0) return sums;
                        rowWeight = u = mulmod(rowWeight, rho, ORDER);
                        bitsLeft = relations.width;
                    }
                }
            }
        }
    }

    /// Sets the scalars of both vectors of generators and of all L and R; adds up the powers of y of one chunk.
    ///
    ///     G_i: -(z sum of a_c + left block left_k)
    ///     H_i: z sum of b_c s_c + (z^2 joined_i - right block right_k) / y^i
    function _vectors(
        uint256 proof,
        ChunkShape memory shape,
        ChunkChallenges memory challenges,
        Walk memory walk,
        uint256[] memory joined,
        uint256 pairs,
        uint256 own
    ) private view {
        unchecked {
            uint256 tails = proof + FOLDS + FOLD * shape.rounds;
            walk.inner = BitArgument.readTails(tails, shape.tail);
            (uint256[] memory leftBlocks, uint256[] memory rightBlocks) = BitArgument.blockWeights(
                challenges.e, own + Pairs.PAIR * (VECTORS + 1 + CROSSES + 2)
            );
            uint256 yInverse = Field.invert(challenges.y);
            uint256 yPower = 1;
            uint256 yInversePower = 1;
            uint256 pair = pairs + 2 * Pairs.PAIR;
            for (uint256 index = 0; index < shape.length; ++index) {
                uint256 block_ = index / shape.tail;
                uint256 place = tails + 32 * (index % shape.tail);
                uint256 left;
                uint256 right;
                assembly ("memory-safe") {
                    left := calldataload(place)
                    right := calldataload(add(place, shl(5, mload(add(shape, 64)))))
                }
                left = addmod(walk.leftZ, mulmod(leftBlocks[block_], left, ORDER), ORDER);
                Pairs.set(pair, Field.negate(left));
                right = ORDER - mulmod(rightBlocks[block_], right, ORDER);
                right = addmod(mulmod(walk.z2, joined[index], ORDER), right, ORDER);
                right = addmod(walk.rightZ, mulmod(right, yInversePower, ORDER), ORDER);
                Pairs.set(pair + Pairs.PAIR, right);
                pair += 2 * Pairs.PAIR;
                walk.sumY = addmod(walk.sumY, yPower, ORDER);
                yPower = mulmod(yPower, challenges.y, ORDER);
                yInversePower = mulmod(yInversePower, yInverse, ORDER);
            }
        }
    }

    /// Sets the scalars of S, all K, T1 and T2.
    function _ownScalars(ChunkChallenges memory challenges, uint256 weight, uint256 own) private view {
        uint256 pair = own + Pairs.PAIR * VECTORS;
        Pairs.set(pair, challenges.x);
        // Powers 1 to 19 of the challenge, then those of its inverse.
        uint256 power = weight;
        uint256 base = challenges.join;
        for (uint256 index = 0; index < CROSSES; ++index) {
            if (index == CROSSES / 2) (power, base) = (weight, Field.invert(base));
            power = mulmod(power, base, ORDER);
            pair += Pairs.PAIR;
            Pairs.set(pair, Field.negate(power));
        }
        uint256 weighted = mulmod(weight, challenges.x, ORDER);
        Pairs.set(pair + Pairs.PAIR, Field.negate(weighted));
        Pairs.set(pair + 2 * Pairs.PAIR, Field.negate(mulmod(weighted, challenges.x, ORDER)));
    }

    /// base^exponent.
    function _power(uint256 base, uint256 exponent) private pure returns (uint256 power) {
        power = 1;
        for (; exponent > 0; exponent >>= 1) {
            if (exponent & 1 == 1) power = mulmod(power, base, ORDER);
            base = mulmod(base, base, ORDER);
        }
    }
}

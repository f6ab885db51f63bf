// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Part, ProofLength, ProofVersion, TooManyBits} from "./Errors.sol";
import {Field, ORDER} from "./Field.sol";
import {Pairs} from "./Pairs.sol";
import {Transcript, Transcripts} from "./Transcript.sol";

/// What follows from the number of bits: how often vectors are folded, what is left of them, and their length.
struct Shape {
    uint256 bits;
    uint256 rounds;
    uint256 tail;
    uint256 padded;
}

/// The verifier's challenges, in the order of docs/proofs.md; `e` has one for each round.
struct Challenges {
    uint256 rho;
    uint256 y;
    uint256 z;
    uint256 x;
    uint256 w;
    uint256[] e;
    uint256 weight;
}

/// What the relations are: each of `relations` says that a number of `width` bits is a row; `constantTerm` is what is
/// public of all rows, folded by the powers of rho.
struct Relations {
    uint256 count;
    uint256 width;
    uint256 constantTerm;
}

/// Committed bits under linear relations, in one piece (docs/proofs.md; Bünz et al., Bulletproofs, 2018, 4.1 and 4.2).
///
/// A proof is: version, A, S, T1, T2, t_hat, tau_x, mu, then L and R for each round, then the left and the right tail.
/// Points have 96 bytes, scalars 32.
library BitArgument {
    using Transcripts for Transcript;

    uint256 internal constant VERSION = 3;
    /// Above, proofs are in chunks: for them there is another argument, which is not verified here.
    uint256 internal constant MAX_BITS = 1024;
    uint256 private constant MAX_ROUNDS = 5;
    /// Vectors are folded down to so many numbers.
    uint256 private constant FOLDED = 16;

    uint256 private constant A = 1;
    uint256 private constant S = 97;
    uint256 private constant T1 = 193;
    uint256 private constant T2 = 289;
    uint256 private constant T_HAT = 385;
    uint256 private constant TAU_X = 417;
    uint256 private constant MU = 449;
    uint256 private constant FOLDS = 481;
    uint256 private constant FOLD = 192;

    function shapeOf(uint256 bits) internal pure returns (Shape memory shape) {
        if (bits > MAX_BITS) revert TooManyBits(bits);
        uint256 rounds = 0;
        while (rounds < MAX_ROUNDS && bits > FOLDED << rounds) ++rounds;
        uint256 tail = (bits + (1 << rounds) - 1) >> rounds;
        return Shape({bits: bits, rounds: rounds, tail: tail, padded: tail << rounds});
    }

    /// Size of a proof in calldata.
    function proofBytes(Shape memory shape) internal pure returns (uint256) {
        return FOLDS + FOLD * shape.rounds + 64 * shape.tail;
    }

    /// Points of a proof: A, S, T1, T2, and L and R of each round, in this order.
    function points(Shape memory shape) internal pure returns (uint256) {
        return 4 + 2 * shape.rounds;
    }

    /// Checks length and version.
    function check(bytes calldata proof, Shape memory shape) internal pure {
        uint256 wanted = proofBytes(shape);
        if (proof.length != wanted) revert ProofLength(wanted, proof.length);
        if (uint8(proof[0]) != VERSION) revert ProofVersion(uint8(proof[0]));
    }

    /// Absorbs the sizes of the argument: with the binding and the commitments they are the statement.
    function absorbSizes(Transcript memory transcript, Shape memory shape, uint256 relations, uint256 commitments)
        internal
        view
    {
        transcript.absorb(
            "sizes",
            abi.encodePacked(
                uint64(shape.bits),
                uint64(shape.padded),
                uint64(shape.rounds),
                uint64(relations),
                uint64(commitments),
                uint64(Pairs.COMPRESSED),
                uint64(32)
            )
        );
    }

    /// Copies the proof's points into the pairs from `own` on, absorbs its messages and draws all challenges.
    function converse(Transcript memory transcript, bytes calldata proof, Shape memory shape, uint256 own)
        internal
        view
        returns (Challenges memory challenges)
    {
        uint256 scratch = Pairs.allocateBytes(Pairs.COMPRESSED);
        takePoint(transcript, "A", proof[A:], own, scratch, Part.A, 0);
        takePoint(transcript, "S", proof[S:], own + Pairs.PAIR, scratch, Part.S, 0);
        challenges.rho = transcript.challenge("rho");
        challenges.y = transcript.challenge("y");
        challenges.z = transcript.challenge("z");

        takePoint(transcript, "T1", proof[T1:], own + 2 * Pairs.PAIR, scratch, Part.T1, 0);
        takePoint(transcript, "T2", proof[T2:], own + 3 * Pairs.PAIR, scratch, Part.T2, 0);
        challenges.x = transcript.challenge("x");

        transcript.absorbCalldata("t_hat", proof[T_HAT:TAU_X]);
        transcript.absorbCalldata("tau_x", proof[TAU_X:MU]);
        transcript.absorbCalldata("mu", proof[MU:FOLDS]);
        challenges.w = transcript.challenge("w");

        challenges.e = new uint256[](shape.rounds);
        uint256 start = FOLDS;
        uint256 pair = own + 4 * Pairs.PAIR;
        for (uint256 round = 0; round < shape.rounds; ++round) {
            takePoint(transcript, "L", proof[start:], pair, scratch, Part.L, round);
            takePoint(transcript, "R", proof[start + Pairs.POINT:], pair + Pairs.PAIR, scratch, Part.R, round);
            challenges.e[round] = transcript.challenge("e");
            start += FOLD;
            pair += 2 * Pairs.PAIR;
        }
        transcript.absorbCalldata("tail", proof[start:]);
        challenges.weight = transcript.challenge("weight");
    }

    /// Sets the scalars of G, H, the generators and the proof's own points, so that the pairs sum to the identity if
    ///
    ///     t_hat G + tau_x H = (delta + z^2 constant) G + z^2 sum of c_j V_j + x T1 + x^2 T2        (times the weight)
    ///     <left, right> = t_hat, and both tails open
    ///     A + x S - z sum of G_i + sum of (z + z^2 u_i / y^i) H_i - mu H + sum of L_k / e_k + e_k R_k
    ///
    /// Returns weight z^2: each V_j counts -weight z^2 c_j, which is left to the caller.
    function gather(
        bytes calldata proof,
        Shape memory shape,
        Challenges memory challenges,
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

        uint256 tHat = Field.read(place + T_HAT, Part.THat, 0);
        {
            // delta = (z - z^2) sum of y^i - z^3 sum of u_i
            (uint256 inner, uint256 sumY) = _vectors(place, shape, challenges, relations, pairs, own);
            uint256 sumU = mulmod((1 << relations.width) - 1, sumOfPowers(challenges.rho, relations.count), ORDER);
            uint256 delta = Field.subtract(
                mulmod(Field.subtract(z, z2), sumY, ORDER), mulmod(mulmod(z2, z, ORDER), sumU, ORDER)
            );
            uint256 value = Field.subtract(tHat, delta);
            value = Field.subtract(value, mulmod(z2, relations.constantTerm, ORDER));
            value = mulmod(weight, value, ORDER);
            value = addmod(value, mulmod(challenges.w, Field.subtract(tHat, inner), ORDER), ORDER);
            Pairs.set(pairs, value);
        }
        {
            uint256 tauX = Field.read(place + TAU_X, Part.TauX, 0);
            uint256 mu = Field.read(place + MU, Part.Mu, 0);
            Pairs.set(pairs + Pairs.PAIR, Field.subtract(mulmod(weight, tauX, ORDER), mu));
        }
        uint256 x = challenges.x;
        uint256 weighted = mulmod(weight, x, ORDER);
        Pairs.set(own, 1);
        Pairs.set(own + Pairs.PAIR, x);
        Pairs.set(own + 2 * Pairs.PAIR, Field.negate(weighted));
        Pairs.set(own + 3 * Pairs.PAIR, Field.negate(mulmod(weighted, x, ORDER)));
    }

    /// Sets the scalars of both vectors of generators and of all L and R. Returns the inner product of the tails, and
    /// the sum of the powers of y.
    function _vectors(
        uint256 proof,
        Shape memory shape,
        Challenges memory challenges,
        Relations memory relations,
        uint256 pairs,
        uint256 own
    ) private view returns (uint256 inner, uint256 sumY) {
        unchecked {
            uint256 tails = proof + FOLDS + FOLD * shape.rounds;
            inner = readTails(tails, shape.tail);
            (uint256[] memory leftBlocks, uint256[] memory rightBlocks) =
                blockWeights(challenges.e, own + 4 * Pairs.PAIR);
            Walk memory walk = Walk({
                z: challenges.z,
                z2: mulmod(challenges.z, challenges.z, ORDER),
                y: challenges.y,
                yInverse: Field.invert(challenges.y),
                yPower: 1,
                yInversePower: 1,
                sumY: 0,
                u: 1,
                rowWeight: 1,
                bitsLeft: relations.width,
                rowsLeft: relations.count
            });
            uint256 pair = pairs + 2 * Pairs.PAIR;
            for (uint256 block_ = 0; block_ < leftBlocks.length; ++block_) {
                _block(walk, tails, shape.tail, leftBlocks[block_], rightBlocks[block_], pair, relations, challenges.rho);
                pair += 2 * Pairs.PAIR * shape.tail;
            }
            sumY = walk.sumY;
        }
    }

    /// Where the loop over all bits stands.
    struct Walk {
        uint256 z;
        uint256 z2;
        uint256 y;
        uint256 yInverse;
        uint256 yPower;
        uint256 yInversePower;
        uint256 sumY;
        uint256 u;
        uint256 rowWeight;
        uint256 bitsLeft;
        uint256 rowsLeft;
    }

    /// Scalars of the generators of one block, which is as long as a tail:
    ///
    ///     G_i: -(z + left block left_k)        H_i: z + (z^2 u_i - right block right_k) / y^i
    function _block(
        Walk memory walk,
        uint256 tails,
        uint256 tail,
        uint256 leftBlock,
        uint256 rightBlock,
        uint256 pair,
        Relations memory relations,
        uint256 rho
    ) private pure {
        unchecked {
            uint256 z = walk.z;
            uint256 yPower = walk.yPower;
            uint256 yInversePower = walk.yInversePower;
            uint256 u = walk.u;
            uint256 bitsLeft = walk.bitsLeft;
            uint256 end = tails + 32 * tail;
            for (uint256 left = tails; left < end; left += 32) {
                assembly ("memory-safe") {
                    mstore(
                        add(pair, 128), sub(ORDER, addmod(z, mulmod(leftBlock, calldataload(left), ORDER), ORDER))
                    )
                    let right := calldataload(add(left, sub(end, tails)))
                    let opened := sub(ORDER, mulmod(rightBlock, right, ORDER))
                    opened := addmod(mulmod(u, mload(add(walk, 32)), ORDER), opened, ORDER)
                    mstore(add(pair, 288), addmod(z, mulmod(opened, yInversePower, ORDER), ORDER))
                    mstore(add(walk, 192), addmod(mload(add(walk, 192)), yPower, ORDER))
                    yPower := mulmod(yPower, mload(add(walk, 64)), ORDER)
                    yInversePower := mulmod(yInversePower, mload(add(walk, 96)), ORDER)
                }
                pair += 2 * Pairs.PAIR;
                // Weights of a relation's bits are its power of rho times 1, 2, 4, ...
                u = addmod(u, u, ORDER);
                if (--bitsLeft == 0) {
                    if (--walk.rowsLeft == 0) {
                        // What is left pads the vectors, and is in no relation.
                        u = 0;
                        bitsLeft = type(uint256).max;
                    } else {
                        walk.rowWeight = u = mulmod(walk.rowWeight, rho, ORDER);
                        bitsLeft = relations.width;
                    }
                }
            }
            walk.yPower = yPower;
            walk.yInversePower = yInversePower;
            walk.u = u;
            walk.bitsLeft = bitsLeft;
        }
    }

    /// Checks both tails and returns their inner product.
    function readTails(uint256 tails, uint256 tail) internal pure returns (uint256 inner) {
        for (uint256 k = 0; k < tail; ++k) {
            uint256 left = Field.read(tails + 32 * k, Part.Left, k);
            uint256 right = Field.read(tails + 32 * (tail + k), Part.Right, k);
            inner = addmod(inner, mulmod(left, right, ORDER), ORDER);
        }
    }

    /// For each block of tail length, the product of 1 / e (left) and of e (right) of the rounds that had it in the
    /// upper half; the first round decides the highest bit of a block's number. Sets the scalars of all L and R.
    function blockWeights(uint256[] memory e, uint256 folds)
        internal
        view
        returns (uint256[] memory left, uint256[] memory right)
    {
        left = new uint256[](1 << e.length);
        right = new uint256[](1 << e.length);
        left[0] = right[0] = 1;
        uint256 count = 1;
        for (uint256 round = 0; round < e.length; ++round) {
            uint256 inverse = Field.invert(e[round]);
            Pairs.set(folds, inverse);
            Pairs.set(folds + Pairs.PAIR, e[round]);
            folds += 2 * Pairs.PAIR;
            // From behind, so that none is overwritten before it is read.
            for (uint256 index = count; index > 0; --index) {
                uint256 low = left[index - 1];
                uint256 high = right[index - 1];
                (left[2 * index - 2], left[2 * index - 1]) = (low, mulmod(low, inverse, ORDER));
                (right[2 * index - 2], right[2 * index - 1]) = (high, mulmod(high, e[round], ORDER));
            }
            count *= 2;
        }
    }

    /// 1 + base + base^2 + ..., so many powers.
    function sumOfPowers(uint256 base, uint256 count) internal pure returns (uint256 sum) {
        for (uint256 index = 0; index < count; ++index) {
            sum = addmod(mulmod(sum, base, ORDER), 1, ORDER);
        }
    }

    /// Copies the point that a slice of calldata begins with into a pair, and absorbs it.
    function takePoint(
        Transcript memory transcript,
        string memory label,
        bytes calldata from,
        uint256 pair,
        uint256 scratch,
        Part part,
        uint256 index
    ) internal view {
        uint256 place;
        assembly ("memory-safe") {
            place := from.offset
        }
        Pairs.take(place, pair, scratch, part, index);
        transcript.absorbMemory(label, scratch, Pairs.COMPRESSED);
    }
}

// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {BitArgument, Challenges, Relations, Shape} from "./BitArgument.sol";
import {
    BreachProofInvalid,
    Part,
    ProofLength,
    ProofVersion,
    ShareIsZero,
    SufficiencyProofInvalid,
    TopUpOutOfRange,
    WeightOutOfRange
} from "./Errors.sol";
import {Field, ORDER} from "./Field.sol";
import {Generators} from "./Generators.sol";
import {Checked, IMarginVerifier} from "./IMarginVerifier.sol";
import {Pairs} from "./Pairs.sol";
import {Statement, Statements} from "./Statement.sol";
import {Transcript, Transcripts} from "./Transcript.sol";

/// What has to be multiplied for a proof to hold: `count` pairs from a place in memory on, whose sum is the identity.
struct Terms {
    uint256 pairs;
    uint256 count;
}

/// The equations of sufficiency and breach proofs of atomic-margin: from a statement and its proof, by the whole
/// transcript, to points and their scalars. It has no state that changes, and calls nothing but precompiles. Who
/// inherits it multiplies: `MarginVerifier` at once, `PartialVerifier` by slices.
///
/// A proof says nothing without a portfolio proof on the same commitments, which keeps entries in range, and nothing about
/// who signed A, c and the context: who calls compares what is returned with what it knows.
///
/// A statement in calldata, numbers big-endian:
///
///     bits      2 bytes    width of a surplus or shortfall, 1 to 48
///     topUp     8          X, below 2^48; 0 in a breach
///     rows      2          R
///     entries   2          N
///     A         8 R N      row by row, signed
///     c         8 R        signed
///     V         96 N       commitments: x and y of 48 bytes each
///     context   the rest   canonical JSON of labelled strings, 1 to 65,536 bytes
///
/// A sufficiency proof in calldata, points as above, scalars of 32 bytes below the group order:
///
///     3, A, S, T1, T2, t_hat, tau_x, mu, L and R of each round, left tail, right tail
///
/// A breach proof:
///
///     3, W, T of each row, shares of all rows but the last, responses of all rows, then as a sufficiency proof
abstract contract ProofEquations is Generators {
    using Transcripts for Transcript;

    uint256 private constant BREACH_VERSION = 3;
    uint256 internal constant MAX_ROWS = 1024;
    uint256 internal constant MAX_ENTRIES = 8192;
    uint256 private constant MAX_BREACH_ROWS = 256;
    uint256 private constant MAX_BREACH_ENTRIES = 4096;
    /// Of each of four weights in a word: bits 0 to 47; 48; and 49 to 63.
    uint256 private constant LOWER = 0x0000ffffffffffff0000ffffffffffff0000ffffffffffff0000ffffffffffff;
    uint256 private constant SIGN = 0x0001000000000000000100000000000000010000000000000001000000000000;
    uint256 private constant UPPER = 0xfffe000000000000fffe000000000000fffe000000000000fffe000000000000;

    /// What a sufficiency proof's multiplication takes, and what the proof is about if that gives the identity.
    function _sufficiency(bytes calldata statement, bytes calldata proof)
        internal
        view
        returns (Terms memory, Checked memory)
    {
        // (1) Sizes, before any point is touched.
        Statement memory header = Statements.read(statement, MAX_ROWS, MAX_ENTRIES);
        Shape memory shape = BitArgument.shapeOf(header.rows * header.bits);
        BitArgument.check(proof, shape);

        // (2) The statement goes into the transcript, and its points into the sum.
        int256[] memory offsets = Statements.offsets(statement, header);
        Transcript memory transcript = Transcripts.begin("committed bits/sufficiency");
        transcript.absorb("binding/public", Statements.sufficiencyJson(statement, header, offsets));
        transcript.absorbCalldata("binding/weights", Statements.weights(statement, header));
        transcript.absorb("binding/slack", "");
        transcript.absorb("generators", GENERATORS_HASH);
        BitArgument.absorbSizes(transcript, shape, header.rows, header.entries);
        uint256 first = 2 + 2 * shape.padded;
        uint256 count = first + header.entries + BitArgument.points(shape);
        uint256 pairs = Pairs.allocate(count);
        uint256 values = pairs + Pairs.PAIR * first;
        uint256 compressed = _takeCommitments(Statements.commitments(statement, header), header.entries, values);
        _absorbCommitments(transcript, compressed, header.entries);
        transcript.absorb("statement parts", abi.encodePacked(uint32(5 + header.entries)));

        // (3) The proof's messages, and all challenges.
        uint256 own = values + Pairs.PAIR * header.entries;
        Challenges memory challenges = BitArgument.converse(transcript, proof, shape, own);

        // (4) Row r, times rho^r:  sum over its bits 2^t b = sum over j of A_rj z_j + c_r + X.
        uint256[] memory rowWeights = _factors(header.rows);
        uint256 constantTerm = _foldOffsets(rowWeights, offsets, header.topUp, challenges.rho);
        _loadGenerators(pairs, shape.padded);
        uint256 factor = BitArgument.gather(
            proof, shape, challenges, Relations(header.rows, header.bits, constantTerm), pairs, own
        );
        for (uint256 row = 0; row < header.rows; ++row) {
            rowWeights[row] = Field.negate(mulmod(rowWeights[row], factor, ORDER));
        }
        _columns(Statements.weights(statement, header), header.entries, rowWeights, values);

        return (Terms(pairs, count), Statements.checked(statement, header, compressed));
    }

    /// What a breach proof's multiplication takes, and what the proof is about if that gives the identity.
    function _breach(bytes calldata statement, bytes calldata proof)
        internal
        view
        returns (Terms memory, Checked memory)
    {
        // (1) Sizes, before any point is touched.
        Statement memory header = Statements.read(statement, MAX_BREACH_ROWS, MAX_BREACH_ENTRIES);
        if (header.topUp != 0) revert TopUpOutOfRange(header.topUp);
        Breach memory breach;
        breach.shape = BitArgument.shapeOf(header.bits);
        uint256 choiceBytes = 1 + Pairs.POINT * (header.rows + 1) + 32 * (2 * header.rows - 1);
        {
            uint256 wanted = choiceBytes + BitArgument.proofBytes(breach.shape);
            if (proof.length != wanted) revert ProofLength(wanted, proof.length);
            if (uint8(proof[0]) != BREACH_VERSION) revert ProofVersion(uint8(proof[0]));
            BitArgument.check(proof[choiceBytes:], breach.shape);
        }
        breach.offsets = Statements.offsets(statement, header);
        breach.json = Statements.breachJson(statement, header, breach.offsets);

        // (2) All points go into the sum: bases and generators, V, W, T of each row, then those of the bit argument.
        uint256 first = 2 + 2 * breach.shape.padded;
        uint256 count = first + header.entries + 1 + header.rows + BitArgument.points(breach.shape);
        breach.pairs = Pairs.allocate(count);
        breach.values = breach.pairs + Pairs.PAIR * first;
        breach.chosen = breach.values + Pairs.PAIR * header.entries;
        breach.own = breach.chosen + Pairs.PAIR * (1 + header.rows);
        breach.compressed =
            _takeCommitments(Statements.commitments(statement, header), header.entries, breach.values);

        // (3) W is one of the rows: the shares add up to the challenge, and none is zero.
        _takeChoice(breach, header.rows, proof[1:choiceBytes]);
        _drawShares(breach, header, statement);

        // (4) -W - 1 fits its bits. This part's transcript holds every byte of the other's.
        Transcript memory transcript = Transcripts.begin("committed bits/breach");
        transcript.absorb("binding/public", breach.json);
        transcript.absorbCalldata("binding/weights", Statements.weights(statement, header));
        transcript.absorbMemory("binding/entries", breach.compressed, Pairs.COMPRESSED * header.entries);
        transcript.absorb("binding/choice", breach.choice);
        transcript.absorb("generators", GENERATORS_HASH);
        BitArgument.absorbSizes(transcript, breach.shape, 1, 1);
        transcript.absorbMemory("commitment/0", _content(breach.choice), Pairs.COMPRESSED);
        transcript.absorb("statement parts", abi.encodePacked(uint32(7)));
        _finish(breach, header, transcript, statement, proof[choiceBytes:]);

        return (Terms(breach.pairs, count), Statements.checked(statement, header, breach.compressed));
    }

    /// What the verification of a breach holds in memory: places of pairs, and what is absorbed twice.
    struct Breach {
        Shape shape;
        int256[] offsets;
        bytes json;
        /// W, announcements, shares and responses, with compressed points.
        bytes choice;
        /// The shares of all rows, the last one too.
        uint256[] shares;
        uint256[] responses;
        uint256 compressed;
        uint256 pairs;
        uint256 values;
        uint256 chosen;
        uint256 own;
    }

    /// Reads W, announcements, shares and responses.
    function _takeChoice(Breach memory breach, uint256 rows, bytes calldata data) private pure {
        uint256 scalars = Pairs.POINT * (rows + 1);
        uint256 place;
        assembly ("memory-safe") {
            place := data.offset
        }
        bytes memory choice = new bytes(Pairs.COMPRESSED * (rows + 1) + data.length - scalars);
        uint256 target = _content(choice);
        for (uint256 index = 0; index <= rows; ++index) {
            Part part = index == 0 ? Part.W : Part.Announcement;
            uint256 row = index == 0 ? 0 : index - 1;
            Pairs.take(place + Pairs.POINT * index, breach.chosen + Pairs.PAIR * index, target, part, row);
            target += Pairs.COMPRESSED;
        }
        place += scalars;
        uint256 length = data.length - scalars;
        assembly ("memory-safe") {
            calldatacopy(target, place, length)
        }
        breach.choice = choice;
        breach.shares = new uint256[](rows);
        breach.responses = new uint256[](rows);
        for (uint256 row = 0; row < rows; ++row) {
            if (row + 1 < rows) breach.shares[row] = Field.read(place + 32 * row, Part.Share, row);
            breach.responses[row] = Field.read(place + 32 * (rows - 1 + row), Part.Response, row);
        }
    }

    /// Draws the challenge of the choice; the last row's share is what the others leave of it.
    function _drawShares(Breach memory breach, Statement memory header, bytes calldata statement) private view {
        Transcript memory transcript = Transcripts.begin("one of many");
        transcript.absorb("public", breach.json);
        transcript.absorbCalldata("weights", Statements.weights(statement, header));
        transcript.absorbMemory("entries", breach.compressed, Pairs.COMPRESSED * header.entries);
        transcript.absorb("generators", GENERATORS_HASH);
        transcript.absorb("statement parts", abi.encodePacked(uint32(4)));
        uint256 point = _content(breach.choice);
        transcript.absorbMemory("W", point, Pairs.COMPRESSED);
        for (uint256 row = 0; row < header.rows; ++row) {
            point += Pairs.COMPRESSED;
            transcript.absorbMemory("T", point, Pairs.COMPRESSED);
        }
        uint256 last = transcript.challenge("e");
        for (uint256 row = 0; row + 1 < header.rows; ++row) {
            uint256 share = breach.shares[row];
            if (share == 0) revert ShareIsZero(row);
            last = Field.subtract(last, share);
        }
        if (last == 0) revert ShareIsZero(header.rows - 1);
        breach.shares[header.rows - 1] = last;
    }

    /// Sets all scalars: those of the bit argument, and of every row r times delta^(r+1)
    ///
    ///     z_r H - T_r - e_r W + e_r (sum of A_rj V_j + c_r G) = 0
    function _finish(
        Breach memory breach,
        Statement memory header,
        Transcript memory transcript,
        bytes calldata statement,
        bytes calldata proof
    ) private view {
        Challenges memory challenges = BitArgument.converse(transcript, proof, breach.shape, breach.own);
        uint256 delta = _rowChallenge(transcript.challenge("fingerprint"));
        _loadGenerators(breach.pairs, breach.shape.padded);
        // The one relation: sum over t of 2^t b = -1 - W.
        uint256 ofW = BitArgument.gather(
            proof, breach.shape, challenges, Relations(1, header.bits, ORDER - 1), breach.pairs, breach.own
        );

        // (5) The rows.
        uint256 power = 1;
        uint256 value = 0;
        uint256 blinding = 0;
        uint256[] memory weighted = _factors(header.rows);
        for (uint256 row = 0; row < header.rows; ++row) {
            power = mulmod(power, delta, ORDER);
            uint256 weight = mulmod(power, breach.shares[row], ORDER);
            weighted[row] = weight;
            value = addmod(value, mulmod(weight, Field.reduce(breach.offsets[row]), ORDER), ORDER);
            blinding = addmod(blinding, mulmod(power, breach.responses[row], ORDER), ORDER);
            ofW = Field.subtract(ofW, weight);
            Pairs.set(breach.chosen + Pairs.PAIR * (1 + row), Field.negate(power));
        }
        Pairs.set(breach.chosen, ofW);
        Pairs.increase(breach.pairs, value);
        Pairs.increase(breach.pairs + Pairs.PAIR, blinding);
        _columns(Statements.weights(statement, header), header.entries, weighted, breach.values);
    }

    /// The challenge whose powers weigh the rows: it answers every byte of statement and proof.
    function _rowChallenge(uint256 fingerprint) private view returns (uint256) {
        Transcript memory transcript = Transcripts.begin("breach rows");
        transcript.absorb("version", abi.encodePacked(uint8(BREACH_VERSION)));
        transcript.absorb("statement parts", abi.encodePacked(uint32(1)));
        transcript.absorb("fingerprint", abi.encodePacked(fingerprint));
        return transcript.challenge("delta");
    }

    /// Copies the commitments into pairs, and their compressed forms one behind the other; returns the latter's place.
    function _takeCommitments(uint256 source, uint256 count, uint256 pair) internal pure returns (uint256 compressed) {
        compressed = Pairs.allocateBytes(Pairs.COMPRESSED * count);
        for (uint256 index = 0; index < count; ++index) {
            uint256 target = compressed + Pairs.COMPRESSED * index;
            Pairs.take(source + Pairs.POINT * index, pair + Pairs.PAIR * index, target, Part.Commitment, index);
        }
    }

    /// Absorbs each of the compressed commitments under its number.
    function _absorbCommitments(Transcript memory transcript, uint256 compressed, uint256 count) internal view {
        bytes memory label = "commitment/....";
        for (uint256 index = 0; index < count; ++index) {
            // Behind the stroke, so that one label serves for all.
            assembly ("memory-safe") {
                mstore(label, 11)
            }
            Statements.append(label, index);
            transcript.absorbMemory(string(label), compressed, Pairs.COMPRESSED);
            compressed += Pairs.COMPRESSED;
        }
    }

    /// Gives each row its power of rho, and returns what all rows have of c and X, folded by these.
    function _foldOffsets(uint256[] memory rowWeights, int256[] memory offsets, uint256 topUp, uint256 rho)
        internal
        pure
        returns (uint256 constantTerm)
    {
        uint256 power = 1;
        for (uint256 row = 0; row < offsets.length; ++row) {
            rowWeights[row] = power;
            uint256 offset = Field.reduce(offsets[row] + int256(topUp));
            constantTerm = addmod(constantTerm, mulmod(power, offset, ORDER), ORDER);
            power = mulmod(power, rho, ORDER);
        }
    }

    /// Room for a factor of each row, and zeros up to a multiple of four.
    function _factors(uint256 rows) internal pure returns (uint256[] memory) {
        return new uint256[]((rows + 3) / 4 * 4);
    }

    /// Sets the scalar of each commitment to the sum over all rows of their factor times their weight. Four rows are
    /// taken at a time: what is read behind the last one counts zero.
    function _columns(bytes calldata weights, uint256 entries, uint256[] memory factors, uint256 pair) internal pure {
        unchecked {
            _checkWeights(weights);
            // Weights are made non-negative by a bias, whose share is taken away beforehand.
            uint256 bias = Statements.BOUND;
            uint256 start = 0;
            for (uint256 row = 0; row < factors.length; ++row) {
                start = addmod(start, factors[row], ORDER);
            }
            start = Field.negate(mulmod(start, bias, ORDER));
            assembly ("memory-safe") {
                let end := add(add(factors, 32), shl(5, mload(factors)))
                let stride := shl(3, entries)
                let last := add(weights.offset, stride)
                for { let column := weights.offset } lt(column, last) { column := add(column, 8) } {
                    let sum := start
                    let cell := column
                    for { let factor := add(factors, 32) } lt(factor, end) { factor := add(factor, 128) } {
                        // Two of them, below r, have a sum below 2^256.
                        let two := mulmod(mload(factor), add(sar(192, calldataload(cell)), bias), ORDER)
                        cell := add(cell, stride)
                        let term := add(sar(192, calldataload(cell)), bias)
                        two := add(two, mulmod(mload(add(factor, 32)), term, ORDER))
                        cell := add(cell, stride)
                        sum := addmod(sum, two, ORDER)
                        two := mulmod(mload(add(factor, 64)), add(sar(192, calldataload(cell)), bias), ORDER)
                        cell := add(cell, stride)
                        term := add(sar(192, calldataload(cell)), bias)
                        two := add(two, mulmod(mload(add(factor, 96)), term, ORDER))
                        cell := add(cell, stride)
                        sum := addmod(sum, two, ORDER)
                    }
                    mstore(add(pair, 128), sum)
                    pair := add(pair, 160)
                }
            }
        }
    }

    /// Checks that all weights are below 2^48 in absolute value, four at a time.
    function _checkWeights(bytes calldata weights) private pure {
        uint256 unequal = 0;
        uint256 least = 0;
        assembly ("memory-safe") {
            let end := add(weights.offset, weights.length)
            for { let place := weights.offset } lt(place, end) { place := add(place, 32) } {
                let four := calldataload(place)
                let length := sub(end, place)
                if lt(length, 32) {
                    let behind := shl(3, sub(32, length))
                    four := shl(behind, shr(behind, four))
                }
                // Upper bits that are not all the sign's.
                unequal := or(unequal, xor(four, shl(1, four)))
                // -2^48 is left, the one negative number whose lower 48 bits are all zero: others carry into bit 48.
                least := or(least, and(four, not(add(and(four, LOWER), LOWER))))
            }
        }
        if (((unequal & UPPER) | (least & SIGN)) != 0) revert WeightOutOfRange();
    }

    /// Where the bytes of an array in memory begin.
    function _content(bytes memory data) private pure returns (uint256 place) {
        assembly ("memory-safe") {
            place := add(data, 32)
        }
    }
}

/// Verifies sufficiency and breach proofs in one transaction, each by one multi-scalar multiplication (EIP-2537).
contract MarginVerifier is IMarginVerifier, ProofEquations {
    constructor(address[] memory blocks) Generators(blocks) {}

    /// @inheritdoc IMarginVerifier
    function verifySufficiency(bytes calldata statement, bytes calldata proof)
        external
        view
        returns (Checked memory)
    {
        (Terms memory terms, Checked memory checked) = _sufficiency(statement, proof);
        // (5) One multiplication.
        if (!Pairs.sumToIdentity(terms.pairs, terms.count)) revert SufficiencyProofInvalid();
        return checked;
    }

    /// @inheritdoc IMarginVerifier
    function verifyBreach(bytes calldata statement, bytes calldata proof) external view returns (Checked memory) {
        (Terms memory terms, Checked memory checked) = _breach(statement, proof);
        // (6) One multiplication.
        if (!Pairs.sumToIdentity(terms.pairs, terms.count)) revert BreachProofInvalid();
        return checked;
    }
}

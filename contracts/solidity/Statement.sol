// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {
    BitsOutOfRange,
    CellsOutOfRange,
    ContextTooLong,
    EntriesOutOfRange,
    OffsetOutOfRange,
    RowsOutOfRange,
    StatementTooShort,
    TopUpOutOfRange
} from "./Errors.sol";
import {Checked} from "./IMarginVerifier.sol";
import {Pairs} from "./Pairs.sol";

/// The header of a statement; everything else stays in calldata.
struct Statement {
    uint256 bits;
    uint256 topUp;
    uint256 rows;
    uint256 entries;
}

/// Reads statements, and writes what transcripts absorb of them. MarginVerifier.sol has the layout.
library Statements {
    /// A, c and X are below 2^48 in absolute value: products with 32-bit entries stay far below the group order.
    uint256 internal constant BOUND = 2 ** 48;

    uint256 private constant HEADER = 14;
    uint256 private constant MATRIX = 10;
    uint256 private constant NUMBER = 8;
    uint256 private constant MAX_BITS = 48;
    uint256 private constant MAX_CELLS = 2 ** 20;
    uint256 private constant MAX_CONTEXT = 65536;
    uint256 private constant SHA256 = 0x02;
    /// Quotes, comma, sign and the fifteen digits of a number below 2^48.
    uint256 private constant WIDEST = 19;

    function read(bytes calldata data, uint256 maxRows, uint256 maxEntries)
        internal
        pure
        returns (Statement memory statement)
    {
        if (data.length < HEADER) revert StatementTooShort(HEADER, data.length);
        uint256 bits = statement.bits = uint16(bytes2(data[0:2]));
        uint256 topUp = statement.topUp = uint64(bytes8(data[2:MATRIX]));
        uint256 rows = statement.rows = uint16(bytes2(data[MATRIX:12]));
        uint256 entries = statement.entries = uint16(bytes2(data[12:HEADER]));
        if (bits == 0 || bits > MAX_BITS) revert BitsOutOfRange(bits);
        if (topUp >= BOUND) revert TopUpOutOfRange(topUp);
        if (rows == 0 || rows > maxRows) revert RowsOutOfRange(rows);
        if (entries == 0 || entries > maxEntries) revert EntriesOutOfRange(entries);
        if (rows * entries > MAX_CELLS) revert CellsOutOfRange(rows * entries);
        uint256 start = _contextStart(statement);
        // A context is never empty.
        if (data.length <= start) revert StatementTooShort(start + 1, data.length);
        if (data.length > start + MAX_CONTEXT) revert ContextTooLong(data.length - start);
    }

    /// Rows times bits, by the header alone, which is not checked.
    function rowBits(bytes calldata data) internal pure returns (uint256) {
        if (data.length < HEADER) revert StatementTooShort(HEADER, data.length);
        return uint256(uint16(bytes2(data[0:2]))) * uint16(bytes2(data[MATRIX:12]));
    }

    /// A, row by row, eight bytes an entry, as transcripts absorb it.
    function weights(bytes calldata data, Statement memory statement) internal pure returns (bytes calldata) {
        return data[HEADER:HEADER + NUMBER * statement.rows * statement.entries];
    }

    /// The place in calldata of the first commitment.
    function commitments(bytes calldata data, Statement memory statement) internal pure returns (uint256 place) {
        uint256 start = _commitmentsStart(statement);
        assembly ("memory-safe") {
            place := add(data.offset, start)
        }
    }

    /// c, in order.
    function offsets(bytes calldata data, Statement memory statement) internal pure returns (int256[] memory numbers) {
        numbers = new int256[](statement.rows);
        uint256 start = HEADER + NUMBER * statement.rows * statement.entries;
        for (uint256 row = 0; row < numbers.length; ++row) {
            int256 amount;
            assembly ("memory-safe") {
                amount := sar(192, calldataload(add(add(data.offset, start), shl(3, row))))
            }
            if (amount <= -int256(BOUND) || amount >= int256(BOUND)) revert OffsetOutOfRange(row);
            numbers[row] = amount;
        }
    }

    /// The public part of a sufficiency statement, in canonical JSON.
    function sufficiencyJson(bytes calldata data, Statement memory statement, int256[] memory numbers)
        internal
        pure
        returns (bytes memory)
    {
        bytes memory ones = new bytes(4 * statement.rows - 1);
        for (uint256 row = 0; row < statement.rows; ++row) {
            if (row > 0) ones[4 * row - 1] = ",";
            ones[4 * row] = '"';
            ones[4 * row + 1] = "1";
            ones[4 * row + 2] = '"';
        }
        return bytes.concat(
            _beginning(data, statement, numbers),
            ',"slack_widths":[],"statement":"sufficiency","top_up":"',
            decimal(statement.topUp),
            '","top_up_weights":[',
            ones,
            '],"version":"2"}'
        );
    }

    /// The public part of a breach statement, in canonical JSON.
    function breachJson(bytes calldata data, Statement memory statement, int256[] memory numbers)
        internal
        pure
        returns (bytes memory)
    {
        return bytes.concat(_beginning(data, statement, numbers), ',"statement":"breach","version":"2"}');
    }

    /// What the caller is told; `compressed` is the place of the compressed commitments in memory.
    function checked(bytes calldata data, Statement memory statement, uint256 compressed)
        internal
        view
        returns (Checked memory)
    {
        bytes32 hash;
        uint256 size = Pairs.COMPRESSED * statement.entries;
        assembly ("memory-safe") {
            if iszero(staticcall(gas(), SHA256, compressed, size, 0, 32)) { revert(0, 0) }
            hash := mload(0)
        }
        return Checked({
            context: _sha256(data[_contextStart(statement):]),
            commitments: hash,
            matrix: _sha256(data[MATRIX:_commitmentsStart(statement)]),
            topUp: statement.topUp,
            rows: uint16(statement.rows),
            bits: uint16(statement.bits)
        });
    }

    /// A number in decimal digits.
    function decimal(uint256 amount) internal pure returns (bytes memory text) {
        text = new bytes(78);
        assembly ("memory-safe") {
            mstore(text, 0)
        }
        append(text, amount);
    }

    /// Appends a number in decimal digits to a text that has room for them.
    function append(bytes memory text, uint256 amount) internal pure {
        unchecked {
            uint256 digits = 1;
            for (uint256 rest = amount / 10; rest > 0; rest /= 10) ++digits;
            assembly ("memory-safe") {
                let start := add(add(text, 32), mload(text))
                mstore(text, add(mload(text), digits))
                for { let place := add(start, digits) } gt(place, start) {} {
                    place := sub(place, 1)
                    mstore8(place, add(48, mod(amount, 10)))
                    amount := div(amount, 10)
                }
            }
        }
    }

    /// What both public parts begin with. Numbers have one spelling, and the keys behind the context occur once behind
    /// it: whatever a context holds, two different statements never have the same text.
    function _beginning(bytes calldata data, Statement memory statement, int256[] memory numbers)
        private
        pure
        returns (bytes memory)
    {
        return bytes.concat(
            '{"bits":"',
            decimal(statement.bits),
            '","context":',
            data[_contextStart(statement):],
            ',"entries":"',
            decimal(statement.entries),
            '","offsets":[',
            _list(numbers),
            '],"rows":"',
            decimal(statement.rows),
            '"'
        );
    }

    /// Numbers as JSON has them here: strings, separated by commas.
    function _list(int256[] memory numbers) private pure returns (bytes memory text) {
        text = new bytes(WIDEST * numbers.length);
        assembly ("memory-safe") {
            mstore(text, 0)
        }
        for (uint256 index = 0; index < numbers.length; ++index) {
            int256 amount = numbers[index];
            if (index > 0) _character(text, ",");
            _character(text, '"');
            if (amount < 0) _character(text, "-");
            append(text, uint256(amount < 0 ? -amount : amount));
            _character(text, '"');
        }
    }

    function _character(bytes memory text, bytes1 character) private pure {
        assembly ("memory-safe") {
            let length := mload(text)
            mstore8(add(add(text, 32), length), byte(0, character))
            mstore(text, add(length, 1))
        }
    }

    function _commitmentsStart(Statement memory statement) private pure returns (uint256) {
        return HEADER + NUMBER * statement.rows * (statement.entries + 1);
    }

    function _contextStart(Statement memory statement) private pure returns (uint256) {
        return _commitmentsStart(statement) + Pairs.POINT * statement.entries;
    }

    function _sha256(bytes calldata data) private view returns (bytes32 hash) {
        assembly ("memory-safe") {
            let place := mload(0x40)
            calldatacopy(place, data.offset, data.length)
            if iszero(staticcall(gas(), SHA256, place, data.length, 0, 32)) { revert(0, 0) }
            hash := mload(0)
        }
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// A field of a storage word: its shift in the low byte, its mask (of ones, from bit 0) above.
type Field is uint256;

using {Fields.up} for Field global;

/// @title Fields
/// @notice Reading and writing the fields of a packed storage word.
library Fields {
    function get(uint256 word, Field field) internal pure returns (uint256) {
        uint256 f = Field.unwrap(field);
        return (word >> (f & 0xff)) & (f >> 8);
    }

    /// @dev `value` must fit: the callers' bounds see to that.
    function set(uint256 word, Field field, uint256 value) internal pure returns (uint256) {
        uint256 f = Field.unwrap(field);
        return word & ~((f >> 8) << (f & 0xff)) | value << (f & 0xff);
    }

    /// @return the field of the same size that lies `bits` higher
    function up(Field field, uint256 bits) internal pure returns (Field) {
        unchecked {
            return Field.wrap(Field.unwrap(field) + bits);
        }
    }

    /// The address in the low 160 bits.
    function toAddress(uint256 word) internal pure returns (address) {
        return address(uint160(word));
    }
}

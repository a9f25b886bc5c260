// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @title Packed
/// @notice Where a dispute's fields lie in its claims' words. Each word's low 160 bits are the claim's operator; words 0
/// and 1 hold the state of the dispute above that, so that a dispute between two has no words but theirs, a hash of
/// the details, and the head. Word 0 is what a move changes, word 1 what only an elimination or a join changes.
library Packed {
    /// A field: `shift` in the low byte, its mask above.
    type Field is uint256;

    // Word 0: the running match, as left by the last move. Stale when none is running.
    /// digits chosen so far, 5 bits each
    Field internal constant DIGITS = Field.wrap(((1 << 45) - 1) << 8 | 160);
    /// moves made
    Field internal constant MOVES = Field.wrap(((1 << 4) - 1) << 8 | 205);
    /// seconds party a has used
    Field internal constant USED_A = Field.wrap(((1 << 22) - 1) << 8 | 209);
    /// seconds party b has used; both together have used all time from the match's start to the last move
    Field internal constant USED_B = Field.wrap(((1 << 22) - 1) << 8 | 231);

    // Word 1: the dispute.
    /// time the running match started, Unix seconds (34 bits: until the year 2514)
    Field internal constant STARTED = Field.wrap(((1 << 34) - 1) << 8 | 160);
    /// until when claims can be added
    Field internal constant JOIN_UNTIL = Field.wrap(((1 << 34) - 1) << 8 | 194);
    /// bit i: claim i is not eliminated
    Field internal constant LIVE = Field.wrap(0xff << 8 | 228);
    /// number of claims less one
    Field internal constant LAST = Field.wrap(7 << 8 | 236);
    /// dissections in a match, 1 to 10
    Field internal constant LEVELS = Field.wrap(15 << 8 | 239);
    Field internal constant RUNNING = Field.wrap(1 << 8 | 243);
    /// parties of the running match
    Field internal constant A = Field.wrap(7 << 8 | 244);
    Field internal constant B = Field.wrap(7 << 8 | 247);

    // Word 1 and above: the claim.
    /// the lowest index of a claim with the same result
    Field internal constant GROUP = Field.wrap(7 << 8 | 250);

    function get(uint256 word, Field field) internal pure returns (uint256) {
        uint256 f = Field.unwrap(field);
        return (word >> (f & 0xff)) & (f >> 8);
    }

    /// @dev `value` must fit: the callers' arithmetic sees to that.
    function set(uint256 word, Field field, uint256 value) internal pure returns (uint256) {
        uint256 f = Field.unwrap(field);
        return word & ~((f >> 8) << (f & 0xff)) | value << (f & 0xff);
    }

    function operator(uint256 word) internal pure returns (address) {
        return address(uint160(word));
    }
}

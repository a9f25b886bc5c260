// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @title Absences
/// @notice How often each of at most 128 members was absent, in bit slices: bit i of slice k is bit k of member i's
/// count. Slices 2k and 2k + 1 are the halves of word k. Adding one to the counts of all members in a mask is a carry
/// chain over the slices, which in most cases ends in the first word: one write, whatever the number of members.
library Absences {
    /// So many bits has a count.
    uint256 internal constant BITS = 32;
    uint256 private constant MASK = (1 << 128) - 1;

    struct Counts {
        mapping(uint256 k => uint256) words;
    }

    /// @notice Adds one for each member in `mask`, of whom none may be beyond the 128th. Counts end at 2^32 - 1 and must
    /// not be brought beyond.
    function add(Counts storage counts, uint256 mask) internal {
        // Carries from a mask of 128 bits stay in it.
        unchecked {
            for (uint256 k; mask != 0 && k < BITS / 2; ++k) {
                uint256 word = counts.words[k];
                uint256 carry = word & mask;
                uint256 high = word >> 128;
                counts.words[k] = (word & MASK ^ mask) | (high ^ carry) << 128;
                mask = high & carry;
            }
        }
    }

    /// @param member below 128
    function countOf(Counts storage counts, uint256 member) internal view returns (uint256 count) {
        // Sixteen words.
        unchecked {
            for (uint256 k; k < BITS / 2; ++k) {
                uint256 word = counts.words[k];
                count |= (word >> member & 1) << 2 * k | (word >> (member + 128) & 1) << 2 * k + 1;
            }
        }
    }
}

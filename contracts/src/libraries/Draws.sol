// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {LibSort} from "solady/utils/LibSort.sol";

/// @title Draws
/// @notice Draws without replacement in which all have the same chance.
library Draws {
    /// Places in a sample's table, of which at most half are taken.
    uint256 private constant TABLE = 512;

    /// @param wanted at most 256, and less than `count`
    /// @return drawn `wanted` of the numbers below `count`, in ascending order
    /// @dev Floyd's algorithm: it takes `wanted` draws, whatever comes out. A number that was drawn before is replaced
    /// by the largest that can be drawn now, which was not possible before.
    function sample(uint256 count, uint256 wanted, bytes32 seed) internal pure returns (uint256[] memory drawn) {
        drawn = new uint256[](wanted);
        // What was drawn, plus one, at the first free place from its remainder on.
        uint256[] memory table = new uint256[](TABLE);
        for (uint256 i; i < wanted; ++i) {
            uint256 last = count - wanted + i;
            uint256 number = uint256(keccak256(abi.encode(seed, "sample", i))) % (last + 1);
            if (!_put(table, number)) {
                number = last;
                _put(table, number);
            }
            drawn[i] = number;
        }
        LibSort.sort(drawn);
    }

    /// @param count at most 256
    /// @return mask of `wanted` of the numbers below `count`, or of all if they are not more
    function choose(uint256 count, uint256 wanted, bytes32 seed) internal pure returns (uint256 mask) {
        for (uint256 i; i < count && wanted != 0; ++i) {
            // `wanted` of the `left` that are left.
            uint256 left = count - i;
            if (wanted < left && uint256(keccak256(abi.encode(seed, "choose", i))) % left >= wanted) continue;
            mask |= 1 << i;
            --wanted;
        }
    }

    /// @return whether it was not there
    function _put(uint256[] memory table, uint256 number) private pure returns (bool) {
        uint256 place = number % TABLE;
        while (table[place] != 0) {
            if (table[place] == number + 1) return false;
            place = (place + 1) % TABLE;
        }
        table[place] = number + 1;
        return true;
    }
}

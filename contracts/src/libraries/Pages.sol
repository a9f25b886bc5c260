// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @title Pages
/// @notice Reading a list a page at a time.
library Pages {
    /// @return entries in the page of at most `limit` that starts at `start`, of a list of `length`
    function size(uint256 length, uint256 start, uint256 limit) internal pure returns (uint256) {
        if (start >= length) return 0;
        return limit < length - start ? limit : length - start;
    }
}

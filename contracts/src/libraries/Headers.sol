// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @title Headers
/// @notice Reading an execution block header in RLP.
library Headers {
    /// Where what varies in size begins: after the list's prefix (3 bytes: the bloom alone makes it longer than 255, and
    /// nothing makes it longer than 65,535), parent (33), ommers (33), beneficiary (21), three roots (99), bloom (259).
    uint256 private constant DIFFICULTY = 448;
    /// Difficulty, number, gas limit, gas used, time, extra data (at most 32 bytes): each a byte or a short string.
    uint256 private constant SHORT_FIELDS = 6;

    error NotAHeader(uint256 length);

    /// @dev Its hash must have been compared with the block's: nothing is checked here that holds for every header since
    /// the merge.
    /// @return mix the block's `prevrandao`, which is where the hash of the work once was
    function mixOf(bytes calldata header) internal pure returns (bytes32 mix) {
        unchecked {
            // Each byte of `header` is looked at within its bounds.
            uint256 at = DIFFICULTY;
            for (uint256 i; i < SHORT_FIELDS; ++i) {
                uint256 prefix = uint8(header[at]);
                at += prefix < 0x80 ? 1 : prefix - 0x7f;
            }
            if (header[at] != 0xa0 || header.length < at + 33) revert NotAHeader(header.length);
            return bytes32(header[at + 1:at + 33]);
        }
    }
}

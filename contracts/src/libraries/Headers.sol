// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @title Headers
/// @notice Reading an execution block header in RLP.
library Headers {
    /// `mixHash`, which has held `prevrandao` since the merge, is the 14th field.
    uint256 private constant MIX_HASH = 13;

    error NotAHeader(uint256 length);

    /// @dev Its hash must have been compared with the block's: beyond staying within its bounds, nothing is checked that
    /// holds for every header there is.
    /// @return mix the block's `prevrandao`
    function mixOf(bytes calldata header) internal pure returns (bytes32 mix) {
        if (header.length == 0 || uint8(header[0]) < 0xf8) revert NotAHeader(header.length);
        // The list's prefix, and the bytes of its length.
        uint256 at = 1 + uint8(header[0]) - 0xf7;
        for (uint256 i; i < MIX_HASH; ++i) {
            if (at >= header.length) revert NotAHeader(header.length);
            uint256 prefix = uint8(header[at++]);
            if (prefix < 0x80) continue;
            if (prefix < 0xb8) {
                at += prefix - 0x80;
            } else if (prefix < 0xc0) {
                uint256 bytesOfLength = prefix - 0xb7;
                if (at + bytesOfLength > header.length) revert NotAHeader(header.length);
                uint256 length;
                for (uint256 j; j < bytesOfLength; ++j) {
                    length = length << 8 | uint8(header[at++]);
                }
                // No field of a header that fits a transaction is longer.
                if (length > header.length) revert NotAHeader(header.length);
                at += length;
            } else {
                revert NotAHeader(header.length);
            }
        }
        if (at + 33 > header.length || header[at] != 0xa0) revert NotAHeader(header.length);
        return bytes32(header[at + 1:at + 33]);
    }
}

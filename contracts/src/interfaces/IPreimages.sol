// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @title Preimages
/// @notice Keeps what a machine step may read of a preimage: its length, and the 32-byte words that were shown.
/// `docs/spec/machine.md`, sections 6 and 7. What is kept is true of every chain and for ever; anyone may show it.
interface IPreimages {
    /// The preimage with keccak-256 `hash` and `length` bytes was shown.
    event Shown(bytes32 indexed hash, uint32 length);

    /// More bytes than a preimage may have.
    error PreimageTooLong(uint256 length, uint256 max);
    /// No preimage with this hash was shown.
    error LengthNotShown(bytes32 hash);
    /// The word at `offset` of the preimage with this hash was not shown. (Its length may have been.)
    error NotShown(bytes32 hash, uint32 offset);

    /// @notice Keep the length of `data` and the word at each offset, under keccak-256 of `data`.
    /// @param data the preimage, at most 98,304 bytes
    /// @param offsets where, in bytes, the words to keep start; need not be aligned. Past the end there is nothing to keep.
    function show(bytes calldata data, uint32[] calldata offsets) external returns (bytes32 hash);

    /// @notice The 32 bytes from `offset`, zero-padded past the end, and the length of the preimage in bytes.
    /// Reverts with `LengthNotShown` or `NotShown`. At or past the end the word is zero, and the length is all that must
    /// have been shown.
    function word(bytes32 hash, uint32 offset) external view returns (bytes32 value, uint32 length);

    /// @notice The length of the preimage in bytes. Reverts with `LengthNotShown`.
    function lengthOf(bytes32 hash) external view returns (uint32 length);
}

// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IPreimages} from "./interfaces/IPreimages.sol";

/// @title Preimages
contract Preimages is IPreimages {
    /// The greatest length of a preimage, bytes: what one transaction can show.
    uint256 internal constant MAX_LENGTH = 98_304;

    /// Length plus one: zero is "not shown", and the empty preimage is one too.
    mapping(bytes32 hash => uint256) internal _lengths;

    /// The word at an offset, XOR its key `_key(hash, offset)`, so that a shown zero differs from a word that was not
    /// shown, in one slot. Only a word equal to its own key could not be kept, and the key is a hash of a hash of it.
    mapping(bytes32 key => bytes32) internal _words;

    /// @inheritdoc IPreimages
    function show(bytes calldata data, uint32[] calldata offsets) external returns (bytes32 hash) {
        if (data.length > MAX_LENGTH) revert PreimageTooLong(data.length, MAX_LENGTH);
        hash = keccak256(data);
        // Cannot truncate: at most MAX_LENGTH.
        uint32 length = uint32(data.length);
        _lengths[hash] = uint256(length) + 1;
        for (uint256 i; i < offsets.length; ++i) {
            uint32 offset = offsets[i];
            if (offset >= length) continue;
            // A slice shorter than 32 bytes is padded with zeros on the right.
            bytes32 key = _key(hash, offset);
            uint256 end = uint256(offset) + 32;
            _words[key] = bytes32(data[offset:end < length ? end : length]) ^ key;
        }
        emit Shown(hash, length);
    }

    /// @inheritdoc IPreimages
    function word(bytes32 hash, uint32 offset) external view returns (bytes32 value, uint32 length) {
        length = lengthOf(hash);
        if (offset >= length) return (0, length);
        bytes32 key = _key(hash, offset);
        bytes32 kept = _words[key];
        if (kept == 0) revert NotShown(hash, offset);
        value = kept ^ key;
    }

    /// @inheritdoc IPreimages
    function lengthOf(bytes32 hash) public view returns (uint32 length) {
        uint256 kept = _lengths[hash];
        if (kept == 0) revert LengthNotShown(hash);
        // At most MAX_LENGTH + 1 is ever kept.
        length = uint32(kept - 1);
    }

    function _key(bytes32 hash, uint32 offset) internal pure returns (bytes32) {
        return keccak256(abi.encode(hash, offset));
    }
}

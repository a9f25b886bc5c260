// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IPreimages} from "../../src/interfaces/IPreimages.sol";

/// @title A test double that knows one word of one preimage, or nothing: for vectors that do not carry the data
contract GivenPreimages is IPreimages {
    struct Known {
        bytes32 hash;
        uint32 offset;
        bytes32 word;
        uint32 length;
    }

    bool private given;
    Known private known;

    function give(Known calldata known_) external {
        given = true;
        known = known_;
    }

    function giveNothing() external {
        given = false;
    }

    function show(bytes calldata, uint32[] calldata) external pure returns (bytes32) {
        revert("no preimage can be shown to a double");
    }

    function word(bytes32 hash, uint32 offset) external view returns (bytes32 value, uint32 length) {
        length = lengthOf(hash);
        if (offset >= length) return (0, length);
        if (offset != known.offset) revert NotShown(hash, offset);
        value = known.word;
    }

    function lengthOf(bytes32 hash) public view returns (uint32 length) {
        if (!given || hash != known.hash) revert LengthNotShown(hash);
        length = known.length;
    }
}

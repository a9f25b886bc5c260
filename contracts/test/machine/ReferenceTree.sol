// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @title The machine's trees in plain Solidity: what `MerkleProof` is held against
library ReferenceTree {
    error Malformed();

    /// The root of an all-zero tree.
    function zero(uint256 height) internal pure returns (bytes32 node) {
        for (uint256 i; i < height; i++) {
            node = keccak256(abi.encodePacked(node, node));
        }
    }

    /// The root of the tree of this height in which leaf `index` is `leaf` and its siblings are these, lowest first.
    function root(bytes32 leaf, uint256 index, bytes32[] memory siblings) internal pure returns (bytes32 node) {
        node = leaf;
        for (uint256 i; i < siblings.length; i++) {
            bool isRight = (index / 2 ** i) % 2 == 1;
            node = isRight
                ? keccak256(abi.encodePacked(siblings[i], node))
                : keccak256(abi.encodePacked(node, siblings[i]));
        }
    }

    /// A proof, which leaves the siblings out that are roots of all-zero trees.
    function encode(bytes32 leaf, bytes32[] memory siblings) internal pure returns (bytes memory proof) {
        uint32 bitmap;
        bytes memory given;
        for (uint256 i; i < siblings.length; i++) {
            if (siblings[i] != zero(i)) {
                bitmap += uint32(2 ** i);
                given = bytes.concat(given, siblings[i]);
            }
        }
        proof = abi.encodePacked(leaf, bitmap, given);
    }

    /// Read the proof at `position` of `data`, for a tree of this height.
    function decode(bytes memory data, uint256 position, uint256 height)
        internal
        pure
        returns (bytes32 leaf, bytes32[] memory siblings, uint256 end)
    {
        leaf = bytes32(number(data, position, 32));
        uint256 bitmap = number(data, position + 32, 4);
        end = position + 36;
        if (bitmap >= 2 ** height) revert Malformed();
        siblings = new bytes32[](height);
        for (uint256 i; i < height; i++) {
            if ((bitmap / 2 ** i) % 2 == 1) {
                siblings[i] = bytes32(number(data, end, 32));
                end += 32;
            } else {
                siblings[i] = zero(i);
            }
        }
    }

    /// The big-endian number in `size` bytes at `position`; reverts where `data` ends before.
    function number(bytes memory data, uint256 position, uint256 size) internal pure returns (uint256 value) {
        for (uint256 i; i < size; i++) {
            value = value * 256 + uint8(data[position + i]);
        }
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IDisputes} from "../interfaces/IDisputes.sol";
import {EfficientHashLib} from "solady/utils/EfficientHashLib.sol";

/// @title Dissection
/// @notice Commitments to dissections, and their openings at the step (`docs/spec/dispute.md`, section 5).
library Dissection {
    /// Levels of the tree over a dissection's points.
    uint256 internal constant HEIGHT = 5;

    /// @return levels the smallest number of dissections, at least 1, with 32^levels >= budget + 1
    function levelsOf(uint64 budget) internal pure returns (uint256 levels) {
        levels = 1;
        while (uint256(budget) >> (5 * levels) != 0) ++levels;
    }

    /// @return root root of the binary keccak tree over point 1 .. point 31 and 32 zero bytes
    function rootOf(bytes32[31] calldata points) internal pure returns (bytes32 root) {
        // Assembly, because the calldata floor of EIP-7623 leaves a move 25,000 gas, and this is 31 hashes; the test
        // `DissectionTest` holds it against the plain loop. Writes only beyond the free memory pointer: nodes 0 .. 31
        // are the leaves, and node 32 + i is the hash of nodes 2i and 2i + 1, so node 62 is the root.
        assembly ("memory-safe") {
            let nodes := mload(0x40)
            calldatacopy(nodes, points, 992)
            mstore(add(nodes, 992), 0)
            let to := add(nodes, 1024)
            // Four at a time; the last of the 32 is a hash too many, of the root.
            for { let from := nodes } lt(from, add(nodes, 2048)) { from := add(from, 256) } {
                mstore(to, keccak256(from, 64))
                mstore(add(to, 32), keccak256(add(from, 64), 64))
                mstore(add(to, 64), keccak256(add(from, 128), 64))
                mstore(add(to, 96), keccak256(add(from, 192), 64))
                to := add(to, 128)
            }
            root := mload(add(nodes, 1984))
        }
    }

    /// @return head after a move: keccak-256(head before ‖ digit ‖ root), 65 bytes
    function extend(bytes32 head, uint256 digit, bytes32 root) internal pure returns (bytes32) {
        // forge-lint: disable-next-line(unsafe-typecast)
        return keccak256(abi.encodePacked(head, uint8(digit), root));
    }

    /// @notice Recomputes the head from the openings of the disputed transition, whose start and end are claimed.
    /// @param openings exactly as long as the position needs
    /// @param t position of the transition: all `levels` digits
    /// @param start the value at t, of which at t = 0 nothing is used
    /// @return head what the head is, if start and end are the values it is committed to
    /// @return end the value at t + 1
    /// @return author the number of the dissection that asserted the end; 0 for the end of the whole trace, which no
    /// dissection asserted and the head does not bind
    function open(bytes calldata openings, uint256 t, uint256 levels, bytes32 start)
        internal
        pure
        returns (bytes32 head, bytes32 end, uint256 author)
    {
        uint256 digit = t & 31;
        if (digit == 0 && t != 0 || digit == 31 && t + 1 != 1 << (5 * levels)) {
            return _openTwo(openings, t, levels, start);
        }
        bytes32 root;
        uint256 siblings;
        if (digit == 0) {
            _expect(openings, 7);
            (author, end) = (levels, _word(openings, 1));
            root = _rootFrom(openings, 2, 0, end);
        } else if (digit == 31) {
            _expect(openings, 7);
            end = _word(openings, 1);
            root = _rootFrom(openings, 2, 30, start);
        } else {
            (author, end) = (levels, _word(openings, 1));
            (root, siblings) = _rootFromPair(openings, 2, digit - 1, start, end);
            _expect(openings, 2 + siblings);
        }
        head = extend(_word(openings, 0), (t >> 5) & 31, root);
    }

    /// One of start and end is a point of an earlier dissection, `author`'s or an older one: the chain is recomputed
    /// from there.
    function _openTwo(bytes calldata openings, uint256 t, uint256 levels, bytes32 start)
        private
        pure
        returns (bytes32 head, bytes32 end, uint256 author)
    {
        bool startIsOlder = t & 31 == 0;
        // The older point, and the dissection it is a point of: its last digit that is not zero.
        uint256 older = startIsOlder ? t : t + 1;
        uint256 m = levels;
        while (older & 31 == 0) {
            older >>= 5;
            --m;
        }
        // Words: M_(m-1), roots m+1 .. levels-1, end, siblings of start, siblings of end.
        uint256 endAt = levels - m;
        _expect(openings, endAt + 11);
        end = _word(openings, endAt);

        uint256 olderLeaf = (older & 31) - 1;
        bytes32 olderRoot;
        bytes32 lastRoot;
        if (startIsOlder) {
            author = levels;
            olderRoot = _rootFrom(openings, endAt + 1, olderLeaf, start);
            lastRoot = _rootFrom(openings, endAt + 6, 0, end);
        } else {
            author = m;
            lastRoot = _rootFrom(openings, endAt + 1, 30, start);
            olderRoot = _rootFrom(openings, endAt + 6, olderLeaf, end);
        }

        head = extend(_word(openings, 0), _digit(t, levels, m - 1), olderRoot);
        for (uint256 i = m + 1; i < levels; ++i) {
            head = extend(head, _digit(t, levels, i - 1), _word(openings, i - m));
        }
        head = extend(head, _digit(t, levels, levels - 1), lastRoot);
    }

    /// d_i, the i-th most significant of the digits of t; 0 for i = 0.
    function _digit(uint256 t, uint256 levels, uint256 i) private pure returns (uint256) {
        return (t >> (5 * (levels - i))) & 31;
    }

    /// Root from one leaf and its 5 siblings, which start at word `at`.
    function _rootFrom(bytes calldata openings, uint256 at, uint256 leaf, bytes32 value)
        private
        pure
        returns (bytes32 node)
    {
        node = value;
        for (uint256 i; i < HEIGHT; ++i) {
            node = _parent(leaf, node, _word(openings, at + i));
            leaf >>= 1;
        }
    }

    /// Root from the adjacent leaves `leaf` and `leaf + 1` and their siblings, which start at word `at`.
    function _rootFromPair(bytes calldata openings, uint256 at, uint256 leaf, bytes32 left, bytes32 right)
        private
        pure
        returns (bytes32 node, uint256 siblings)
    {
        uint256 level;
        while (leaf & 1 == 1) {
            left = _hash(_word(openings, at + siblings), left);
            right = _hash(right, _word(openings, at + siblings + 1));
            siblings += 2;
            leaf >>= 1;
            ++level;
        }
        node = _hash(left, right);
        for (++level; level < HEIGHT; ++level) {
            leaf >>= 1;
            node = _parent(leaf, node, _word(openings, at + siblings));
            ++siblings;
        }
    }

    function _parent(uint256 index, bytes32 node, bytes32 sibling) private pure returns (bytes32) {
        return index & 1 == 0 ? _hash(node, sibling) : _hash(sibling, node);
    }

    function _hash(bytes32 left, bytes32 right) private pure returns (bytes32) {
        return EfficientHashLib.hash(left, right);
    }

    /// Word `i`. Beyond the end it is whatever follows in the calldata, so no result may be used before `_expect`.
    function _word(bytes calldata openings, uint256 i) private pure returns (bytes32 word) {
        assembly ("memory-safe") {
            word := calldataload(add(openings.offset, shl(5, i)))
        }
    }

    function _expect(bytes calldata openings, uint256 words) private pure {
        if (openings.length != words * 32) revert IDisputes.WrongOpenings(openings.length, words * 32);
    }
}

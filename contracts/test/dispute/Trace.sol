// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Statement} from "../../src/types/Statement.sol";
import {Counter} from "./CounterMachine.sol";

/// What a player asserts the trace is.
struct Belief {
    bytes32 result;
    /// first position at which it lies; above the budget, only the result is a lie
    uint256 liesFrom;
    /// makes the lies; 0 for an honest player
    bytes32 salt;
    /// lies at about every other position rather than at all
    bool patchy;
}

/// Traces as honest and dishonest players see them, plainly (`docs/spec/dispute.md`, section 3).
library Trace {
    function rightResult(Statement memory s) internal pure returns (bytes32) {
        return Counter.result(s.program, s.input, s.budget);
    }

    function honest(Statement memory s) internal pure returns (Belief memory) {
        return Belief(rightResult(s), type(uint256).max, 0, false);
    }

    function liar(bytes32 salt, uint256 liesFrom, bool patchy) internal pure returns (Belief memory) {
        return Belief(keccak256(abi.encode(salt, "result")), liesFrom, salt, patchy);
    }

    function valueAt(Statement memory s, Belief memory belief, uint256 t) internal pure returns (bytes32) {
        if (t > s.budget) return belief.result;
        if (t >= belief.liesFrom) {
            bytes32 lie = keccak256(abi.encode(belief.salt, t));
            if (!belief.patchy || uint256(lie) & 1 == 1) return lie;
        }
        return Counter.root(s.program, s.input, uint64(t));
    }

    function levelsOf(uint64 budget) internal pure returns (uint256 levels) {
        levels = 1;
        for (uint256 reach = 32; reach < uint256(budget) + 1; reach *= 32) {
            ++levels;
        }
    }

    /// The 31 inner points of segment `prefix` (its digits so far), `distance` apart.
    function pointsOf(Statement memory s, Belief memory belief, uint256 prefix, uint256 distance)
        internal
        pure
        returns (bytes32[31] memory points)
    {
        for (uint256 i; i < 31; ++i) {
            points[i] = valueAt(s, belief, prefix * distance * 32 + (i + 1) * distance);
        }
    }

    /// Root and path by the plain definition.
    function rootOf(bytes32[31] memory points) internal pure returns (bytes32) {
        return levelOf(points, 5)[0];
    }

    /// The tree's nodes at a level; level 0 is the leaves.
    function levelOf(bytes32[31] memory points, uint256 level) internal pure returns (bytes32[] memory nodes) {
        nodes = new bytes32[](32);
        for (uint256 i; i < 31; ++i) {
            nodes[i] = points[i];
        }
        for (uint256 k; k < level; ++k) {
            bytes32[] memory above = new bytes32[](nodes.length / 2);
            for (uint256 i; i < above.length; ++i) {
                above[i] = keccak256(bytes.concat(nodes[2 * i], nodes[2 * i + 1]));
            }
            nodes = above;
        }
    }

    /// Siblings of leaf `leaf`, lowest level first.
    function pathOf(bytes32[31] memory points, uint256 leaf) internal pure returns (bytes memory path) {
        for (uint256 level; level < 5; ++level) {
            path = bytes.concat(path, levelOf(points, level)[(leaf >> level) ^ 1]);
        }
    }

    /// Siblings of the adjacent leaves `leaf` and `leaf + 1`.
    function pathOfPair(bytes32[31] memory points, uint256 leaf) internal pure returns (bytes memory path) {
        (uint256 a, uint256 b) = (leaf, leaf + 1);
        for (uint256 level; level < 5; ++level) {
            bytes32[] memory nodes = levelOf(points, level);
            if (a == b) path = bytes.concat(path, nodes[a ^ 1]);
            else if (a & 1 == 1) path = bytes.concat(path, nodes[a - 1], nodes[b + 1]);
            (a, b) = (a >> 1, b >> 1);
        }
    }
}

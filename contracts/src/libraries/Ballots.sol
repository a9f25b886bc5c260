// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IQuorum} from "../interfaces/IQuorum.sol";
import {Vote} from "../types/Votes.sol";

/// @title Ballots
/// @notice The tree over the votes of a ballot: `docs/spec/network.md`, section 3.
/// @dev A leaf hashes 96 bytes, a node 64: neither can pass for the other.
library Ballots {
    /// Of at most 1,024 votes.
    uint256 internal constant MAX_PROOF_LENGTH = 10;

    bytes32 internal constant TYPEHASH = keccak256("Ballot(address service,uint64 set,bytes32 root)");

    function leafOf(Vote memory vote) internal pure returns (bytes32) {
        return keccak256(abi.encode(vote.kind, vote.subject, vote.value));
    }

    /// @notice Reverts unless the vote is under `root`.
    function check(bytes32 root, Vote memory vote, bytes32[] calldata proof) internal pure {
        if (proof.length > MAX_PROOF_LENGTH) revert IQuorum.ProofTooLong(proof.length, MAX_PROOF_LENGTH);
        bytes32 leaf = leafOf(vote);
        bytes32 node = leaf;
        for (uint256 i; i < proof.length; ++i) {
            node = parentOf(node, proof[i]);
        }
        if (node != root) revert IQuorum.NotUnderRoot(leaf, root);
    }

    /// @return hash of the pair, the smaller one first
    function parentOf(bytes32 a, bytes32 b) internal pure returns (bytes32) {
        return a < b ? keccak256(abi.encode(a, b)) : keccak256(abi.encode(b, a));
    }
}

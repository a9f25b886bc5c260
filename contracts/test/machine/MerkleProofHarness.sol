// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {MerkleProof, Proofs} from "../../src/libraries/MerkleProof.sol";

/// @title `MerkleProof`, called from outside
contract MerkleProofHarness {
    using MerkleProof for Proofs;

    function zeroRoots() external pure returns (bytes memory) {
        return MerkleProof.ZERO_ROOTS;
    }

    /// `consumed` is the length of the proof.
    function root(bytes calldata proof, uint256 index, uint256 height)
        external
        pure
        returns (bytes32 leaf, bytes32 value, uint256 consumed)
    {
        Proofs memory proofs = MerkleProof.at(start(proof));
        leaf = proofs.leaf();
        value = proofs.root(index, height);
        consumed = proofs.at - start(proof);
    }

    function roots(bytes calldata proof, uint256 index, uint256 height, bytes32 changed)
        external
        pure
        returns (bytes32 value, bytes32 changedValue, uint256 consumed)
    {
        Proofs memory proofs = MerkleProof.at(start(proof));
        (value, changedValue) = proofs.roots(index, height, changed);
        consumed = proofs.at - start(proof);
    }

    function start(bytes calldata data) private pure returns (uint256 position) {
        assembly ("memory-safe") {
            position := data.offset
        }
    }
}

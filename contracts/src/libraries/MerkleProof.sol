// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IMachine} from "../interfaces/IMachine.sol";

/// What is left of a witness: the proofs, consumed from front to back.
struct Proofs {
    /// position in the calldata of the next byte
    uint256 at;
    /// memory pointer to the roots of the all-zero trees of height 0, 1, 2 ...
    uint256 zeros;
}

/// @title Merkle proofs of the machine's trees, read from calldata
/// @notice `proof = leaf (32) ‖ bitmap (4) ‖ the siblings whose bit is set, lowest level first (32 each)`;
/// `docs/spec/machine.md`, sections 2 and 7.
/// @dev In assembly, since a memory proof of 27 levels is hashed twice in one step. `ReferenceTree` (in the tests) is the
/// same in plain Solidity, and a fuzz test holds the two together. Nothing here looks where the witness ends: the caller
/// compares `at` with the end after the last proof, and reverts if they differ.
library MerkleProof {
    using MerkleProof for Proofs;

    /// The roots of the all-zero trees of heights 0 to 26: Z0 = 32 zero bytes, Zi+1 = keccak(Zi ‖ Zi).
    bytes internal constant ZERO_ROOTS =
        hex"0000000000000000000000000000000000000000000000000000000000000000"
        hex"ad3228b676f7d3cd4284a5443f17f1962b36e491b30a40b2405849e597ba5fb5"
        hex"b4c11951957c6f8f642c4af61cd6b24640fec6dc7fc607ee8206a99e92410d30";

    /// Bytes of a proof without siblings: leaf and bitmap.
    uint256 private constant HEAD = 36;

    /// The proofs that start at byte `at` of the calldata.
    function at(uint256 position) internal pure returns (Proofs memory proofs) {
        proofs.at = position;
        bytes memory table = ZERO_ROOTS;
        assembly ("memory-safe") {
            mstore(add(proofs, 0x20), add(table, 0x20))
        }
    }

    /// The leaf of the next proof, which is not consumed.
    function leaf(Proofs memory proofs) internal pure returns (bytes32 value) {
        assembly ("memory-safe") {
            value := calldataload(mload(proofs))
        }
    }

    /// Consume the next proof: the root of the tree of this height in which leaf `index` is the proof's.
    function root(Proofs memory proofs, uint256 index, uint256 height) internal pure returns (bytes32 node) {
        proofs.checkBitmap(height);
        assembly ("memory-safe") {
            let proof := mload(proofs)
            node := calldataload(proof)
            let bitmap := shr(224, calldataload(add(proof, 32)))
            proof := add(proof, HEAD)
            let zero := mload(add(proofs, 0x20))
            for { let end := add(zero, shl(5, height)) } lt(zero, end) { zero := add(zero, 0x20) } {
                // A right child (odd index) goes to 0x20, its sibling to 0x00; a left child the other way round.
                let side := shl(5, and(index, 1))
                mstore(side, node)
                switch and(bitmap, 1)
                case 0 { mstore(xor(side, 0x20), mload(zero)) }
                default {
                    mstore(xor(side, 0x20), calldataload(proof))
                    proof := add(proof, 0x20)
                }
                node := keccak256(0x00, 0x40)
                index := shr(1, index)
                bitmap := shr(1, bitmap)
            }
            mstore(proofs, proof)
        }
    }

    /// Consume the next proof: the root as `root` gives it, and the root of the tree with `changed` as leaf `index`.
    function roots(Proofs memory proofs, uint256 index, uint256 height, bytes32 changed)
        internal
        pure
        returns (bytes32 node, bytes32 changedNode)
    {
        proofs.checkBitmap(height);
        changedNode = changed;
        assembly ("memory-safe") {
            let proof := mload(proofs)
            node := calldataload(proof)
            let bitmap := shr(224, calldataload(add(proof, 32)))
            proof := add(proof, HEAD)
            let zero := mload(add(proofs, 0x20))
            for { let end := add(zero, shl(5, height)) } lt(zero, end) { zero := add(zero, 0x20) } {
                let side := shl(5, and(index, 1))
                mstore(side, node)
                switch and(bitmap, 1)
                case 0 { mstore(xor(side, 0x20), mload(zero)) }
                default {
                    mstore(xor(side, 0x20), calldataload(proof))
                    proof := add(proof, 0x20)
                }
                node := keccak256(0x00, 0x40)
                mstore(side, changedNode)
                changedNode := keccak256(0x00, 0x40)
                index := shr(1, index)
                bitmap := shr(1, bitmap)
            }
            mstore(proofs, proof)
        }
    }

    /// The siblings are counted by the bitmap, so a bit at or above the root would be a sibling that nothing hashes.
    function checkBitmap(Proofs memory proofs, uint256 height) internal pure {
        uint256 bitmap;
        assembly ("memory-safe") {
            bitmap := shr(224, calldataload(add(mload(proofs), 32)))
        }
        if (bitmap >> height != 0) revert IMachine.BitmapAboveHeight(uint32(bitmap), uint8(height));
    }
}

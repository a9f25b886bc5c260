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
    bytes internal constant ZERO_ROOTS = hex"0000000000000000000000000000000000000000000000000000000000000000"
        hex"ad3228b676f7d3cd4284a5443f17f1962b36e491b30a40b2405849e597ba5fb5"
        hex"b4c11951957c6f8f642c4af61cd6b24640fec6dc7fc607ee8206a99e92410d30"
        hex"21ddb9a356815c3fac1026b6dec5df3124afbadb485c9ba5a3e3398a04b7ba85"
        hex"e58769b32a1beaf1ea27375a44095a0d1fb664ce2dd358e7fcbfb78c26a19344"
        hex"0eb01ebfc9ed27500cd4dfc979272d1f0913cc9f66540d7e8005811109e1cf2d"
        hex"887c22bd8750d34016ac3c66b5ff102dacdd73f6b014e710b51e8022af9a1968"
        hex"ffd70157e48063fc33c97a050f7f640233bf646cc98d9524c6b92bcf3ab56f83"
        hex"9867cc5f7f196b93bae1e27e6320742445d290f2263827498b54fec539f756af"
        hex"cefad4e508c098b9a7e1d8feb19955fb02ba9675585078710969d3440f5054e0"
        hex"f9dc3e7fe016e050eff260334f18a5d4fe391d82092319f5964f2e2eb7c1c3a5"
        hex"f8b13a49e282f609c317a833fb8d976d11517c571d1221a265d25af778ecf892"
        hex"3490c6ceeb450aecdc82e28293031d10c7d73bf85e57bf041a97360aa2c5d99c"
        hex"c1df82d9c4b87413eae2ef048f94b4d3554cea73d92b0f7af96e0271c691e2bb"
        hex"5c67add7c6caf302256adedf7ab114da0acfe870d449a3a489f781d659e8becc"
        hex"da7bce9f4e8618b6bd2f4132ce798cdc7a60e7e1460a7299e3c6342a579626d2"
        hex"2733e50f526ec2fa19a22b31e8ed50f23cd1fdf94c9154ed3a7609a2f1ff981f"
        hex"e1d3b5c807b281e4683cc6d6315cf95b9ade8641defcb32372f1c126e398ef7a"
        hex"5a2dce0a8a7f68bb74560f8f71837c2c2ebbcbf7fffb42ae1896f13f7c7479a0"
        hex"b46a28b6f55540f89444f63de0378e3d121be09e06cc9ded1c20e65876d36aa0"
        hex"c65e9645644786b620e2dd2ad648ddfcbf4a7e5b1a3a4ecfe7f64667a3f0b7e2"
        hex"f4418588ed35a2458cffeb39b93d26f18d2ab13bdce6aee58e7b99359ec2dfd9"
        hex"5a9c16dc00d6ef18b7933a6f8dc65ccb55667138776f7dea101070dc8796e377"
        hex"4df84f40ae0c8229d0d6069e5c8f39a7c299677a09d367fc7b05e3bc380ee652"
        hex"cdc72595f74c7b1043d0e1ffbab734648c838dfb0527d971b602bc216c9619ef"
        hex"0abf5ac974a1ed57f4050aa510dd9c74f508277b39d7973bb2dfccc5eeb0618d"
        hex"b8cd74046ff337f0a7bf2c8e03e10f642c1886798d71806ab1e888d9e5ee87d0";

    /// Bytes of a proof without siblings: leaf and bitmap.
    uint256 private constant HEAD = 36;

    /// Where the loops below have the bitmap's bit of the level they are at.
    uint256 private constant BITMAP_BIT = 1 << 128;

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
            // Index and bitmap in one word, shifted together: this level's bit of the index is bit 5, that of the bitmap
            // is bit 128, and a bit above the bitmap ends the loop. (What is shifted out below 128 stays above bit 32.)
            let path := or(shl(5, index), shl(128, or(bitmap, shl(height, 1))))
            for {} shr(129, path) { zero := add(zero, 0x20) } {
                let sibling := mload(zero)
                if and(path, BITMAP_BIT) {
                    sibling := calldataload(proof)
                    proof := add(proof, 0x20)
                }
                // A right child (odd index) goes to 0x20, its sibling to 0x00; a left child the other way round.
                let side := and(path, 0x20)
                mstore(side, node)
                mstore(xor(side, 0x20), sibling)
                node := keccak256(0x00, 0x40)
                path := shr(1, path)
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
            // Index and bitmap in one word, shifted together: this level's bit of the index is bit 5, that of the bitmap
            // is bit 128, and a bit above the bitmap ends the loop. (What is shifted out below 128 stays above bit 32.)
            let path := or(shl(5, index), shl(128, or(bitmap, shl(height, 1))))
            for {} shr(129, path) { zero := add(zero, 0x20) } {
                let sibling := mload(zero)
                if and(path, BITMAP_BIT) {
                    sibling := calldataload(proof)
                    proof := add(proof, 0x20)
                }
                // A right child (odd index) goes to 0x20, its sibling to 0x00; a left child the other way round.
                let side := and(path, 0x20)
                mstore(side, node)
                mstore(xor(side, 0x20), sibling)
                node := keccak256(0x00, 0x40)
                mstore(side, changedNode)
                changedNode := keccak256(0x00, 0x40)
                path := shr(1, path)
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

// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IMachine} from "../src/interfaces/IMachine.sol";
import {MerkleProofHarness} from "./machine/MerkleProofHarness.sol";
import {ReferenceTree} from "./machine/ReferenceTree.sol";
import {Test} from "forge-std/Test.sol";

/// The assembly of `MerkleProof` against `ReferenceTree`.
contract MachineMerkleProofTest is Test {
    MerkleProofHarness internal harness = new MerkleProofHarness();

    function test_zeroRootsAreThoseOfEmptyTrees() public view {
        bytes memory expected;
        for (uint256 i; i < 27; i++) {
            expected = bytes.concat(expected, ReferenceTree.zero(i));
        }
        assertEq(harness.zeroRoots(), expected);
    }

    function testFuzz_agreesWithTheReference(bytes32 leaf, bytes32 changed, uint32 index, uint8 height, uint256 seed)
        public
        view
    {
        height = uint8(bound(height, 0, 27));
        index = uint32(bound(index, 0, 2 ** uint256(height) - 1));
        bytes32[] memory siblings = new bytes32[](height);
        for (uint256 i; i < height; i++) {
            siblings[i] = (seed >> i) & 1 == 1 ? keccak256(abi.encode(seed, i)) : ReferenceTree.zero(i);
        }
        // What follows must not be looked at.
        bytes memory proof = ReferenceTree.encode(leaf, siblings);
        bytes memory followed = bytes.concat(proof, keccak256("what follows"));

        (bytes32 foundLeaf, bytes32 root, uint256 consumed) = harness.root(followed, index, height);
        assertEq(foundLeaf, leaf);
        assertEq(root, ReferenceTree.root(leaf, index, siblings));
        assertEq(consumed, proof.length);

        bytes32 changedRoot;
        (root, changedRoot, consumed) = harness.roots(followed, index, height, changed);
        assertEq(root, ReferenceTree.root(leaf, index, siblings));
        assertEq(changedRoot, ReferenceTree.root(changed, index, siblings));
        assertEq(consumed, proof.length);
    }

    /// A zero that is given, though it could be left out, is a sibling like any other.
    function test_emptySiblingsMayBeGiven() public view {
        bytes memory proof =
            abi.encodePacked(bytes32(uint256(1)), uint32(3), ReferenceTree.zero(0), ReferenceTree.zero(1));
        (, bytes32 root,) = harness.root(proof, 0, 2);
        (, bytes32 same,) = harness.root(abi.encodePacked(bytes32(uint256(1)), uint32(0)), 0, 2);
        assertEq(root, same);
    }

    function testFuzz_bitsAtOrAboveTheHeightAreRefused(uint8 height, uint8 bit, uint32 rest) public {
        height = uint8(bound(height, 0, 27));
        bit = uint8(bound(bit, height, 31));
        uint32 bitmap = rest | uint32(1 << bit);
        bytes memory proof = abi.encodePacked(bytes32(uint256(1)), bitmap, new bytes(32 * 32));
        vm.expectRevert(abi.encodeWithSelector(IMachine.BitmapAboveHeight.selector, bitmap, height));
        harness.root(proof, 0, height);
        vm.expectRevert(abi.encodeWithSelector(IMachine.BitmapAboveHeight.selector, bitmap, height));
        harness.roots(proof, 0, height, bytes32(uint256(2)));
    }
}

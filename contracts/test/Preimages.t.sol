// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Preimages} from "../src/Preimages.sol";
import {IPreimages} from "../src/interfaces/IPreimages.sol";
import {Test} from "forge-std/Test.sol";

contract PreimagesTest is Test {
    uint256 internal constant MAX = 98_304;

    Preimages internal preimages = new Preimages();

    function test_wordsAreThoseOfTheData() public {
        bytes memory data = pattern(100);
        bytes32 hash = keccak256(data);
        vm.expectEmit(address(preimages));
        emit IPreimages.Shown(hash, 100);
        assertEq(preimages.show(data, list(0, 1, 68, 69, 99)), hash);
        assertEq(preimages.lengthOf(hash), 100);
        assertWord(data, 0);
        assertWord(data, 1);
        assertWord(data, 68);
        // padded with zeros past the end
        assertWord(data, 69);
        assertWord(data, 99);
    }

    function testFuzz_anyWordOfAnyData(bytes calldata data, uint32[] calldata offsets) public {
        bytes32 hash = preimages.show(data, offsets);
        assertEq(hash, keccak256(data));
        assertEq(preimages.lengthOf(hash), data.length);
        for (uint256 i; i < offsets.length; i++) {
            assertWord(data, offsets[i]);
        }
    }

    function testFuzz_everyWordWithin(bytes calldata data, uint32 seed) public {
        vm.assume(data.length != 0);
        uint32 offset = uint32(seed % data.length);
        preimages.show(data, list(offset));
        assertWord(data, offset);
        uint32 other = uint32((offset + 1) % data.length);
        if (other != offset) {
            vm.expectRevert(abi.encodeWithSelector(IPreimages.NotShown.selector, keccak256(data), other));
            preimages.word(keccak256(data), other);
        }
    }

    function test_zeroWordsAreShownLikeOthers() public {
        bytes memory data = new bytes(64);
        bytes32 hash = preimages.show(data, list(32));
        (bytes32 value, uint32 length) = preimages.word(hash, 32);
        assertEq(value, 0);
        assertEq(length, 64);
        vm.expectRevert(abi.encodeWithSelector(IPreimages.NotShown.selector, hash, 0));
        preimages.word(hash, 0);
    }

    function test_pastTheEndTheLengthIsEnough() public {
        bytes memory data = pattern(33);
        bytes32 hash = preimages.show(data, new uint32[](0));
        assertWord(data, 33);
        assertWord(data, type(uint32).max);
        vm.expectRevert(abi.encodeWithSelector(IPreimages.NotShown.selector, hash, 32));
        preimages.word(hash, 32);
        // may be asked for, and nothing is kept
        preimages.show(data, list(33, type(uint32).max));
        assertWord(data, 33);
    }

    function test_nothingIsKnownOfWhatWasNotShown() public {
        vm.expectRevert(abi.encodeWithSelector(IPreimages.LengthNotShown.selector, keccak256("x")));
        preimages.lengthOf(keccak256("x"));
        vm.expectRevert(abi.encodeWithSelector(IPreimages.LengthNotShown.selector, keccak256("x")));
        preimages.word(keccak256("x"), 0);
    }

    function test_theEmptyPreimage() public {
        bytes32 hash = preimages.show("", list(0));
        assertEq(preimages.lengthOf(hash), 0);
        assertWord("", 0);
    }

    function test_showingAgainAddsAndChangesNothing() public {
        bytes memory data = pattern(200);
        preimages.show(data, list(7));
        vm.prank(address(0xbeef));
        preimages.show(data, list(9, 7));
        assertWord(data, 7);
        assertWord(data, 9);
    }

    function test_lengthLimit() public {
        bytes memory data = pattern(MAX);
        preimages.show(data, list(0, uint32(MAX - 1)));
        assertWord(data, uint32(MAX - 1));
        data = pattern(MAX + 1);
        vm.expectRevert(abi.encodeWithSelector(IPreimages.PreimageTooLong.selector, MAX + 1, MAX));
        preimages.show(data, list(0));
    }

    function test_gasOfShowing() public {
        bytes memory data = pattern(100);
        preimages.show(data, list(0));
        vm.snapshotGasLastCall("Preimages", "show: one word of 100 bytes");
        preimages.show(pattern(532), list(0));
        vm.snapshotGasLastCall("Preimages", "show: one word of 532 bytes (a full trie node)");
        preimages.show(pattern(532), list(32));
        vm.snapshotGasLastCall("Preimages", "show: another word of the same");
        preimages.show(pattern(MAX), list(0));
        vm.snapshotGasLastCall("Preimages", "show: one word of 98,304 bytes");
    }

    function assertWord(bytes memory data, uint32 offset) internal view {
        bytes memory expected = new bytes(32);
        for (uint256 i; i < 32 && offset + i < data.length; i++) {
            expected[i] = data[offset + i];
        }
        (bytes32 value, uint32 length) = preimages.word(keccak256(data), offset);
        assertEq(value, bytes32(expected));
        assertEq(length, data.length);
    }

    function pattern(uint256 n) internal pure returns (bytes memory data) {
        data = new bytes(n);
        for (uint256 i; i < n; i++) {
            // never zero: the dearest calldata
            data[i] = bytes1(uint8(i % 255 + 1));
        }
    }

    function list(uint32 a) internal pure returns (uint32[] memory offsets) {
        offsets = new uint32[](1);
        offsets[0] = a;
    }

    function list(uint32 a, uint32 b) internal pure returns (uint32[] memory offsets) {
        offsets = new uint32[](2);
        (offsets[0], offsets[1]) = (a, b);
    }

    function list(uint32 a, uint32 b, uint32 c, uint32 d, uint32 e) internal pure returns (uint32[] memory offsets) {
        offsets = new uint32[](5);
        (offsets[0], offsets[1], offsets[2], offsets[3], offsets[4]) = (a, b, c, d, e);
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {BLS} from "../src/libraries/BLS.sol";
import {PlainBLS} from "./quorum/PlainBLS.sol";
import {Test} from "forge-std/Test.sol";

/// The library, with points as bytes.
contract BLSCaller {
    function hashToG1(bytes32 message, bytes32 tag) external view returns (bytes memory point) {
        (uint256 at, uint256 hash,) = BLS.frame();
        BLS.hashToG1(message, tag, hash);
        return slice(at, 0x180, 128);
    }

    function verify(bytes calldata signature, bytes calldata key, bytes32 message) external view returns (bool) {
        (uint256 at, uint256 hash, uint256 to) = BLS.frame();
        put(key, to);
        BLS.negate(to);
        BLS.hashToG1(message, BLS.SIGNATURE_TAG, hash);
        return BLS.verify(signature, at);
    }

    function negate(bytes calldata point) external pure returns (bytes memory) {
        (,, uint256 to) = BLS.frame();
        put(point, to);
        BLS.negate(to);
        return slice(to, 0, 256);
    }

    function add(bytes calldata a, bytes calldata b) external view returns (bytes memory) {
        (,, uint256 to) = BLS.frame();
        put(a, to);
        put(b, to + 256);
        BLS.add(to);
        return slice(to, 0, 256);
    }

    function pack(bytes calldata point) external pure returns (bytes memory packed, bytes memory unpacked) {
        (uint256 at,, uint256 to) = BLS.frame();
        put(point, to);
        BLS.pack(to, at);
        BLS.unpack(at, to + 256);
        return (slice(at, 0, 192), slice(to, 256, 256));
    }

    function put(bytes calldata point, uint256 to) private pure {
        assembly ("memory-safe") {
            calldatacopy(to, point.offset, point.length)
        }
    }

    function slice(uint256 at, uint256 offset, uint256 length) private pure returns (bytes memory part) {
        part = new bytes(length);
        assembly ("memory-safe") {
            mcopy(add(part, 0x20), add(at, offset), length)
        }
    }
}

contract BLSTest is Test {
    string private constant SIGNATURE_TAG = "BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_";
    string private constant POSSESSION_TAG = "BLS_POP_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_";

    BLSCaller private bls = new BLSCaller();

    // RFC 9380, appendix J.9.1. The reference is held to it, the library to the reference.

    function test_reference_hashToG1_rfc9380() public view {
        check(
            "",
            hex"052926add2207b76ca4fa57a8734416c8dc95e24501772c814278700eed6d1e4e8cf62d9c09db0fac349612b759e79a1",
            hex"08ba738453bfed09cb546dbb0783dbb3a5f1f566ed67bb6be0e8c67e2e81a4cc68ee29813bb7994998f3eae0c9c6a265"
        );
        check(
            "abc",
            hex"03567bc5ef9c690c2ab2ecdf6a96ef1c139cc0b2f284dca0a9a7943388a49a3aee664ba5379a7655d3c68900be2f6903",
            hex"0b9c15f3fe6e5cf4211f346271d7b01c8f3b28be689c8429c85b67af215533311f0b8dfaaa154fa6b88176c229f2885d"
        );
        check(
            "abcdef0123456789",
            hex"11e0b079dea29a68f0383ee94fed1b940995272407e3bb916bbf268c263ddd57a6a27200a784cbc248e84f357ce82d98",
            hex"03a87ae2caf14e8ee52e51fa2ed8eefe80f02457004ba4d486d6aa1f517c0889501dc7413753f9599b099ebcbbd2d709"
        );
        check(
            bytes.concat("q128_", repeat("q", 128)),
            hex"15f68eaa693b95ccb85215dc65fa81038d69629f70aeee0d0f677cf22285e7bf58d7cb86eefe8f2e9bc3f8cb84fac488",
            hex"1807a1d50c29f430b8cafc4f8638dfeeadf51211e1602a5f184443076715f91bb90a48ba1e370edce6ae1062f5e6dd38"
        );
        check(
            bytes.concat("a512_", repeat("a", 512)),
            hex"082aabae8b7dedb0e78aeb619ad3bfd9277a2f77ba7fad20ef6aabdc6c31d19ba5a6d12283553294c1825c4b3ca2dcfe",
            hex"05b84ae5a942248eea39e1d91030458c40153f3b654ab7872d779ad1e942856a20c438e8d99bc8abfbf74729ce1f7ac8"
        );
    }

    function check(bytes memory message, bytes memory x, bytes memory y) private view {
        bytes memory point = PlainBLS.hashToG1(message, "QUUX-V01-CS02-with-BLS12381G1_XMD:SHA-256_SSWU_RO_");
        assertEq(point, bytes.concat(new bytes(16), x, new bytes(16), y));
    }

    function repeat(bytes1 letter, uint256 count) private pure returns (bytes memory word) {
        word = new bytes(count);
        for (uint256 i; i < count; ++i) {
            word[i] = letter;
        }
    }

    // The library does what the reference does.

    function testFuzz_hashToG1(bytes32 message) public view {
        assertEq(bls.hashToG1(message, BLS.SIGNATURE_TAG), PlainBLS.hashToG1(abi.encode(message), bytes(SIGNATURE_TAG)));
        assertEq(
            bls.hashToG1(message, BLS.POSSESSION_TAG), PlainBLS.hashToG1(abi.encode(message), bytes(POSSESSION_TAG))
        );
    }

    function testFuzz_pointsOfG2(uint256 a, uint256 b) public view {
        (bytes memory first, bytes memory second) = (PlainBLS.keyOf(a), PlainBLS.keyOf(b));
        assertEq(bls.negate(first), PlainBLS.negate(first));
        assertEq(bls.add(first, second), PlainBLS.add(first, second));
        assertEq(bls.add(first, second), PlainBLS.keyOf(addmod(a, b, PlainBLS.R)));
        assertEq(bls.add(first, bls.negate(first)), new bytes(256));
        (bytes memory packed, bytes memory unpacked) = bls.pack(first);
        assertEq(packed, PlainBLS.pack(first));
        assertEq(unpacked, first);
    }

    function test_negate_infinityStays() public view {
        assertEq(bls.negate(new bytes(256)), new bytes(256));
    }

    function testFuzz_verify(uint256 secret, bytes32 message, bytes32 other, uint256 bit) public view {
        secret = bound(secret, 1, PlainBLS.R - 1);
        vm.assume(message != other);
        bytes memory key = PlainBLS.keyOf(secret);
        bytes memory signature = PlainBLS.sign(secret, message, SIGNATURE_TAG);
        bytes memory hash = PlainBLS.hashToG1(abi.encode(message), bytes(SIGNATURE_TAG));
        assertTrue(PlainBLS.verify(signature, key, hash));
        assertTrue(bls.verify(signature, key, message));
        assertFalse(bls.verify(signature, key, other));
        assertFalse(bls.verify(PlainBLS.negate(signature), key, message));
        assertFalse(bls.verify(signature, PlainBLS.negate(key), message));
        assertFalse(bls.verify(PlainBLS.sign(secret, message, POSSESSION_TAG), key, message));
        bit = bit % 1024;
        signature[bit / 8] ^= bytes1(uint8(1 << (bit % 8)));
        assertFalse(bls.verify(signature, key, message));
    }

    // Infinity

    function test_verify_infinity() public view {
        assertFalse(bls.verify(new bytes(128), PlainBLS.keyOf(1), "message"));
        assertFalse(bls.verify(new bytes(128), new bytes(256), "message"));
        assertFalse(bls.verify(PlainBLS.sign(1, "message", SIGNATURE_TAG), new bytes(256), "message"));
    }

    // Points of the curve that are not in the subgroup

    /// x = 4 on G1.
    function test_verify_signatureOutsideTheSubgroup() public view {
        bytes memory stranger = abi.encodePacked(
            uint256(0),
            uint256(4),
            hex"000000000000000000000000000000000a989badd40d6212b33cffc3f3763e9bc760f988c9926b26da9dd85e928483446346b8ed00e1de5d5ea93e354abe706c"
        );
        bytes memory signature = PlainBLS.sign(7, "message", SIGNATURE_TAG);
        // On the curve, or adding it would have failed.
        assertFalse(bls.verify(PlainBLS.add(signature, stranger), PlainBLS.keyOf(7), "message"));
        assertFalse(bls.verify(stranger, PlainBLS.keyOf(7), "message"));
    }

    /// (0, 2), of order 3, is the point with x = 0.
    function test_verify_signatureOfOrderThree() public view {
        bytes memory point = abi.encode(0, 0, 0, 2);
        assertEq(PlainBLS.add(PlainBLS.add(point, point), point), new bytes(128));
        assertFalse(bls.verify(point, PlainBLS.keyOf(7), "message"));
    }

    /// x = 2 on G2.
    function test_verify_keyOutsideTheSubgroup() public view {
        bytes memory key = bls.add(PlainBLS.keyOf(7), strangerOfG2());
        assertFalse(bls.verify(PlainBLS.sign(7, "message", SIGNATURE_TAG), key, "message"));
    }

    function strangerOfG2() private pure returns (bytes memory) {
        return abi.encodePacked(
            uint256(0),
            uint256(2),
            uint256(0),
            uint256(0),
            hex"0000000000000000000000000000000018c6b864ae17dc9da64203ffefb966306425a7bc6aeb7c75247438372716284a4173830420cd476ba1a365b95bfcec38",
            hex"00000000000000000000000000000000172e93db764a8400a7d5071b6b6f5de0da2f0f4a063119abca014006b7c40a2cfe291a1924e65db0d6d0fcfbf3bf3d5c"
        );
    }

    // Coordinates that are not below p

    function test_verify_notCanonical() public view {
        bytes memory signature = PlainBLS.sign(7, "message", SIGNATURE_TAG);
        assertTrue(bls.verify(signature, PlainBLS.keyOf(7), "message"));
        // x + p, of which the high word does not carry.
        (uint256 a, uint256 b, uint256 c, uint256 d) = abi.decode(signature, (uint256, uint256, uint256, uint256));
        (uint256 high, uint256 low) = abi.decode(PlainBLS.P, (uint256, uint256));
        unchecked {
            uint256 sum = b + low;
            assertFalse(bls.verify(abi.encode(a + high + (sum < b ? 1 : 0), sum, c, d), PlainBLS.keyOf(7), "message"));
        }
    }
}

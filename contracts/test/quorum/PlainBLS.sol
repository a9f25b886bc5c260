// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @title BLS12-381 by the book
/// @notice What `BLS` does, without assembly: RFC 9380 and draft-irtf-cfrg-bls-signature-05 step by step over the
/// precompiles; and what only tests do, making keys and signatures.
library PlainBLS {
    /// Order of the groups.
    uint256 internal constant R = 0x73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000001;

    bytes internal constant P =
        hex"000000000000000000000000000000001a0111ea397fe69a4b1ba7b6434bacd764774b84f38512bf6730d2a0f6b0f6241eabfffeb153ffffb9feffffffffaaab";
    bytes internal constant G2 = hex"00000000000000000000000000000000024aa2b2f08f0a91260805272dc51051c6e47ad4fa403b02b4510b647ae3d1770bac0326a805bbefd48056c8c121bdb8"
        hex"0000000000000000000000000000000013e02b6052719f607dacd3a088274f65596bd0d09920b61ab5da61bbdc7f5049334cf11213945d57e5ac7d055d042b7e"
        hex"000000000000000000000000000000000ce5d527727d6e118cc9cdc6da2e351aadfd9baa8cbdd3a76d429a695160d12c923ac9cc3baca289e193548608b82801"
        hex"000000000000000000000000000000000606c4a02ea734cc32acd2b02bc28b99cb3e287e85a763af267492ab572e99ab3f370d275cec1da1aaa9075ff05f79be";

    error Refused(uint256 precompile);

    // Keys and signatures

    function keyOf(uint256 secret) internal view returns (bytes memory) {
        return call(0x0e, bytes.concat(G2, bytes32(secret % R)));
    }

    function sign(uint256 secret, bytes32 message, string memory tag) internal view returns (bytes memory) {
        return call(0x0c, bytes.concat(hashToG1(abi.encode(message), bytes(tag)), bytes32(secret % R)));
    }

    // The reference

    function verify(bytes memory signature, bytes memory key, bytes memory hash) internal view returns (bool) {
        if (signature.length != 128 || keccak256(signature) == keccak256(new bytes(128))) return false;
        (bool ok, bytes memory result) = address(0x0f).staticcall(bytes.concat(signature, negate(G2), hash, key));
        return ok && abi.decode(result, (uint256)) == 1;
    }

    function hashToG1(bytes memory message, bytes memory tag) internal view returns (bytes memory) {
        bytes memory uniform = expand(message, tag);
        bytes memory first = call(0x10, reduce(slice(uniform, 0, 64)));
        bytes memory second = call(0x10, reduce(slice(uniform, 64, 64)));
        return call(0x0b, bytes.concat(first, second));
    }

    /// expand_message_xmd to 128 bytes.
    function expand(bytes memory message, bytes memory tag) internal pure returns (bytes memory uniform) {
        bytes memory prime = bytes.concat(tag, bytes1(uint8(tag.length)));
        bytes32 first = sha256(bytes.concat(new bytes(64), message, hex"008000", prime));
        bytes32 block_;
        for (uint8 i = 1; i <= 4; ++i) {
            block_ = sha256(bytes.concat(i == 1 ? first : first ^ block_, bytes1(i), prime));
            uniform = bytes.concat(uniform, block_);
        }
    }

    function reduce(bytes memory number) internal view returns (bytes memory) {
        return call(0x05, abi.encodePacked(number.length, uint256(1), uint256(64), number, hex"01", P));
    }

    function add(bytes memory a, bytes memory b) internal view returns (bytes memory) {
        return call(a.length == 128 ? 0x0b : 0x0d, bytes.concat(a, b));
    }

    /// Times the order less one.
    function negate(bytes memory point) internal view returns (bytes memory) {
        return call(point.length == 128 ? 0x0c : 0x0e, bytes.concat(point, bytes32(R - 1)));
    }

    /// 192 bytes of 256.
    function pack(bytes memory point) internal pure returns (bytes memory packed) {
        for (uint256 i; i < 4; ++i) {
            packed = bytes.concat(packed, slice(point, i * 64 + 16, 48));
        }
    }

    function slice(bytes memory data, uint256 start, uint256 length) internal pure returns (bytes memory part) {
        part = new bytes(length);
        for (uint256 i; i < length; ++i) {
            part[i] = data[start + i];
        }
    }

    function call(uint256 precompile, bytes memory input) internal view returns (bytes memory output) {
        bool ok;
        (ok, output) = address(uint160(precompile)).staticcall(input);
        if (!ok) revert Refused(precompile);
    }
}

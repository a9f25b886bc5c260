// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @title BLS
/// @notice Signatures on BLS12-381, with the precompiles of EIP-2537: signatures in G1, public keys in G2
/// (draft-irtf-cfrg-bls-signature-05), messages hashed to G1 by RFC 9380 (`BLS12381G1_XMD:SHA-256_SSWU_RO_`).
/// @dev A point of G1 is 128 bytes (x, y), of G2 256 (x.c0, x.c1, y.c0, y.c1), 64 a coordinate, of which the first 16 are
/// zero; `packed`, they are left out. The point at infinity is all zeros. A precompile that refuses its input takes all
/// gas it was given; a 64th is left to say so.
library BLS {
    error PrecompileFailed();

    string internal constant SIGNATURE_TAG = "BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_";
    string internal constant POSSESSION_TAG = "BLS_POP_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_";

    uint256 internal constant SIGNATURE_LENGTH = 128;
    uint256 internal constant KEY_LENGTH = 256;
    uint256 internal constant PACKED_KEY_LENGTH = 192;

    uint256 private constant SHA256 = 0x02;
    uint256 private constant MODEXP = 0x05;
    uint256 private constant G1ADD = 0x0b;
    uint256 private constant G2ADD = 0x0d;
    uint256 private constant PAIRING = 0x0f;
    uint256 private constant MAP_FP_TO_G1 = 0x10;

    // The field's prime, in two words.
    uint256 private constant P_HIGH = 0x1a0111ea397fe69a4b1ba7b6434bacd7;
    uint256 private constant P_LOW = 0x64774b84f38512bf6730d2a0f6b0f6241eabfffeb153ffffb9feffffffffaaab;

    // The generator of G2, negated.
    uint256 private constant G_X0_HIGH = 0x024aa2b2f08f0a91260805272dc51051;
    uint256 private constant G_X0_LOW = 0xc6e47ad4fa403b02b4510b647ae3d1770bac0326a805bbefd48056c8c121bdb8;
    uint256 private constant G_X1_HIGH = 0x13e02b6052719f607dacd3a088274f65;
    uint256 private constant G_X1_LOW = 0x596bd0d09920b61ab5da61bbdc7f5049334cf11213945d57e5ac7d055d042b7e;
    uint256 private constant G_Y0_HIGH = 0x0d1b3cc2c7027888be51d9ef691d77bc;
    uint256 private constant G_Y0_LOW = 0xb679afda66c73f17f9ee3837a55024f78c71363275a75d75d86bab79f74782aa;
    uint256 private constant G_Y1_HIGH = 0x13fa4d4a0ad8b1ce186ed5061789213d;
    uint256 private constant G_Y1_LOW = 0x993923066dddaf1040bc3ff59f825c78df74f2d75467e25e0f55f8a00fa030ed;

    /// @return point `message` hashed to G1 under `tag`, which must be shorter than 256 bytes
    function hashToG1(bytes memory message, string memory tag) internal view returns (uint256[4] memory point) {
        bool ok;
        assembly ("memory-safe") {
            // Four blocks of the expanded message, then whatever is being hashed, raised or added.
            let blocks := mload(0x40)
            let input := add(blocks, 0x80)
            let tagLength := mload(tag)

            // b_0: hash of 64 zeros, the message, the length wanted (128, two bytes), a zero, the tag, its length.
            mstore(input, 0)
            mstore(add(input, 0x20), 0)
            let end := add(input, 0x40)
            mcopy(end, add(message, 0x20), mload(message))
            end := add(end, mload(message))
            mstore(end, shl(232, 0x008000))
            end := add(end, 3)
            mcopy(end, add(tag, 0x20), tagLength)
            end := add(end, tagLength)
            mstore8(end, tagLength)
            ok := staticcall(gas(), SHA256, input, sub(add(end, 1), input), 0x00, 0x20)
            let first := mload(0x00)

            // b_i: hash of b_0 xor b_{i-1}, i, the tag, its length.
            mcopy(add(input, 0x21), add(tag, 0x20), tagLength)
            mstore8(add(input, add(0x21, tagLength)), tagLength)
            let size := add(tagLength, 0x22)
            let previous := 0
            for { let i := 0 } lt(i, 4) {} {
                let to := add(blocks, shl(5, i))
                i := add(i, 1)
                mstore(input, xor(first, previous))
                mstore8(add(input, 0x20), i)
                ok := and(ok, staticcall(gas(), SHA256, input, size, to, 0x20))
                previous := mload(to)
            }

            // Each half modulo p: base, exponent (1) and modulus of 64, 1 and 64 bytes.
            mstore(input, 0x40)
            mstore(add(input, 0x20), 0x01)
            mstore(add(input, 0x40), 0x40)
            mcopy(add(input, 0x60), blocks, 0x40)
            mstore8(add(input, 0xa0), 1)
            mstore(add(input, 0xa1), P_HIGH)
            mstore(add(input, 0xc1), P_LOW)
            ok := and(ok, staticcall(gas(), MODEXP, input, 0xe1, blocks, 0x40))
            mcopy(add(input, 0x60), add(blocks, 0x40), 0x40)
            ok := and(ok, staticcall(gas(), MODEXP, input, 0xe1, add(blocks, 0x40), 0x40))

            // Each to the curve, and their sum.
            ok := and(ok, staticcall(gas(), MAP_FP_TO_G1, blocks, 0x40, input, 0x80))
            ok := and(ok, staticcall(gas(), MAP_FP_TO_G1, add(blocks, 0x40), 0x40, add(input, 0x80), 0x80))
            ok := and(ok, staticcall(gas(), G1ADD, input, 0x100, point, 0x80))
        }
        // Their inputs are ours: only a lack of gas makes these precompiles fail.
        if (!ok) revert PrecompileFailed();
    }

    /// @param hash the message's, `hashToG1`
    /// @return whether `signature` is `key`'s: both in their subgroups, neither at infinity, and
    /// e(signature, -g2) * e(hash, key) = 1
    function verify(bytes calldata signature, uint256[8] memory key, uint256[4] memory hash)
        internal
        view
        returns (bool)
    {
        if (signature.length != SIGNATURE_LENGTH) return false;
        bool ok;
        assembly ("memory-safe") {
            let input := mload(0x40)
            calldatacopy(input, signature.offset, 0x80)
            // At infinity both sides would be 1 whatever the message, for keys that cancel each other out.
            ok := or(or(mload(input), mload(add(input, 0x20))), or(mload(add(input, 0x40)), mload(add(input, 0x60))))
            mstore(add(input, 0x80), G_X0_HIGH)
            mstore(add(input, 0xa0), G_X0_LOW)
            mstore(add(input, 0xc0), G_X1_HIGH)
            mstore(add(input, 0xe0), G_X1_LOW)
            mstore(add(input, 0x100), G_Y0_HIGH)
            mstore(add(input, 0x120), G_Y0_LOW)
            mstore(add(input, 0x140), G_Y1_HIGH)
            mstore(add(input, 0x160), G_Y1_LOW)
            mcopy(add(input, 0x180), hash, 0x80)
            mcopy(add(input, 0x200), key, 0x100)
            if ok {
                mstore(0x00, 0)
                ok := and(staticcall(gas(), PAIRING, input, 0x300, 0x00, 0x20), 1)
                ok := and(ok, eq(mload(0x00), 1))
            }
        }
        return ok;
    }

    /// @notice Adds the second point of G2 to the first, in place. Points outside the subgroup are not noticed.
    function add(uint256[16] memory points) internal view {
        bool ok;
        assembly ("memory-safe") {
            ok := staticcall(gas(), G2ADD, points, 0x200, points, 0x100)
        }
        if (!ok) revert PrecompileFailed();
    }

    /// @notice Negates a point of G2, in place: y becomes p - y, where it is not zero.
    function negate(uint256[8] memory point) internal pure {
        assembly ("memory-safe") {
            for { let y := add(point, 0x80) } lt(y, add(point, 0x100)) { y := add(y, 0x40) } {
                let high := mload(y)
                let low := mload(add(y, 0x20))
                if or(high, low) {
                    mstore(y, sub(sub(P_HIGH, high), gt(low, P_LOW)))
                    mstore(add(y, 0x20), sub(P_LOW, low))
                }
            }
        }
    }

    /// @notice Writes the point of G2 whose 192 bytes are in memory at `from` to `to`, as 256 bytes.
    /// @dev The two must not overlap.
    function unpack(uint256 from, uint256 to) internal pure {
        assembly ("memory-safe") {
            for { let end := add(to, 0x100) } lt(to, end) { to := add(to, 0x40) } {
                mstore(to, shr(128, mload(from)))
                mstore(add(to, 0x20), mload(add(from, 0x10)))
                from := add(from, 0x30)
            }
        }
    }

    /// @notice Writes `point` to memory at `to`, as 192 bytes.
    function pack(uint256[8] memory point, uint256 to) internal pure {
        assembly ("memory-safe") {
            for { let i := 0 } lt(i, 4) { i := add(i, 1) } {
                mcopy(add(to, mul(i, 0x30)), add(add(point, shl(6, i)), 0x10), 0x30)
            }
        }
    }

    function isZero(uint256[8] memory point) internal pure returns (bool zero) {
        uint256 all;
        for (uint256 i; i < 8; ++i) {
            all |= point[i];
        }
        return all == 0;
    }

    /// @return short the point's 192 bytes
    function packed(uint256[8] memory point) internal pure returns (bytes memory short) {
        short = new bytes(PACKED_KEY_LENGTH);
        uint256 to;
        assembly ("memory-safe") {
            to := add(short, 0x20)
        }
        pack(point, to);
    }

    /// @param short 192 bytes
    /// @return long the point's 256 bytes
    function unpacked(bytes memory short) internal pure returns (bytes memory long) {
        long = new bytes(KEY_LENGTH);
        uint256 from;
        uint256 to;
        assembly ("memory-safe") {
            from := add(short, 0x20)
            to := add(long, 0x20)
        }
        unpack(from, to);
    }
}

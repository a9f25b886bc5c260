// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @title BLS
/// @notice Signatures on BLS12-381, with the precompiles of EIP-2537: signatures in G1, public keys in G2
/// (draft-irtf-cfrg-bls-signature-05), messages hashed to G1 by RFC 9380 (`BLS12381G1_XMD:SHA-256_SSWU_RO_`).
/// @dev A point of G1 is 128 bytes (x, y), of G2 256 (x.c0, x.c1, y.c0, y.c1), 64 a coordinate, of which the first 16
/// are zero; packed, they are left out. The point at infinity is all zeros. A precompile that refuses its input takes
/// all gas it was given; a 64th is left to say so.
///
/// A signature is verified in a frame: memory in which everything is put where the pairing expects it. It holds the
/// signature, the generator, the message's point, the key negated (which is cheaper where keys are taken from a sum);
/// and room for a point to add to the key. Points are given by their place in memory: typed ones would be allocated and
/// cleared at every turn.
library BLS {
    error PrecompileFailed();

    // The tags of the ciphersuite, `BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_` for signatures and `BLS_POP_...` for
    // proofs of possession: the first 32 bytes of each, and the rest with the length, 43.
    bytes32 internal constant SIGNATURE_TAG = "BLS_SIG_BLS12381G1_XMD:SHA-256_S";
    bytes32 internal constant POSSESSION_TAG = "BLS_POP_BLS12381G1_XMD:SHA-256_S";
    bytes32 private constant TAG_END = "SWU_RO_POP_\x2b";

    uint256 internal constant SIGNATURE_LENGTH = 128;
    uint256 internal constant KEY_LENGTH = 256;
    uint256 internal constant PACKED_KEY_LENGTH = 192;

    // Places in a frame.
    uint256 private constant HASH = 0x180;
    uint256 private constant KEY = 0x200;
    uint256 private constant FRAME_LENGTH = 0x400;

    uint256 private constant SHA256 = 0x02;
    uint256 private constant G1ADD = 0x0b;
    uint256 private constant G2ADD = 0x0d;
    uint256 private constant PAIRING = 0x0f;
    uint256 private constant MAP_FP_TO_G1 = 0x10;

    // The field's prime, in two words.
    uint256 private constant P_HIGH = 0x1a0111ea397fe69a4b1ba7b6434bacd7;
    uint256 private constant P_LOW = 0x64774b84f38512bf6730d2a0f6b0f6241eabfffeb153ffffb9feffffffffaaab;
    /// 2^636 / p.
    uint256 private constant P_INVERSE = 0x9d835d2f3cc9e45ce28101b0cc7a6ba291b82741ff6a0a94bdf4771e0286779d;

    // The generator of G2.
    uint256 private constant G_X0_HIGH = 0x024aa2b2f08f0a91260805272dc51051;
    uint256 private constant G_X0_LOW = 0xc6e47ad4fa403b02b4510b647ae3d1770bac0326a805bbefd48056c8c121bdb8;
    uint256 private constant G_X1_HIGH = 0x13e02b6052719f607dacd3a088274f65;
    uint256 private constant G_X1_LOW = 0x596bd0d09920b61ab5da61bbdc7f5049334cf11213945d57e5ac7d055d042b7e;
    uint256 private constant G_Y0_HIGH = 0x0ce5d527727d6e118cc9cdc6da2e351a;
    uint256 private constant G_Y0_LOW = 0xadfd9baa8cbdd3a76d429a695160d12c923ac9cc3baca289e193548608b82801;
    uint256 private constant G_Y1_HIGH = 0x0606c4a02ea734cc32acd2b02bc28b99;
    uint256 private constant G_Y1_LOW = 0xcb3e287e85a763af267492ab572e99ab3f370d275cec1da1aaa9075ff05f79be;

    // Verifying

    /// @return at where a new frame is
    /// @return hash where in it the message's point goes
    /// @return key where in it the negated key goes; there is no point yet, nor after it
    function frame() internal pure returns (uint256 at, uint256 hash, uint256 key) {
        (at, hash, key) = bareFrame();
        assembly ("memory-safe") {
            calldatacopy(key, calldatasize(), 0x200)
        }
    }

    /// @notice As `frame`, for whoever writes all of the key, and clears the place after it before adding to it.
    function bareFrame() internal pure returns (uint256 at, uint256 hash, uint256 key) {
        assembly ("memory-safe") {
            at := mload(0x40)
            mstore(0x40, add(at, FRAME_LENGTH))
            hash := add(at, HASH)
            key := add(at, KEY)
        }
    }

    /// @notice Writes `message`, hashed to G1, to `to`.
    /// @param tag the first 32 bytes of the ciphersuite's
    function hashToG1(bytes32 message, bytes32 tag, uint256 to) internal view {
        bool ok;
        assembly ("memory-safe") {
            function mulHigh(a, b) -> high {
                let low := mul(a, b)
                let rest := mulmod(a, b, not(0))
                high := sub(sub(rest, low), lt(rest, low))
            }

            // Replaces the 512-bit number at `at` by its remainder modulo p. The quotient that the high word alone
            // gives is at most one too small.
            function reduce(at) {
                let high := mload(at)
                let low := mload(add(at, 0x20))
                let quotient := shr(124, mulHigh(high, P_INVERSE))
                let product := mul(quotient, P_LOW)
                high := sub(sub(high, lt(low, product)), add(mulHigh(quotient, P_LOW), mul(quotient, P_HIGH)))
                low := sub(low, product)
                if or(gt(high, P_HIGH), and(eq(high, P_HIGH), iszero(lt(low, P_LOW)))) {
                    high := sub(sub(high, P_HIGH), lt(low, P_LOW))
                    low := sub(low, P_LOW)
                }
                mstore(at, high)
                mstore(add(at, 0x20), low)
            }

            // Four blocks of the expanded message, then whatever is being hashed or added.
            let blocks := mload(0x40)
            let input := add(blocks, 0x80)

            // b_0: hash of 64 zeros, the message, the length wanted (128, two bytes), a zero, the tag with its length.
            mstore(input, 0)
            mstore(add(input, 0x20), 0)
            mstore(add(input, 0x40), message)
            mstore(add(input, 0x60), shl(232, 0x008000))
            mstore(add(input, 0x63), tag)
            mstore(add(input, 0x83), TAG_END)
            ok := staticcall(gas(), SHA256, input, 143, 0x00, 0x20)
            let initial := mload(0x00)

            // b_i: hash of b_0 xor b_{i-1}, i, the tag with its length.
            mstore(input, initial)
            mstore8(add(input, 0x20), 1)
            mstore(add(input, 0x21), tag)
            mstore(add(input, 0x41), TAG_END)
            ok := and(ok, staticcall(gas(), SHA256, input, 77, blocks, 0x20))
            mstore(input, xor(initial, mload(blocks)))
            mstore8(add(input, 0x20), 2)
            ok := and(ok, staticcall(gas(), SHA256, input, 77, add(blocks, 0x20), 0x20))
            mstore(input, xor(initial, mload(add(blocks, 0x20))))
            mstore8(add(input, 0x20), 3)
            ok := and(ok, staticcall(gas(), SHA256, input, 77, add(blocks, 0x40), 0x20))
            mstore(input, xor(initial, mload(add(blocks, 0x40))))
            mstore8(add(input, 0x20), 4)
            ok := and(ok, staticcall(gas(), SHA256, input, 77, add(blocks, 0x60), 0x20))

            // Each half modulo p, to the curve; and the sum.
            reduce(blocks)
            reduce(add(blocks, 0x40))
            ok := and(ok, staticcall(gas(), MAP_FP_TO_G1, blocks, 0x40, input, 0x80))
            ok := and(ok, staticcall(gas(), MAP_FP_TO_G1, add(blocks, 0x40), 0x40, add(input, 0x80), 0x80))
            ok := and(ok, staticcall(gas(), G1ADD, input, 0x100, to, 0x80))
        }
        // Their inputs are ours: only a lack of gas makes these precompiles fail.
        if (!ok) revert PrecompileFailed();
    }

    /// @param signature 128 bytes
    /// @param at a frame with the message's point and the negated key
    /// @return ok whether `signature` is the key's: both in their subgroups, the signature not at infinity, and
    /// e(signature, g2) * e(hash, -key) = 1
    function verify(bytes calldata signature, uint256 at) internal view returns (bool ok) {
        assembly ("memory-safe") {
            calldatacopy(at, signature.offset, 0x80)
            mstore(add(at, 0x80), G_X0_HIGH)
            mstore(add(at, 0xa0), G_X0_LOW)
            mstore(add(at, 0xc0), G_X1_HIGH)
            mstore(add(at, 0xe0), G_X1_LOW)
            mstore(add(at, 0x100), G_Y0_HIGH)
            mstore(add(at, 0x120), G_Y0_LOW)
            mstore(add(at, 0x140), G_Y1_HIGH)
            mstore(add(at, 0x160), G_Y1_LOW)
            // At infinity both sides are 1, whatever the message, for keys that cancel each other out. No other point
            // of the subgroup has 0 as x.
            if or(mload(at), mload(add(at, 0x20))) {
                // What lies at 0 counts only where the precompile has written it.
                ok := staticcall(gas(), PAIRING, at, 0x300, 0x00, 0x20)
                ok := and(ok, eq(mload(0x00), 1))
            }
        }
    }

    // Points of G2

    /// @notice Makes it the point at infinity.
    function clear(uint256 at) internal pure {
        assembly ("memory-safe") {
            calldatacopy(at, calldatasize(), 0x100)
        }
    }

    /// @notice Adds the point after the one at `at` to it. That they are in the subgroup is not checked.
    function add(uint256 at) internal view {
        bool ok;
        assembly ("memory-safe") {
            ok := staticcall(gas(), G2ADD, at, 0x200, at, 0x100)
        }
        if (!ok) revert PrecompileFailed();
    }

    /// @notice y becomes p - y, where it is not zero.
    function negate(uint256 at) internal pure {
        assembly ("memory-safe") {
            function negateAt(y) {
                let high := mload(y)
                let low := mload(add(y, 0x20))
                if or(high, low) {
                    mstore(y, sub(sub(P_HIGH, high), gt(low, P_LOW)))
                    mstore(add(y, 0x20), sub(P_LOW, low))
                }
            }
            negateAt(add(at, 0x80))
            negateAt(add(at, 0xc0))
        }
    }

    /// @notice Writes the 192 bytes at `from` to `to`, as 256 bytes, of which the others are zero already.
    function unpack(uint256 from, uint256 to) internal pure {
        assembly ("memory-safe") {
            mcopy(add(to, 0x10), from, 0x30)
            mcopy(add(to, 0x50), add(from, 0x30), 0x30)
            mcopy(add(to, 0x90), add(from, 0x60), 0x30)
            mcopy(add(to, 0xd0), add(from, 0x90), 0x30)
        }
    }

    /// @notice Writes the 256 bytes at `from` to `to`, as 192 bytes.
    function pack(uint256 from, uint256 to) internal pure {
        assembly ("memory-safe") {
            mcopy(to, add(from, 0x10), 0x30)
            mcopy(add(to, 0x30), add(from, 0x50), 0x30)
            mcopy(add(to, 0x60), add(from, 0x90), 0x30)
            mcopy(add(to, 0x90), add(from, 0xd0), 0x30)
        }
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// A machine state in memory, in the layout that is hashed (`docs/spec/machine.md`, section 1): a pointer to 263 bytes.
type MachineState is uint256;

using MachineStateLib for MachineState global;

/// @title The 263 bytes of a machine state, read and changed in place
/// @dev In assembly, since every step reads and hashes all of it. `ReferenceMachine` (in the tests) does the same with a
/// struct in plain Solidity, and a fuzz test holds the two together.
///
/// While a step runs, `pc` is kept on the stack: `takePc` takes it out and leaves zero in its place. Its place is just
/// before `x1`, so there `x0` is found: it reads as zero, and what is written to it `putPc` overwrites.
///
/// Fields are read with the word that starts at them, and changed by XOR within it, so their neighbours keep their value.
library MachineStateLib {
    /// Length of a state, bytes.
    uint256 internal constant LENGTH = 263;

    // Byte offsets of the fields.
    uint256 private constant CODE_ROOT = 0;
    uint256 private constant MEM_ROOT = 32;
    uint256 private constant INPUT_HASH = 64;
    uint256 private constant OUTPUT_ROOT = 96;
    uint256 private constant PC = 128;
    uint256 private constant HASH_REGISTERS = 200;
    uint256 private constant STATUS = 256;
    uint256 private constant CODE_HEIGHT = 261;
    uint256 private constant MEM_HEIGHT = 262;

    /// Copy a state out of the calldata; `data` has at least 263 bytes.
    function load(bytes calldata data) internal pure returns (MachineState state) {
        assembly ("memory-safe") {
            state := mload(0x40)
            // Rounded up to whole words, and one more: a word read at the last field ends within it.
            mstore(0x40, add(state, 320))
            calldatacopy(state, data.offset, LENGTH)
        }
    }

    /// The state root.
    function root(MachineState state) internal pure returns (bytes32 value) {
        assembly ("memory-safe") {
            value := keccak256(state, LENGTH)
        }
    }

    function codeRoot(MachineState state) internal pure returns (bytes32) {
        return _word(state, CODE_ROOT);
    }

    function memRoot(MachineState state) internal pure returns (bytes32) {
        return _word(state, MEM_ROOT);
    }

    function setMemRoot(MachineState state, bytes32 value) internal pure {
        _setWord(state, MEM_ROOT, value);
    }

    function inputHash(MachineState state) internal pure returns (bytes32) {
        return _word(state, INPUT_HASH);
    }

    function outputRoot(MachineState state) internal pure returns (bytes32) {
        return _word(state, OUTPUT_ROOT);
    }

    function setOutputRoot(MachineState state, bytes32 value) internal pure {
        _setWord(state, OUTPUT_ROOT, value);
    }

    function status(MachineState state) internal pure returns (uint256) {
        return uint256(_word(state, STATUS)) >> 248;
    }

    function codeHeight(MachineState state) internal pure returns (uint256) {
        return uint8(uint256(_word(state, CODE_HEIGHT)) >> 248);
    }

    function memHeight(MachineState state) internal pure returns (uint256) {
        return uint8(uint256(_word(state, MEM_HEIGHT)) >> 248);
    }

    /// Set status and exit, which are neighbours.
    function end(MachineState state, uint256 newStatus, uint256 newExit) internal pure {
        assembly ("memory-safe") {
            let field := add(state, STATUS)
            let word := mload(field)
            mstore(field, xor(word, shl(216, xor(shr(216, word), or(shl(32, newStatus), newExit)))))
        }
    }

    /// Take `pc` out and make its place `x0`; see above.
    function takePc(MachineState state) internal pure returns (uint256 value) {
        assembly ("memory-safe") {
            let field := add(state, PC)
            let word := mload(field)
            value := shr(224, word)
            mstore(field, xor(word, shl(224, value)))
        }
    }

    /// Put `pc` back, below 2^32.
    function putPc(MachineState state, uint256 pc) internal pure {
        setReg(state, 0, pc);
    }

    /// Register `x[i]`, i < 32, between `takePc` and `putPc`.
    function reg(MachineState state, uint256 i) internal pure returns (uint256 value) {
        assembly ("memory-safe") {
            value := shr(224, mload(add(add(state, PC), shl(2, i))))
        }
    }

    /// Set register `x[i]`, i < 32, to a value below 2^32, between `takePc` and `putPc`.
    function setReg(MachineState state, uint256 i, uint256 value) internal pure {
        assembly ("memory-safe") {
            let field := add(add(state, PC), shl(2, i))
            let word := mload(field)
            mstore(field, xor(word, shl(224, xor(shr(224, word), value))))
        }
    }

    /// The hash in `s2`..`s9`: eight neighbours, each holding four bytes of it as a little-endian word.
    function hashRegisters(MachineState state) internal pure returns (bytes32) {
        return swapEach4(_word(state, HASH_REGISTERS));
    }

    function setHashRegisters(MachineState state, bytes32 hash) internal pure {
        _setWord(state, HASH_REGISTERS, swapEach4(hash));
    }

    /// Reverse the bytes of each of the eight 4-byte words.
    function swapEach4(bytes32 value) internal pure returns (bytes32) {
        uint256 v = uint256(value);
        uint256 low = 0x00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff;
        v = ((v >> 8) & low) | ((v & low) << 8);
        low = 0x0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff;
        return bytes32(((v >> 16) & low) | ((v & low) << 16));
    }

    function _word(MachineState state, uint256 offset) private pure returns (bytes32 value) {
        assembly ("memory-safe") {
            value := mload(add(state, offset))
        }
    }

    function _setWord(MachineState state, uint256 offset, bytes32 value) private pure {
        assembly ("memory-safe") {
            mstore(add(state, offset), value)
        }
    }
}

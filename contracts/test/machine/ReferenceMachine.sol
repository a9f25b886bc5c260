// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IPreimages} from "../../src/interfaces/IPreimages.sol";
import {ReferenceTree} from "./ReferenceTree.sol";

/// A machine state (`docs/spec/machine.md`, section 1).
struct ReferenceState {
    bytes32 codeRoot;
    bytes32 memRoot;
    bytes32 inputHash;
    bytes32 outputRoot;
    uint32 pc;
    /// x[0] stays zero
    uint32[32] x;
    uint8 status;
    uint32 exit;
    uint8 codeHeight;
    uint8 memHeight;
}

library ReferenceStateLib {
    function encode(ReferenceState memory state) internal pure returns (bytes memory data) {
        data = abi.encodePacked(state.codeRoot, state.memRoot, state.inputHash, state.outputRoot, state.pc);
        for (uint256 i = 1; i < 32; i++) {
            data = abi.encodePacked(data, state.x[i]);
        }
        data = abi.encodePacked(data, state.status, state.exit, state.codeHeight, state.memHeight);
    }

    function decode(bytes memory data) internal pure returns (ReferenceState memory state) {
        state.codeRoot = bytes32(ReferenceTree.number(data, 0, 32));
        state.memRoot = bytes32(ReferenceTree.number(data, 32, 32));
        state.inputHash = bytes32(ReferenceTree.number(data, 64, 32));
        state.outputRoot = bytes32(ReferenceTree.number(data, 96, 32));
        state.pc = uint32(ReferenceTree.number(data, 128, 4));
        for (uint256 i = 1; i < 32; i++) {
            state.x[i] = uint32(ReferenceTree.number(data, 128 + 4 * i, 4));
        }
        state.status = uint8(ReferenceTree.number(data, 256, 1));
        state.exit = uint32(ReferenceTree.number(data, 257, 4));
        state.codeHeight = uint8(ReferenceTree.number(data, 261, 1));
        state.memHeight = uint8(ReferenceTree.number(data, 262, 1));
    }

    function root(ReferenceState memory state) internal pure returns (bytes32) {
        return keccak256(encode(state));
    }
}

/// @title The step in plain Solidity: what `Machine` is held against
/// @dev Written from the specification alone and for the reader: structs, checked arithmetic, 32-bit types, no assembly.
contract ReferenceMachine {
    using ReferenceStateLib for ReferenceState;

    error Malformed();

    IPreimages internal immutable preimages;

    constructor(IPreimages preimages_) {
        preimages = preimages_;
    }

    // The step in progress.
    struct Run {
        ReferenceState state;
        bytes witness;
        /// position in the witness of the next proof
        uint256 at;
        uint32 instruction;
    }

    function step(bytes memory witness) external view returns (bytes32 pre, bytes32 post) {
        Run memory run;
        run.witness = witness;
        run.state = ReferenceStateLib.decode(witness);
        run.at = 263;
        pre = run.state.root();
        if (run.state.status == 0) {
            if (run.state.codeHeight > 27 || run.state.memHeight > 27) revert Malformed();
            uint32 trap = execute(run);
            if (trap != 0) {
                run.state.status = 2;
                run.state.exit = trap;
            }
        }
        if (run.at != witness.length) revert Malformed();
        post = run.state.root();
    }

    /// Returns the cause of a trap, or 0.
    function execute(Run memory run) internal view returns (uint32 trap) {
        ReferenceState memory state = run.state;
        if (state.pc % 4 != 0 || state.pc >= 32 * 2 ** uint256(state.codeHeight)) return 2;
        (bytes32 leaf, bytes32[] memory siblings, uint256 end) =
            ReferenceTree.decode(run.witness, run.at, state.codeHeight);
        run.at = end;
        if (ReferenceTree.root(leaf, state.pc / 32, siblings) != state.codeRoot) revert Malformed();
        run.instruction = littleEndian(leaf, state.pc % 32, 4);

        uint32 opcode = field(run, 0, 7);
        if (run.instruction == 0x73) return systemCall(run);
        if (opcode == 0x03) return load(run);
        if (opcode == 0x0f) return fence(run);
        if (opcode == 0x13) return immediate(run);
        if (opcode == 0x17) return upper(run, state.pc);
        if (opcode == 0x23) return store(run);
        if (opcode == 0x33) return register(run);
        if (opcode == 0x37) return upper(run, 0);
        if (opcode == 0x63) return branch(run);
        if (opcode == 0x67) return jumpRegister(run);
        if (opcode == 0x6f) return jump(run);
        return 1;
    }

    /// `count` bits of the instruction from bit `from`.
    function field(Run memory run, uint256 from, uint256 count) internal pure returns (uint32) {
        return uint32((uint256(run.instruction) / 2 ** from) % 2 ** count);
    }

    function signedField(Run memory run, uint256 from, uint256 count) internal pure returns (int256) {
        return signExtend(field(run, from, count), count);
    }

    /// The two's complement number of `bits` bits.
    function signExtend(uint256 value, uint256 bits) internal pure returns (int256) {
        return value < 2 ** (bits - 1) ? int256(value) : int256(value) - int256(2 ** bits);
    }

    function wrap(int256 value) internal pure returns (uint32) {
        unchecked {
            return uint32(uint256(value));
        }
    }

    function littleEndian(bytes32 leaf, uint256 offset, uint256 size) internal pure returns (uint32 value) {
        for (uint256 i; i < size; i++) {
            value += uint32(uint8(leaf[offset + i]) * 2 ** (8 * i));
        }
    }

    function rs1(Run memory run) internal pure returns (uint32) {
        return run.state.x[field(run, 15, 5)];
    }

    function rs2(Run memory run) internal pure returns (uint32) {
        return run.state.x[field(run, 20, 5)];
    }

    /// Write `rd` and go on with the next instruction.
    function finish(Run memory run, uint32 value) internal pure returns (uint32) {
        write(run, value);
        return advance(run);
    }

    function write(Run memory run, uint32 value) internal pure {
        uint32 rd = field(run, 7, 5);
        if (rd != 0) run.state.x[rd] = value;
    }

    function advance(Run memory run) internal pure returns (uint32) {
        run.state.pc = wrap(int256(uint256(run.state.pc)) + 4);
        return 0;
    }

    function upper(Run memory run, uint32 base) internal pure returns (uint32) {
        return finish(run, wrap(int256(uint256(base)) + int256(uint256(field(run, 12, 20))) * 4096));
    }

    function jump(Run memory run) internal pure returns (uint32) {
        int256 offset = signedField(run, 31, 1) * 2 ** 20 + int256(uint256(field(run, 12, 8))) * 2 ** 12
            + int256(uint256(field(run, 20, 1))) * 2 ** 11 + int256(uint256(field(run, 21, 10))) * 2;
        return jumpTo(run, wrap(int256(uint256(run.state.pc)) + offset));
    }

    function jumpRegister(Run memory run) internal pure returns (uint32) {
        if (field(run, 12, 3) != 0) return 1;
        uint32 target = wrap(int256(uint256(rs1(run))) + signedField(run, 20, 12));
        return jumpTo(run, target - target % 2);
    }

    function jumpTo(Run memory run, uint32 target) internal pure returns (uint32) {
        if (target % 4 != 0) return 3;
        write(run, wrap(int256(uint256(run.state.pc)) + 4));
        run.state.pc = target;
        return 0;
    }

    function branch(Run memory run) internal pure returns (uint32) {
        uint32 kind = field(run, 12, 3);
        (uint32 a, uint32 b) = (rs1(run), rs2(run));
        bool taken;
        if (kind == 0) taken = a == b;
        else if (kind == 1) taken = a != b;
        else if (kind == 4) taken = int32(a) < int32(b);
        else if (kind == 5) taken = int32(a) >= int32(b);
        else if (kind == 6) taken = a < b;
        else if (kind == 7) taken = a >= b;
        else return 1;
        if (!taken) return advance(run);
        int256 offset = signedField(run, 31, 1) * 2 ** 12 + int256(uint256(field(run, 7, 1))) * 2 ** 11
            + int256(uint256(field(run, 25, 6))) * 2 ** 5 + int256(uint256(field(run, 8, 4))) * 2;
        uint32 target = wrap(int256(uint256(run.state.pc)) + offset);
        if (target % 4 != 0) return 3;
        run.state.pc = target;
        return 0;
    }

    function immediate(Run memory run) internal pure returns (uint32) {
        uint32 kind = field(run, 12, 3);
        uint32 a = rs1(run);
        int256 b = signedField(run, 20, 12);
        uint32 amount = field(run, 20, 5);
        uint32 funct7 = field(run, 25, 7);
        if (kind == 0) return finish(run, wrap(int256(uint256(a)) + b));
        if (kind == 2) return finish(run, int32(a) < b ? 1 : 0);
        if (kind == 3) return finish(run, a < wrap(b) ? 1 : 0);
        if (kind == 4) return finish(run, a ^ wrap(b));
        if (kind == 6) return finish(run, a | wrap(b));
        if (kind == 7) return finish(run, a & wrap(b));
        if (kind == 1 && funct7 == 0) return finish(run, a << amount);
        if (kind == 5 && funct7 == 0) return finish(run, a >> amount);
        if (kind == 5 && funct7 == 0x20) return finish(run, uint32(int32(a) >> amount));
        return 1;
    }

    function register(Run memory run) internal pure returns (uint32) {
        uint32 kind = field(run, 12, 3);
        uint32 funct7 = field(run, 25, 7);
        (uint32 a, uint32 b) = (rs1(run), rs2(run));
        if (funct7 == 1) return multiply(run, kind, a, b);
        if (funct7 == 0x20) {
            if (kind == 0) return finish(run, wrap(int256(uint256(a)) - int256(uint256(b))));
            if (kind == 5) return finish(run, uint32(int32(a) >> (b % 32)));
            return 1;
        }
        if (funct7 != 0) return 1;
        if (kind == 0) return finish(run, wrap(int256(uint256(a)) + int256(uint256(b))));
        if (kind == 1) return finish(run, a << (b % 32));
        if (kind == 2) return finish(run, int32(a) < int32(b) ? 1 : 0);
        if (kind == 3) return finish(run, a < b ? 1 : 0);
        if (kind == 4) return finish(run, a ^ b);
        if (kind == 5) return finish(run, a >> (b % 32));
        if (kind == 6) return finish(run, a | b);
        return finish(run, a & b);
    }

    function multiply(Run memory run, uint32 kind, uint32 a, uint32 b) internal pure returns (uint32) {
        (int256 ua, int256 ub) = (int256(uint256(a)), int256(uint256(b)));
        (int256 sa, int256 sb) = (int256(int32(a)), int256(int32(b)));
        if (kind == 0) return finish(run, wrap(ua * ub));
        if (kind == 1) return finish(run, wrap((sa * sb) >> 32));
        if (kind == 2) return finish(run, wrap((sa * ub) >> 32));
        if (kind == 3) return finish(run, wrap((ua * ub) >> 32));
        if (kind == 4) {
            if (sb == 0) return finish(run, 0xffffffff);
            if (sa == -2 ** 31 && sb == -1) return finish(run, 0x80000000);
            return finish(run, wrap(sa / sb));
        }
        if (kind == 5) return finish(run, ub == 0 ? 0xffffffff : wrap(ua / ub));
        if (kind == 6) {
            if (sb == 0) return finish(run, a);
            if (sa == -2 ** 31 && sb == -1) return finish(run, 0);
            return finish(run, wrap(sa % sb));
        }
        return finish(run, ub == 0 ? a : wrap(ua % ub));
    }

    function fence(Run memory run) internal pure returns (uint32) {
        return field(run, 12, 3) == 0 ? advance(run) : 1;
    }

    function load(Run memory run) internal pure returns (uint32) {
        uint32 kind = field(run, 12, 3);
        uint32 size = kind % 4 == 0 ? 1 : kind % 4 == 1 ? 2 : 4;
        if (kind != 0 && kind != 1 && kind != 2 && kind != 4 && kind != 5) return 1;
        uint32 location = wrap(int256(uint256(rs1(run))) + signedField(run, 20, 12));
        if (location % size != 0) return 4;
        if (location >= memorySize(run)) return 5;
        (bytes32 leaf,) = openMemory(run, location);
        uint32 value = littleEndian(leaf, location % 32, size);
        if (kind < 2) value = wrap(signExtend(value, 8 * size));
        return finish(run, value);
    }

    function store(Run memory run) internal pure returns (uint32) {
        uint32 kind = field(run, 12, 3);
        if (kind > 2) return 1;
        uint32 size = uint32(2 ** kind);
        int256 offset = signedField(run, 25, 7) * 32 + int256(uint256(field(run, 7, 5)));
        uint32 location = wrap(int256(uint256(rs1(run))) + offset);
        if (location % size != 0) return 6;
        if (location >= memorySize(run)) return 7;
        bytes memory data = new bytes(size);
        for (uint256 i; i < size; i++) {
            data[i] = bytes1(uint8(uint256(rs2(run)) / 2 ** (8 * i)));
        }
        change(run, location, data);
        return advance(run);
    }

    function systemCall(Run memory run) internal view returns (uint32) {
        ReferenceState memory state = run.state;
        if (state.x[17] == 1) {
            state.status = 1;
            state.exit = state.x[10];
            return 0;
        }
        if (state.x[17] == 2) return writeOutput(run);
        if (state.x[17] == 3) return readPreimage(run);
        if (state.x[17] == 4) {
            for (uint256 i; i < 8; i++) {
                state.x[18 + i] = littleEndian(state.inputHash, 4 * i, 4);
            }
            state.x[10] = preimages.lengthOf(state.inputHash);
            return advance(run);
        }
        return state.x[17] == 5 ? advance(run) : 8;
    }

    function writeOutput(Run memory run) internal pure returns (uint32) {
        ReferenceState memory state = run.state;
        (uint32 source, uint32 length) = (state.x[10], state.x[11]);
        if (length == 0) return advance(run);
        uint32 n = min(length, 32 - source % 32);
        if (uint256(source) + n > memorySize(run)) return 5;
        (bytes32 leaf,) = openMemory(run, source);
        bytes memory chunk = new bytes(n);
        for (uint256 i; i < n; i++) {
            chunk[i] = leaf[source % 32 + i];
        }
        state.outputRoot = keccak256(bytes.concat(state.outputRoot, chunk));
        state.x[10] = wrap(int256(uint256(source)) + int256(uint256(n)));
        state.x[11] = length - n;
        return state.x[11] == 0 ? advance(run) : 0;
    }

    function readPreimage(Run memory run) internal view returns (uint32) {
        ReferenceState memory state = run.state;
        (uint32 destination, uint32 offset, uint32 left) = (state.x[10], state.x[11], state.x[12]);
        if (left == 0) return advance(run);
        bytes memory hash;
        for (uint256 i; i < 8; i++) {
            for (uint256 j; j < 4; j++) {
                hash = abi.encodePacked(hash, uint8(uint256(state.x[18 + i]) / 2 ** (8 * j)));
            }
        }
        uint32 length = preimages.lengthOf(bytes32(hash));
        if (offset >= length) return advance(run);
        uint32 n = min(min(left, 32 - destination % 32), length - offset);
        if (uint256(destination) + n > memorySize(run)) return 7;
        (bytes32 word,) = preimages.word(bytes32(hash), offset);
        bytes memory data = new bytes(n);
        for (uint256 i; i < n; i++) {
            data[i] = word[i];
        }
        change(run, destination, data);
        state.x[10] = wrap(int256(uint256(destination)) + int256(uint256(n)));
        state.x[11] = offset + n;
        state.x[12] = left - n;
        return state.x[12] == 0 || state.x[11] == length ? advance(run) : 0;
    }

    function memorySize(Run memory run) internal pure returns (uint256) {
        return 32 * 2 ** uint256(run.state.memHeight);
    }

    function openMemory(Run memory run, uint32 location)
        internal
        pure
        returns (bytes32 leaf, bytes32[] memory siblings)
    {
        (leaf, siblings, run.at) = ReferenceTree.decode(run.witness, run.at, run.state.memHeight);
        if (ReferenceTree.root(leaf, location / 32, siblings) != run.state.memRoot) revert Malformed();
    }

    /// Put `data` at `location` of memory; it is within one leaf.
    function change(Run memory run, uint32 location, bytes memory data) internal pure {
        (bytes32 leaf, bytes32[] memory siblings) = openMemory(run, location);
        bytes memory changed = bytes.concat(leaf);
        for (uint256 i; i < data.length; i++) {
            changed[location % 32 + i] = data[i];
        }
        run.state.memRoot = ReferenceTree.root(bytes32(changed), location / 32, siblings);
    }

    function min(uint32 a, uint32 b) internal pure returns (uint32) {
        return a < b ? a : b;
    }
}

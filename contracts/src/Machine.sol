// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IMachine} from "./interfaces/IMachine.sol";
import {IPreimages} from "./interfaces/IPreimages.sol";
import {MachineState, MachineStateLib} from "./libraries/MachineState.sol";
import {MerkleProof, Proofs} from "./libraries/MerkleProof.sol";

/// @title Machine
/// @dev The sections named below are those of `docs/spec/machine.md`. One function per instruction group. Each takes the
/// instruction word and returns the next `pc`, or `TRAP` plus a cause when the instruction traps, in which case it has
/// changed nothing. Register values, addresses and `pc` are kept below 2^32 in 256-bit words, so that plain arithmetic
/// cannot overflow; whatever may leave that range is masked with `WORD`.
contract Machine is IMachine {
    using MachineStateLib for MachineState;
    using MerkleProof for Proofs;

    /// The largest 32-bit value.
    uint256 private constant WORD = 0xffffffff;
    uint8 private constant MAX_HEIGHT = 27;

    // Status (section 1).
    uint256 private constant RUNNING = 0;
    uint256 private constant HALTED = 1;
    uint256 private constant TRAPPED = 2;

    // Above every pc; plus a cause: this trap (section 4).
    uint256 private constant TRAP = 1 << 32;
    uint256 private constant ILLEGAL = TRAP + 1;
    uint256 private constant FETCH = TRAP + 2;
    uint256 private constant JUMP_MISALIGNED = TRAP + 3;
    uint256 private constant LOAD_MISALIGNED = TRAP + 4;
    uint256 private constant LOAD_RANGE = TRAP + 5;
    uint256 private constant STORE_MISALIGNED = TRAP + 6;
    uint256 private constant STORE_RANGE = TRAP + 7;
    uint256 private constant SYSCALL = TRAP + 8;

    // Registers of system calls (section 6).
    uint256 private constant A0 = 10;
    uint256 private constant A1 = 11;
    uint256 private constant A2 = 12;
    uint256 private constant A7 = 17;

    /// @inheritdoc IMachine
    IPreimages public immutable preimages;

    constructor(IPreimages preimages_) {
        preimages = preimages_;
    }

    /// @inheritdoc IMachine
    function step(bytes calldata witness) external view returns (bytes32 pre, bytes32 post) {
        if (witness.length < MachineStateLib.LENGTH) revert WitnessLength(witness.length, MachineStateLib.LENGTH);
        MachineState state = MachineStateLib.load(witness);
        pre = state.root();
        uint256 start;
        assembly ("memory-safe") {
            start := witness.offset
        }
        unchecked {
            Proofs memory proofs = MerkleProof.at(start + MachineStateLib.LENGTH);
            if (state.status() == RUNNING) {
                if (state.codeHeight() > MAX_HEIGHT || state.memHeight() > MAX_HEIGHT) {
                    revert HeightTooLarge(uint8(state.codeHeight()), uint8(state.memHeight()), MAX_HEIGHT);
                }
                uint256 pc = state.takePc();
                uint256 next = _execute(state, proofs, pc);
                if (next >= TRAP) {
                    state.end(TRAPPED, next - TRAP);
                    next = pc;
                }
                state.putPc(next);
            }
            // The one place where it matters where the witness ends: what was read past it is refused here.
            uint256 consumed = proofs.at - start;
            if (consumed != witness.length) revert WitnessLength(witness.length, consumed);
        }
        post = state.root();
    }

    /// @inheritdoc IMachine
    function result(bytes calldata state) external pure returns (bytes32 root, bytes32 resultHash) {
        if (state.length != MachineStateLib.LENGTH) revert WitnessLength(state.length, MachineStateLib.LENGTH);
        root = keccak256(state);
        // status and exit are neighbours
        resultHash = keccak256(bytes.concat(state[256:261], state[96:128]));
    }

    /// @inheritdoc IMachine
    function initial(bytes calldata state) external pure returns (bytes32 program, bytes32 input, bool fresh) {
        if (state.length != MachineStateLib.LENGTH) revert WitnessLength(state.length, MachineStateLib.LENGTH);
        // codeRoot, codeHeight, memRoot, memHeight, pc
        program = keccak256(bytes.concat(state[0:32], state[261:262], state[32:64], state[262:263], state[128:132]));
        input = bytes32(state[64:96]);
        // outputRoot; x1 to x31; status and exit
        fresh = bytes32(state[96:128]) == 0 && bytes32(state[132:164]) == 0 && bytes32(state[164:196]) == 0
            && bytes32(state[196:228]) == 0 && bytes32(state[228:260]) == 0 && state[260] == 0;
    }

    /// Section 4: fetch, decode, apply.
    function _execute(MachineState state, Proofs memory proofs, uint256 pc) private view returns (uint256 next) {
        unchecked {
            uint256 height = state.codeHeight();
            if (pc & 3 != 0 || pc >> (height + 5) != 0) return FETCH;
            uint256 instruction = _wordAt(proofs.leaf(), pc & 31);
            bytes32 root = proofs.root(pc >> 5, height);
            if (root != state.codeRoot()) revert CodeRootMismatch(root, state.codeRoot());

            // What most instructions do; the rest return something else.
            next = (pc + 4) & WORD;
            uint256 opcode = instruction & 0x7f;
            if (opcode == 0x13) return _immediate(state, instruction, next);
            if (opcode == 0x33) return _register(state, instruction, next);
            if (opcode == 0x03) return _load(state, proofs, instruction, next);
            if (opcode == 0x23) return _store(state, proofs, instruction, next);
            if (opcode == 0x63) return _branch(state, instruction, pc, next);
            if (opcode == 0x6f) return _jal(state, instruction, pc, next);
            if (opcode == 0x67) return _jalr(state, instruction, next);
            if (opcode == 0x37) return _lui(state, instruction, next);
            if (opcode == 0x17) return _auipc(state, instruction, pc, next);
            if (opcode == 0x0f) return _fence(instruction, next);
            if (instruction == 0x73) return _ecall(state, proofs, pc, next);
            return ILLEGAL;
        }
    }

    // Upper immediates and jumps

    /// LUI
    function _lui(MachineState state, uint256 instruction, uint256 next) private pure returns (uint256) {
        state.setReg(_rd(instruction), instruction & 0xfffff000);
        return next;
    }

    /// AUIPC
    function _auipc(MachineState state, uint256 instruction, uint256 pc, uint256 next) private pure returns (uint256) {
        unchecked {
            state.setReg(_rd(instruction), (pc + (instruction & 0xfffff000)) & WORD);
            return next;
        }
    }

    /// JAL
    function _jal(MachineState state, uint256 instruction, uint256 pc, uint256 next) private pure returns (uint256) {
        unchecked {
            uint256 target = (pc + _immJ(instruction)) & WORD;
            if (target & 3 != 0) return JUMP_MISALIGNED;
            state.setReg(_rd(instruction), next);
            return target;
        }
    }

    /// JALR
    function _jalr(MachineState state, uint256 instruction, uint256 next) private pure returns (uint256) {
        unchecked {
            if (_funct3(instruction) != 0) return ILLEGAL;
            uint256 target = (state.reg(_rs1(instruction)) + _immI(instruction)) & (WORD - 1);
            if (target & 3 != 0) return JUMP_MISALIGNED;
            state.setReg(_rd(instruction), next);
            return target;
        }
    }

    /// BEQ, BNE, BLT, BGE, BLTU, BGEU
    function _branch(MachineState state, uint256 instruction, uint256 pc, uint256 next) private pure returns (uint256) {
        unchecked {
            uint256 a = state.reg(_rs1(instruction));
            uint256 b = state.reg(_rs2(instruction));
            uint256 kind = _funct3(instruction);
            bool taken;
            if (kind < 2) taken = a == b;
            else if (kind < 4) return ILLEGAL;
            else if (kind < 6) taken = _signed(a) < _signed(b);
            else taken = a < b;
            // The odd kinds are the opposites of the even ones before them.
            if (taken == (kind & 1 != 0)) return next;
            uint256 target = (pc + _immB(instruction)) & WORD;
            return target & 3 != 0 ? JUMP_MISALIGNED : target;
        }
    }

    // Arithmetic

    /// ADDI, SLTI, SLTIU, XORI, ORI, ANDI, SLLI, SRLI, SRAI
    function _immediate(MachineState state, uint256 instruction, uint256 next) private pure returns (uint256) {
        unchecked {
            uint256 kind = _funct3(instruction);
            uint256 a = state.reg(_rs1(instruction));
            uint256 b = _immI(instruction) & WORD;
            uint256 value;
            if (kind == 1 || kind == 5) {
                // The immediate is a shift amount, under the bits where other instructions have funct7.
                uint256 funct7 = _funct7(instruction);
                if (funct7 != 0 && !(funct7 == 0x20 && kind == 5)) return ILLEGAL;
                value = funct7 == 0 ? _base(kind, a, b) : _sra(a, b);
            } else {
                value = _base(kind, a, b);
            }
            state.setReg(_rd(instruction), value);
            return next;
        }
    }

    /// ADD, SUB, SLL, SLT, SLTU, XOR, SRL, SRA, OR, AND; and those of `_multiply`
    function _register(MachineState state, uint256 instruction, uint256 next) private pure returns (uint256) {
        unchecked {
            uint256 kind = _funct3(instruction);
            uint256 funct7 = _funct7(instruction);
            uint256 a = state.reg(_rs1(instruction));
            uint256 b = state.reg(_rs2(instruction));
            uint256 value;
            if (funct7 == 0) value = _base(kind, a, b);
            else if (funct7 == 1) value = _multiply(kind, a, b);
            else if (funct7 != 0x20) return ILLEGAL;
            else if (kind == 0) value = (a - b) & WORD;
            else if (kind == 5) value = _sra(a, b);
            else return ILLEGAL;
            state.setReg(_rd(instruction), value);
            return next;
        }
    }

    /// What the instructions with a register and those with an immediate have in common, by funct3.
    function _base(uint256 kind, uint256 a, uint256 b) private pure returns (uint256) {
        unchecked {
            if (kind == 0) return (a + b) & WORD;
            if (kind == 1) return (a << (b & 31)) & WORD;
            if (kind == 2) return _signed(a) < _signed(b) ? 1 : 0;
            if (kind == 3) return a < b ? 1 : 0;
            if (kind == 4) return a ^ b;
            if (kind == 5) return a >> (b & 31);
            if (kind == 6) return a | b;
            return a & b;
        }
    }

    /// SRA and SRAI
    function _sra(uint256 a, uint256 b) private pure returns (uint256) {
        return uint256(_signed(a) >> (b & 31)) & WORD;
    }

    /// MUL, MULH, MULHSU, MULHU, DIV, DIVU, REM, REMU, by funct3
    function _multiply(uint256 kind, uint256 a, uint256 b) private pure returns (uint256) {
        unchecked {
            if (kind == 0) return (a * b) & WORD;
            // The products fit in 65 bits with the sign.
            if (kind == 1) return (uint256(_signed(a) * _signed(b)) >> 32) & WORD;
            if (kind == 2) return (uint256(_signed(a) * int256(b)) >> 32) & WORD;
            if (kind == 3) return (a * b) >> 32;
            if (b == 0) return kind < 6 ? WORD : a;
            // Solidity too rounds to zero and gives the remainder the dividend's sign. -2^31 / -1 is 2^31 here, which
            // masked is -2^31.
            if (kind == 4) return uint256(_signed(a) / _signed(b)) & WORD;
            if (kind == 5) return a / b;
            if (kind == 6) return uint256(_signed(a) % _signed(b)) & WORD;
            return a % b;
        }
    }

    // Memory

    /// LB, LH, LW, LBU, LHU
    function _load(MachineState state, Proofs memory proofs, uint256 instruction, uint256 next)
        private
        pure
        returns (uint256)
    {
        unchecked {
            uint256 kind = _funct3(instruction);
            if (kind > 5 || kind == 3) return ILLEGAL;
            uint256 size = 1 << (kind & 3);
            uint256 location = (state.reg(_rs1(instruction)) + _immI(instruction)) & WORD;
            if (location & (size - 1) != 0) return LOAD_MISALIGNED;
            if (_outside(state, location)) return LOAD_RANGE;
            uint256 value = _wordAt(_readLeaf(state, proofs, location >> 5), location & 31);
            // The bytes past the size are cut off: by their number for LBU and LHU, by sign extension for LB and LH.
            if (kind > 3) value &= (1 << (size << 3)) - 1;
            else value = uint256(_signExtended(value, size)) & WORD;
            state.setReg(_rd(instruction), value);
            return next;
        }
    }

    /// SB, SH, SW
    function _store(MachineState state, Proofs memory proofs, uint256 instruction, uint256 next)
        private
        pure
        returns (uint256)
    {
        unchecked {
            uint256 kind = _funct3(instruction);
            if (kind > 2) return ILLEGAL;
            uint256 size = 1 << kind;
            uint256 location = (state.reg(_rs1(instruction)) + _immS(instruction)) & WORD;
            if (location & (size - 1) != 0) return STORE_MISALIGNED;
            if (_outside(state, location)) return STORE_RANGE;
            // Its little-endian bytes, from the left.
            uint256 value = _swap4(state.reg(_rs2(instruction))) << 224;
            _writeLeaf(state, proofs, location, size, value);
            return next;
        }
    }

    /// FENCE, which does nothing. FENCE.I is funct3 1.
    function _fence(uint256 instruction, uint256 next) private pure returns (uint256) {
        return _funct3(instruction) == 0 ? next : ILLEGAL;
    }

    // System calls (section 6)

    /// ECALL
    function _ecall(MachineState state, Proofs memory proofs, uint256 pc, uint256 next) private view returns (uint256) {
        uint256 number = state.reg(A7);
        if (number == 1) return _halt(state, pc);
        if (number == 2) return _write(state, proofs, pc, next);
        if (number == 3) return _read(state, proofs, pc, next);
        if (number == 4) return _input(state, next);
        // HINT
        if (number == 5) return next;
        return SYSCALL;
    }

    /// HALT
    function _halt(MachineState state, uint256 pc) private pure returns (uint256) {
        state.end(HALTED, state.reg(A0));
        return pc;
    }

    /// WRITE: one step absorbs what is left of one leaf, at most.
    function _write(MachineState state, Proofs memory proofs, uint256 pc, uint256 next) private pure returns (uint256) {
        unchecked {
            uint256 source = state.reg(A0);
            uint256 length = state.reg(A1);
            if (length == 0) return next;
            uint256 size = _min(length, 32 - (source & 31));
            if (_outside(state, source)) return LOAD_RANGE;
            bytes32 leaf = _readLeaf(state, proofs, source >> 5);
            bytes32 root = state.outputRoot();
            assembly ("memory-safe") {
                mstore(0x00, root)
                mstore(0x20, shl(shl(3, and(source, 31)), leaf))
                root := keccak256(0x00, add(0x20, size))
            }
            state.setOutputRoot(root);
            state.setReg(A0, (source + size) & WORD);
            state.setReg(A1, length - size);
            return length == size ? next : pc;
        }
    }

    /// READ: one step fills what is left of one leaf, at most.
    function _read(MachineState state, Proofs memory proofs, uint256 pc, uint256 next) private view returns (uint256) {
        unchecked {
            uint256 left = state.reg(A2);
            if (left == 0) return next;
            uint256 offset = state.reg(A1);
            uint256 destination = state.reg(A0);
            bytes32 hash = state.hashRegisters();
            if (_outside(state, destination)) return offset < preimages.lengthOf(hash) ? STORE_RANGE : next;
            // Registers are below 2^32.
            // forge-lint: disable-next-line(unsafe-typecast)
            (bytes32 value, uint256 length) = preimages.word(hash, uint32(offset));
            if (offset >= length) return next;
            uint256 size = _min(_min(left, 32 - (destination & 31)), length - offset);
            _writeLeaf(state, proofs, destination, size, uint256(value));
            state.setReg(A0, (destination + size) & WORD);
            state.setReg(A1, offset + size);
            state.setReg(A2, left - size);
            return left == size || length - offset == size ? next : pc;
        }
    }

    /// INPUT
    function _input(MachineState state, uint256 next) private view returns (uint256) {
        bytes32 hash = state.inputHash();
        state.setReg(A0, preimages.lengthOf(hash));
        state.setHashRegisters(hash);
        return next;
    }

    // Leaves of data memory

    /// Whether an address is outside data memory. An access never crosses a leaf, so its first byte tells for all of it.
    function _outside(MachineState state, uint256 location) private pure returns (bool) {
        unchecked {
            return location >> (state.memHeight() + 5) != 0;
        }
    }

    /// The leaf of the memory proof, which is consumed and must be leaf `index`.
    function _readLeaf(MachineState state, Proofs memory proofs, uint256 index) private pure returns (bytes32 leaf) {
        leaf = proofs.leaf();
        bytes32 root = proofs.root(index, state.memHeight());
        if (root != state.memRoot()) revert MemoryRootMismatch(root, state.memRoot());
    }

    /// Replace `size` bytes at `location` with the leftmost of `value`. They are all in one leaf: that of the memory
    /// proof, which is consumed.
    function _writeLeaf(MachineState state, Proofs memory proofs, uint256 location, uint256 size, uint256 value)
        private
        pure
    {
        unchecked {
            uint256 shift = (location & 31) << 3;
            // `size` bytes set, from the left, then moved to their place.
            uint256 mask = (type(uint256).max << ((32 - size) << 3)) >> shift;
            uint256 leaf = uint256(proofs.leaf());
            leaf = (leaf & ~mask) | ((value >> shift) & mask);
            (bytes32 root, bytes32 newRoot) = proofs.roots(location >> 5, state.memHeight(), bytes32(leaf));
            if (root != state.memRoot()) revert MemoryRootMismatch(root, state.memRoot());
            state.setMemRoot(newRoot);
        }
    }

    /// The little-endian 32-bit word at `offset` of a leaf; past its end there are zeros.
    function _wordAt(bytes32 leaf, uint256 offset) private pure returns (uint256) {
        return _swap4(uint256(leaf << (offset << 3)) >> 224);
    }

    // Fields of an instruction (the ISA manual's formats); immediates are sign-extended to 256 bits, modulo 2^256

    function _rd(uint256 instruction) private pure returns (uint256) {
        return (instruction >> 7) & 31;
    }

    function _rs1(uint256 instruction) private pure returns (uint256) {
        return (instruction >> 15) & 31;
    }

    function _rs2(uint256 instruction) private pure returns (uint256) {
        return (instruction >> 20) & 31;
    }

    function _funct3(uint256 instruction) private pure returns (uint256) {
        return (instruction >> 12) & 7;
    }

    function _funct7(uint256 instruction) private pure returns (uint256) {
        return instruction >> 25;
    }

    /// Bits 31 to 20
    function _immI(uint256 instruction) private pure returns (uint256) {
        return uint256(_signed(instruction) >> 20);
    }

    /// Bits 31 to 25, 11 to 7
    function _immS(uint256 instruction) private pure returns (uint256) {
        return (_immI(instruction) & ~uint256(31)) | _rd(instruction);
    }

    /// Bits 31, 7, 30 to 25, 11 to 8, and a zero
    function _immB(uint256 instruction) private pure returns (uint256) {
        uint256 sign = uint256(_signed(instruction) >> 31) << 12;
        return sign | ((instruction << 4) & 0x800) | ((instruction >> 20) & 0x7e0) | ((instruction >> 7) & 0x1e);
    }

    /// Bits 31, 19 to 12, 20, 30 to 21, and a zero
    function _immJ(uint256 instruction) private pure returns (uint256) {
        uint256 sign = uint256(_signed(instruction) >> 31) << 20;
        return sign | (instruction & 0xff000) | ((instruction >> 9) & 0x800) | ((instruction >> 20) & 0x7fe);
    }

    // Numbers

    /// The 32-bit two's complement number with these bits.
    function _signed(uint256 value) private pure returns (int256 signed) {
        assembly ("memory-safe") {
            signed := signextend(3, value)
        }
    }

    /// The two's complement number in the lowest `size` bytes.
    function _signExtended(uint256 value, uint256 size) private pure returns (int256 signed) {
        assembly ("memory-safe") {
            signed := signextend(sub(size, 1), value)
        }
    }

    /// Reverse the four bytes of a 32-bit value.
    function _swap4(uint256 value) private pure returns (uint256) {
        unchecked {
            return (value >> 24) | ((value >> 8) & 0xff00) | ((value & 0xff00) << 8) | ((value & 0xff) << 24);
        }
    }

    function _min(uint256 a, uint256 b) private pure returns (uint256) {
        return a < b ? a : b;
    }
}

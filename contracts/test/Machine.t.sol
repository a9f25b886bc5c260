// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Assembler as A} from "./machine/Assembler.sol";
import {MachineFixture, Scene} from "./machine/MachineFixture.sol";
import {ReferenceState} from "./machine/ReferenceMachine.sol";

/// The instruction set and the system calls, corner by corner. Every check is made of the reference machine too.
contract MachineTest is MachineFixture {
    uint32 internal constant MIN = 0x80000000;
    uint32 internal constant MAX = 0x7fffffff;
    uint32 internal constant ONES = 0xffffffff;

    // Registers and immediates

    function test_addAndSubWrap() public view {
        assertX3(A.rType(0, 0, 3, 1, 2), ONES, 2, 1);
        assertX3(A.rType(0, 0, 3, 1, 2), MAX, 1, MIN);
        assertX3(A.rType(0x20, 0, 3, 1, 2), 0, 1, ONES);
        assertX3(A.rType(0x20, 0, 3, 1, 2), MIN, 1, MAX);
        assertX3(A.rType(0x20, 0, 3, 1, 1), 77, 0, 0);
    }

    function test_registerShiftsUseFiveBits() public view {
        assertX3(A.rType(0, 1, 3, 1, 2), 1, 31, MIN);
        assertX3(A.rType(0, 1, 3, 1, 2), 1, 32, 1);
        assertX3(A.rType(0, 1, 3, 1, 2), ONES, 0xffffffe4, 0xfffffff0);
        assertX3(A.rType(0, 5, 3, 1, 2), MIN, 31, 1);
        assertX3(A.rType(0, 5, 3, 1, 2), MIN, 33, 0x40000000);
        assertX3(A.rType(0x20, 5, 3, 1, 2), MIN, 31, ONES);
        assertX3(A.rType(0x20, 5, 3, 1, 2), MIN, 0x24, 0xf8000000);
        assertX3(A.rType(0x20, 5, 3, 1, 2), MAX, 30, 1);
    }

    function test_comparisons() public view {
        assertX3(A.rType(0, 2, 3, 1, 2), MIN, MAX, 1);
        assertX3(A.rType(0, 2, 3, 1, 2), MAX, MIN, 0);
        assertX3(A.rType(0, 2, 3, 1, 2), ONES, 0, 1);
        assertX3(A.rType(0, 2, 3, 1, 2), 5, 5, 0);
        assertX3(A.rType(0, 3, 3, 1, 2), MIN, MAX, 0);
        assertX3(A.rType(0, 3, 3, 1, 2), 0, ONES, 1);
        assertX3(A.rType(0, 3, 3, 1, 2), ONES, ONES, 0);
    }

    function test_logic() public view {
        assertX3(A.rType(0, 4, 3, 1, 2), 0xff00ff00, 0x0ff00ff0, 0xf0f0f0f0);
        assertX3(A.rType(0, 6, 3, 1, 2), 0xff00ff00, 0x0ff00ff0, 0xfff0fff0);
        assertX3(A.rType(0, 7, 3, 1, 2), 0xff00ff00, 0x0ff00ff0, 0x0f000f00);
    }

    function test_immediates() public view {
        assertX3(A.opImm(0, 3, 1, -1), 0, 0, ONES);
        assertX3(A.opImm(0, 3, 1, 2047), ONES, 0, 2046);
        assertX3(A.opImm(0, 3, 1, -2048), 0, 0, 0xfffff800);
        assertX3(A.opImm(2, 3, 1, -1), 0, 0, 0);
        assertX3(A.opImm(2, 3, 1, -1), MIN, 0, 1);
        // sign-extended, then compared unsigned
        assertX3(A.opImm(3, 3, 1, -1), 5, 0, 1);
        assertX3(A.opImm(3, 3, 1, -1), ONES, 0, 0);
        assertX3(A.opImm(4, 3, 1, -1), 0x12345678, 0, 0xedcba987);
        assertX3(A.opImm(6, 3, 1, -256), 0x12, 0, 0xffffff12);
        assertX3(A.opImm(7, 3, 1, -256), 0x12345678, 0, 0x12345600);
        assertX3(A.opImm(1, 3, 1, 31), 3, 0, MIN);
        assertX3(A.opImm(5, 3, 1, 4), MIN, 0, 0x08000000);
        assertX3(A.opImm(5, 3, 1, 0x400 + 4), MIN, 0, 0xf8000000);
    }

    function test_immediateShiftsWithReservedBitsAreIllegal() public view {
        // bit 5 of the amount; any funct7 but 0, and 0x20 with SRAI
        assertTrap(scene(A.opImm(1, 3, 1, 32)), 1);
        assertTrap(scene(A.opImm(5, 3, 1, 32)), 1);
        assertTrap(scene(A.opImm(5, 3, 1, 0x420)), 1);
        assertTrap(scene(A.opImm(1, 3, 1, 0x400)), 1);
        assertTrap(scene(A.opImm(5, 3, 1, -1)), 1);
    }

    function test_upperImmediates() public view {
        assertX3(A.uType(0x37, 3, 0xfffff), 0, 0, 0xfffff000);
        assertX3(A.uType(0x17, 3, 1), 0, 0, 0x2234);
        // wraps
        assertX3(A.uType(0x17, 3, 0xfffff), 0, 0, 0x234);
    }

    function test_multiplyLowAndHigh() public view {
        assertX3(A.rType(1, 0, 3, 1, 2), ONES, ONES, 1);
        assertX3(A.rType(1, 0, 3, 1, 2), 0x10001, 0x10001, 0x20001);
        // MULH: every mix of signs
        assertX3(A.rType(1, 1, 3, 1, 2), ONES, ONES, 0);
        assertX3(A.rType(1, 1, 3, 1, 2), ONES, 1, ONES);
        assertX3(A.rType(1, 1, 3, 1, 2), 1, ONES, ONES);
        assertX3(A.rType(1, 1, 3, 1, 2), MIN, MIN, 0x40000000);
        assertX3(A.rType(1, 1, 3, 1, 2), MIN, MAX, 0xc0000000);
        assertX3(A.rType(1, 1, 3, 1, 2), MAX, MAX, 0x3fffffff);
        // MULHSU: the first signed, the second not
        assertX3(A.rType(1, 2, 3, 1, 2), ONES, ONES, ONES);
        assertX3(A.rType(1, 2, 3, 1, 2), MIN, ONES, MIN);
        assertX3(A.rType(1, 2, 3, 1, 2), MAX, ONES, 0x7ffffffe);
        assertX3(A.rType(1, 2, 3, 1, 2), 1, ONES, 0);
        // MULHU
        assertX3(A.rType(1, 3, 3, 1, 2), ONES, ONES, 0xfffffffe);
        assertX3(A.rType(1, 3, 3, 1, 2), MIN, 2, 1);
    }

    function test_divisionCorners() public view {
        // by zero
        assertX3(A.rType(1, 4, 3, 1, 2), 7, 0, ONES);
        assertX3(A.rType(1, 5, 3, 1, 2), 7, 0, ONES);
        assertX3(A.rType(1, 6, 3, 1, 2), MIN, 0, MIN);
        assertX3(A.rType(1, 7, 3, 1, 2), 7, 0, 7);
        assertX3(A.rType(1, 4, 3, 1, 2), 0, 0, ONES);
        // overflow
        assertX3(A.rType(1, 4, 3, 1, 2), MIN, ONES, MIN);
        assertX3(A.rType(1, 6, 3, 1, 2), MIN, ONES, 0);
        assertX3(A.rType(1, 5, 3, 1, 2), MIN, ONES, 0);
        assertX3(A.rType(1, 7, 3, 1, 2), MIN, ONES, MIN);
        // rounds to zero; the remainder has the dividend's sign
        assertX3(A.rType(1, 4, 3, 1, 2), uint32(int32(-7)), 2, uint32(int32(-3)));
        assertX3(A.rType(1, 6, 3, 1, 2), uint32(int32(-7)), 2, ONES);
        assertX3(A.rType(1, 4, 3, 1, 2), 7, uint32(int32(-2)), uint32(int32(-3)));
        assertX3(A.rType(1, 6, 3, 1, 2), 7, uint32(int32(-2)), 1);
        assertX3(A.rType(1, 5, 3, 1, 2), ONES, 10, 429_496_729);
        assertX3(A.rType(1, 7, 3, 1, 2), ONES, 10, 5);
    }

    function test_x0IsZeroAndWritesToItAreDropped() public view {
        Scene memory s = scene(A.opImm(0, 0, 1, 5));
        ReferenceState memory expected = after_(s);
        expected.pc += 4;
        assertStep(s, expected);

        // x0 where pc's place is: read as zero although pc is not
        assertX3(A.rType(0, 0, 3, 0, 2), 1, 9, 9);
        assertX3(A.rType(0, 0, 3, 0, 0), 1, 9, 0);

        // a jump that links to x0, a load to x0, a store of x0
        s = scene(A.jal(0, 16));
        expected = after_(s);
        expected.pc += 16;
        assertStep(s, expected);

        s = sceneAt(A.load(2, 0, 1, 0), 0x400);
        s.state.x[1] = 0x400;
        expected = after_(s);
        expected.pc += 4;
        assertStep(s, expected);

        s = sceneAt(A.sType(2, 1, 0, 0), 0x400);
        s.state.x[1] = 0x400;
        expected = after_(s);
        expected.pc += 4;
        expected.memRoot = memRootWith(s, bytes32(uint256(s.leaf) & (type(uint256).max >> 32)));
        assertStep(s, expected);
    }

    function test_everyRegisterIsItsOwn() public view {
        for (uint256 i = 1; i < 32; i++) {
            Scene memory s = scene(A.rType(0, 0, i, i, 32 - i));
            ReferenceState memory expected = after_(s);
            expected.x[i] = 0x20202020;
            expected.pc += 4;
            assertStep(s, expected);
        }
    }

    // Jumps and branches

    function test_jalLinksAndWraps() public view {
        Scene memory s = scene(A.jal(3, -0x1234));
        ReferenceState memory expected = after_(s);
        expected.x[3] = 0x1238;
        expected.pc = 0;
        assertStep(s, expected);

        s = scene(A.jal(3, -0x2000));
        expected = after_(s);
        expected.x[3] = 0x1238;
        expected.pc = 0xfffff234;
        assertStep(s, expected);

        s = scene(A.jal(3, 0xffffc));
        expected = after_(s);
        expected.x[3] = 0x1238;
        expected.pc = 0x1234 + 0xffffc;
        assertStep(s, expected);
    }

    function test_jalrClearsBitZeroAndReadsItsSourceBeforeLinking() public view {
        Scene memory s = scene(A.jalr(1, 1, -3));
        s.state.x[1] = 0x804;
        ReferenceState memory expected = after_(s);
        expected.x[1] = 0x1238;
        expected.pc = 0x800;
        assertStep(s, expected);
    }

    function test_misalignedTargetsTrapAndDoNotLink() public view {
        assertTrap(scene(A.jal(3, 2)), 3);
        Scene memory s = scene(A.jalr(3, 1, 0));
        s.state.x[1] = 0x802;
        assertTrap(s, 3);
        s.state.x[1] = 0x803;
        assertTrap(s, 3);
        s = scene(A.bType(0, 1, 1, 2));
        assertTrap(s, 3);
        // not taken: no trap
        s = scene(A.bType(1, 1, 1, 2));
        ReferenceState memory expected = after_(s);
        expected.pc += 4;
        assertStep(s, expected);
    }

    function test_branches() public view {
        // funct3, x1, x2, taken
        assertBranch(0, 5, 5, true);
        assertBranch(0, 5, 6, false);
        assertBranch(1, 5, 5, false);
        assertBranch(1, 5, 6, true);
        assertBranch(4, MIN, MAX, true);
        assertBranch(4, MAX, MIN, false);
        assertBranch(4, 5, 5, false);
        assertBranch(5, MIN, MAX, false);
        assertBranch(5, 5, 5, true);
        assertBranch(5, MAX, MIN, true);
        assertBranch(6, MIN, MAX, false);
        assertBranch(6, MAX, MIN, true);
        assertBranch(6, 5, 5, false);
        assertBranch(7, MIN, MAX, true);
        assertBranch(7, 5, 5, true);
        assertBranch(7, MAX, MIN, false);
    }

    function assertBranch(uint256 kind, uint32 x1, uint32 x2, bool taken) internal view {
        int256[4] memory offsets = [int256(-4096), 4092, -4, 2048];
        for (uint256 i; i < offsets.length; i++) {
            Scene memory s = scene(A.bType(kind, 1, 2, offsets[i]));
            s.state.x[1] = x1;
            s.state.x[2] = x2;
            ReferenceState memory expected = after_(s);
            expected.pc = taken ? uint32(uint256(int256(uint256(s.state.pc)) + offsets[i])) : s.state.pc + 4;
            assertStep(s, expected);
        }
    }

    function test_pcWrapsAtTheEndOfTheAddressSpace() public view {
        Scene memory s = scene(A.opImm(0, 0, 0, 0));
        s.state.codeHeight = 27;
        s.codeSiblings = siblings(27, 27);
        s.state.pc = 0xfffffffc;
        ReferenceState memory expected = after_(s);
        expected.pc = 0;
        assertStep(s, expected);
    }

    // Fetch and decode

    function test_fetchTraps() public view {
        Scene memory s = scene(A.ECALL);
        s.state.pc = 0x10000;
        assertTrap(s, 2);
        s.state.pc = 0xfffffffc;
        assertTrap(s, 2);
        for (uint32 i = 1; i < 4; i++) {
            s.state.pc = 0x1000 + i;
            assertTrap(s, 2);
        }
        // the last word of the code tree is still code
        s = scene(A.opImm(0, 0, 0, 0));
        s.state.pc = 0xfffc;
        ReferenceState memory expected = after_(s);
        expected.pc = 0x10000;
        assertStep(s, expected);
    }

    function test_treesOfHeightZeroAreOneLeaf() public view {
        Scene memory s = sceneAt(A.sType(2, 0, 2, 4), 4);
        s.state.pc = 28;
        s.state.codeHeight = 0;
        s.codeSiblings = siblings(0, 0);
        s.state.memHeight = 0;
        s.memSiblings = siblings(0, 0);
        ReferenceState memory expected = after_(s);
        expected.pc = 32;
        expected.memRoot = bytes32((uint256(s.leaf) & ~(uint256(0xffffffff) << 192)) | (uint256(0x02020202) << 192));
        assertStep(s, expected);
        s.touchesMemory = false;
        s.state.pc = 32;
        assertTrap(s, 2);
    }

    function test_illegalWords() public view {
        uint32[16] memory words = [
            0,
            ONES,
            A.EBREAK,
            // CSRRW, CSRRS, MRET, WFI, URET
            0x34009073,
            0xc0002573,
            0x30200073,
            0x10500073,
            0x00200073,
            // ECALL with rd, rs1 or funct3
            0x000000f3,
            0x00008073,
            0x00001073,
            // FENCE.I
            0x0000100f,
            // compressed
            0x00004501,
            // JALR, branch, load and store of kinds there are not
            A.iType(0x67, 1, 3, 1, 0),
            A.bType(2, 1, 2, 8),
            A.bType(3, 1, 2, 8)
        ];
        for (uint256 i; i < words.length; i++) {
            assertTrap(scene(words[i]), 1);
        }
        assertTrap(scene(A.load(3, 3, 1, 0)), 1);
        assertTrap(scene(A.load(6, 3, 1, 0)), 1);
        assertTrap(scene(A.load(7, 3, 1, 0)), 1);
        for (uint256 i = 3; i < 8; i++) {
            assertTrap(scene(A.sType(i, 1, 2, 0)), 1);
        }
        // register instructions with another funct7
        for (uint256 i; i < 8; i++) {
            assertTrap(scene(A.rType(2, i, 3, 1, 2)), 1);
            assertTrap(scene(A.rType(0x21, i, 3, 1, 2)), 1);
            assertTrap(scene(A.rType(0x40, i, 3, 1, 2)), 1);
            if (i != 0 && i != 5) assertTrap(scene(A.rType(0x20, i, 3, 1, 2)), 1);
        }
    }

    /// Every opcode that is not in the table, with the rest of the word as in a legal instruction.
    function test_unknownOpcodes() public view {
        uint256 known = (1 << 0x03) | (1 << 0x0f) | (1 << 0x13) | (1 << 0x17) | (1 << 0x23) | (1 << 0x33) | (1 << 0x37)
            | (1 << 0x63) | (1 << 0x67) | (1 << 0x6f);
        for (uint32 opcode; opcode < 128; opcode++) {
            if ((known >> opcode) & 1 == 0) assertTrap(scene((A.rType(0, 0, 3, 1, 2) & ~uint32(0x7f)) | opcode), 1);
        }
    }

    function test_fenceDoesNothingWhateverItsFields() public view {
        uint32[3] memory words = [uint32(0x0ff0000f), 0x8330000f, 0xffff8f8f];
        for (uint256 i; i < words.length; i++) {
            Scene memory s = scene(words[i]);
            ReferenceState memory expected = after_(s);
            expected.pc += 4;
            assertStep(s, expected);
        }
    }

    // Loads and stores

    function test_loads() public view {
        // leaf bytes are 80 81 82 ... 9f
        assertLoad(0, 0, 0xffffff80);
        assertLoad(0, 31, 0xffffff9f);
        assertLoad(4, 5, 0x85);
        assertLoad(4, 31, 0x9f);
        assertLoad(1, 2, 0xffff8382);
        assertLoad(1, 30, 0xffff9f9e);
        assertLoad(5, 0, 0x8180);
        assertLoad(5, 30, 0x9f9e);
        assertLoad(2, 0, 0x83828180);
        assertLoad(2, 28, 0x9f9e9d9c);
    }

    function assertLoad(uint256 kind, uint32 offset, uint32 value) internal view {
        Scene memory s = sceneAt(A.load(kind, 3, 1, -2048), 0x42460);
        s.state.x[1] = 0x42460 + 2048 + offset;
        ReferenceState memory expected = after_(s);
        expected.x[3] = value;
        expected.pc += 4;
        assertStep(s, expected);
    }

    function test_loadsOfPositiveValues() public view {
        Scene memory s = sceneAt(A.load(0, 3, 1, 0), 0);
        s.leaf = bytes32(uint256(0x7f12) << 240);
        s.state.x[1] = 0;
        ReferenceState memory expected = after_(s);
        expected.x[3] = 0x7f;
        expected.pc += 4;
        assertStep(s, expected);
        s.instruction = A.load(1, 3, 1, 0);
        expected = after_(s);
        expected.x[3] = 0x127f;
        expected.pc += 4;
        assertStep(s, expected);
    }

    function test_loadIntoItsOwnBase() public view {
        Scene memory s = sceneAt(A.load(2, 1, 1, 0), 0x40);
        s.state.x[1] = 0x40;
        ReferenceState memory expected = after_(s);
        expected.x[1] = 0x83828180;
        expected.pc += 4;
        assertStep(s, expected);
    }

    function test_stores() public view {
        // funct3, offset, the bytes that are replaced, from the left
        assertStore(0, 0, hex"44");
        assertStore(0, 31, hex"44");
        assertStore(0, 13, hex"44");
        assertStore(1, 0, hex"4433");
        assertStore(1, 30, hex"4433");
        assertStore(2, 0, hex"44332211");
        assertStore(2, 16, hex"44332211");
        assertStore(2, 28, hex"44332211");
    }

    function assertStore(uint256 kind, uint32 offset, bytes memory stored) internal view {
        Scene memory s = sceneAt(A.sType(kind, 1, 2, -2047), 0x42460);
        s.state.x[1] = 0x42460 + 2047 + offset;
        s.state.x[2] = 0x11223344;
        bytes memory leaf = bytes.concat(s.leaf);
        for (uint256 i; i < stored.length; i++) {
            leaf[offset + i] = stored[i];
        }
        ReferenceState memory expected = after_(s);
        expected.memRoot = memRootWith(s, bytes32(leaf));
        expected.pc += 4;
        assertStep(s, expected);
    }

    function test_misalignedAccessesTrap() public view {
        for (uint32 i = 1; i < 4; i++) {
            assertAccessTrap(A.load(2, 3, 1, 0), 0x100 + i, 4);
            assertAccessTrap(A.sType(2, 1, 2, 0), 0x100 + i, 6);
        }
        for (uint32 i = 1; i < 4; i += 2) {
            assertAccessTrap(A.load(1, 3, 1, 0), 0x100 + i, 4);
            assertAccessTrap(A.load(5, 3, 1, 0), 0x100 + i, 4);
            assertAccessTrap(A.sType(1, 1, 2, 0), 0x100 + i, 6);
        }
    }

    function test_accessesOutsideMemoryTrap() public view {
        uint32 size = uint32(32) << MEM_HEIGHT;
        assertAccessTrap(A.load(0, 3, 1, 0), size, 5);
        assertAccessTrap(A.load(4, 3, 1, 0), size, 5);
        assertAccessTrap(A.load(2, 3, 1, 0), size, 5);
        assertAccessTrap(A.load(2, 3, 1, 0), 0xfffffffc, 5);
        assertAccessTrap(A.sType(0, 1, 2, 0), size, 7);
        assertAccessTrap(A.sType(2, 1, 2, 0), 0xfffffffc, 7);
        // wraps to the top
        assertAccessTrap(A.sType(2, 1, 2, -4), 0, 7);
        // misaligned and out of range: misaligned
        assertAccessTrap(A.load(2, 3, 1, 0), size + 2, 4);
        assertAccessTrap(A.sType(1, 1, 2, 0), size + 1, 6);
    }

    function assertAccessTrap(uint32 instruction, uint32 base, uint32 cause) internal view {
        Scene memory s = scene(instruction);
        s.state.x[1] = base;
        assertTrap(s, cause);
    }

    function test_theLastWordOfFourGigabytes() public view {
        Scene memory s = sceneAt(A.sType(2, 0, 2, -4), 0xffffffe0);
        s.state.memHeight = 27;
        s.memSiblings = siblings(27, 27);
        s.state.x[2] = 0x11223344;
        ReferenceState memory expected = after_(s);
        expected.memRoot = memRootWith(s, bytes32((uint256(s.leaf) & ~uint256(ONES)) | 0x44332211));
        expected.pc += 4;
        assertStep(s, expected);
    }

    // System calls

    function test_haltKeepsPcAndTakesItsCode() public view {
        Scene memory s = call(1);
        s.state.x[10] = 0xdeadbeef;
        ReferenceState memory expected = after_(s);
        expected.status = 1;
        expected.exit = 0xdeadbeef;
        assertStep(s, expected);
    }

    function test_unknownCallsTrap() public view {
        assertTrap(call(0), 8);
        assertTrap(call(6), 8);
        assertTrap(call(0x101), 8);
        assertTrap(call(ONES), 8);
    }

    function test_hintOnlyGoesOn() public view {
        Scene memory s = call(5);
        s.state.x[10] = ONES;
        s.state.x[11] = ONES;
        ReferenceState memory expected = after_(s);
        expected.pc += 4;
        assertStep(s, expected);
    }

    function test_inputGivesHashAndLength() public {
        Scene memory s = call(4);
        bytes memory data = pattern(1000);
        s.state.inputHash = show(data, 0);
        ReferenceState memory expected = after_(s);
        setHash(expected, s.state.inputHash);
        expected.x[10] = 1000;
        expected.pc += 4;
        assertStep(s, expected);
    }

    function test_inputMayBeEmpty() public {
        Scene memory s = call(4);
        s.state.inputHash = preimages.show("", new uint32[](0));
        ReferenceState memory expected = after_(s);
        setHash(expected, keccak256(""));
        expected.x[10] = 0;
        expected.pc += 4;
        assertStep(s, expected);
    }

    function test_hashRegistersAreLittleEndianWords() public {
        // An independent statement of the order: `lw s2, 0(p)` of the hash's first four bytes.
        bytes memory data = "order";
        bytes32 hash = show(data, 0);
        Scene memory s = call(4);
        s.state.inputHash = hash;
        ReferenceState memory expected = after_(s);
        setHash(expected, hash);
        assertEq(
            expected.x[18],
            uint32(uint8(hash[0])) | (uint32(uint8(hash[1])) << 8) | (uint32(uint8(hash[2])) << 16)
                | (uint32(uint8(hash[3])) << 24)
        );
        assertEq(expected.x[25] & 0xff, uint32(uint8(hash[28])));
    }

    function test_writeNothing() public view {
        Scene memory s = call(2);
        s.state.x[10] = ONES;
        s.state.x[11] = 0;
        ReferenceState memory expected = after_(s);
        expected.pc += 4;
        assertStep(s, expected);
    }

    function test_writePieces() public view {
        // source offset in its leaf, length; bytes moved, whether it is the last piece
        assertWrite(0, 32, 32, true);
        assertWrite(0, 33, 32, false);
        assertWrite(0, 1, 1, true);
        assertWrite(5, 27, 27, true);
        assertWrite(5, 28, 27, false);
        assertWrite(31, 1, 1, true);
        assertWrite(31, ONES, 1, false);
        assertWrite(7, 3, 3, true);
    }

    function assertWrite(uint32 offset, uint32 length, uint32 n, bool last) internal view {
        Scene memory s = call(2);
        s.touchesMemory = true;
        s.location = 0x20020;
        s.state.x[10] = 0x20020 + offset;
        s.state.x[11] = length;
        ReferenceState memory expected = after_(s);
        bytes memory chunk = new bytes(n);
        for (uint256 i; i < n; i++) {
            chunk[i] = s.leaf[offset + i];
        }
        expected.outputRoot = keccak256(bytes.concat(s.state.outputRoot, chunk));
        expected.x[10] += n;
        expected.x[11] -= n;
        if (last) expected.pc += 4;
        assertStep(s, expected);
    }

    function test_writeFromOutsideMemoryTraps() public view {
        Scene memory s = call(2);
        s.state.x[10] = uint32(32) << MEM_HEIGHT;
        s.state.x[11] = 1;
        assertTrap(s, 5);
        s.state.x[10] = ONES;
        assertTrap(s, 5);
    }

    function test_writeTheLastByteOfFourGigabytes() public view {
        Scene memory s = call(2);
        s.touchesMemory = true;
        s.location = ONES;
        s.state.memHeight = 27;
        s.memSiblings = siblings(27, 27);
        s.state.x[10] = ONES;
        s.state.x[11] = 2;
        ReferenceState memory expected = after_(s);
        expected.outputRoot = keccak256(bytes.concat(s.state.outputRoot, s.leaf[31]));
        expected.x[10] = 0;
        expected.x[11] = 1;
        assertStep(s, expected);
    }

    function test_readNothingNeedsNoPreimage() public view {
        Scene memory s = call(3);
        s.state.x[12] = 0;
        ReferenceState memory expected = after_(s);
        expected.pc += 4;
        assertStep(s, expected);
    }

    function test_readAtOrPastTheEnd() public {
        bytes memory data = pattern(100);
        // Only its length is shown.
        bytes32 hash = preimages.show(data, new uint32[](0));
        uint32[3] memory offsets = [uint32(100), 101, ONES];
        for (uint256 i; i < offsets.length; i++) {
            Scene memory s = call(3);
            setHash(s.state, hash);
            s.state.x[10] = 0x40;
            s.state.x[11] = offsets[i];
            s.state.x[12] = 9;
            ReferenceState memory expected = after_(s);
            expected.pc += 4;
            assertStep(s, expected);
        }
    }

    function test_readPieces() public {
        // place in the leaf, offset in 100 bytes, length; bytes moved, whether it is the last piece
        assertRead(0, 0, 32, 32, true);
        assertRead(0, 0, 33, 32, false);
        assertRead(0, 3, 1, 1, true);
        assertRead(5, 9, 100, 27, false);
        assertRead(31, 9, 100, 1, false);
        assertRead(31, 99, 100, 1, true);
        // ends with the preimage: a2 says how much was not read
        assertRead(0, 68, 100, 32, true);
        assertRead(4, 90, 100, 10, true);
        assertRead(4, 90, ONES, 10, true);
        assertRead(9, 40, 3, 3, true);
    }

    function assertRead(uint32 place, uint32 offset, uint32 length, uint32 n, bool last) internal {
        bytes memory data = pattern(100);
        Scene memory s = call(3);
        s.touchesMemory = true;
        s.location = 0x20020;
        setHash(s.state, show(data, offset));
        s.state.x[10] = 0x20020 + place;
        s.state.x[11] = offset;
        s.state.x[12] = length;
        bytes memory leaf = bytes.concat(s.leaf);
        for (uint256 i; i < n; i++) {
            leaf[place + i] = data[offset + i];
        }
        ReferenceState memory expected = after_(s);
        expected.memRoot = memRootWith(s, bytes32(leaf));
        expected.x[10] += n;
        expected.x[11] += n;
        expected.x[12] -= n;
        if (last) expected.pc += 4;
        assertStep(s, expected);
    }

    function test_readToOutsideMemoryTraps() public {
        Scene memory s = call(3);
        // Only its length is shown: no byte is needed.
        setHash(s.state, preimages.show(pattern(100), new uint32[](0)));
        s.state.x[10] = uint32(32) << MEM_HEIGHT;
        s.state.x[11] = 7;
        s.state.x[12] = 1;
        assertTrap(s, 7);
        s.state.x[10] = ONES;
        assertTrap(s, 7);
        // Past the end of the preimage nothing would be written.
        s.state.x[11] = 100;
        ReferenceState memory expected = after_(s);
        expected.pc += 4;
        assertStep(s, expected);
    }

    // Machines that do not run

    function test_endedMachinesStepToThemselves() public view {
        uint8[4] memory statuses = [1, 2, 3, 255];
        for (uint256 i; i < statuses.length; i++) {
            Scene memory s = scene(A.jal(3, 16));
            s.state.status = statuses[i];
            s.state.exit = 7;
            s.state.memHeight = 255;
            assertStep(s, after_(s));
        }
    }

    /// An ECALL with this number.
    function call(uint32 number) internal pure returns (Scene memory s) {
        s = scene(A.ECALL);
        s.state.x[17] = number;
    }
}

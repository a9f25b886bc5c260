// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Assembler as A} from "./machine/Assembler.sol";
import {MachineFixture, Scene} from "./machine/MachineFixture.sol";
import {StepMeter} from "./machine/StepMeter.sol";

/// What a step costs the contract that asks for it, by instruction class: code of up to 64 KiB (11 siblings), and 512 KiB
/// in use of 8 MiB of memory (14 siblings), unless the words say otherwise. Whole transactions are in `Disputes.json`.
contract MachineGasTest is MachineFixture {
    /// Execution, of the 85,000 gas that a whole step transaction may take.
    uint256 internal constant LIMIT = 25_000;

    StepMeter internal meter = new StepMeter();

    function record(string memory name, Scene memory s) internal {
        uint256 gasUsed = meter.measure(address(machine), abi.encodeCall(machine.step, (witness(s))));
        vm.snapshotValue("Machine", string.concat("step: ", name), gasUsed);
        assertLt(gasUsed, LIMIT, name);
    }

    function withBase(uint32 instruction, uint32 base) internal pure returns (Scene memory s) {
        s = sceneAt(instruction, base);
        s.state.x[1] = base;
    }

    function test_gasOfRegisterInstructions() public {
        string[10] memory names = ["add", "sll", "slt", "sltu", "xor", "srl", "or", "and", "sub", "sra"];
        for (uint256 i; i < 10; i++) {
            record(names[i], scene(A.rType(i < 8 ? 0 : 0x20, i < 8 ? i : i == 8 ? 0 : 5, 3, 1, 2)));
        }
        names = ["mul", "mulh", "mulhsu", "mulhu", "div", "divu", "rem", "remu", "", ""];
        for (uint256 i; i < 8; i++) {
            record(names[i], scene(A.rType(1, i, 3, 1, 2)));
        }
        names = ["addi", "slli", "slti", "sltiu", "xori", "srli", "ori", "andi", "srai", ""];
        for (uint256 i; i < 9; i++) {
            record(names[i], scene(A.opImm(i < 8 ? i : 5, 3, 1, i < 8 ? int256(7) : int256(0x407))));
        }
        record("lui", scene(A.uType(0x37, 3, 1)));
        record("auipc", scene(A.uType(0x17, 3, 1)));
        record("fence", scene(0x0ff0000f));
    }

    function test_gasOfJumps() public {
        record("jal", scene(A.jal(3, 16)));
        record("jalr", scene(A.jalr(3, 1, -1)));
        string[8] memory names = ["beq", "bne", "", "", "blt", "bge", "bltu", "bgeu"];
        for (uint256 i; i < 8; i++) {
            if (i == 2 || i == 3) continue;
            Scene memory s = scene(A.bType(i, 1, 2, 16));
            bool equal = i == 0 || i == 5 || i == 7;
            s.state.x[2] = equal ? s.state.x[1] : s.state.x[1] + 1;
            record(string.concat(names[i], ", taken"), s);
            s.state.x[2] = equal ? s.state.x[1] + 1 : s.state.x[1];
            record(string.concat(names[i], ", not taken"), s);
        }
    }

    function test_gasOfLoads() public {
        record("load byte, 14 siblings", withBase(A.load(0, 3, 1, 0), 0x42465));
        record("load half, 14 siblings", withBase(A.load(1, 3, 1, 0), 0x42466));
        record("load word, 14 siblings", withBase(A.load(2, 3, 1, 0), 0x42464));
        record("load byte unsigned, 14 siblings", withBase(A.load(4, 3, 1, 0), 0x42465));
        record("load half unsigned, 14 siblings", withBase(A.load(5, 3, 1, 0), 0x42466));
        record("load word, 4 GiB full of data (27 siblings)", full(withBase(A.load(2, 3, 1, 0), 0x42464)));
    }

    function test_gasOfStores() public {
        record("store byte, 14 siblings", withBase(A.sType(0, 1, 2, 0), 0x42465));
        record("store half, 14 siblings", withBase(A.sType(1, 1, 2, 0), 0x42466));
        record("store word, 14 siblings", withBase(A.sType(2, 1, 2, 0), 0x42464));
        record("store word, 4 GiB full of data (27 siblings)", full(withBase(A.sType(2, 1, 2, 0), 0x42464)));
    }

    /// Memory of 4 GiB, all of it in use.
    function full(Scene memory s) internal pure returns (Scene memory) {
        s.state.memHeight = 27;
        s.memSiblings = siblings(27, 27);
        return s;
    }

    function test_gasOfSystemCalls() public {
        Scene memory s = call(1);
        record("halt", s);
        record("hint", call(5));
        s = call(2);
        s.state.x[11] = 0;
        record("write nothing", s);
        s = call(2);
        s.touchesMemory = true;
        s.location = s.state.x[10] = 0x42460;
        s.state.x[11] = 100;
        record("write 32 bytes, 14 siblings", s);
        s = call(4);
        s.state.inputHash = show(pattern(100), 33);
        record("input", s);
        s = call(3);
        s.state.x[12] = 0;
        record("read nothing", s);
        setHash(s.state, keccak256(pattern(100)));
        s.state.x[11] = 100;
        s.state.x[12] = 1;
        s.state.x[10] = 0x42460;
        record("read past the end", s);
        s.state.x[11] = 33;
        s.state.x[12] = 100;
        s.touchesMemory = true;
        s.location = 0x42460;
        record("read 32 bytes, 14 siblings", s);
    }

    function call(uint32 number) internal pure returns (Scene memory s) {
        s = scene(A.ECALL);
        s.state.x[17] = number;
    }

    function test_gasOfTrapsAndEnds() public {
        record("trap: illegal", scene(0));
        Scene memory s = scene(A.ECALL);
        s.state.pc = 2;
        record("trap: fetch", s);
        record("trap: jump misaligned", scene(A.jal(3, 2)));
        s = scene(A.load(2, 3, 1, 0));
        s.state.x[1] = 1;
        record("trap: load misaligned", s);
        s.state.x[1] = 0xfffffffc;
        record("trap: load range", s);
        s = scene(A.sType(2, 1, 2, 0));
        s.state.x[1] = 1;
        record("trap: store misaligned", s);
        s.state.x[1] = 0xfffffffc;
        record("trap: store range", s);
        record("trap: system call", call(99));
        s = scene(A.ECALL);
        s.state.status = 1;
        record("ended", s);
    }
}

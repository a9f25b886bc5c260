// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Assembler as A} from "./machine/Assembler.sol";
import {MachineFixture, Scene} from "./machine/MachineFixture.sol";

/// P3, within Solidity: `Machine` and `ReferenceMachine` agree on every witness, on whether it is one and on its step.
contract MachineEquivalenceTest is MachineFixture {
    uint256 private random;
    /// Shown at every offset.
    bytes32 private hash;
    /// Of which only the length is shown.
    bytes32 private lengthOnly;

    function setUp() public {
        uint32[] memory offsets = new uint32[](100);
        for (uint32 i; i < 100; i++) {
            offsets[i] = i;
        }
        hash = preimages.show(pattern(100), offsets);
        lengthOnly = preimages.show(pattern(99), new uint32[](0));
    }

    /// Random instructions on random states, with and without a memory proof: one of the two witnesses is valid, since
    /// every state has a next one.
    function testFuzz_p3_everyStateHasOneStep(uint256 seed) public {
        random = seed;
        Scene memory s = randomScene();
        s.touchesMemory = true;
        bool withProof = agree(witness(s));
        s.touchesMemory = false;
        bool without = agree(witness(s));
        assertTrue(withProof != without, "exactly one of the two witnesses is valid");
    }

    /// Witnesses that were tampered with.
    function testFuzz_p3_agreeOnHostileWitnesses(uint256 seed) public {
        random = seed;
        Scene memory s = randomScene();
        s.touchesMemory = next(4) != 0;
        if (next(8) == 0) setHash(s.state, next(2) == 0 ? lengthOnly : keccak256("unknown"));
        if (next(8) == 0) s.state.inputHash = next(2) == 0 ? lengthOnly : keccak256("unknown");
        bytes memory w = witness(s);
        uint256 kind = next(4);
        if (kind == 0) {
            w[next(w.length)] ^= bytes1(uint8(1 << next(8)));
        } else if (kind == 1) {
            // in the state, its heights and status more often
            w[next(2) == 0 ? 256 + next(7) : next(263)] = bytes1(uint8(next(256)));
        } else if (kind == 2) {
            uint256 cut = next(3) == 0 ? next(w.length) : w.length - 1 - next(33);
            assembly ("memory-safe") {
                mstore(w, cut)
            }
        } else {
            w = bytes.concat(w, new bytes(1 + next(64)));
        }
        agree(w);
    }

    function agree(bytes memory w) internal view returns (bool valid) {
        (bool ok, bytes memory result) = address(machine).staticcall(abi.encodeCall(machine.step, (w)));
        (bool expectedOk, bytes memory expected) =
            address(referenceMachine).staticcall(abi.encodeCall(machine.step, (w)));
        assertEq(ok, expectedOk, "accepted");
        if (ok) assertEq(result, expected, "roots");
        return ok;
    }

    function next(uint256 limit) internal returns (uint256) {
        random = uint256(keccak256(abi.encode(random)));
        return random % limit;
    }

    /// Corners more often than not.
    function value() internal returns (uint32) {
        uint32[12] memory corners =
            [uint32(0), 1, 2, 31, 32, 33, 0x7fffffff, 0x80000000, 0x80000001, 0xfffffffe, 0xffffffff, 0xffffffe0];
        return next(2) == 0 ? corners[next(12)] : uint32(next(2 ** 32));
    }

    function randomScene() internal returns (Scene memory s) {
        s.state.codeHeight = uint8(next(28));
        s.state.memHeight = uint8(next(28));
        s.codeSiblings = siblings(s.state.codeHeight, next(28));
        s.memSiblings = siblings(s.state.memHeight, next(28));
        s.state.pc = uint32(next(32 * 2 ** uint256(s.state.codeHeight)) / 4 * 4);
        if (next(16) == 0) s.state.pc = value();
        for (uint256 i = 1; i < 32; i++) {
            s.state.x[i] = value();
        }
        s.state.inputHash = hash;
        s.state.outputRoot = bytes32(next(2 ** 255));
        s.leaf = keccak256(abi.encode(next(2 ** 255)));

        uint256 kind = next(5);
        if (kind == 0) anyWord(s);
        else if (kind == 1) arithmetic(s);
        else if (kind == 2) memoryAccess(s);
        else if (kind == 3) jump(s);
        else systemCall(s);
    }

    function anyWord(Scene memory s) private {
        s.instruction = uint32(next(2 ** 32));
        if (next(2) == 0) s.instruction |= 3;
        // Where it would go, if it happens to be a load or a store.
        uint256 word = s.instruction;
        uint256 imm = (word >> 25) * 32 + (word & 0x7f == 0x23 ? (word >> 7) & 31 : (word >> 20) & 31);
        unchecked {
            uint32 location = s.state.x[(word >> 15) & 31] + uint32(imm) - (imm < 2048 ? 0 : 4096);
            s.location = location % (32 * 2 ** uint256(s.state.memHeight));
        }
    }

    function arithmetic(Scene memory s) private {
        uint256 funct3 = next(8);
        (uint256 rd, uint256 rs1, uint256 rs2) = (next(32), next(32), next(32));
        uint256 which = next(8);
        if (which == 0) s.instruction = A.uType(next(2) == 0 ? 0x37 : 0x17, rd, next(2 ** 20));
        else if (which == 1) s.instruction = A.opImm(funct3, rd, rs1, int256(next(4096)));
        else if (which == 2) s.instruction = A.opImm(funct3, rd, rs1, int256(next(2) * 0x400 + next(33)));
        else if (which == 3) s.instruction = A.rType(next(128), funct3, rd, rs1, rs2);
        else if (which == 4) s.instruction = A.rType(0x20, funct3, rd, rs1, rs2);
        else if (which == 5) s.instruction = A.rType(0, funct3, rd, rs1, rs2);
        else s.instruction = A.rType(1, funct3, rd, rs1, rs2);
    }

    function memoryAccess(Scene memory s) private {
        uint256 size = 32 * 2 ** uint256(s.state.memHeight);
        uint32 location = uint32(next(size));
        if (next(2) == 0) location -= location % 4;
        if (next(8) == 0) location = value();
        s.location = location % size;
        int256 imm = int256(next(4096)) - 2048;
        uint256 rs1 = 1 + next(31);
        unchecked {
            s.state.x[rs1] = location - uint32(int32(imm));
        }
        if (next(2) == 0) s.instruction = A.load(next(8), next(32), rs1, imm);
        else s.instruction = A.sType(next(4), rs1, next(32), imm);
    }

    function jump(Scene memory s) private {
        uint256 which = next(4);
        if (which == 0) s.instruction = A.jal(next(32), int256(next(2 ** 21)) / 2 * 2);
        else if (which == 1) s.instruction = A.jalr(next(32), next(32), int256(next(4096)));
        else s.instruction = A.bType(next(8), next(32), next(32), int256(next(2 ** 13)) / 2 * 2);
    }

    function systemCall(Scene memory s) private {
        uint256 size = 32 * 2 ** uint256(s.state.memHeight);
        s.instruction = A.ECALL;
        s.state.x[17] = uint32(next(8) == 0 ? next(8) : 2 + next(3));
        s.state.x[10] = next(4) == 0 ? value() : uint32(next(size));
        s.location = s.state.x[10] % size;
        s.state.x[11] = next(4) == 0 ? value() : uint32(next(35) * 3);
        s.state.x[12] = next(4) == 0 ? value() : uint32(next(40));
        setHash(s.state, hash);
    }
}

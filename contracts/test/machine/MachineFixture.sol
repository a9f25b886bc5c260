// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Machine} from "../../src/Machine.sol";
import {Preimages} from "../../src/Preimages.sol";
import {ReferenceMachine, ReferenceState, ReferenceStateLib} from "./ReferenceMachine.sol";
import {ReferenceTree} from "./ReferenceTree.sol";
import {Test} from "forge-std/Test.sol";

/// A machine before a step, and the two leaves a step may touch, from which the trees are made up.
struct Scene {
    ReferenceState state;
    uint32 instruction;
    bytes32[] codeSiblings;
    /// whether the witness has a memory proof
    bool touchesMemory;
    /// byte address, anywhere in the leaf
    uint256 location;
    bytes32 leaf;
    bytes32[] memSiblings;
}

/// @title Scenes, and what a step of one must come to
abstract contract MachineFixture is Test {
    using ReferenceStateLib for ReferenceState;

    uint8 internal constant CODE_HEIGHT = 11;
    uint8 internal constant MEM_HEIGHT = 18;

    Preimages internal preimages = new Preimages();
    Machine internal machine = new Machine(preimages);
    ReferenceMachine internal referenceMachine = new ReferenceMachine(preimages);

    /// A program of up to 64 KiB with code everywhere, in 8 MiB of memory of which 512 KiB are in use: 11 and 14 siblings.
    function scene(uint32 instruction) internal pure returns (Scene memory s) {
        s.state.pc = 0x1234;
        for (uint32 i = 1; i < 32; i++) {
            s.state.x[i] = 0x01010101 * i;
        }
        s.state.inputHash = keccak256("input");
        s.state.outputRoot = keccak256("output");
        s.state.codeHeight = CODE_HEIGHT;
        s.state.memHeight = MEM_HEIGHT;
        s.instruction = instruction;
        s.codeSiblings = siblings(CODE_HEIGHT, CODE_HEIGHT);
        s.memSiblings = siblings(MEM_HEIGHT, 14);
        for (uint256 i; i < 32; i++) {
            s.leaf |= bytes32(uint256(0x80 + i) << (248 - 8 * i));
        }
    }

    /// With memory opened at this byte address.
    function sceneAt(uint32 instruction, uint256 location) internal pure returns (Scene memory s) {
        s = scene(instruction);
        s.touchesMemory = true;
        s.location = location;
    }

    /// The lowest `given` siblings are something, the others are empty trees.
    function siblings(uint256 height, uint256 given) internal pure returns (bytes32[] memory list) {
        list = new bytes32[](height);
        for (uint256 i; i < height; i++) {
            list[i] = i < given ? keccak256(abi.encode(height, i)) : ReferenceTree.zero(i);
        }
    }

    /// Sets the state's roots to those of the trees in which this is so, and returns the step's witness.
    function witness(Scene memory s) internal pure returns (bytes memory) {
        uint256 pc = s.state.pc;
        bytes32 codeLeaf = keccak256("code around the instruction");
        uint256 word = reversed(s.instruction);
        uint256 shift = 224 - 8 * (pc % 32 - pc % 4);
        codeLeaf = bytes32((uint256(codeLeaf) & ~(uint256(0xffffffff) << shift)) | (word << shift));
        s.state.codeRoot = ReferenceTree.root(codeLeaf, pc / 32, s.codeSiblings);
        s.state.memRoot = ReferenceTree.root(s.leaf, s.location / 32, s.memSiblings);

        bool fetches = s.state.status == 0 && pc % 4 == 0 && pc < 32 * 2 ** uint256(s.state.codeHeight);
        return bytes.concat(
            s.state.encode(),
            fetches ? ReferenceTree.encode(codeLeaf, s.codeSiblings) : bytes(""),
            s.touchesMemory ? ReferenceTree.encode(s.leaf, s.memSiblings) : bytes("")
        );
    }

    /// The same 32-bit word with its bytes in the other order.
    function reversed(uint256 value) internal pure returns (uint256 result) {
        for (uint256 i; i < 4; i++) {
            result = (result << 8) | ((value >> (8 * i)) & 0xff);
        }
    }

    function copy(ReferenceState memory state) internal pure returns (ReferenceState memory) {
        return ReferenceStateLib.decode(state.encode());
    }

    /// The state after the scene's roots are known, to be changed into what is expected.
    function after_(Scene memory s) internal pure returns (ReferenceState memory) {
        witness(s);
        return copy(s.state);
    }

    /// The memory root with another leaf in the scene's place.
    function memRootWith(Scene memory s, bytes32 leaf) internal pure returns (bytes32) {
        return ReferenceTree.root(leaf, s.location / 32, s.memSiblings);
    }

    /// One step of the scene gives exactly `expected`, in the machine and in the reference.
    function assertStep(Scene memory s, ReferenceState memory expected) internal view {
        bytes memory w = witness(s);
        (bytes32 pre, bytes32 post) = machine.step(w);
        assertEq(pre, s.state.root(), "pre");
        assertEq(post, expected.root(), "post");
        (pre, post) = referenceMachine.step(w);
        assertEq(pre, s.state.root(), "pre of the reference");
        assertEq(post, expected.root(), "post of the reference");
    }

    /// The step traps with this cause and changes nothing else.
    function assertTrap(Scene memory s, uint32 cause) internal view {
        ReferenceState memory expected = after_(s);
        expected.status = 2;
        expected.exit = cause;
        assertStep(s, expected);
    }

    /// The step sets `x3` and goes on. The instruction's operands are in `x1` and `x2`.
    function assertX3(uint32 instruction, uint32 x1, uint32 x2, uint32 x3) internal view {
        Scene memory s = scene(instruction);
        s.state.x[1] = x1;
        s.state.x[2] = x2;
        ReferenceState memory expected = after_(s);
        expected.x[3] = x3;
        expected.pc += 4;
        assertStep(s, expected);
    }

    /// `s2`..`s9` are this hash.
    function setHash(ReferenceState memory state, bytes32 hash) internal pure {
        for (uint256 i; i < 8; i++) {
            state.x[18 + i] = uint32(reversed((uint256(hash) >> (224 - 32 * i)) & 0xffffffff));
        }
    }

    /// Show `data` at one offset.
    function show(bytes memory data, uint32 offset) internal returns (bytes32) {
        uint32[] memory offsets = new uint32[](1);
        offsets[0] = offset;
        return preimages.show(data, offsets);
    }

    /// `n` bytes, no two neighbours equal.
    function pattern(uint256 n) internal pure returns (bytes memory data) {
        data = new bytes(n);
        for (uint256 i; i < n; i++) {
            data[i] = bytes1(uint8(i * 7 + i / 256 + 1));
        }
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IMachine} from "../src/interfaces/IMachine.sol";
import {IPreimages} from "../src/interfaces/IPreimages.sol";
import {Assembler as A} from "./machine/Assembler.sol";
import {MachineFixture, Scene} from "./machine/MachineFixture.sol";
import {ReferenceStateLib} from "./machine/ReferenceMachine.sol";
import {ReferenceTree} from "./machine/ReferenceTree.sol";

/// What is refused: a step has one witness, and it is the step's whole witness.
contract MachineWitnessTest is MachineFixture {
    uint256 internal constant STATE = 263;
    uint256 internal constant CODE_PROOF = 36 + 32 * 11;
    uint256 internal constant MEM_PROOF = 36 + 32 * 14;

    function storeScene() internal pure returns (Scene memory s) {
        s = sceneAt(A.sType(2, 1, 2, 0), 0x10040);
        s.state.x[1] = 0x10040;
    }

    function test_lengthIsThatOfItsParts() public pure {
        assertEq(witness(scene(A.opImm(0, 1, 1, 1))).length, STATE + CODE_PROOF);
        assertEq(witness(storeScene()).length, STATE + CODE_PROOF + MEM_PROOF);
    }

    function test_everyTruncationIsRefused() public {
        bytes memory whole = witness(storeScene());
        for (uint256 n = 0; n < whole.length; n++) {
            bytes memory cut = new bytes(n);
            for (uint256 i; i < n; i++) {
                cut[i] = whole[i];
            }
            // A cut through the last siblings changes the root first: zeros are read for what is missing.
            vm.expectRevert();
            machine.step(cut);
        }
    }

    function test_shorterThanAState() public {
        vm.expectRevert(abi.encodeWithSelector(IMachine.WitnessLength.selector, 262, 263));
        machine.step(new bytes(262));
    }

    function test_trailingBytesAreRefused() public {
        bytes memory whole = witness(storeScene());
        for (uint256 n = 1; n < 70; n++) {
            vm.expectRevert(abi.encodeWithSelector(IMachine.WitnessLength.selector, whole.length + n, whole.length));
            machine.step(bytes.concat(whole, new bytes(n)));
        }
    }

    /// A memory proof where the step touches no memory, and none where it does.
    function test_memoryProofIsThereExactlyWhenItIsNeeded() public {
        Scene memory s = storeScene();
        s.instruction = A.opImm(0, 1, 1, 1);
        vm.expectRevert(
            abi.encodeWithSelector(IMachine.WitnessLength.selector, STATE + CODE_PROOF + MEM_PROOF, STATE + CODE_PROOF)
        );
        machine.step(witness(s));

        s = storeScene();
        s.touchesMemory = false;
        bytes memory w = witness(s);
        vm.expectPartialRevert(IMachine.MemoryRootMismatch.selector);
        machine.step(w);
    }

    /// Zeros that the calldata's padding holds, or that follow it, are not part of a witness, right as they might be.
    function test_whatFollowsTheWitnessIsNotReadAsItsEnd() public {
        Scene memory s = storeScene();
        s.memSiblings = siblings(MEM_HEIGHT, 0);
        s.leaf = 0;
        bytes memory w = witness(s);
        // leaf and bitmap are zeros
        bytes memory cut = new bytes(STATE + CODE_PROOF);
        for (uint256 i; i < cut.length; i++) {
            cut[i] = w[i];
        }
        vm.expectRevert(abi.encodeWithSelector(IMachine.WitnessLength.selector, cut.length, w.length));
        machine.step(cut);

        bytes memory callData = bytes.concat(abi.encodeCall(IMachine.step, (cut)), new bytes(64));
        (bool ok,) = address(machine).staticcall(callData);
        assertFalse(ok);
        (ok,) = address(machine).staticcall(abi.encodeCall(IMachine.step, (w)));
        assertTrue(ok);
    }

    function test_noProofsWhereTheStateDecides() public {
        Scene memory s = scene(A.ECALL);
        s.state.status = 1;
        bytes memory state = witness(s);
        assertEq(state.length, STATE);
        machine.step(state);
        vm.expectRevert(abi.encodeWithSelector(IMachine.WitnessLength.selector, 264, 263));
        machine.step(bytes.concat(state, hex"00"));

        s = scene(A.ECALL);
        s.state.pc = 0x10000;
        state = witness(s);
        assertEq(state.length, STATE);
        machine.step(state);
        vm.expectRevert(abi.encodeWithSelector(IMachine.WitnessLength.selector, 264, 263));
        machine.step(bytes.concat(state, hex"00"));
    }

    function test_bitmapBitsAtOrAboveTheHeightAreRefused() public {
        bytes memory w = witness(storeScene());
        for (uint256 bit = CODE_HEIGHT; bit < 32; bit++) {
            uint32 bitmap = uint32(2 ** 11 - 1 + 2 ** bit);
            vm.expectRevert(abi.encodeWithSelector(IMachine.BitmapAboveHeight.selector, bitmap, CODE_HEIGHT));
            machine.step(withBitmap(w, STATE + 32, bitmap));
        }
        for (uint256 bit = MEM_HEIGHT; bit < 32; bit++) {
            uint32 bitmap = uint32(2 ** 14 - 1 + 2 ** bit);
            vm.expectRevert(abi.encodeWithSelector(IMachine.BitmapAboveHeight.selector, bitmap, MEM_HEIGHT));
            machine.step(withBitmap(w, STATE + CODE_PROOF + 32, bitmap));
        }
    }

    function withBitmap(bytes memory w, uint256 position, uint32 bitmap) internal pure returns (bytes memory changed) {
        changed = bytes.concat(w);
        for (uint256 i; i < 4; i++) {
            changed[position + i] = bytes4(bitmap)[i];
        }
    }

    function test_wrongRootsAreNamed() public {
        Scene memory s = storeScene();
        bytes memory w = witness(s);
        bytes32 right = s.state.codeRoot;
        // a code sibling
        w[STATE + 36] ^= 0x01;
        vm.expectPartialRevert(IMachine.CodeRootMismatch.selector);
        machine.step(w);
        w[STATE + 36] ^= 0x01;
        // the state's code root
        w[31] ^= 0x01;
        vm.expectRevert(abi.encodeWithSelector(IMachine.CodeRootMismatch.selector, right, right ^ bytes32(uint256(1))));
        machine.step(w);
        w[31] ^= 0x01;
        // the memory leaf
        w[STATE + CODE_PROOF] ^= 0x01;
        vm.expectPartialRevert(IMachine.MemoryRootMismatch.selector);
        machine.step(w);
    }

    function test_heightsAbove27AreRefused() public {
        Scene memory s = scene(A.ECALL);
        s.state.codeHeight = 28;
        s.codeSiblings = siblings(28, 28);
        bytes memory w = witness(s);
        vm.expectRevert(abi.encodeWithSelector(IMachine.HeightTooLarge.selector, 28, MEM_HEIGHT, 27));
        machine.step(w);
        s = scene(A.ECALL);
        s.state.memHeight = 255;
        w = witness(s);
        vm.expectRevert(abi.encodeWithSelector(IMachine.HeightTooLarge.selector, CODE_HEIGHT, 255, 27));
        machine.step(w);
    }

    function test_preimagesThatWereNotShown() public {
        bytes32 hash = preimages.show(pattern(100), new uint32[](0));
        Scene memory s = storeScene();
        s.instruction = A.ECALL;
        s.state.x[17] = 3;
        setHash(s.state, hash);
        s.state.x[10] = 0x10040;
        s.state.x[11] = 99;
        s.state.x[12] = 1;
        bytes memory w = witness(s);
        vm.expectRevert(abi.encodeWithSelector(IPreimages.NotShown.selector, hash, 99));
        machine.step(w);

        setHash(s.state, keccak256("unknown"));
        w = witness(s);
        vm.expectRevert(abi.encodeWithSelector(IPreimages.LengthNotShown.selector, keccak256("unknown")));
        machine.step(w);

        s.state.x[17] = 4;
        s.touchesMemory = false;
        w = witness(s);
        vm.expectRevert(abi.encodeWithSelector(IPreimages.LengthNotShown.selector, s.state.inputHash));
        machine.step(w);
    }

    // Projection and initial state

    function testFuzz_resultIsSection5(bytes32 seed) public view {
        bytes memory state = randomState(seed);
        (bytes32 root, bytes32 resultHash) = machine.result(state);
        assertEq(root, keccak256(state));
        bytes memory packed = new bytes(37);
        for (uint256 i; i < 37; i++) {
            packed[i] = i < 5 ? state[256 + i] : state[96 + i - 5];
        }
        assertEq(resultHash, keccak256(packed));
    }

    function testFuzz_initialStateIsFreshOnlyWithZerosElsewhere(bytes32 seed, uint256 position, uint8 value)
        public
        view
    {
        bytes memory state = randomState(seed);
        for (uint256 i = 96; i < 261; i++) {
            if (i < 128 || i >= 132) state[i] = 0;
        }
        (bytes32 program, bytes32 input, bool fresh) = machine.initial(state);
        assertTrue(fresh);
        assertEq(input, bytes32(ReferenceTree.number(state, 64, 32)));
        assertEq(
            program,
            keccak256(
                abi.encodePacked(
                    ReferenceTree.number(state, 0, 32),
                    state[261],
                    ReferenceTree.number(state, 32, 32),
                    state[262],
                    uint32(ReferenceTree.number(state, 128, 4))
                )
            )
        );

        position = bound(position, 96, 260);
        vm.assume(value != 0 && (position < 128 || position >= 132));
        state[position] = bytes1(value);
        (,, fresh) = machine.initial(state);
        assertFalse(fresh);
    }

    function test_everyByteCountsForFreshness() public view {
        for (uint256 i = 96; i < 261; i++) {
            bytes memory state = new bytes(263);
            state[i] = 0x01;
            (,, bool fresh) = machine.initial(state);
            assertEq(fresh, i >= 128 && i < 132);
        }
    }

    function test_projectionsTakeExactlyAState() public {
        uint16[4] memory lengths = [0, 262, 264, 1000];
        for (uint256 i; i < lengths.length; i++) {
            vm.expectRevert(abi.encodeWithSelector(IMachine.WitnessLength.selector, lengths[i], 263));
            machine.result(new bytes(lengths[i]));
            vm.expectRevert(abi.encodeWithSelector(IMachine.WitnessLength.selector, lengths[i], 263));
            machine.initial(new bytes(lengths[i]));
        }
    }

    function randomState(bytes32 seed) internal pure returns (bytes memory state) {
        state = new bytes(263);
        for (uint256 i; i < 263; i++) {
            state[i] = keccak256(abi.encode(seed, i))[0];
        }
    }
}

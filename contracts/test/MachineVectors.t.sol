// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Machine} from "../src/Machine.sol";
import {IPreimages} from "../src/interfaces/IPreimages.sol";
import {GivenPreimages} from "./machine/GivenPreimages.sol";
import {ReferenceMachine} from "./machine/ReferenceMachine.sol";
import {Test} from "forge-std/Test.sol";

/// P3, across languages: the vectors of `vectors/machine`, which the Rust machine wrote.
contract MachineVectorsTest is Test {
    GivenPreimages internal preimages = new GivenPreimages();
    Machine internal machine = new Machine(preimages);
    ReferenceMachine internal referenceMachine = new ReferenceMachine(preimages);

    function test_p3_steps() public {
        string memory json = vm.readFile("../vectors/machine/steps.json");
        string[] memory names = strings(json, "$[*].name");
        bytes[] memory witnesses = abi.decode(vm.parseJson(json, "$[*].witness"), (bytes[]));
        bytes32[] memory pre = abi.decode(vm.parseJson(json, "$[*].pre"), (bytes32[]));
        bytes32[] memory post = abi.decode(vm.parseJson(json, "$[*].post"), (bytes32[]));
        // Null where the step needs none, and then not in these lists: who needs one is seen by what it says without.
        bytes32[] memory hashes = abi.decode(vm.parseJson(json, "$[*].preimage.hash"), (bytes32[]));
        uint256[] memory offsets = abi.decode(vm.parseJson(json, "$[*].preimage.offset"), (uint256[]));
        bytes32[] memory words = abi.decode(vm.parseJson(json, "$[*].preimage.word"), (bytes32[]));
        uint256[] memory lengths = abi.decode(vm.parseJson(json, "$[*].preimage.length"), (uint256[]));
        assertGt(names.length, 500, "vectors");
        assertGt(hashes.length, 10, "vectors with a preimage");
        assertEq(witnesses.length, names.length);
        assertEq(pre.length, names.length);
        assertEq(post.length, names.length);

        uint256 n;
        for (uint256 i; i < names.length; i++) {
            preimages.giveNothing();
            (bool ok, bytes memory error) = address(machine).staticcall(abi.encodeCall(machine.step, (witnesses[i])));
            if (!ok) {
                assertEq(bytes4(error), IPreimages.LengthNotShown.selector, names[i]);
                preimages.give(GivenPreimages.Known(hashes[n], uint32(offsets[n]), words[n], uint32(lengths[n])));
                n++;
            }
            (bytes32 foundPre, bytes32 foundPost) = machine.step(witnesses[i]);
            assertEq(foundPre, pre[i], names[i]);
            assertEq(foundPost, post[i], names[i]);
            (foundPre, foundPost) = referenceMachine.step(witnesses[i]);
            assertEq(foundPre, pre[i], names[i]);
            assertEq(foundPost, post[i], names[i]);
        }
        assertEq(n, hashes.length, "every preimage found its vector");
    }

    function test_p3_rejected() public view {
        string memory json = vm.readFile("../vectors/machine/rejected.json");
        string[] memory names = strings(json, "$[*].name");
        bytes[] memory witnesses = abi.decode(vm.parseJson(json, "$[*].witness"), (bytes[]));
        assertGt(names.length, 20, "vectors");
        assertEq(witnesses.length, names.length);
        for (uint256 i; i < names.length; i++) {
            (bool ok,) = address(machine).staticcall(abi.encodeCall(machine.step, (witnesses[i])));
            assertFalse(ok, names[i]);
            (ok,) = address(referenceMachine).staticcall(abi.encodeCall(machine.step, (witnesses[i])));
            assertFalse(ok, names[i]);
        }
    }

    function strings(string memory json, string memory path) internal pure returns (string[] memory) {
        return abi.decode(vm.parseJson(json, path), (string[]));
    }
}

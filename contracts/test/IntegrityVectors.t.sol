// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Verdict} from "../src/interfaces/IIntegrity.sol";
import {Verdicts} from "../src/libraries/Verdicts.sol";
import {IntegrityFixture} from "./integrity/IntegrityFixture.sol";

/// `vectors/integrity`, which the Rust side writes: what monitors sign, and the storage that state proofs are about.
contract IntegrityVectorsTest is IntegrityFixture {
    function read(string memory name) private view returns (string memory) {
        return vm.readFile(string.concat("../vectors/integrity/", name, ".json"));
    }

    function at(uint256 i, string memory field) private pure returns (string memory) {
        return string.concat("[", vm.toString(i), "].", field);
    }

    function test_votes() public view {
        string memory json = read("votes");
        uint256 i;
        for (; vm.keyExistsJson(json, at(i, "epoch")); ++i) {
            address contract_ = vm.parseJsonAddress(json, at(i, "integrity"));
            uint256 id = uint256(vm.parseJsonBytes32(json, at(i, "deployment")));
            uint256 epoch = vm.parseJsonUint(json, at(i, "epoch"));
            bytes32 evidence = vm.parseJsonBytes32(json, at(i, "evidence"));
            assertEq(
                id, integrity.idOf(vm.parseJsonAddress(json, at(i, "service")), vm.parseJsonUint(json, at(i, "number")))
            );
            bytes32 subject = Verdicts.subjectOf(contract_, id, epoch);
            assertEq(subject, vm.parseJsonBytes32(json, at(i, "subject")));
            assertEq(Verdicts.rootOf(subject, Verdict.INTACT, 0), vm.parseJsonBytes32(json, at(i, "intact")));
            assertEq(Verdicts.rootOf(subject, Verdict.UNREACHABLE, 0), vm.parseJsonBytes32(json, at(i, "unreachable")));
            assertEq(Verdicts.rootOf(subject, Verdict.DRIFTED, evidence), vm.parseJsonBytes32(json, at(i, "drifted")));
            subject = Verdicts.subjectOf(contract_, id, 0);
            assertEq(subject, vm.parseJsonBytes32(json, at(i, "baselineSubject")));
            bytes32 measured = vm.parseJsonBytes32(json, at(i, "measurement"));
            assertEq(Verdicts.leafOf(subject, measured), vm.parseJsonBytes32(json, at(i, "baseline")));
        }
        assertGt(i, 3);
    }

    /// What the layout says of the contract's storage is what its view returns, field by field.
    function test_layout() public {
        run();
        record(1, Verdict.INTACT, 7);
        record(2, Verdict.UNREACHABLE, 15);
        integrity.collectHost(deployment);
        report(1, Verdict.DRIFTED, everybody());
        string memory json = read("layout");
        assertEq(vm.parseJsonString(json, at(0, "mapping")), "deployments");
        assertEq(vm.parseJsonString(json, at(1, "mapping")), "deploymentCount");
        uint256 base = uint256(keccak256(abi.encode(deployment, vm.parseJsonUint(json, at(0, "slot")))));
        bytes32 count = keccak256(abi.encode(service, vm.parseJsonUint(json, at(1, "slot"))));
        assertEq(uint256(vm.load(address(integrity), count)), 1);
        // Every member of a static struct is one word.
        uint256[24] memory expected = abi.decode(abi.encode(integrity.deploymentOf(deployment)), (uint256[24]));
        uint256 i = 2;
        for (; vm.keyExistsJson(json, at(i, "field")); ++i) {
            bytes32 slot = bytes32(base + vm.parseJsonUint(json, at(i, "word")));
            uint256 bits = vm.parseJsonUint(json, at(i, "bits"));
            uint256 found = uint256(vm.load(address(integrity), slot)) >> vm.parseJsonUint(json, at(i, "shift"));
            if (bits != 256) found &= (1 << bits) - 1;
            found *= vm.parseJsonUint(json, at(i, "unit"));
            assertEq(found, expected[i - 2], vm.parseJsonString(json, at(i, "field")));
        }
        assertEq(i - 2, expected.length);
    }
}

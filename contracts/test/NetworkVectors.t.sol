// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Records} from "../src/Records.sol";
import {Record} from "../src/interfaces/IRecords.sol";
import {BLS} from "../src/libraries/BLS.sol";
import {Ballots} from "../src/libraries/Ballots.sol";
import {Selection} from "../src/libraries/Selection.sol";
import {Vote, VoteKind} from "../src/types/Votes.sol";
import {PlainBLS} from "./quorum/PlainBLS.sol";
import {Test} from "forge-std/Test.sol";

library Paths {
    function at(string memory path, string memory field) internal pure returns (string memory) {
        return string.concat(path, field);
    }
}

/// `vectors/network`, which the Rust side writes: keys, votes, certificates, selections, weights.
contract NetworkVectorsTest is Test {
    using Paths for string;

    function read(string memory name) private view returns (string memory) {
        return vm.readFile(string.concat("../vectors/network/", name, ".json"));
    }

    function entry(uint256 i) private pure returns (string memory) {
        return string.concat("[", vm.toString(i), "]");
    }

    function verify(bytes calldata signature, bytes calldata key, bytes32 message, bytes32 tag)
        external
        view
        returns (bool)
    {
        (uint256 frame, uint256 hash, uint256 to) = BLS.frame();
        assembly ("memory-safe") {
            calldatacopy(to, key.offset, key.length)
        }
        BLS.negate(to);
        BLS.hashToG1(message, tag, hash);
        return BLS.verify(signature, frame);
    }

    function check(bytes32 root, Vote calldata vote, bytes32[] calldata proof) external pure {
        Ballots.check(root, vote, proof);
    }

    function test_keys() public view {
        string memory json = read("keys");
        uint256 i;
        for (; vm.keyExistsJson(json, entry(i)); ++i) {
            string memory e = entry(i);
            bytes memory key = vm.parseJsonBytes(json, e.at(".blsKey"));
            assertEq(key, PlainBLS.keyOf(vm.parseJsonUint(json, e.at(".blsSecret"))));
            bytes32 message = keccak256(
                abi.encode(
                    keccak256("surety.possession"),
                    vm.parseJsonUint(json, e.at(".chainId")),
                    vm.parseJsonAddress(json, e.at(".registry")),
                    vm.parseJsonAddress(json, e.at(".operator")),
                    keccak256(key)
                )
            );
            assertEq(message, vm.parseJsonBytes32(json, e.at(".message")));
            bytes memory proof = vm.parseJsonBytes(json, e.at(".proof"));
            assertTrue(this.verify(proof, key, message, BLS.POSSESSION_TAG));
            assertFalse(this.verify(proof, key, message, BLS.SIGNATURE_TAG));
        }
        assertGt(i, 0);
    }

    function test_certificates() public view {
        string memory json = read("certificates");
        uint256 i;
        for (; vm.keyExistsJson(json, entry(i)); ++i) {
            string memory e = entry(i);
            bytes32 root = vm.parseJsonBytes32(json, e.at(".root"));
            bytes32 hash = keccak256(
                abi.encode(
                    Ballots.TYPEHASH,
                    vm.parseJsonAddress(json, e.at(".service")),
                    vm.parseJsonUint(json, e.at(".set")),
                    root
                )
            );
            bytes32 digest = vm.parseJsonBytes32(json, e.at(".digest"));
            bytes32 domain = vm.parseJsonBytes32(json, e.at(".domain.separator"));
            assertEq(digest, keccak256(abi.encodePacked(hex"1901", domain, hash)));
            assertTrue(
                this.verify(
                    vm.parseJsonBytes(json, e.at(".signature")),
                    vm.parseJsonBytes(json, e.at(".key")),
                    digest,
                    BLS.SIGNATURE_TAG
                )
            );
            Vote memory vote = Vote(
                VoteKind(vm.parseJsonUint(json, e.at(".vote.kind"))),
                vm.parseJsonBytes32(json, e.at(".vote.subject")),
                vm.parseJsonBytes32(json, e.at(".vote.value"))
            );
            assertEq(Ballots.leafOf(vote), vm.parseJsonBytes32(json, e.at(".vote.leaf")));
            this.check(root, vote, vm.parseJsonBytes32Array(json, e.at(".proof")));
        }
        assertGt(i, 0);
    }

    function test_selections() public view {
        string memory json = read("selections");
        uint256 i;
        for (; vm.keyExistsJson(json, entry(i)); ++i) {
            string memory e = entry(i);
            uint256[] memory weights = vm.parseJsonUintArray(json, e.at(".weights"));
            uint256 only = vm.parseJsonUint(json, e.at(".only"));
            for (uint256 j; j < weights.length; ++j) {
                if (only >> j & 1 == 0) weights[j] = 0;
            }
            uint8[] memory ranked = Selection.rank(vm.parseJsonBytes32(json, e.at(".seed")), weights, 128);
            uint256[] memory order = vm.parseJsonUintArray(json, e.at(".order"));
            assertEq(ranked.length, order.length);
            for (uint256 j; j < order.length; ++j) {
                assertEq(ranked[j], order[j]);
            }
        }
        assertGt(i, 0);
    }

    function test_weights() public {
        Records records = new Records(new address[](0));
        address service = address(1);
        string memory json = read("weights");
        uint256 i;
        for (; vm.keyExistsJson(json, entry(i)); ++i) {
            string memory e = entry(i);
            address operator = address(uint160(i));
            vm.warp(vm.parseJsonUint(json, e.at(".now")));
            uint256 word;
            word |= vm.parseJsonUint(json, e.at(".done"));
            word |= vm.parseJsonUint(json, e.at(".missed")) << 32;
            word |= vm.parseJsonUint(json, e.at(".absent")) << 64;
            word |= vm.parseJsonUint(json, e.at(".firstCall")) << 96;
            word |= vm.parseJsonUint(json, e.at(".incidents")) << 128;
            word |= vm.parseJsonUint(json, e.at(".lastIncident")) << 144;
            word |= vm.parseJsonUint(json, e.at(".firstSeen")) << 184;
            word |= vm.parseJsonUint(json, e.at(".slashed")) << 224;
            // Slots: 0 the modules, 1 the calls, 2 the records.
            vm.store(
                address(records), keccak256(abi.encode(operator, keccak256(abi.encode(service, 2)))), bytes32(word)
            );
            vm.store(
                address(records), keccak256(abi.encode(service, 1)), bytes32(vm.parseJsonUint(json, e.at(".calls")))
            );
            assertEq(records.recordOf(service, operator).slashed, vm.parseJsonUint(json, e.at(".slashed")));
            assertEq(
                records.weightOf(service, operator, vm.parseJsonUint(json, e.at(".bond"))),
                vm.parseJsonUint(json, e.at(".weight")),
                vm.parseJsonString(json, e.at(".name"))
            );
        }
        assertGt(i, 0);
    }
}

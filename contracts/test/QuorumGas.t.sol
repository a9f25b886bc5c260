// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Certificate, Proven} from "../src/types/Votes.sol";
import {QuorumFixture} from "./quorum/QuorumFixture.sol";

/// What sets and certificates cost, in whole transactions: intrinsic gas, calldata and cold accesses included.
contract QuorumGasTest is QuorumFixture {
    /// What a certificate of 128 members with 10 absent may cost.
    uint256 internal constant LIMIT = 160_000;
    /// EIP-7825: no transaction may have more.
    uint256 internal constant TRANSACTION_LIMIT = 16_777_216;

    function last(string memory name) internal returns (uint256) {
        return vm.snapshotGasLastCall("Quorum", name);
    }

    /// A view is a transaction of its own only if it is called like one.
    function transact(bytes memory data) internal {
        (bool ok,) = address(quorum).call(data);
        assertTrue(ok);
    }

    function verify(Certificate memory certificate) internal {
        transact(abi.encodeCall(quorum.verify, (certificate)));
    }

    function all(uint256 members) internal pure returns (uint256) {
        return (1 << members) - 1;
    }

    function test_gas_verify() public {
        uint256[5] memory sizes = [uint256(4), 16, 32, 64, 128];
        bytes32 root = keccak256("root");
        for (uint256 i; i < sizes.length; ++i) {
            addMembers(sizes[i] - operators.length);
            verify(certify(fix(), root, all(sizes[i])));
            string memory name = string.concat("certificate of ", vm.toString(sizes[i]), " members, none absent");
            last(string.concat(name, ", whole transaction"));
        }
    }

    function test_gas_verifyWithAbsent() public {
        addMembers(128);
        uint64 set = fix();
        bytes32 root = keccak256("root");
        uint256 absent;
        for (uint256 i; i < 10; ++i) {
            absent |= 1 << (5 + 13 * i);
        }
        verify(certify(set, root, all(128) & ~absent));
        assertLe(last("certificate of 128 members, 10 absent, whole transaction"), LIMIT);
        verify(certify(set, root, all(85) << 21));
        last("certificate of 128 members, 43 absent, whole transaction");
        verify(certify(set, root, all(64) << 32));
        last("certificate of 128 members, 64 absent, whole transaction");
        verify(certify(set, root, 1 << 77));
        last("ballot in a set of 128 members, whole transaction");
    }

    function test_gas_verifyVote() public {
        addMembers(128);
        bytes32[] memory leaves = new bytes32[](1024);
        for (uint256 i; i < leaves.length; ++i) {
            leaves[i] = leafOf(voteOf(i));
        }
        (bytes32 root, bytes32[] memory proof) = prove(leaves, 300);
        assertEq(proof.length, 10);
        Proven memory proven = Proven(certify(fix(), root, all(128)), voteOf(300), proof);
        transact(abi.encodeCall(quorum.verifyVote, (proven)));
        last("vote under a certificate of 1,024 by 128 members, none absent, whole transaction");
    }

    function test_gas_fix() public {
        addMembers(4);
        fix();
        last("set of 4 members, the first, whole transaction");
        fix();
        last("set of 4 members, a later one, whole transaction");
        addMembers(124);
        address other = addService(1);
        for (uint256 i; i < 128; ++i) {
            bond(other, operators[i], BOND);
        }
        quorum.fix(other);
        assertLt(last("set of 128 members, the first, whole transaction"), TRANSACTION_LIMIT * 3 / 4);
        vm.roll(vm.getBlockNumber() + SET_PERIOD);
        quorum.fix(other);
        last("set of 128 members, a later one, whole transaction");
    }

    /// The most expensive set: all new, of more operators than are looked at, each of which can be a member.
    function test_gas_fixOfMany() public {
        addMembers(300);
        vm.prevrandao(keccak256("randomness"));
        fix();
        assertLt(last("set of 128 of 300 operators, the first, whole transaction"), TRANSACTION_LIMIT * 7 / 8);
        assertEq(quorum.setOf(service, 1).members, 128);
    }

    function test_gas_setKeys() public {
        addMember();
        address operator = addOperator("fresh");
        setKeys(operator, 12_345);
        last("setKeys, the first, whole transaction");
        setKeys(operator, 54_321);
        last("setKeys, others, whole transaction");
    }

    function test_gas_select() public {
        addMembers(128);
        uint64 set = fix();
        transact(abi.encodeCall(quorum.select, (service, set, keccak256("seed"), type(uint256).max, 35)));
        last("35 ranks of 128 members, whole transaction");
    }
}

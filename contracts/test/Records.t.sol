// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Records} from "../src/Records.sol";
import {IRecords, Record} from "../src/interfaces/IRecords.sol";
import {Test} from "forge-std/Test.sol";

contract RecordsTest is Test {
    address private constant SERVICE = address(0x5e);
    address private constant OPERATOR = address(0x09);

    Records private records;

    function setUp() public {
        vm.warp(1_800_000_000);
        address[] memory modules = new address[](1);
        modules[0] = address(this);
        records = new Records(modules);
    }

    function weight(uint256 bond) private view returns (uint64) {
        return records.weightOf(SERVICE, OPERATOR, bond);
    }

    function record() private view returns (Record memory) {
        return records.recordOf(SERVICE, OPERATOR);
    }

    function certificates(uint256 number, bool absent) private {
        address[] memory list = new address[](absent ? 1 : 0);
        if (absent) list[0] = OPERATOR;
        for (uint256 i; i < number; ++i) {
            records.certificate(SERVICE, list);
        }
    }

    function test_modulesOnly() public {
        bytes memory refusal = abi.encodeWithSelector(IRecords.NotModule.selector, address(1));
        vm.startPrank(address(1));
        vm.expectRevert(refusal);
        records.count(SERVICE, OPERATOR, 1, 1);
        vm.expectRevert(refusal);
        records.certificate(SERVICE, new address[](0));
        vm.expectRevert(refusal);
        records.incident(SERVICE, OPERATOR, 1);
        vm.expectRevert(refusal);
        records.seen(SERVICE, OPERATOR);
        vm.stopPrank();
        assertTrue(records.isModule(address(this)));
        assertFalse(records.isModule(address(1)));
    }

    function test_writes() public {
        certificates(3, false);
        vm.expectEmit(address(records));
        emit IRecords.Recorded(SERVICE, OPERATOR, 5, 2);
        records.count(SERVICE, OPERATOR, 5, 2);
        records.seen(SERVICE, OPERATOR);
        vm.warp(vm.getBlockTimestamp() + 10);
        records.seen(SERVICE, OPERATOR);
        certificates(2, true);
        vm.expectEmit(address(records));
        emit IRecords.Incident(SERVICE, OPERATOR, 1 ether + 1);
        records.incident(SERVICE, OPERATOR, 1 ether + 1);
        Record memory found = record();
        assertEq(found.done, 5);
        assertEq(found.missed, 2);
        assertEq(found.absent, 2);
        assertEq(found.firstCall, 3);
        assertEq(found.firstSeen, 1_800_000_000);
        assertEq(found.incidents, 1);
        assertEq(found.lastIncident, 1_800_000_010);
        assertEq(found.slashed, 2);
        assertEq(records.callsOf(SERVICE), 5);
        assertEq(records.recordOf(address(1), OPERATOR).done, 0);
    }

    /// Counters stay at their largest; nothing ever reverts for being full.
    function test_saturates() public {
        records.count(SERVICE, OPERATOR, type(uint32).max, type(uint32).max);
        records.count(SERVICE, OPERATOR, 1, type(uint32).max);
        records.incident(SERVICE, OPERATOR, type(uint256).max);
        records.incident(SERVICE, OPERATOR, 1 ether);
        Record memory found = record();
        assertEq(found.done, type(uint32).max);
        assertEq(found.missed, type(uint32).max);
        assertEq(found.slashed, type(uint32).max);
        assertEq(weight(type(uint96).max) > 0, true);
    }

    // The weight, by hand

    function test_weight_stake() public {
        assertEq(weight(0), 1);
        assertEq(weight(10 ** 15 - 1), 1);
        // Half, for want of time.
        assertEq(weight(1000 ether), 500_000);
        assertEq(weight(type(uint96).max), (1 << 30) / 2);
        records.incident(SERVICE, OPERATOR, 1 ether);
        assertEq(weight(0), 1);
    }

    function test_weight_time() public {
        records.seen(SERVICE, OPERATOR);
        assertEq(weight(1024 ether), 512_000);
        vm.warp(vm.getBlockTimestamp() + 45 days);
        assertEq(weight(1024 ether), 768_000);
        vm.warp(vm.getBlockTimestamp() + 45 days);
        assertEq(weight(1024 ether), 1_024_000);
        vm.warp(vm.getBlockTimestamp() + 4500 days);
        assertEq(weight(1024 ether), 1_024_000);
    }

    function test_weight_success() public {
        records.count(SERVICE, OPERATOR, 8, 16);
        assertEq(weight(1024 ether), 256_000);
        records.count(SERVICE, OPERATOR, 16, 0);
        assertEq(weight(1024 ether), 512_000 * 682 / 1024);
    }

    function test_weight_uptime() public {
        certificates(8, true);
        // What came before it was seen is not held against it.
        records.seen(SERVICE, OPERATOR);
        assertEq(weight(1024 ether), 512_000);
        certificates(8, true);
        assertEq(weight(1024 ether), 256_000);
    }

    function test_weight_slashedAndIncidents() public {
        records.seen(SERVICE, OPERATOR);
        records.incident(SERVICE, OPERATOR, 1024 ether);
        // Half the bond ever, and half for the incident.
        assertEq(weight(1024 ether), 128_000);
        records.incident(SERVICE, OPERATOR, 0);
        assertEq(weight(1024 ether), 64_000);
        vm.warp(vm.getBlockTimestamp() + 30 days - 1);
        uint256 before = weight(1024 ether);
        vm.warp(vm.getBlockTimestamp() + 1);
        assertApproxEqAbs(weight(1024 ether), 2 * before, 2);
        for (uint256 i; i < 20; ++i) {
            records.incident(SERVICE, OPERATOR, 0);
        }
        assertLt(weight(1024 ether), 400);
    }

    /// `docs/spec/network.md`, section 6.
    function testFuzz_weight(
        uint32 done,
        uint32 missed,
        uint8 calls,
        uint8 absences,
        uint32 age,
        uint96 lost,
        uint8 incidents,
        uint32 sinceIncident,
        uint96 bond
    ) public {
        records.seen(SERVICE, OPERATOR);
        records.count(SERVICE, OPERATOR, done, missed);
        certificates(calls % 16, false);
        certificates(absences % 16, true);
        vm.warp(vm.getBlockTimestamp() + age);
        for (uint256 i; i < incidents % 16; ++i) {
            records.incident(SERVICE, OPERATOR, i == 0 ? lost : 0);
        }
        vm.warp(vm.getBlockTimestamp() + sinceIncident);
        assertEq(weight(bond), plain(record(), bond));
    }

    function plain(Record memory x, uint256 bond) private view returns (uint256 w) {
        uint256 calls = records.callsOf(SERVICE) - x.firstCall;
        uint256 remaining = x.incidents - least(x.incidents, (block.timestamp - x.lastIncident) / 30 days);
        uint256 slashed = uint256(x.slashed) * 1 ether;
        w = least(bond / 10 ** 15, 2 ** 30);
        w = w * (1024 * (uint256(x.done) + 8) / (uint256(x.done) + x.missed + 8)) / 1024;
        w = w * (1024 * (calls + 8 - least(x.absent, calls)) / (calls + 8)) / 1024;
        w = w * (512 + 512 * least(block.timestamp - x.firstSeen, 90 days) / 90 days) / 1024;
        if (bond != 0) w = w * (1024 * bond / (bond + slashed)) / 1024;
        w = w * (1024 >> least(remaining, 10)) / 1024;
        if (w == 0) w = 1;
    }

    function least(uint256 a, uint256 b) private pure returns (uint256) {
        return a < b ? a : b;
    }
}
